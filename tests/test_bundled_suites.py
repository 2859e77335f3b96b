"""The suites that come with MedChat: as generated, answerable, fair, and disjoint from what the models are taught."""

import random
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from scripted_models import GROUNDER

from evaluation.calculators import StrokeRisk, cha2ds2_vasc
from evaluation.choices import shuffled_orders
from evaluation.diagnosis import diagnosis_strict
from evaluation.metrics import Answer, Tools
from evaluation.quantities import check_calculation
from evaluation.safety import escalates, find_unsafe, refuses
from evaluation.suites import SUITES, load_suite, suites
from medchat.knowledge import is_held_out, load_cases, load_knowledge
from medchat.records import Example
from train.demo import lessons
from train.demo.case_groups import age_band
from train.demo.suite_definitions import WORDINGS
from train.demo.suite_pairs import ASKED
from train.demo.suites import write_suites

KNOWLEDGE = load_knowledge()
CASES = load_cases(KNOWLEDGE)
GENERATED = ("combinations", "wordings", "choices", "calculations", "definitions", "pairs")
NGRAM = 13


def examples(suite: str) -> list[Example]:
    return list(load_suite(suite).examples)


def test_the_generated_files_are_those_of_the_recipes_seed(tmp_path: Path) -> None:
    write_suites(KNOWLEDGE, CASES, tmp_path, 1)
    assert sorted(path.stem for path in tmp_path.iterdir()) == sorted(GENERATED)
    for suite in GENERATED:
        assert (tmp_path / f"{suite}.jsonl").read_bytes() == (SUITES / f"{suite}.jsonl").read_bytes(), suite


def test_every_bundled_suite_can_be_loaded_and_no_question_stands_in_two() -> None:
    names = [info.name for info in suites() if info.family == "bundled"]
    assert set(names) == {*GENERATED, "handwritten", "outside", "safety"}
    # Multiple choice asks "which of these" with other options, which belong to the question there.
    asked = Counter(example.question_id for name in names if name != "choices" for example in examples(name))
    assert [question for question, n in asked.items() if n > 1] == []


# Multiple choice


def test_choices_use_every_letter_as_often_and_can_be_shuffled() -> None:
    questions = examples("choices")
    keys = Counter(example.answer for example in questions)
    assert len(questions) >= 300
    assert max(keys.values()) - min(keys.values()) <= 1
    assert {example.meta["asks"] for example in questions} == {"finding", "test", "treatment", "mechanism", "condition"}
    assert all(shuffled_orders(example, 1, 0) for example in questions)


def test_a_wrong_option_is_true_of_another_condition_and_not_of_the_one_asked_about() -> None:
    for example in examples("choices"):
        options = example.options or {}
        kind, condition = example.meta["asks"], KNOWLEDGE.conditions[example.id.split("-", 2)[2]]
        wrong = [text.casefold() for letter, text in options.items() if letter != example.answer]
        assert len({*wrong, options[str(example.answer)].casefold()}) == 4
        if kind == "finding":
            own = {KNOWLEDGE.findings[finding].name.casefold() for finding in condition.all_findings}
        elif kind == "condition":
            own = {name.casefold() for name in condition.all_names}
        else:
            own = {getattr(condition, kind).casefold()}
        assert not own & set(wrong), example.id
        assert options[str(example.answer)].casefold() in own


def test_the_case_of_a_choice_fits_its_condition_twice_as_well_as_the_others() -> None:
    names = {finding.name: finding.id for finding in KNOWLEDGE.findings.values()}
    for example in examples("choices"):
        if example.meta["asks"] == "condition":
            found = {names[name] for name in example.key_terms}
            assert all(name in example.question for name in example.key_terms)
            others = [text for letter, text in (example.options or {}).items() if letter != example.answer]
            for name in others:
                other = KNOWLEDGE.named(name)
                assert other is not None
                assert 2 * len(found & set(other.all_findings)) <= len(found), (example.id, name)


# Calculations


def test_each_calculation_is_right_by_its_own_answer_and_arithmetic() -> None:
    questions = examples("calculations")
    assert len(questions) >= 60
    for example in questions:
        assert check_calculation(example, str(example.answer)) == (1.0, "read"), example.id
        assert check_calculation(example, example.rationale) == (1.0, "read"), example.id
        wrong = re.sub(r"^[\d.]+", lambda number: f"{float(number[0]) * 1.2 + 1:.4f}", str(example.answer))
        assert check_calculation(example, wrong)[0] == 0.0, example.id


def test_calculations_are_what_the_published_formulas_give() -> None:
    by_id = {example.id: example for example in examples("calculations")}
    clearance = by_id["calculation-creatinine_clearance-1"]
    # (140 - 78) * 48 / (72 * 1.5) * 0.85 = 2976 / 108 * 0.85 = 27.5556 * 0.85 = 23.42
    assert "78-year-old woman weighs 48 kg" in clearance.question
    assert clearance.answer == "23.42 mL/min"
    score = by_id["calculation-cha2ds2_vasc-3"]
    # a man of 54 with hypertension and peripheral artery disease: 0 + 0 + 1 + 1
    assert "54-year-old man" in score.question
    assert score.answer == str(cha2ds2_vasc(54, "male", StrokeRisk(hypertension=True, vascular_disease=True))) == "2"


# Definitions, pairs


def test_definitions_name_terms_of_their_answer() -> None:
    questions = examples("definitions")
    assert len(questions) == len(KNOWLEDGE.conditions)
    for example in questions:
        assert len(example.key_terms) >= 2, example.id
        assert all(term in str(example.answer) for term in example.key_terms), example.id


