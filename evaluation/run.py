"""Answers of models to the examples of a suite, scored: predictions.jsonl and summary.json."""

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from evaluation.metrics import DONT_KNOW, Answer, Metric, group_of
from evaluation.stats import Estimate, share
from medchat.backends import Backend
from medchat.catalogue import ModelSpec
from medchat.errors import InvalidInput
from medchat.grounding import Grounder
from medchat.live import LiveAnswer, Turn, check_question, checked_text, write_answer
from medchat.prompts import case_text
from medchat.records import Example
from medchat.turns import TurnView

PROGRESS_EVERY_S = 5.0

Summary = Mapping[str, Mapping[str, Estimate]]


@dataclass(frozen=True, slots=True)
class Reply:
    """What one model said to one example, and what it took."""

    answer: Answer
    raw: str
    ttft_ms: float | None = None
    total_ms: float | None = None
    completion_tokens: int | None = None


# What answers an example; None where it cannot read it.
Answerer = Callable[[Example], Reply | None]


@dataclass(frozen=True, slots=True)
class Prediction:
    """A line of predictions.jsonl. scores: metric -> value, None where it could not be scored."""

    id: str
    model: str
    raw: str
    reasoning: str
    solution: str
    complete: bool
    scores: Mapping[str, float | None]
    ttft_ms: float | None
    total_ms: float | None
    completion_tokens: int | None


class FittedGrounding:
    """A Grounder that is there already, as live.GroundingSource."""

    ready = True

    def __init__(self, grounder: Grounder) -> None:
        self._grounder = grounder

    def get(self, timeout_s: float | None = None) -> Grounder:
        """The Grounder, at once."""
        return self._grounder


def chat_answerer(spec: ModelSpec, backend: Backend, grounder: Grounder, max_auto_continues: int) -> Answerer:
    """Answers as the chat does: recognised, rendered, streamed, parsed and continued by the same code.

    It may be called from many threads at once: the backend decodes their answers together.
    """
    grounding = FittedGrounding(grounder)

    def answer(example: Example) -> Reply | None:
        question, context = checked_text(example.question), checked_text(example.context)
        live = LiveAnswer(TurnView("", 0, question, context, spec.id), spec.answer_format)
        turn = Turn(spec, spec.sampling, question, context)
        try:
            check_question(question, context)
            for _ in write_answer(live, turn, backend, grounding, max_auto_continues):
                pass
        except InvalidInput:  # it does not fit into the model
            return None
        live.claim_end("cut" if live.is_cut() else "done")
        view = live.publish_end()
        parsed = Answer(view.solution, view.reasoning, view.complete, spec.answer_format)
        return Reply(parsed, live.raw, view.ttft_ms, view.total_ms, view.completion_tokens)

    return answer


def grounding_answerer(grounder: Grounder) -> Answerer:
    """Answers with the nearest condition, or that the case is outside: the classifier without a model.

    It cannot answer anything but what the diagnosis is.
    """

    def answer(example: Example) -> Reply | None:
        if example.kind != "diagnosis":
            return None
        began = time.monotonic()
        found = grounder.ground(case_text(example.question, example.context))
        solution = DONT_KNOW if found.outside else found.asked_about or found.near[0].name
        return Reply(Answer(solution), solution, total_ms=(time.monotonic() - began) * 1000)

    return answer


def predict(
    model: str,
    answerer: Answerer,
    examples: Sequence[Example],
    metrics: Mapping[str, Metric],
    *,
    at_once: int,
    report: Callable[[str], None],
) -> list[Prediction]:
    """The model's predictions, in the order of the examples; `at_once` of them are asked at any time.

    Raises ModelUnavailable when the model cannot be loaded or breaks down.
    """
    pool = ThreadPoolExecutor(at_once)
    try:
        replies = list(_reported(model, pool.map(answerer, examples), len(examples), report))
    finally:
        pool.shutdown(cancel_futures=True)
    answers = [None if reply is None else reply.answer for reply in replies]
    scores = {name: metric(examples, answers) for name, metric in metrics.items()}
    return [
        _prediction(model, example, reply, {name: values[i] for name, values in scores.items()})
        for i, (example, reply) in enumerate(zip(examples, replies, strict=True))
    ]


def summarise(examples: Sequence[Example], predictions: Sequence[Prediction]) -> dict[str, Estimate]:
    """One model's estimate of each metric over all examples.

    Where examples say which condition they are about also over the known and the unknown ones, as
    metric_known and metric_unknown.
    """
    summary: dict[str, Estimate] = {}
    groups = [group_of(example) for example in examples]
    for name in predictions[0].scores:
        values = [prediction.scores[name] for prediction in predictions]
        summary[name] = share(values)
        for group in ("known", "unknown"):
            if group in groups:
                of_group = [value for value, its in zip(values, groups, strict=True) if its == group]
                summary[f"{name}_{group}"] = share(of_group)
    return summary


def make_folder(folder: Path) -> None:
    """Make the folder of the results where there is none. Raises InvalidInput when that cannot be done."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidInput(f"{folder} cannot be a folder for the results: {error.strerror}.") from error


def write_results(folder: Path, predictions: Sequence[Prediction], summary: Summary) -> None:
    """predictions.jsonl and summary.json in the folder. Raises InvalidInput when they cannot be written."""
    lines = [json.dumps(asdict(prediction), ensure_ascii=False) for prediction in predictions]
    estimates = {
        model: {name: asdict(estimate) for name, estimate in metrics.items()} for model, metrics in summary.items()
    }
    try:
        _write(folder / "predictions.jsonl", "\n".join([*lines, ""]))
        _write(folder / "summary.json", json.dumps(estimates, indent=2) + "\n")
    except OSError as error:
        raise InvalidInput(f"The results cannot be written to {folder}: {error.strerror}.") from error


def table(summary: Summary) -> str:
    """The summary in lines for a terminal."""
    rows = [["model", "metric", "value", "95 % interval", "n", "unscored"]]
    for model, metrics in summary.items():
        rows += [[model, name, *_cells(estimate)] for name, estimate in metrics.items()]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _cells(estimate: Estimate) -> list[str]:
    value = "-" if estimate.value is None else f"{estimate.value:.3f}"
    interval = "-" if estimate.low is None else f"{estimate.low:.3f} to {estimate.high:.3f}"
    return [value, interval, str(estimate.n), str(estimate.n_unscored)]


def _reported(
    model: str, replies: Iterable[Reply | None], n: int, report: Callable[[str], None]
) -> Iterable[Reply | None]:
    """The replies as they come, with a line about their number now and then."""
    began = reported_at = time.monotonic()
    for count, reply in enumerate(replies, 1):
        yield reply
        moment = time.monotonic()
        if count == n or moment - reported_at > PROGRESS_EVERY_S:
            report(f"{model}: {count} of {n} answered, {count / (moment - began):.1f} a second")
            reported_at = moment


def _prediction(model: str, example: Example, reply: Reply | None, scores: Mapping[str, float | None]) -> Prediction:
    reply = reply or Reply(Answer("", complete=False), "")
    answer = reply.answer
    return Prediction(
        example.id, model, reply.raw, answer.reasoning, answer.solution, answer.complete, scores,
        reply.ttft_ms, reply.total_ms, reply.completion_tokens,
    )  # fmt: skip


def _write(path: Path, text: str) -> None:
    """A half-written file never takes the final name."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
