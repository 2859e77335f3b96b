"""Figures of the human evaluation as a report says them: rounded here and nowhere else."""

from collections.abc import Mapping
from datetime import UTC, datetime

from evaluation.human_differences import HumanDifference
from evaluation.human_measures import Measure
from evaluation.report_blocks import Cell, Tone
from evaluation.report_words import MINUS, NBSP, probability
from evaluation.stats import Estimate

NOTHING = "-"
ARROWS = {"high": f"{NBSP}\u2191", "low": f"{NBSP}\u2193", "neither": ""}


def percent(value: float | None) -> str:
    """ "55.1 %"."""
    return NOTHING if value is None else f"{100 * value:.1f} %"


def decimals(value: float | None, places: int = 2) -> str:
    """With a real minus sign, and none before zero."""
    if value is None:
        return NOTHING
    text = f"{value:.{places}f}"
    return text.lstrip("-") if float(text) == 0 else text.replace("-", MINUS)


def interval(low: float | None, high: float | None, *, is_share: bool = False, places: int = 2) -> str:
    """ "3.42 to 3.91", in percent for shares; "" without one."""
    if low is None or high is None:
        return ""
    if is_share:
        return f"{decimals(100 * low, 1)} to {decimals(100 * high, 1)}"
    return f"{decimals(low, places)} to {decimals(high, places)}"


def said(found: Estimate, *, is_share: bool) -> str:
    """ "3.71 (3.42 to 3.91)"; a dash where nothing was judged."""
    return said_value(found.value, found.low, found.high, is_share=is_share)


def said_value(value: float | None, low: float | None, high: float | None, *, is_share: bool = False) -> str:
    """A value and its interval."""
    if value is None:
        return NOTHING
    text, ends = percent(value) if is_share else decimals(value), interval(low, high, is_share=is_share)
    return f"{text} ({ends})" if ends else text


def directed(measure: Measure) -> str:
    """What a measure is called, with an arrow towards the better side."""
    return measure.label + ARROWS[measure.better]


def change(its: HumanDifference) -> str:
    """ "+0.37 (0.17 to 0.59)", of shares in percentage points."""
    factor, places = (100, 1) if its.is_share else (1, 2)
    sign = "+" if its.value > 0 else MINUS if its.value < 0 else ""
    text = f"{sign}{abs(factor * its.value):.{places}f}" + (" points" if its.is_share else "")
    ends = interval(its.low, its.high, is_share=its.is_share)
    return f"{text} ({ends})" if ends else text


def head_to_head(its: HumanDifference, models: Mapping[str, str]) -> Cell:
    """ "32.7 % for Model B", with the interval under it: of votes between two models, the second one's share."""
    ends = interval(its.low, its.high, is_share=True)
    return Cell(f"{percent(its.value)} for {models[its.second]}", "note", tight(ends))


def verdict(its: HumanDifference, models: Mapping[str, str]) -> Cell:
    """Which of the two is better, in words."""
    if its.better == "not shown":
        return Cell("not shown", "note")
    tone: Tone = "better" if its.better == "second" else "worse"
    return Cell(f"{models[its.second if its.better == 'second' else its.first]} is better", tone)


def q_and_p(its: HumanDifference) -> tuple[str, str]:
    """p and q as papers print them."""
    return probability(its.p), probability(its.q)


def day(moment: datetime | None) -> str:
    """ "2026-03-02", a dash for none."""
    return NOTHING if moment is None else moment.strftime("%Y-%m-%d")


def moment(at: datetime) -> str:
    """ "2026-03-02 09:30 UTC"."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def count(n: int, noun: str, plural: str = "") -> str:
    """ "1 rater", "1,200 votes"."""
    return f"{n:,} {noun if n == 1 else plural or noun + 's'}"


def seconds(value: float | None) -> str:
    """ "41 s"."""
    return NOTHING if value is None else f"{value:.0f} s"


def effect(its: HumanDifference) -> str:
    """ "d = 0.48": Cohen's d, or h of shares."""
    return NOTHING if its.effect is None else tight(f"{its.effect_name} = {decimals(its.effect)}")


def tight(text: str) -> str:
    """The text on one line."""
    return text.replace(" ", NBSP)
