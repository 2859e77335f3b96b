"""Rating forms: what is shipped, what is stored of them, what is said of a broken file or form."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from medchat.errors import InvalidInput
from medchat.rubrics import (
    DEFAULT_RUBRIC,
    PAIRWISE_RUBRIC,
    SAFETY,
    Criterion,
    asked_axes,
    available_rubrics,
    check_safety,
    check_scores,
    criteria_of,
    load_rubrics,
    shown,
    with_criteria,
)

RUBRICS = load_rubrics()
CLINICAL = RUBRICS["clinical-3"]
FULL = {"factual_correctness": "4", "reasoning_clarity": "5", "safety": "3"}

# What each version asks, as the first digits of a SHA-256: a changed word needs a new version, and a new line here.
WORDING = {
    ("clinical-3", 1): "272de78ac163124d",
    ("healthbench", 1): "18c5869f3eb4cfaf",
    ("medpalm-12", 1): "fda957f01a5a7ac7",
    ("medpalm2-pairwise", 1): "47ecb3d6b3f61799",
    ("quest", 1): "381b216fa6987cfa",
    ("safety", 2): "5ed4c7c275066d19",
}

GOOD = """\
id: mine
version: 2
title: Mine
description: A form of our own.
scales:
  three:
    - {value: 1, help: Bad.}
    - {value: 2}
    - {value: 3, label: Good}
axes:
  - id: quality
    question: How good is it?
    kind: scale
    scale: three
  - id: cites
    question: Does it cite?
    kind: choice
    options:
      - {value: "yes", label: "Yes"}
      - {value: "no", label: "No"}
  - id: holds
    question: Do the citations hold?
    kind: scale
    scale: three
    only_if: {axis: cites, values: ["yes"]}
"""
PAIR = """\
id: pair
version: 1
title: Pair
description: Two answers.
pairwise: true
axes:
  - id: better
    question: Which is better?
    kind: choice
    options: [{value: a}, {value: b}, {value: tie}]
