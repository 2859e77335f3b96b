"""Curves as SVG that the page draws by itself, in light and dark, and that say in words what they show."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from medchat.ui.common import escape
from medchat.ui.train_progress import Points

WIDTH, HEIGHT = 340, 160
LEFT, RIGHT, TOP, BOTTOM = 46, 8, 8, 22
MOST_POINTS = 300
N_COLOURS = 5
Y_TICKS = 4


class Line(NamedTuple):
    """A curve with what it is called."""

    label: str
    points: Points


class Chart(NamedTuple):
    """What is drawn together. names: name in progress.jsonl -> what it is called there."""

    title: str
    names: Mapping[str, str]


CHARTS = (
    Chart("Loss", {"loss": "training", "eval_loss": "validation"}),
    Chart("Reward", {"reward": "training", "eval_reward": "validation"}),
    Chart("Chosen over rejected", {"rewards/accuracies": "training", "eval_rewards/accuracies": "validation"}),
    Chart("Margin of the chosen", {"rewards/margins": "training", "eval_rewards/margins": "validation"}),
    Chart("Implicit reward", {"rewards/chosen": "chosen", "rewards/rejected": "rejected"}),
    Chart("Completion length (tokens)", {"completions/mean_length": "mean", "completions/max_length": "longest"}),
    Chart("Learning rate", {"learning_rate": ""}),
    Chart("Gradient norm", {"grad_norm": ""}),
    Chart("Right tokens", {"mean_token_accuracy": "training", "eval_mean_token_accuracy": "validation"}),
    Chart("Spread of the reward", {"reward_std": ""}),
    Chart("Groups without a spread", {"frac_reward_zero_std": ""}),
    Chart("Cut completions", {"completions/clipped_ratio": ""}),
    Chart("KL to the model before", {"kl": ""}),
    Chart("Entropy", {"entropy": ""}),
    Chart("Tokens per second", {"tokens_per_s": ""}),
    Chart("Memory (GB)", {"memory_gb": "main", "gpu_memory_gb": "GPU"}),
)
FIRST_CHARTS = 8  # those that are always shown; what comes after them is folded away


def charts_of(curves: Mapping[str, Points], titles: Mapping[str, str]) -> tuple[list[Chart], list[Chart]]:
    """The charts of a stage that has these curves: those to be shown at once, and the others.

    titles: of the rewards, by their names. Each reward has a chart of its own.
    """
    known = [Chart(chart.title, {n: w for n, w in chart.names.items() if n in curves}) for chart in CHARTS]
    first = [chart for chart in known[:FIRST_CHARTS] if chart.names]
    rewards = [
        Chart(f"Reward: {titles.get(name, name)}", {n: w for n, w in its.items() if n in curves})
        for name, its in _reward_names(curves).items()
    ]
    place = next((i + 1 for i, chart in enumerate(first) if chart.title == "Reward"), len(first))
    return [*first[:place], *rewards, *first[place:]], [chart for chart in known[FIRST_CHARTS:] if chart.names]


def _reward_names(curves: Mapping[str, Points]) -> dict[str, dict[str, str]]:
    """Reward -> its curves with what they are called."""
    names = {parts[1]: None for name in curves if len(parts := name.split("/")) == 3 and parts[0] == "rewards"}
    return {
        name: {f"rewards/{name}/mean": "mean", f"eval_rewards/{name}": "validation", f"rewards/{name}/std": "spread"}
        for name in names
    }


def chart_html(chart: Chart, curves: Mapping[str, Points]) -> str:
    """A chart of these curves."""
    return curve_html(chart.title, [Line(label, curves[name]) for name, label in chart.names.items()])


def curve_html(title: str, lines: Sequence[Line | None]) -> str:
    """The curves over each other, each with its name and newest value above; "" where there is no point at all.

    None keeps the colour of a curve that is not there.
    """
    coloured = [(number % N_COLOURS + 1, line) for number, line in enumerate(lines) if line and line.points.values]
    if not coloured:
        return ""
    keys = "".join(
        f'<span class="mc-key mc-key-{colour}">{escape(line.label)} '
        f"<b>{number_words(line.points.values[-1])}</b></span>"
        for colour, line in coloured
    )
    return (
        f'<figure class="mc-curve"><figcaption><span class="mc-curve-title">{escape(title)}</span>{keys}</figcaption>'
        f"{_svg(title, coloured)}</figure>"
    )


def _svg(title: str, coloured: Sequence[tuple[int, Line]]) -> str:
    drawn = [list(_thinned(line.points)) for _, line in coloured]
    steps = [step for points in drawn for step, _ in points]
    values = [value for points in drawn for _, value in points]
    low_x, high_x = min(steps), max(steps)
    ticks = _ticks(min(values), max(values))
    low_y, high_y = min(ticks[0], *values), max(ticks[-1], *values)

    def x(step: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * ((step - low_x) / (high_x - low_x) if high_x > low_x else 0.5)

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value - low_y) / (high_y - low_y)

    grid = "".join(
        f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>'
        f'<text x="{LEFT - 5}" y="{y(tick) + 3.5:.1f}" text-anchor="end">{number_words(tick)}</text>'
        for tick in ticks
    )
    ends = ((low_x, "start"), (high_x, "end")) if high_x > low_x else ((low_x, "middle"),)
    steps_line = "".join(
        f'<text x="{x(step):.1f}" y="{HEIGHT - 6}" text-anchor="{anchor}">{"step " if anchor != "end" else ""}{step:,}'
        "</text>"
        for step, anchor in ends
    )
    paths = "".join(
        _path(colour, [(x(s), y(v)) for s, v in points]) for (colour, _), points in zip(coloured, drawn, strict=True)
    )
    told = escape(f"{title}. {' '.join(_told(line) for _, line in coloured)}")
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{told}"><g class="mc-axes">{grid}{steps_line}</g>'
        f"{paths}</svg>"
    )


def _path(colour: int, points: Sequence[tuple[float, float]]) -> str:
    """The line, and a dot at its end: a curve of one point is that dot."""
    way = " ".join(f"{'M' if i == 0 else 'L'}{x:.1f} {y:.1f}" for i, (x, y) in enumerate(points))
    x, y = points[-1]
    return (
        f'<path class="mc-line mc-line-{colour}" d="{way}"/>'
        f'<circle class="mc-dot mc-line-{colour}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>'
    )


def _told(line: Line) -> str:
    steps, values = line.points
    name = f"{line.label}: " if line.label else ""
    begin = f"from {number_words(values[0])} at step {steps[0]:,} to " if len(values) > 1 else ""
    return (
        f"{name}{begin}{number_words(values[-1])} at step {steps[-1]:,}, between {number_words(min(values))} and "
        f"{number_words(max(values))}."
    )


def _thinned(points: Points) -> Iterator[tuple[int, float]]:
    """At most MOST_POINTS of the points: of each stretch its lowest and its highest, so that no peak is lost."""
    pairs = list(zip(points.steps, points.values, strict=False))  # one may just be written
    if len(pairs) <= MOST_POINTS:
        yield from pairs
        return
    size = math.ceil(len(pairs) / (MOST_POINTS // 2 - 1))
    for start in range(0, len(pairs), size):
        some = pairs[start : start + size]
        two = {min(some, key=lambda pair: pair[1]), max(some, key=lambda pair: pair[1])}
        yield from sorted(two)
    if pairs[-1] not in two:
        yield pairs[-1]


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers from at most `low` to at least `high`; two or more."""
    if high <= low:
        low, high = (low - abs(low) * 0.1, high + abs(high) * 0.1) if low else (-1.0, 1.0)
    rough = (high - low) / (Y_TICKS - 1)
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * factor for factor in (1, 2, 2.5, 5, 10) if unit * factor >= rough * 0.999)
    first = math.floor(low / step + 1e-9)
    last = math.ceil(high / step - 1e-9)
    return [number * step for number in range(first, max(last, first + 1) + 1)]


def number_words(value: float) -> str:
    """A number as it stands at an axis: 0.25, 1,200, 3e-06."""
    if value == 0 or abs(value) < 1e-12:
        return "0"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"
