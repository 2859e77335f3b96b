"""The cases that the bundled models are made of, and their making."""

import json
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest

from medchat.formats import parse
from medchat.grounding import Grounder
from medchat.grounding_fit import fitted_or_loaded
from medchat.knowledge import HE, SHE, I, is_held_out, load_cases, load_knowledge, say
from train.demo.lessons import FORMAT, Teacher
from train.demo.suites import write_suites
from train.demo.vignettes import sample_findings, vignette

KNOWLEDGE = load_knowledge()
CASES = load_cases(KNOWLEDGE)
CONDITIONS = tuple(KNOWLEDGE.conditions.values())


@pytest.fixture(scope="module")
def grounder(tmp_path_factory: pytest.TempPathFactory) -> Grounder:
    return fitted_or_loaded(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def teacher(grounder: Grounder) -> Teacher:
    return Teacher(KNOWLEDGE, CASES, grounder)


def test_training_and_test_combinations_never_meet() -> None:
    rng = random.Random(1)
    for condition in CONDITIONS:
        for _ in range(5):
            assert not is_held_out(condition, vignette(KNOWLEDGE, condition, "train", rng, ()).present)
    held_out = [vignette(KNOWLEDGE, c, "combinations", rng, ()) for c in CONDITIONS]
    # A condition with few findings may run out of tries; nearly all must be unseen.
    unseen = sum(is_held_out(KNOWLEDGE.conditions[v.condition], v.present) for v in held_out)
    assert unseen >= 0.95 * len(held_out)


def test_an_unseen_wordings_case_says_its_findings_in_held_out_words_only() -> None:
    rng = random.Random(2)
    for condition in CONDITIONS:
        case = vignette(KNOWLEDGE, condition, "wordings", rng, ())
        text = case.text.lower()
        for finding_id in case.present:
            told = (
                say(w, p).rstrip(".").lower() for w in KNOWLEDGE.findings[finding_id].held_out for p in (HE, SHE, I)
            )
            assert any(words in text for words in told), (finding_id, case.text)


def test_the_sampled_findings_fit_their_condition_best() -> None:
    rng = random.Random(3)
    for condition in CONDITIONS:
        chosen = sample_findings(KNOWLEDGE, condition, rng)
        own = len(set(chosen) & set(condition.all_findings))
        assert own == len(chosen)
        assert set(chosen) & set(condition.core)


def test_a_lesson_reasons_in_three_to_six_steps_and_concludes(teacher: Teacher) -> None:
    rng = random.Random(4)
    for _ in range(300):
        lesson = teacher.lesson(rng)
        steps = lesson.reasoning.splitlines()
        assert 3 <= len(steps) <= 6
        assert [int(step.split(".")[0]) for step in steps] == list(range(1, len(steps) + 1))
        parsed = parse(FORMAT, lesson.answer)
        assert parsed.complete
        assert parsed.reasoning == lesson.reasoning
        assert parsed.solution == lesson.solution


def test_what_a_lesson_cites_was_recognised_in_its_case(teacher: Teacher) -> None:
    rng = random.Random(5)
    lessons = [teacher.lesson(rng) for _ in range(300)]
    assert any(lesson.cited for lesson in lessons)
    for lesson in lessons:
        recognised = re.match(r"Recognised: (.*?)\.\n", lesson.grounding_text + "\n")
        assert recognised
        assert set(lesson.cited) <= set(recognised[1].split("; "))


def test_a_case_outside_the_knowledge_is_answered_with_not_knowing(teacher: Teacher) -> None:
    rng = random.Random(6)
    outside = [lesson for lesson in (teacher.lesson(rng) for _ in range(400)) if lesson.kind == "outside"]
    assert outside
    assert {lesson.solution for lesson in outside} == {"I don't know: this is outside my teaching knowledge."}


def test_suites_are_the_same_for_the_same_seed_and_name_their_condition(tmp_path: Path) -> None:
    (tmp_path / "again").mkdir()
    write_suites(KNOWLEDGE, CASES, tmp_path, 1)
    write_suites(KNOWLEDGE, CASES, tmp_path / "again", 1)
    for suite in ("combinations", "wordings"):
        text = (tmp_path / f"{suite}.jsonl").read_text()
        assert text == (tmp_path / "again" / f"{suite}.jsonl").read_text()
        rows = [json.loads(line) for line in text.splitlines()]
        assert {row["meta"]["condition"] for row in rows} == set(KNOWLEDGE.conditions)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_pipeline_makes_two_models_that_the_app_can_run_and_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "train", "demo", "--out", str(tmp_path / "out"),
               "--run-dir", str(tmp_path / "run"),
               "--data-dir", str(tmp_path), "--base-tokens", "0.004", "--threads", "1"]  # fmt: skip
    for _ in range(2):
        done = subprocess.run([*command, "--answer-tokens", "0.004"], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    assert "training the tokenizer" not in done.stdout  # the second run took the first one's
    assert (tmp_path / "out" / "suites" / "wordings.jsonl").is_file()
    for name in ("demo", "demo-base"):
        assert (tmp_path / "out" / name / "model.safetensors").is_file()
        asked = subprocess.run(
            [sys.executable, "-m", "medchat", "ask", "What is gout?", "--json", "--max-new-tokens", "20", "--data-dir",
             str(tmp_path / "data"), "--model", str(tmp_path / "out" / f"{name}-q8_0.gguf")],
            capture_output=True, text=True,
        )  # fmt: skip
        assert asked.returncode == 0, asked.stderr
        assert json.loads(asked.stdout)["completion_tokens"] > 0
    other = subprocess.run([*command, "--answer-tokens", "0.008"], capture_output=True, text=True)
    assert other.returncode == 1
    assert "another recipe" in other.stderr


@pytest.mark.parametrize(("flag", "value"), [("--threads", "0"), ("--base-tokens", "-1"), ("--base-tokens", "nan")])
def test_senseless_numbers_are_refused_in_a_line(flag: str, value: str) -> None:
    done = subprocess.run([sys.executable, "-m", "train", "demo", flag, value], capture_output=True, text=True)
    assert done.returncode == 2
    assert flag in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_file_in_the_place_of_a_folder_is_refused_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    command = [sys.executable, "-m", "train", "demo", "--out", str(tmp_path / "file"), "--data-dir", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert "choose another" in done.stderr
    assert "Traceback" not in done.stderr
