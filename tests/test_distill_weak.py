"""A second round on what the student got wrong, told by the results of an evaluation."""

import json
from pathlib import Path

import numpy as np
import pytest
from stored_predictions import line, write_run
from teacher_server import Desk as TeacherDesk
from teacher_server import said, teacher_server
from test_distill import desk, folder, rows_in

from medchat.errors import InvalidInput
from medchat.records import Example
from train.distill import distill
from train.distill_options import Options
from train.distill_weak import weakest, weakness_in

HEART, SKIN = "Which drug lowers the blood pressure in heart failure {}?", "Which ointment calms an itchy eczema {}?"


def results(path: Path) -> Path:
    """The student knows the skin and not the heart."""
    lines = []
    for number in range(6):
        right = number % 2 == 1
        question = (SKIN if right else HEART).format(number)
        groups = {"specialty": "dermatology" if right else "cardiology"}
        lines.append(line(number, question=question, scores={"exact": float(right)}, groups=groups))
    return write_run(path, lines)


def test_rows_like_the_wrong_answers_are_the_likeliest_to_be_wrong(tmp_path: Path) -> None:
    weakness = weakness_in(results(tmp_path))
    rows = [
        Example("Is an ointment good for eczema?", "Yes."),
        Example("Which drug is given in heart failure?", "An ACE inhibitor."),
        Example("Wieviel Uhr?", "Zwölf."),
    ]
    skin, heart, unlike = weakness.chances(rows)

    assert skin < unlike < heart
    assert unlike == 0.5  # three of six are wrong
    assert (weakness.n, weakness.wrong) == (6, 3)
    groups = weakness.report()["weak groups"]
    assert next(iter(groups.items())) == ("specialty: cardiology", {"questions": 3, "wrong": 3})
    assert list(groups)[-1] == "specialty: dermatology"


def test_only_the_weakest_rows_are_asked_about(tmp_path: Path) -> None:
    rows = [
        Example((HEART if n < 4 else SKIN).format(f"number {n}"), "It depends.", f"row-{n}", split="train")
        for n in range(8)
    ]  # fmt: skip
    source = folder(tmp_path / "in", rows)
    options = Options("response", ("t0",), weak=results(tmp_path / "results"), weak_share=0.5)
    with teacher_server(lambda prompt, earlier: said("Rest.")) as server:
        report = distill(source, tmp_path / "out", options, desk(TeacherDesk(server, tmp_path / "cache")))

    asked = {its["meta"]["parent"] for its in rows_in(tmp_path / "out" / "train.jsonl") if "parent" in its["meta"]}
    assert asked == {"row-0", "row-1", "row-2", "row-3"}
    assert report["questions"] == {"asked about": 4, "not chosen": 4, "held out": 0}
    assert report["weak_areas"]["model"] == "toy"
    assert json.loads((tmp_path / "out" / "report.json").read_text())["settings"]["weak"] == "results"


def test_the_share_is_exact_and_the_earlier_of_two_equal_rows_goes_first() -> None:
    assert weakest(np.array([0.2, 0.9, 0.9, 0.9]), 0.5).tolist() == [False, True, True, False]


def test_results_that_tell_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"no predictions\.jsonl"):
        weakness_in(tmp_path)
    unscored = write_run(tmp_path / "unscored", [line(0, scores={"ttft_ms": 2.0})])
    with pytest.raises(InvalidInput, match="no right and no wrong"):
        weakness_in(unscored)
    two = write_run(tmp_path / "two", [line(0, "one", scores={"exact": 0.0}), line(1, "other", scores={"exact": 1.0})])
    with pytest.raises(InvalidInput, match="several models"):
        weakness_in(two)


def test_a_wrong_option_counts_and_a_cut_off_answer_too(tmp_path: Path) -> None:
    lines = [line(n, outcome=outcome) for n, outcome in enumerate(("right", "wrong", "cut off", "unparsable"))]

    assert weakness_in(write_run(tmp_path, lines)).wrong == 3
