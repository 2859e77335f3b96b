"""A base, data and a recipe with which a stage trains in a second."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from medchat.rundir import RunDir
from medchat.settings import Settings
from train.recipes import load_recipe
from train.run import train

CONDITIONS = ("gout", "asthma", "migraine", "angina", "anaemia", "eczema", "sepsis", "measles", "mumps", "croup")
LORA = {"r": 4, "alpha": 8, "dropout": 0.1, "targets": ["q_proj", "v_proj"]}
STAGES: Mapping[str, Mapping[str, Any]] = {
    "sft": {},
    "grpo": {
        "rewards": [{"name": "format_approximate"}, {"name": "brevity"}],
        "num_generations": 2,
        "max_completion_length": 12,
    },
    "dpo": {},
    "kto": {},
}
MEASURED_IN_TIME = ("time", "tokens_per_s", "memory_gb", "step_time")


def example(number: int, split: str = "train") -> dict[str, Any]:
    """A row that no other number has."""
    name = CONDITIONS[number % len(CONDITIONS)]
    return {
        "question": f"Case {number}: what is {name}?",
        "answer": name.capitalize(),
        "rationale": f"1. It is {name}.",
        "split": split,
    }


def pair(number: int, split: str = "train") -> dict[str, Any]:
    """The same with a chosen and a rejected answer."""
    row = example(number, split)
    chosen = {"reasoning": row["rationale"], "solution": row["answer"]}
    return {"question": row["question"], "context": "", "chosen": chosen,
            "rejected": {"reasoning": "1. I guess.", "solution": "Nothing"}, "split": split}  # fmt: skip


def rated(number: int, split: str = "train") -> dict[str, Any]:
    """The same with one answer that was found good or bad."""
    row = pair(number, split)
    return {"question": row["question"], "context": "", "completion": row["chosen"], "label": number % 2 == 0,
            "split": split}  # fmt: skip


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """The rows as JSONL."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_data(folder: Path) -> Path:
    """20 rows to train on and 4 that validate, for each kind of stage."""
    folder.mkdir(parents=True, exist_ok=True)
    write_rows(folder / "train.jsonl", [example(n) for n in range(20)])
    write_rows(folder / "validation.jsonl", [example(n, "validation") for n in range(20, 24)])
    write_rows(folder / "dpo.jsonl", [pair(n, "train" if n < 20 else "validation") for n in range(24)])
    write_rows(folder / "kto.jsonl", [rated(n, "train" if n < 20 else "validation") for n in range(24)])
    return folder


def stage(kind: str, **changes: Any) -> dict[str, Any]:
    """A stage of six steps with a checkpoint and an evaluation after every third."""
    common = {"kind": kind, "learning_rate": 0.01, "max_steps": 6, "per_device_train_batch_size": 2,
              "save_steps": 3, "eval_steps": 3}  # fmt: skip
    return {**common, **STAGES[kind], **changes}


def write_recipe(path: Path, base: Path | str, data: Path, stages: Sequence[dict[str, Any]], **changes: Any) -> Path:
    """The recipe as YAML; its first stage has a LoRA."""
    first = {"lora": LORA, **stages[0]}
    recipe = {"name": path.stem, "title": "Tiny", "about": "A test.", "base": str(base), "data": str(data),
              "answer_format": "think", "stages": [first, *stages[1:]], **changes}  # fmt: skip
    path.write_text(yaml.safe_dump(recipe, sort_keys=False), encoding="utf-8")
    return path


def run_recipe(
    recipe: Path | str, folder: Path, *, resume: bool = False, overrides: Sequence[str] = (), data: Path | None = None,
    said: list[str] | None = None, data_dir: Path | None = None,
) -> dict[str, Any] | None:  # fmt: skip
    """Train in this process; what came out, None when it was stopped. said: gets the lines for people."""
    lines: list[str] = [] if said is None else said
    settings = Settings(data_dir=data_dir or folder.parent / "data-dir", threads=1)
    return train(
        load_recipe(str(recipe), overrides), data, RunDir(folder), settings, resume=resume, say=lines.append
    )  # fmt: skip


def progress(folder: Path) -> list[dict[str, Any]]:
    """The run's lines of progress without what depends on the clock."""
    return [
        {name: value for name, value in row.items() if name not in MEASURED_IN_TIME}
        for row in RunDir(folder).progress()
    ]
