"""Answers to rows that are not trained on, scored: what a stage changed."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from evaluation.metrics import METRICS, Answer, Metric, Tools, metrics
from evaluation.stats import Estimate, estimate, share
from medchat.formats import parse
from medchat.grounding import Grounder
from medchat.records import Example
from train.completions import Encoder, Written, write_completions
from train.recipe_schema import HeldOut
from train.templates import question_of


@dataclass(frozen=True, slots=True)
class Measured:
    """Rows with their prompts (tokens), the metrics that score the answers, and how these are written."""

    encoder: Encoder
    examples: tuple[Example, ...]
    prompts: tuple[tuple[int, ...], ...]
    metrics: dict[str, Metric]
    max_new_tokens: int
    batch_size: int

    def answers(self, model: Any, stop: Callable[[], bool] = lambda: False) -> list[Answer] | None:
        """The model's answer to each row, likeliest words first; None when it was stopped."""
        written = write_completions(
            model, self.encoder, self.prompts, self.max_new_tokens, self.batch_size, stop=stop
        )  # fmt: skip
        answer_format = self.encoder.spec.answer_format
        return [parsed_answer(answer_format, one) for one in written] if len(written) == len(self.prompts) else None

    def estimates(self, model: Any, stop: Callable[[], bool] = lambda: False) -> dict[str, Estimate] | None:
        """Each metric's mean with its 95 % interval; None when it was stopped."""
        answers = self.answers(model, stop)
        return None if answers is None else scored(self.metrics, self.examples, answers)

    def means(self, model: Any, stop: Callable[[], bool] = lambda: False) -> dict[str, float]:
        """Each metric's mean over the rows that it could score; {} when it was stopped."""
        estimates = self.estimates(model, stop) or {}
        return {name: it.value for name, it in estimates.items() if it.value is not None}


def measured_rows(
    encoder: Encoder, examples: Sequence[Example], limit: int, how: HeldOut, grounder: Grounder, seed: int
) -> Measured | None:
    """At most `limit` of the examples, drawn by the seed, whose prompts fit the base; None when there are none."""
    drawn = random.Random(f"{seed} held out").sample(list(examples), min(limit, len(examples)))
    longest = encoder.spec.n_ctx - how.max_new_tokens
    prompts = [encoder.prompt(encoder.messages(*question_of(row)), longest) for row in drawn]
    kept = [(row, tuple(ids)) for row, ids in zip(drawn, prompts, strict=True) if ids is not None]
    if not kept:
        return None
    rows, tokens = zip(*kept, strict=True)
    chosen = metrics(how.metrics, Tools(grounder, grounder.knowledge))
    return Measured(encoder, rows, tokens, chosen, how.max_new_tokens, how.batch_size)


def parsed_answer(answer_format: str, written: Written) -> Answer:
    """The completion as the metrics want it: complete where it ended by itself and its format says so."""
    parsed = parse(answer_format, written.text)
    whole = parsed.complete and (written.complete or parsed.closed)
    reason = "stop" if written.complete else "length"
    return Answer(
        parsed.solution, parsed.reasoning, whole, answer_format, raw=written.text, finish_reason=reason,
        completion_tokens=written.n_tokens,
    )  # fmt: skip


def scored(metrics: dict[str, Metric], examples: Sequence[Example], answers: Sequence[Answer]) -> dict[str, Estimate]:
    """Each metric's mean over the answers: shares of yes and no with Wilson's interval."""
    estimates = {}
    for name, metric in metrics.items():
        values = metric(examples, answers)
        yes_or_no = all(value in (None, 0.0, 1.0) for value in values) and METRICS[name].unit == "share"
        estimates[name] = share(values) if yes_or_no else estimate(values)
    return estimates
