"""What is said of teachers on the command line: prices as they are typed, estimates, what was spent, and limits."""

import re
from collections.abc import Mapping
from typing import Any

from medchat.catalogue import ModelSpec
from medchat.errors import InvalidInput
from train.teacher_records import RESTRICTED, Estimate, Price


def has_price(spec: ModelSpec) -> bool:
    """Whether it is known what the model costs: one of this machine costs nothing."""
    return spec.endpoint is None or spec.endpoint.input_price is not None


def price_of(text: str) -> Price:
    """ "0.5/2": US dollars for a million tokens in and out. Raises InvalidInput."""
    found = re.fullmatch(r"\s*(\d{1,6}(?:\.\d{1,6})?)\s*/\s*(\d{1,6}(?:\.\d{1,6})?)\s*", text)
    if not found:
        raise InvalidInput(f"--price {text[:20]!r}: give US dollars for a million tokens in and out, such as 0.5/2.")
    return Price(float(found[1]), float(found[2]))


def limit_lines(spec: ModelSpec) -> list[str]:
    """What a model for demonstration cannot do, as a line; nothing of another model."""
    if not spec.demo:
        return []
    return [f"{spec.name} is for demonstration; as a teacher it gives little. {' '.join(spec.limits)}"]


def spent_line(model: str, its: Mapping[str, Any]) -> str:
    """What a teacher was asked and what that cost, as a line."""
    cost = "cost not known" if its["cost"] is None else f"{its['cost']:.4f} USD"
    kept = f", {its['kept before']:,} there already" if "kept before" in its else ""
    return f"{model}: {its['asked']:,} answers{kept}, {its['failed']:,} failed attempts, {cost}"


def estimate_lines(model: str, its: Estimate) -> list[str]:
    """The estimate as text."""
    by = f"by {its.measured:,} earlier answers" if its.measured else "at most: no answer of it is there to go by"
    cost = "cost not known: give --price" if its.cost is None else f"{its.cost:.4f} USD, at most {its.most_cost:.4f}"
    time = "time not known" if its.seconds is None else f"about {max(its.seconds, 1) / 60:.1f} min"
    restricted = f"  {its.restricted:,} not asked: {RESTRICTED}"
    return [
        f"{model}: {its.requests:,} requests, {its.cached:,} answers there already",
        f"  tokens: {its.prompt_tokens:,} in, {its.completion_tokens:,} out ({by})",
        f"  {cost}; {time if its.requests else 'nothing to wait for'}",
        *([restricted] if its.restricted else []),
    ]
