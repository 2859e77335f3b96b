"""How often rows are used: shares of groups, weights of sources, brief answers."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from prepared_rows import adds_up, in_files, prepared, rows, source

from medchat.records import Example
from train.adapters import Source
from train.prepare_balance import Asked, Mix, Sourced, mix
from train.prepare_shards import BRIEF, ROW

LONG = " ".join(["word"] * 40)


def mixed(cells: dict[tuple[int, bool], int], sources: list[Sourced], asked: Asked) -> Mix:
    """cells: number of the source, and whether answers are brief -> rows."""
    table = np.zeros(sum(cells.values()), ROW)
    at = 0
    for (number, brief), n in cells.items():
        table["source"][at : at + n] = number
        table["flags"][at : at + n] = BRIEF if brief else 0
        at += n
    keys = np.arange(len(table), dtype=np.uint64)
    return mix(table, np.ones(len(table), np.bool_), sources, asked, keys)


KNOWLEDGE, TALKS = Sourced("facts", "knowledge", 1.0), Sourced("talks", "conversation", 1.0)


def test_the_smaller_group_is_used_more_often_and_that_is_shown() -> None:
    # 900 rows of knowledge are 75 % of 1200: the 100 talks are used 300 times.
    found = mixed({(0, False): 900, (1, False): 100}, [KNOWLEDGE, TALKS], Asked((75, 25), None, 20))

    assert found.report["after"] == {"knowledge": 900, "conversation": 300}
    assert found.report["before"] == {"knowledge": 900, "conversation": 100}
    assert found.report["upsampled"] == [{"source": "talks", "rows": 100, "used": 300, "copies": 3.0}]
    assert set(found.copies[900:].tolist()) == {3}
    assert found.report["notes"] == []


def test_part_of_the_rows_is_used_once_more_where_a_whole_number_does_not_do() -> None:
    # 100 rows of knowledge are 75 % of 133.3: the 20 talks are used 33 times, 13 of them twice.
    found = mixed({(0, False): 100, (1, False): 20}, [KNOWLEDGE, TALKS], Asked((75, 25), None, 20))

    assert np.bincount(found.copies[100:]).tolist() == [0, 7, 13]


def test_a_row_is_not_used_more_often_than_allowed_and_the_report_says_so() -> None:
    found = mixed({(0, False): 900, (1, False): 3}, [KNOWLEDGE, TALKS], Asked((75, 25), None, 20))

    assert found.report["after"] == {"knowledge": 900, "conversation": 60}
    assert "conversation: 25 % was asked for and 6.2 % reached: a row is used 20 times" in found.report["notes"][1]


def test_one_group_alone_is_left_as_it_is() -> None:
    found = mixed({(0, False): 50}, [KNOWLEDGE, TALKS], Asked((75, 25), None, 20))

    assert set(found.copies.tolist()) == {1}
    assert found.report["notes"] == ["knowledge: 75 % was asked for, and there is nothing else."]


def test_a_weight_counts_within_its_group() -> None:
    heavy = dataclasses.replace(KNOWLEDGE, label="heavy", weight=2.0)
    found = mixed(
        {(0, False): 100, (1, False): 100, (2, False): 50}, [KNOWLEDGE, heavy, TALKS], Asked((75, 25), None, 20)
    )

    # 100 + 2 x 100 rows of knowledge are 75 % of 400.
    assert [int(found.copies[start : start + n].sum()) for start, n in ((0, 100), (100, 100), (200, 50))] == [
        100,
        200,
        100,
    ]


def test_brief_answers_and_groups_get_their_shares_together() -> None:
    cells = {(0, False): 800, (0, True): 100, (1, False): 250, (1, True): 20}
    found = mixed(cells, [KNOWLEDGE, TALKS], Asked((75, 25), 0.3, 20))

    n = found.copies.sum()
    assert abs(found.report["after"]["knowledge"] / n - 0.75) < 0.005
    assert abs(found.report["brief_answers"]["after"] - 30) < 0.5
    assert found.copies.min() == 1


def test_copies_are_marked_in_the_file_and_a_weight_below_one_leaves_rows_out(tmp_path: Path) -> None:
    twice = source(tmp_path / "twice.jsonl", rows(30, split="train"))
    half = source(tmp_path / "half.jsonl", rows(30, 100, split="train"))

    report = prepared([twice, half], tmp_path / "out", weights={"twice.jsonl": 2.0, "half.jsonl": 0.5})

    train = in_files(tmp_path / "out")["train"]
    assert len(train) == len({row.id for row in train}) == 75
    assert sorted(row.meta["copy"] for row in train if "copy" in row.meta) == [2] * 30
    assert all(row.id.endswith("#2") for row in train if "copy" in row.meta)
    assert report["sources"][1]["dropped"] == {"left out by the weight of its source": 15}
    assert [its["copies"] for its in report["sources"]] == [2.0, 1.0]
    assert adds_up(report)


def test_knowledge_and_conversation_come_as_asked_for(tmp_path: Path) -> None:
    facts = source(tmp_path / "facts.jsonl", rows(300))
    turns = [Example(row.question, f"{row.answer} {LONG}") for row in rows(100, 500)]
    talks = tmp_path / "HealthCareMagic-100k.jsonl"
    talks.write_text(
        "".join(f'{{"instruction": "Answer.", "input": "{row.question}", "output": "{row.answer}"}}\n' for row in turns)
    )

    report = prepared([facts, Source("healthcaremagic", talks)], tmp_path / "out", balance=(60.0, 40.0))

    train = in_files(tmp_path / "out")["train"]
    share = sum(row.source.startswith("healthcaremagic") for row in train) / len(train)
    assert share == pytest.approx(0.4, abs=0.01)
    assert report["balance"]["after"]["conversation"] == round(share * len(train))
    assert report["sources"][1]["copies"] > 1
