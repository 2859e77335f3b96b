import json
import random
from pathlib import Path

import pytest

from medchat.grounding_fit import fitted_or_loaded
from medchat.knowledge import load_cases
from medchat.records import Example
from train.demo.dataset import example_of, write_dataset
from train.demo.lessons import Teacher


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Teacher:
    grounder = fitted_or_loaded(tmp_path_factory.mktemp("cache"))
    return Teacher(grounder.knowledge, load_cases(grounder.knowledge), grounder)


def read(path: Path) -> list[Example]:
    return [Example.from_json(line) for line in path.read_text().splitlines()]


def test_the_same_seed_gives_the_same_rows_each_with_a_question_of_its_own(teacher: Teacher, tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_dataset(tmp_path / name, teacher, 3, 12, 4)

    train, validation = (read(tmp_path / "one" / f"{split}.jsonl") for split in ("train", "validation"))
    assert (len(train), len(validation)) == (12, 4)
    assert len({row.question_id for row in (*train, *validation)}) == 16
    assert all(row.answer and row.rationale and row.split for row in train)
    assert {row.split for row in validation} == {"validation"}
    for name in ("train.jsonl", "validation.jsonl", "report.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert json.loads((tmp_path / "one" / "report.json").read_text())["rows"]["train"] == 12


def test_a_lesson_cites_what_the_recogniser_says_of_its_case(teacher: Teacher) -> None:
    rng = random.Random(0)
    condition = next(iter(teacher.knowledge.conditions.values()))

    lesson = teacher.told_lesson("diagnosis", condition, "combinations", rng)

    told = next(line for line in lesson.grounding_text.splitlines() if line.startswith("Recognised:"))
    assert lesson.cited
    assert all(name in told for name in lesson.cited)
    assert example_of(teacher, lesson).answer == condition.name[:1].upper() + condition.name[1:]
    assert set(condition.synonyms) <= set(example_of(teacher, lesson).accepted)
