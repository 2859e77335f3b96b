"""Lessons as a data folder for recipes: cases with reasoning and answer, made from the teaching facts."""

import hashlib
import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from medchat.grounding_fit import fitted_or_loaded
from medchat.knowledge import load_cases
from medchat.records import Example
from train.demo.lessons import Lesson, Teacher

N_TRAIN, N_VALIDATION = 2000, 64
OTHERS_KEPT = 0.4  # of the lessons that ask for something else than a diagnosis: what is measured is that
_VERSION = 2  # of the rows; a higher one makes them anew


def dataset_folder(cache: Path, seed: int, say: Callable[[str], None]) -> Path:
    """The folder of these rows in the cache, made when it is not there: train.jsonl, validation.jsonl, report.json.

    Same knowledge and seed, same files. What validates are combinations of findings that are never trained on.
    """
    grounder = fitted_or_loaded(cache)
    cases = load_cases(grounder.knowledge)
    key = hashlib.sha256(f"{_VERSION} {grounder.knowledge.digest} {cases.digest} {seed}".encode()).hexdigest()[:16]
    folder = cache / f"lessons-{key}"
    if not folder.is_dir():
        say("making cases from the teaching facts")
        unfinished = cache / f".{folder.name}.{os.getpid()}"
        write_dataset(unfinished, Teacher(grounder.knowledge, cases, grounder), seed, N_TRAIN, N_VALIDATION)
        try:
            unfinished.rename(folder)
        except OSError:  # another process was first
            shutil.rmtree(unfinished)
    return folder


def write_dataset(folder: Path, teacher: Teacher, seed: int, n_train: int, n_validation: int) -> None:
    """The files of a folder of so many rows."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(f"{seed} train")
    _write(folder / "train.jsonl", _single(teacher, rng), n_train, "train")
    rng = random.Random(f"{seed} validation")
    _write(folder / "validation.jsonl", _unseen(teacher, rng), n_validation, "validation")
    report = {
        "source": "generated from assets/knowledge", "licence": "Apache-2.0", "knowledge": teacher.knowledge.digest,
        "seed": seed, "rows": {"train": n_train, "validation": n_validation, "test": 0},
    }  # fmt: skip
    (folder / "report.json").write_text(json.dumps(report, indent=2) + "\n")


def _single(teacher: Teacher, rng: random.Random) -> Iterator[Example]:
    """Lessons without a turn before them: a row has one question."""
    while True:
        lesson = teacher.lesson(rng, imitated=False)
        wanted = lesson.kind in ("diagnosis", "outside") or rng.random() < OTHERS_KEPT
        if wanted and not lesson.history:
            yield example_of(teacher, lesson)


def _unseen(teacher: Teacher, rng: random.Random) -> Iterator[Example]:
    conditions = tuple(teacher.knowledge.conditions.values())
    while True:
        lesson = teacher.told_lesson("diagnosis", rng.choice(conditions), "combinations", rng)
        yield example_of(teacher, lesson)


def example_of(teacher: Teacher, lesson: Lesson) -> Example:
    """The lesson as a row: its solution is right, and the names of a condition that it diagnoses are too."""
    condition = teacher.knowledge.conditions.get(lesson.condition)
    names = (*condition.lay_names, *condition.synonyms) if condition and lesson.kind == "diagnosis" else ()
    return Example(
        question=lesson.question_text,
        answer=lesson.solution,
        kind="diagnosis" if lesson.kind in ("diagnosis", "outside") else "free",
        accepted=names,
        rationale=lesson.reasoning,
        key_terms=lesson.cited,
        source="generated from assets/knowledge",
        licence="Apache-2.0",
        meta={"condition": lesson.condition or None},
    )


def _write(path: Path, examples: Iterator[Example], n: int, split: str) -> None:
    """n lines, each with a question of its own."""
    seen: set[str] = set()
    lines: list[str] = []
    while len(lines) < n:
        example = next(examples)
        if example.question_id not in seen:
            seen.add(example.question_id)
            row = json.loads(example.to_json()) | {"id": f"{split}-{len(lines) + 1}", "split": split}
            lines.append(json.dumps(row, ensure_ascii=False))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