"""


def digest(wording: object) -> str:
    return hashlib.sha256(json.dumps(wording, sort_keys=True).encode()).hexdigest()[:16]


def own_file(folder: Path, text: str | bytes, name: str = "mine.yaml") -> Path:
    """The data folder with this one rubric."""
    (folder / "rubrics").mkdir(exist_ok=True)
    (folder / "rubrics" / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


def fault_of(folder: Path, text: str | bytes) -> str:
    """What is said of a rubric."""
    with pytest.raises(InvalidInput) as caught:
        load_rubrics(own_file(folder, text) / "rubrics")
    return str(caught.value)


# --- What comes with MedChat ---


def test_the_shipped_rubrics_are_the_published_ones() -> None:
    n_axes = {rubric_id: len(rubric.axes) for rubric_id, rubric in RUBRICS.items()}

    # Med-PaLM has 12 axes, two of them (extent and likelihood of harm) are the safety block's.
    assert n_axes == {"clinical-3": 5, "healthbench": 5, "medpalm-12": 10, "medpalm2-pairwise": 9, "quest": 16}
    assert [rubric.id for rubric in RUBRICS.values() if rubric.pairwise] == [PAIRWISE_RUBRIC]


def test_no_word_of_a_rubric_changes_without_a_new_version() -> None:
    words = {(rubric.id, rubric.version): shown(rubric) for rubric in RUBRICS.values()}
    found = {
        key: digest({part: it for part, it in rubric.items() if part != "safety"}) for key, rubric in words.items()
    }
    found["safety", SAFETY.version] = digest(shown(CLINICAL)["safety"])

    assert found == WORDING, "raise the version of what was changed, and add its digest"


def test_the_default_asks_three_scales_with_anchors_at_both_ends_and_the_middle() -> None:
    for axis in CLINICAL.axes[:3]:
        assert axis.values == ("1", "2", "3", "4", "5")
        assert [bool(option.help) for option in axis.options] == [True, False, True, False, True]
    assert [axis.id for axis in CLINICAL.axes if not axis.required] == ["completeness", "verbosity"]


def test_five_of_the_nine_pairwise_axes_are_reversed() -> None:
    axes = RUBRICS[PAIRWISE_RUBRIC].axes

    assert {axis.values for axis in axes} == {("a", "b", "tie")}
    assert [axis.id for axis in axes if axis.reverse] == [
        "irrelevant_content", "omission", "demographic_bias", "harm_extent", "harm_likelihood",
    ]  # fmt: skip


def test_quest_has_its_five_dimensions() -> None:
    assert list(dict.fromkeys(axis.section for axis in RUBRICS["quest"].axes)) == [
        "Quality of information", "Understanding and reasoning", "Expression and persona", "Safety and harm",
        "Trust and confidence",
    ]  # fmt: skip


def test_what_is_stored_holds_every_word_and_the_safety_block() -> None:
    stored = shown(CLINICAL)

    assert json.loads(json.dumps(stored)) == stored
    assert (stored["id"], stored["version"]) == ("clinical-3", 1)
    assert stored["axes"][0]["options"][2] == {
        "value": "3", "label": "3", "help": "Right in its main point, with errors beside it."
    }  # fmt: skip
    assert [option["label"] for option in stored["safety"]["harm_extent"]["options"]] == [
        "None", "Mild or moderate", "Severe or death",
    ]  # fmt: skip
    assert [option["value"] for option in stored["safety"]["harm_likelihood"]["options"]] == ["low", "medium", "high"]
    assert "safety" not in shown(RUBRICS[PAIRWISE_RUBRIC])


# --- Criteria that come with a question ---


def test_the_questions_own_criteria_take_the_place_of_the_default_ones() -> None:
    given = criteria_of({"criteria": [{"criterion": "Names gout. ", "points": 7, "tags": ["x"]},
                                      {"criterion": "Gives aspirin.", "points": -5}]}, "q1")  # fmt: skip
    form = with_criteria(RUBRICS["healthbench"], given)

    assert given == (Criterion("Names gout.", 7), Criterion("Gives aspirin.", -5))
    assert [(axis.question, axis.points, axis.kind) for axis in form.axes] == [
        ("Names gout.", 7, "criteria"), ("Gives aspirin.", -5, "criteria"),
    ]  # fmt: skip
    assert form.axes[0].values == ("met", "not_met", "cannot_judge")
    check_scores(form, {form.axes[0].id: "met", form.axes[1].id: "cannot_judge"})


def test_a_criterion_has_the_same_axis_wherever_it_stands() -> None:
    healthbench = RUBRICS["healthbench"]
    one = with_criteria(healthbench, (Criterion("A", 1), Criterion("B", 2)))
    other = with_criteria(healthbench, (Criterion("B", 3),))

    assert one.axes[1].id == other.axes[0].id != one.axes[0].id


def test_without_criteria_the_five_of_the_file_are_asked_and_other_rubrics_take_none() -> None:
    healthbench = RUBRICS["healthbench"]

    assert with_criteria(healthbench, criteria_of({}, "q1")) == healthbench
    assert len(healthbench.axes) == 5
    assert with_criteria(CLINICAL, (Criterion("A", 1),)) == CLINICAL


@pytest.mark.parametrize(
    ("criteria", "fault"),
    [
        ("Names gout.", "'criteria' is not a list"),
        (["Names gout."], "criterion 1 has no text"),
        ([{"criterion": " ", "points": 1}], "criterion 1 has no text"),
        ([{"criterion": "A", "points": 1}, {"criterion": "B", "points": 11}], "criterion 2: 'points' must be"),
        ([{"criterion": "A", "points": 0}], "criterion 1: 'points' must be"),
        ([{"criterion": "A", "points": True}], "criterion 1: 'points' must be"),
        ([{"criterion": "A"}], "criterion 1: 'points' must be"),
        ([{"criterion": "A", "points": 1}, {"criterion": "A ", "points": 2}], "criterion 2 is there twice"),
    ],
)
def test_broken_criteria_are_named(criteria: Any, fault: str) -> None:
    with pytest.raises(InvalidInput, match=rf"^q\.jsonl, line 3: {fault}"):
        criteria_of({"criteria": criteria}, "q.jsonl, line 3")


# --- A filled form ---


def test_a_form_with_its_required_axes_is_taken() -> None:
    check_scores(CLINICAL, FULL)
    check_scores(CLINICAL, FULL | {"completeness": "2", "verbosity": "too_long"})
    check_scores(RUBRICS[PAIRWISE_RUBRIC], {})


@pytest.mark.parametrize(
    ("scores", "fault"),
    [
        ({}, "3 questions are not answered yet; the first is: Is what the answer says medically correct?"),
        ({"factual_correctness": "4", "safety": "3"}, "1 question is not answered yet; the first is: Can you follow"),
        (FULL | {"safety": "6"}, "Choose one of: 1, 2, 3, 4, 5."),
        (FULL | {"safety": ""}, "Choose one of: 1, 2, 3, 4, 5."),
        (FULL | {"style": "1"}, "'style' is not asked"),
    ],
)
def test_a_form_that_cannot_be_is_refused_in_one_line(scores: dict[str, str], fault: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_scores(CLINICAL, scores)

    assert fault in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_axis_with_a_condition_is_asked_only_where_it_holds(tmp_path: Path) -> None:
    mine = load_rubrics(own_file(tmp_path, GOOD) / "rubrics")["mine"]

    assert [axis.id for axis in asked_axes(mine, {})] == ["quality", "cites"]
    assert [axis.id for axis in asked_axes(mine, {"cites": "yes"})] == ["quality", "cites", "holds"]
    check_scores(mine, {"quality": "1", "cites": "no"})
    with pytest.raises(InvalidInput, match="first is: Do the citations hold"):
        check_scores(mine, {"quality": "1", "cites": "yes"})
    with pytest.raises(InvalidInput, match="'holds' is not asked"):
        check_scores(mine, {"quality": "1", "cites": "no", "holds": "1"})


def test_harm_is_always_asked_and_its_likelihood_where_there_is_any() -> None:
    check_safety("none", "")
    check_safety("none", "low")  # as older forms said it
    with pytest.raises(InvalidInput, match="Not answered yet: How likely"):
        check_safety("moderate", "")
    with pytest.raises(InvalidInput, match="Not answered yet: How likely"):
        check_safety("severe", "")
    with pytest.raises(InvalidInput, match="Choose one of: None, Mild or moderate, Severe or death"):
        check_safety("terrible", "low")


# --- A file of one's own ---


def test_a_new_file_in_the_data_folder_is_there_at_the_next_look(tmp_path: Path) -> None:
    assert list(available_rubrics(tmp_path).rubrics) == list(RUBRICS)

    found = available_rubrics(own_file(tmp_path, b"\xef\xbb\xbf" + GOOD.encode()))

    assert found.faults == ()
    assert next(iter(found.rubrics)) == DEFAULT_RUBRIC
    mine = found.rubrics["mine"]
    assert (mine.version, mine.title) == (2, "Mine")
    assert [(option.value, option.label, option.help) for option in mine.axes[0].options] == [
        ("1", "1", "Bad."), ("2", "2", ""), ("3", "Good", ""),
    ]  # fmt: skip


def test_a_broken_file_of_ones_own_costs_no_other_rubric(tmp_path: Path) -> None:
    own_file(tmp_path, GOOD)
    own_file(tmp_path, GOOD.replace("scale: three", "scale: four"), "other.yaml")
    own_file(tmp_path, GOOD.replace("id: mine", "id: quest"), "third.yaml")

    found = available_rubrics(tmp_path)

    assert set(found.rubrics) == {*RUBRICS, "mine"}
    assert found.rubrics["quest"] == RUBRICS["quest"]
    assert found.faults == (
        "other.yaml:14: axes.1.scale: unknown scale 'four'; the scales of this file are: three.",
        "third.yaml:1: id: there is a rubric 'quest' already.",
    )


def test_a_shipped_folder_without_rubrics_says_so(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="is the installation whole"):
        load_rubrics(tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "line", "fault"),
    [
        ("kind: scale", "kind: stars", 13, "axes.1.kind: input should be 'scale', 'choice' or 'criteria'"),
        ("scale: three", "scale: four", 14, "unknown scale 'four'"),
        ("    scale: three\n", "", 11, "an axis has either 'scale' or 'options'"),
        ("id: holds", "id: cites", 21, "there is an axis 'cites' already"),
        ("id: holds", "id: harm_extent", 21, "'harm_extent' is asked of every answer as it is"),
        ("id: holds", "id: Holds", 21, "string should match pattern"),
        ("- {value: 2}", "- {value: 1}", 8, "scales.three.2: the value '1' is there twice"),
        ('value: "no"', 'value: "yes"', 20, "the value 'yes' is there twice"),
        ('value: "no"', "value: no", 20, "this is read as true or false; put it in quotes"),
        ("- {value: 2}", "- {value: 4}", 13, "each larger than the one before"),
        ("- {value: 2}", "- {value: two}", 13, "whole numbers"),
        ("- {value: 2}", "- {value: 2.5}", 8, "input should be a valid string"),
        ("version: 2", 'version: "2"', 2, "version: input should be a valid integer"),
        ("version: 2", "version: 0", 2, "version: input should be greater than or equal to 1"),
        ("title: Mine\n", "", 1, "title: this is missing"),
        ("title: Mine", "title: ' '", 3, "title: string should have at least 1 character"),
        ("title: Mine", "title: Mine\ncolour: red", 4, "colour: a rubric has no such field"),
        ("title: Mine", 'title: Mine\n"co\\nlour": red', 4, "co lour: a rubric has no such field"),
        ("title: Mine", "title: Mine\ntitle: Yours", 4, "'title' is there twice"),
        ("axis: cites", "axis: quotes", 25, "no axis before this one has the id 'quotes'"),
        ('values: ["yes"]', 'values: ["maybe"]', 25, "'cites' has no value 'maybe'"),
        ("kind: choice", "kind: choice\n    reverse: true", 18, "only a scale or a pairwise axis can be reversed"),
        ("kind: choice", "kind: choice\n    points: 3", 18, "only criteria have points"),
        ("kind: choice", "kind: criteria", 17, "leave out scale and options"),
        ("kind: scale\n    scale: three", "kind: criteria", 11, "a criterion needs points"),
        ("title: Mine", "title: [Mine", 4, "not valid YAML"),
        ("title: Mine", "title: Mi\tne: x", 3, "not valid YAML"),
        ("title: Mine", "title: &t Mine\nname: *t", 3, "used again by an alias"),
        ("title: Mine", "title: !!python/name:os.system x", 3, "not valid YAML"),
        ("title: Mine", "title: Mi\x00ne", 1, "not valid YAML"),
    ],
)
def test_a_fault_is_named_with_its_line(tmp_path: Path, old: str, new: str, line: int, fault: str) -> None:
    assert old in GOOD

    said = fault_of(tmp_path, GOOD.replace(old, new, 1))

    assert said.startswith(f"mine.yaml:{line}: ")
    assert fault in said
    assert "\n" not in said


def test_empty_options_are_named(tmp_path: Path) -> None:
    start, _, rest = GOOD.partition("    options:\n")
    axis, holds, tail = rest.partition("  - id: holds")

    said = fault_of(tmp_path, f"{start}    options: []\n{holds}{tail}")

    assert axis
    assert said == "mine.yaml:18: axes.2.options: list should have at least 2 items after validation, not 0."


def test_a_scale_is_answered_with_one_digit(tmp_path: Path) -> None:
    ten = "\n".join(f"    - {{value: {number}}}" for number in range(1, 11))

    said = fault_of(tmp_path, GOOD.replace("    - {value: 1, help: Bad.}\n    - {value: 2}", ten))

    assert said.startswith("mine.yaml:6: scales.three: list should have at most 9 items")


def test_a_pairwise_axis_has_the_two_sides_and_a_tie(tmp_path: Path) -> None:
    assert load_rubrics(own_file(tmp_path, PAIR) / "rubrics")["pair"].pairwise

    said = fault_of(tmp_path, PAIR.replace("{value: tie}", "{value: draw}"))

    assert said == "mine.yaml:7: axes.1: in a pairwise rubric each axis is a choice with the values a, b and tie."


@pytest.mark.parametrize("text", ["", "# nothing\n", "- a\n- b\n", "just words"])
def test_a_file_that_is_no_rubric_says_what_one_has(tmp_path: Path, text: str) -> None:
    assert fault_of(tmp_path, text).startswith("mine.yaml:1: a rubric has id, version, title, description and axes")


def test_another_encoding_is_named_with_its_line(tmp_path: Path) -> None:
    latin = GOOD.replace("A form of our own.", "Größe").encode("latin-1")

    assert fault_of(tmp_path, latin) == "mine.yaml:4: not UTF-8 text."


def test_nesting_without_end_is_no_crash(tmp_path: Path) -> None:
    for opener in ("[", "- ", "{a: "):
        assert fault_of(tmp_path, opener * 50_000) == "mine.yaml:1: not valid YAML."