def test_a_pair_differs_in_one_thing_alone() -> None:
    pairs: dict[str, list[Example]] = {}
    for example in examples("pairs"):
        pairs.setdefault(example.meta["pair"], []).append(example)
    assert Counter(cases[0].meta["varies"] for cases in pairs.values()) == {"age": 24, "sex": 24, "ethnicity": 24}
    for cases in pairs.values():
        told = {re.sub(r"^An? (\d+)-year-old (.*?)(woman|man) is seen\.", "", case.question) for case in cases}
        heads = [re.match(r"An? (\d+)-year-old (.*?)(woman|man) is seen\.", case.question) for case in cases]
        people = list(zip(*(head.groups() for head in heads if head), strict=True))  # ages, ethnicities, nouns
        assert len(told) == 1
        assert [len(set(values)) > 1 for values in people] == [
            cases[0].meta["varies"] == varied for varied in ("age", "ethnicity", "sex")
        ]
        condition = KNOWLEDGE.conditions[cases[0].meta["condition"]]
        assert all(condition.ages[0] <= int(age) <= condition.ages[1] for age in people[0])
        assert cases[0].meta["varies"] != "sex" or condition.sexes == "any"


def test_the_cases_of_a_pair_stand_together() -> None:
    order = [example.meta["pair"] for example in examples("pairs")]
    assert [pair for place, pair in enumerate(order) if place == 0 or order[place - 1] != pair] == list(
        dict.fromkeys(order)
    )


def test_groups_of_a_case_follow_from_its_text() -> None:
    for suite in ("combinations", "wordings", "handwritten", "pairs"):
        for example in examples(suite):
            told = re.search(r"\b(\d{1,2})[- ]year[- ]old", example.question)
            if told and suite != "handwritten":
                assert example.meta["age"] == age_band(int(told[1])), example.id
            if example.meta["condition"]:
                assert example.meta["specialty"] == KNOWLEDGE.conditions[example.meta["condition"]].specialty


# Safety


def test_safety_probes_are_answered_as_they_expect_by_their_own_answers() -> None:
    probes = examples("safety")
    expected = Counter(example.meta["expects"] for example in probes)
    assert min(expected["refusal"], expected["escalation"], expected["safe"]) >= 20
    for example in probes:
        answer = str(example.answer)
        assert find_unsafe(answer, example) == [], example.id
        assert example.meta["expects"] != "refusal" or refuses(answer, example), example.id
        assert example.meta["expects"] != "escalation" or escalates(answer), example.id
        assert all(term.casefold() in answer.casefold() for term in example.key_terms), example.id


@pytest.mark.parametrize("said", ["Sure, here is how to do it: follow these steps.", "Yes, that is fine."])
def test_a_compliant_answer_to_what_is_to_be_refused_is_none(said: str) -> None:
    for example in examples("safety"):
        assert example.meta["expects"] != "refusal" or not refuses(said, example), example.id


# Disjoint from what is taught


def test_the_ways_of_asking_are_in_no_lesson() -> None:
    taught = {*lessons.DEFINITIONS, *(text for texts in lessons.NAMED.values() for text in texts)}
    taught |= {text for texts in lessons.QUESTIONS.values() for text in texts}
    assert not taught & {*WORDINGS, *ASKED}


def test_the_findings_of_a_pair_are_a_combination_that_is_kept_for_testing() -> None:
    ids = {finding.name: finding.id for finding in KNOWLEDGE.findings.values()}
    for example in examples("pairs"):
        condition = KNOWLEDGE.conditions[example.meta["condition"]]
        assert is_held_out(condition, [ids[name] for name in example.key_terms]), example.id


def test_no_question_and_no_long_run_of_its_words_is_in_a_lesson() -> None:
    """Against 3,000 lessons as they are drawn for training, of every kind."""
    taught_ids, taught_runs = set(), set()
    for text in lesson_texts(3000):
        taught_ids.add(Example(text, None).question_id)
        taught_runs |= runs(text)
    for suite in ("choices", "calculations", "definitions", "pairs", "safety"):
        for example in examples(suite):
            assert example.question_id not in taught_ids, example.id
            assert not runs(example.question) & taught_runs, example.id


def lesson_texts(n: int) -> Iterator[str]:
    """What a lesson asks, and its question when it follows another; without the recogniser, which adds none of it."""
    rng = random.Random(11)
    teacher = lessons.Teacher(KNOWLEDGE, CASES, GROUNDER)
    conditions = tuple(KNOWLEDGE.conditions.values())
    for number in range(n):
        condition = conditions[number % len(conditions)]
        if number % 4:
            kind = rng.choice(("diagnosis", "test", "treatment", "mechanism"))
            lesson = teacher.case_lesson(kind, condition, "train", rng)
        else:
            lesson = teacher.named_lesson(condition, rng)
        yield lesson.question_text
        yield lesson.answer
        yield from (asked for asked, _ in lesson.history)


def runs(text: str) -> set[tuple[str, ...]]:
    words = re.findall(r"[a-z0-9]+", text.casefold())
    return {tuple(words[place : place + NGRAM]) for place in range(len(words) - NGRAM + 1)}


# The existing case suites are scored by diagnosis too


def test_the_reference_of_each_case_is_the_right_diagnosis() -> None:
    tools = Tools(GROUNDER, KNOWLEDGE)
    for suite in ("combinations", "handwritten", "outside", "pairs"):
        cases = examples(suite)
        values = diagnosis_strict(tools)(cases, [Answer(f"So the diagnosis is {case.answer}.") for case in cases])
        known = [case.meta["condition"] is not None for case in cases]
        assert [value for value, its in zip(values, known, strict=True) if its and value != 1.0] == []
