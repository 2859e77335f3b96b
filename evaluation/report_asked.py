"""How the answers of a report were asked for: of each run its questions, template, sampling and seed, and its end."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluation.predictions import Prediction
from evaluation.report_blocks import Block, Heading, Table, Text
from evaluation.unscored import said_unscored
from medchat.rundir import RunDir

FAULT_CHARS = 80

# What must be alike for a comparison, and what is said where it is not.
ALIKE = (
    ("template", "the template"), ("questions", "the questions"), ("seed", "the seed"), ("sampling", "the sampling"),
    ("digest", "the suite (its settings or its examples)"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Asked:
    """How a run asked a model a suite; "" and None where it does not say.

    n: of the questions that it was to ask; limit: where only so many, the first, were wanted. digest: of the suite.
    status: how the run is now, or ended. began: in UTC, to the minute.
    """

    run: str = ""
    n: int | None = None
    limit: int | None = None
    template: str = ""
    sampling: str = ""
    seed: str = ""
    digest: str = ""
    status: str = ""
    began: str = ""

    @property
    def questions(self) -> str:
        """ "40", or "the first 10" of more."""
        if self.n is None:
            return ""
        return f"the first {self.n}" if self.limit is not None and self.n >= self.limit else str(self.n)


def asked_in(folder: Path) -> dict[tuple[str, str], Asked]:
    """How the run in the folder asks, by suite and model id; empty where it has no config.yaml. Raises RunError."""
    run = RunDir(folder)
    config = run.config()
    if not config:
        return {}
    state = run.state() if run.state_file.exists() else None
    return {
        (suite["name"], model["model_id"]): Asked(
            run.path.name, suite.get("n"), config.get("limit"), suite.get("template") or "",
            _sampling(suite.get("sampling") or model.get("asked_as", {}).get("sampling")), str(config.get("seed", "")),
            (suite.get("digest") or "")[:12], state.status if state else "",
            (state.started_at or "")[:16].replace("T", " ") if state else "",
        )
        for suite in config.get("suites", [])
        for model in config.get("models", [])
    }  # fmt: skip


def total_of(items: Mapping[str, Sequence[Prediction]], asked: Mapping[str, Asked]) -> int:
    """How many questions the suite has in these runs, answered or not."""
    return max([*map(len, items.values()), *(its.n or 0 for label, its in asked.items() if label in items)])


def asked_blocks(
    items: Mapping[str, Sequence[Prediction]], asked: Mapping[str, Asked], template: str = ""
) -> list[Block]:
    """What was measured: a row a model, and what is to be minded. template: the suite's own, "" where not known."""
    total = total_of(items, asked)
    rows = []
    for model, its_items in items.items():
        its = asked.get(model, Asked())
        answered = sum(item.is_answered for item in its_items)
        rows.append([
            model, its.questions or str(total), str(answered), _missing(its_items, total) or "-", its.template or "-",
            its.sampling or "-", its.seed or "-", its.digest or "-", its.began or "-", its.run or "-",
        ])  # fmt: skip
    headers = (
        "Model", "Questions", "Answered", "Without an answer", "Template", "Sampling", "Seed", "Suite", "Began, UTC",
        "Run",
    )  # fmt: skip
    notes = [*unfinished(items, asked), *_unlike(items, asked)]
    used = {asked[model].template for model in items if model in asked}
    if template and used - {template, ""}:
        notes.append(f"The suite's own template is {template}: figures for it were made in another way than these.")
    return [
        Heading("What was measured"),
        Table("How each model was asked", headers, rows, texts=headers[3:]),
        *(Text(note, "warn") for note in notes),
    ]


def unfinished(items: Mapping[str, Sequence[Prediction]], asked: Mapping[str, Asked]) -> list[str]:
    """Which models have not been asked every question, or could not be, and why; one sentence each."""
    total, said = total_of(items, asked), []
    for model, its_items in items.items():
        its = asked.get(model, Asked())
        answered = sum(item.is_answered for item in its_items)
        if answered == total:
            continue
        cut = len(its_items) < total and its.status not in ("", "done")
        ended = f" The run {its.run} is not finished: {its.status}." if cut else ""
        said.append(f"{model} answered {answered} of {total} questions ({_missing(its_items, total)}).{ended}")
    return said


def _missing(items: Sequence[Prediction], total: int) -> str:
    """Why questions have no answer: "too long for the model: 5; not reached: 2"; "" for none."""
    reasons = Counter(item.why or _kind_of(item.fault) for item in items if not item.is_answered)
    if len(items) < total:
        reasons["not reached"] = total - len(items)
    return said_unscored(reasons)


def _kind_of(fault: str) -> str:
    """The beginning of a fault's line without its numbers, so that faults of one kind can be counted."""
    return re.sub(r"\d+", "N", re.split(r"[.;]", fault.strip(), maxsplit=1)[0])[:FAULT_CHARS] or "not asked"


def _unlike(items: Mapping[str, Sequence[Prediction]], asked: Mapping[str, Asked]) -> list[str]:
    """In what the models were not asked alike."""
    said = []
    for name, what in ALIKE:
        found = {model: str(getattr(asked[model], name)) for model in items if model in asked}
        if len({value for value in found.values() if value}) > 1:
            each = "; ".join(f"{model}: {value or 'not known'}" for model, value in found.items())
            said.append(f"Not alike is {what} ({each}): a difference between these models may come of that.")
    return said


def _sampling(found: Mapping[str, Any] | None) -> str:
    """ "temperature 0, up to 320 tokens"; what is switched off is left out."""
    if not found:
        return ""
    temperature = float(found.get("temperature", 0))
    said = [f"temperature {temperature:g}"]
    if temperature > 0:
        said += [f"{name} {found[name]:g}" for name, off in (("top_p", 1), ("top_k", 0)) if found.get(name, off) != off]
    if found.get("presence_penalty"):
        said.append(f"presence penalty {found['presence_penalty']:g}")
    if found.get("max_new_tokens"):
        said.append(f"up to {found['max_new_tokens']} tokens")
    return ", ".join(said)
