"""Numbers as a report says them: the only place that rounds."""

import re

from evaluation.comparison import Difference
from evaluation.metric_table import info_of
from evaluation.report_blocks import Cell, Tone
from evaluation.stats import Estimate

MINUS = "\u2212"
NBSP = "\u00a0"


def title_of(metric: str) -> str:
    """What a metric is called."""
    info = info_of(metric)
    return info.title if info else metric[:1].upper() + metric[1:].replace("_", " ")


def unit_of(metric: str) -> str:
    """The unit of a metric, "number" for one that is not known."""
    info = info_of(metric)
    return info.unit if info else "number"


def is_share(metric: str) -> bool:
    """Whether the metric's mean is a share, which is said in percent."""
    return unit_of(metric) == "share"


def directed(metric: str) -> str:
    """What a metric is called, with an arrow up where higher is better and down where lower is."""
    info = info_of(metric)
    better = info.better if info else "neither"
    return title_of(metric) + {"high": f"{NBSP}\u2191", "low": f"{NBSP}\u2193", "neither": ""}[better]


def said(metric: str, value: float) -> str:
    """A value of the metric with its unit."""
    unit = unit_of(metric)
    if unit == "share":
        return _minus(f"{100 * value:.1f} %")
    if unit == "ms":
        return duration(value)
    return _minus(f"{value:,.0f}") if unit == "tokens" else number(value)


def said_interval(metric: str, low: float | None, high: float | None) -> str:
    """ "55.1 to 66.6", in the unit of the value beside it where that is percent; "" without one."""
    if low is None or high is None:
        return ""
    if is_share(metric):
        return _minus(f"{100 * low:.1f} to {100 * high:.1f}")
    return f"{said(metric, low)} to {said(metric, high)}"


def said_estimate(metric: str, estimate: Estimate) -> str:
    """Value and interval, a dash when nothing was scored."""
    if estimate.value is None:
        return "-"
    interval = said_interval(metric, estimate.low, estimate.high)
    return f"{said(metric, estimate.value)} ({interval})" if interval else said(metric, estimate.value)


def said_change(metric: str, difference: Difference) -> str:
    """ "+8.2 points (4.1 to 12.3)"."""
    interval = said_interval(metric, difference.low, difference.high).replace(" ", NBSP)
    return signed(metric, difference.value) + (f" ({interval})" if interval else "")


def verdict_cell(difference: Difference) -> Cell:
    """The verdict in words; a dash for a metric without a better side."""
    return Cell(difference.verdict or "-", _tone(difference))


def versus(metric: str, estimate: Estimate, difference: Difference | None) -> Cell:
    """A value with its interval, and under it how it differs from the model it is compared with."""
    if difference is None:
        return Cell(said_estimate(metric, estimate))
    change = said_change(metric, difference)
    if difference.verdict:
        change = f"{difference.verdict}: {change}, q{NBSP}{probability(difference.q)}"
    return Cell(said_estimate(metric, estimate), _tone(difference), change)


def _tone(difference: Difference) -> Tone:
    return difference.verdict if difference.verdict in ("better", "worse") else "note"


def signed(metric: str, value: float) -> str:
    """A difference with its sign, of shares in percentage points."""
    sign = "+" if value > 0 else MINUS if value < 0 else "±"
    return f"{sign}{100 * abs(value):.1f} points" if is_share(metric) else f"{sign}{said(metric, abs(value))}"


def number(value: float) -> str:
    """Three decimals, fewer for large ones, two digits for very small ones."""
    if value and abs(value) < 0.0095:
        return _minus(f"{value:.2g}")
    return _minus(f"{value:.3f}" if abs(value) < 10 else f"{value:,.1f}")


def duration(ms: float) -> str:
    """A time in ms or s."""
    return _minus(f"{ms:,.0f} ms" if abs(ms) < 1000 else f"{ms / 1000:,.1f} s")


def axis_points(value: float) -> str:
    """A difference of shares on an axis of percentage points."""
    return f"{'+' if value > 0 else MINUS if value < 0 else ''}{100 * abs(value):g}"


def _minus(text: str) -> str:
    """With a real minus sign, and none before zero."""
    return re.sub(r"-(?=0(?:\.0+)?(?![\d.]))", "", text).replace("-", MINUS)


def probability(p: float) -> str:
    """A probability as papers print it."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
