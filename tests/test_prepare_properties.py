"""What holds for any rows: nothing is lost, no question is on two sides, children stay, the balance is met."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prepared_rows import adds_up, contents, in_files, leaks, questions, source

from medchat.records import Example, question_id
from train.prepare import prepare
from train.prepare_balance import Asked, Sourced, mix
from train.prepare_options import Options
from train.prepare_shards import ROW
from train.row_files import SPLITS

QUICK = settings(max_examples=8, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
ASKED = questions(40)
ODD = ("  {}", "{} ", "{}\u00a0", "ｗｈａｔ {}", "Hello doctor, {}", "{} Thank you!", "{}?")
CONTEXTS = ("", "", "", "A man of 40 came to the ward on foot.", "Her sister noticed nothing at all for weeks.")
ANSWERS = ("Yes, often.", "yes,  often.", "No, hardly ever.", "Take 5 mg daily.", "Take 10 mg daily.", None)


@st.composite
def examples(draw: st.DrawFn) -> list[Example]:
    """Rows that repeat each other, with and without an answer, a split and a parent."""
    found = []
    for number in range(draw(st.integers(20, 60))):
        question = draw(st.sampled_from(ASKED))
        shape = draw(st.sampled_from(("{}",) * 5 + ODD))
        question = shape.format(question.upper() if draw(st.integers(0, 9)) == 0 else question)
        meta: dict[str, Any] = {}
        if number and draw(st.integers(0, 3)) == 0:
            meta = {"parent": f"r{draw(st.integers(0, number - 1))}", "made": "paraphrase"}
        split = draw(st.sampled_from(("", "", "", "", "train", "validation", "test")))
        context, answer = draw(st.sampled_from(CONTEXTS)), draw(st.sampled_from(ANSWERS))
        found.append(Example(question, answer, id=f"r{number}", context=context, split=split, meta=meta))
    return [*found, Example("Is there always a row to train on?", "There is.", id="always", split="train")]


def said(row: Example) -> tuple[str, str]:
    """What is asked and answered, the context aside."""
    return question_id("", row.question), question_id("", row.answer or "")


@QUICK
@given(examples(), st.integers(0, 5))
def test_every_row_is_counted_and_no_question_and_no_family_is_on_two_sides(found: list[Example], seed: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        half = len(found) // 2
        sources = [source(Path(folder, f"{n}.jsonl"), its) for n, its in enumerate((found[:half], found[half:]))]
        report = prepare(sources, Path(folder, "a"), Options(seed=seed), leaks=leaks())
        prepare(sources, Path(folder, "b"), Options(seed=seed), leaks=leaks())
        files = in_files(Path(folder, "a"))
        assert contents(Path(folder, "a")) == contents(Path(folder, "b"))

    assert adds_up(report)
    assert report["rows_in"] == len(found)
    asked = [{row.question_id for row in files[name]} for name in SPLITS]
    assert sum(map(len, asked)) == len(set.union(*asked))
    open_questions = {row.question_id for row in files["unlabelled"] if row.split == "train"}
    assert not open_questions & (asked[1] | asked[2])
    rows = [row for name in SPLITS for row in files[name]]
    alone = {said(row): row.split for row in rows if not row.context}
    assert all(alone.get(said(row), row.split) == row.split for row in rows)
    side = {row.id: row.split for its in files.values() for row in its}
    for its in files.values():
        for row in its:
            assert side.get(row.meta.get("parent", row.id), row.split) == row.split
    assert not any("parent" in row.meta for name in ("validation", "test") for row in files[name])


@QUICK
@given(st.integers(150, 300), st.integers(20, 300), st.integers(20, 80), st.integers(0, 5))
def test_the_balance_is_met_within_one_per_cent(facts: int, talks: int, share: int, seed: int) -> None:
    """Of the groups; the table of copies is asked, since a row's text does not matter to it."""
    table = np.zeros(facts + talks, ROW)
    table["source"][facts:] = 1
    keys = np.random.default_rng(seed).integers(0, 1 << 60, len(table)).astype(np.uint64)
    sources = [Sourced("facts", "knowledge", 1.0), Sourced("talks", "conversation", 1.0)]
    mixed = mix(table, np.ones(len(table), np.bool_), sources, Asked((share, 100 - share), None, 1000), keys)

    assert abs(100 * mixed.copies[:facts].sum() / mixed.copies.sum() - share) < 1
    assert mixed.copies.min() >= 1
    assert mixed.report["notes"] == []
