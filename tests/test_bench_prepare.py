"""The bench of `prepare`: its rows have the repeats that it says, and both programs run."""

import json
from collections import Counter
from pathlib import Path

import pytest

from evaluation.__main__ import main
from evaluation.bench.prepare_data import write_rows


def test_the_rows_are_as_many_of_each_kind_as_is_said_and_the_same_each_time(tmp_path: Path) -> None:
    counts = write_rows(tmp_path / "a.jsonl", 600, seed=1)
    write_rows(tmp_path / "b.jsonl", 600, seed=1)

    rows = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert Counter(row["id"].partition("-")[0] for row in rows) == counts
    assert sum(counts.values()) == 600
    assert min(counts.values()) > 10
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()
    new = {row["question"] for row in rows if row["id"].startswith("new")}
    assert all(row["question"] in new for row in rows if row["id"].startswith("copy"))
    assert not any(row["question"] in new for row in rows if row["id"].startswith("other"))


@pytest.mark.slow
def test_both_programs_run_and_what_only_looks_like_a_copy_is_kept(tmp_path: Path) -> None:
    pytest.importorskip("datasketch")

    assert main(["bench", "prepare", "--rows", "1000", "--out", str(tmp_path / "figures.json")]) == 0

    rows = {row["measure"]: row for row in json.loads((tmp_path / "figures.json").read_text())["rows"]}
    assert rows["copies left out"]["ours"] == 1
    assert rows["near copies left out"]["ours"] > 0.95
    look_alikes = next(row for measure, row in rows.items() if measure.startswith("look-alikes"))
    assert look_alikes["ours"] < 0.03 < look_alikes["theirs"]
