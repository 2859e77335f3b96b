"""Plots as inline SVG: wide ones stretch with the page while their text keeps its size; colours are the page's.

Every series has a marker of its own shape, so that nothing is told by colour alone, and every plot a title and a
description. Colours are the classes s0 to s5 of assets/report/report.css.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10
from string import ascii_lowercase

SHAPES = (
    '<circle r="5.500"/>',
    '<rect x="-5" y="-5" width="10" height="10"/>',
    '<path d="M0-7 6.500 5h-13z"/>',
    '<path d="M0-7 6 0 0 7-6 0z"/>',
    '<path d="M0 7 6.500-5h-13z"/>',
    '<path d="M-2-6h4v4h4v4h-4v4h-4v-4h-4v-4h4z"/>',
)
SHAPE_NAMES = ("circle", "square", "triangle", "diamond", "triangle that points down", "cross")
LINE = 15  # pixels of a line of text
LANE = 16  # between the markers of a row
TICKS = 5  # of a histogram, between its ends
BAR_SHARE = 66  # per cent of a narrow page that the longest bar has beside its number
LABEL_CHARS = 42  # that a narrow page has room for


@dataclass(frozen=True, slots=True)
class Dot:
    """A value with its interval, of one series (its number picks shape and colour), and how it is said."""

    value: float
    low: float | None
    high: float | None
    series: int
    said: str


@dataclass(frozen=True, slots=True)
class Row:
    """A label with the dots on its line; note: small, at the end of the label's line."""

    label: str
    dots: Sequence[Dot]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """A value that is marked across the rows, or a range up to `until`, and what it is."""

    value: float
    label: str
    until: float


@dataclass(frozen=True, slots=True)
class Axis:
    """From low to high with a text at each tick."""

    low: float
    high: float
    ticks: Sequence[tuple[float, str]]

    def place(self, value: float) -> float:
        """Where the value stands, from 0 to 1; what lies outside stands at the end."""
        return min(1.0, max(0.0, (value - self.low) / (self.high - self.low)))


UNIT = Axis(0.0, 1.0, tuple((tenth / 5, f"{tenth / 5:g}") for tenth in range(6)))
SHARES = Axis(0.0, 1.0, tuple((tenth / 5, f"{20 * tenth} %") for tenth in range(6)))


def axis_around(values: Sequence[float], say: Callable[[float], str], *, zero: bool = True) -> Axis:
    """An axis with round ticks that holds all values, and 0 where `zero`."""
    low, high = min([*values, *([0.0] if zero else [])]), max([*values, *([0.0] if zero else [])])
    span = (high - low) or abs(high) or 1.0
    step = _round_step(span / 5)
    first, last = floor(low / step), ceil(high / step)
    ticks = tuple((i * step, say(i * step)) for i in range(first, max(last, first + 1) + 1))
    return Axis(ticks[0][0], ticks[-1][0], ticks)


def interval_plot(
    title: str, about: str, rows: Sequence[Row], axis: Axis, lines: Sequence[Line] = (), *, bars: bool = False
) -> str:
    """Rows of dots with their intervals over one axis: as wide as the page, the labels above their rows.

    Lines are marked with letters; line_legend says what they are. bars: each dot ends a bar from the axis' low end.
    """
    parts: list[str] = []
    y = LINE + 8 if lines else 4
    top = y
    lanes: list[tuple[float, float]] = []  # what is drawn behind keeps to the lanes, and off the labels
    for row in rows:
        parts.append(f'<text x="0" y="{y + LINE - 3}" class="label">{escape(row.label)}</text>')
        if row.note:
            parts.append(f'<text x="100%" y="{y + LINE - 3}" class="tick end aside">{escape(row.note)}</text>')
        y += LINE + 4
        for lane, dot in enumerate(row.dots):
            middle = y + LANE * lane + LANE / 2
            if bars:
                parts.append(_bar(dot, axis, middle))
            parts.append(_dot(dot, axis, middle))
        lanes.append((y - 1, y + LANE * max(1, len(row.dots)) + 1))
        y += LANE * max(1, len(row.dots)) + 6
    back = _grid(axis, lanes, y)
    for line in lines:
        low, high = axis.place(line.value), axis.place(line.until)
        if high > low:
            where = f'x="{_percent(low)}" width="{97 * (high - low):.3f}%"'
            back += "".join(f'<rect {where} y="{a}" height="{b - a}" class="range"/>' for a, b in lanes)
        else:
            where = f'x1="{_percent(low)}" x2="{_percent(low)}"'
            back += "".join(f'<line {where} y1="{a}" y2="{b}" class="mark"/>' for a, b in [(top - 4, top + 1), *lanes])
    for letters, place in _line_places(lines, axis):
        back += f'<text x="{place}" y="{LINE - 2}" class="tick middle">{letters}</text>'
    return _svg(title, about, back + "".join(parts), f'width="100%" height="{y + LINE + 6}"')


def line_legend(lines: Sequence[Line]) -> str:
    """What the lettered lines of a plot are, as HTML."""
    if not lines:
        return ""
    items = "".join(
        f"<li><b>{letter}</b> {escape(line.label)}</li>" for letter, line in zip(ascii_lowercase, lines, strict=False)
    )
    return f'<ul class="legend">{items}</ul>'


def series_legend(names: Mapping[int, str]) -> str:
    """Marker and name of each series, as HTML."""
    items = "".join(f"<li>{marker(series)} {escape(name)}</li>" for series, name in names.items())
    return f'<ul class="legend">{items}</ul>'


def marker(series: int) -> str:
    """The series' marker as a small picture."""
    shape, colour = _look(series)
    attributes = 'class="marker" width="14" height="14" viewBox="-8 -8 16 16" aria-hidden="true"'
    return f'<svg {attributes}><g class="{colour}">{shape}</g></svg>'


def part_legend(names: Sequence[str]) -> str:
    """Names of the parts of stacked bars in their order, each with its colour, as HTML."""
    items = "".join(
        f'<li><svg class="marker" width="14" height="14" aria-hidden="true"><rect width="14" height="14" '
        f'class="part p{part}"/></svg> {escape(name)}</li>'
        for part, name in enumerate(names)
    )
    return f'<ul class="legend">{items}</ul>'


def stacked_bars(title: str, about: str, bars: Sequence[tuple[str, Sequence[tuple[str, int]]]]) -> str:
    """A bar a row, cut in parts as wide as their counts, each with its name where that has room.

    Every bar has the same parts in the same order; the n-th has the classes of part n.
    """
    parts: list[str] = []
    y = 4
    for label, counts in bars:
        total = sum(n for _, n in counts) or 1
        parts.append(f'<text x="0" y="{y + LINE - 3}" class="label">{escape(label)}</text>')
        parts.append(f'<text x="100%" y="{y + LINE - 3}" class="tick end">n = {total}</text>')
        y += LINE + 4
        start = 0.0
        for part, (name, n) in enumerate(counts):
            width = n / total * 100
            said = f"{name}: {n} of {total}"
            parts.append(
                f'<rect x="{start:.3f}%" y="{y}" width="{width:.3f}%" height="22" class="part p{part}"><title>'
                f"{escape(said)}</title></rect>"
            )
            if width >= 2.2 * len(name) + 3:
                parts.append(
                    f'<text x="{start + width / 2:.3f}%" y="{y + 15}" class="in p{part} middle">{escape(name)}</text>'
                )
            start += width
        y += 34
    return _svg(title, about, "".join(parts), f'width="100%" height="{y}"')


@dataclass(frozen=True, slots=True)
class Bar:
    """A number as a bar under its label. said: the number in words. hollow: an outline, of what is taken away."""

    label: str
    value: float
    said: str
    hollow: bool = False


def short_label(text: str) -> str:
    """The text as a label that a narrow page has room for."""
    return text if len(text) <= LABEL_CHARS else f"{text[: LABEL_CHARS - 1].rstrip()}…"


def bar_list(title: str, about: str, bars: Sequence[Bar]) -> str:
    """Bars over one another from a common zero, as wide as the page, each with its number at the end of its line."""
    most = max((bar.value for bar in bars), default=0) or 1
    parts: list[str] = []
    y = 4
    for bar in bars:
        parts.append(f'<text x="0" y="{y + LINE - 3}" class="label">{escape(short_label(bar.label))}</text>')
        y += LINE + 2
        parts.append(f'<text x="100%" y="{y + 9}" class="tick end">{escape(bar.said)}</text>')
        look = 'fill="none" stroke="currentColor" stroke-dasharray="4 2"' if bar.hollow else ""
        width = max(0.4, BAR_SHARE * bar.value / most) if bar.value else 0
        parts.append(f'<g class="{"s5" if bar.hollow else "s0"}"><rect x="1" y="{y}" width="{width:.3f}%" height="9" '
                     f'{look}/></g>')  # fmt: skip
        y += 20
    return _svg(title, about, "".join(parts), f'width="100%" height="{y}"')


@dataclass(frozen=True, slots=True)
class Columns:
    """Counts of one group in the bins of a histogram; note: small, at the end of the label's line."""

    label: str
    counts: Sequence[int]
    note: str = ""


def histogram(title: str, about: str, groups: Sequence[Columns], edges: Sequence[str]) -> str:
    """A histogram a group, over one another, each as high as its own largest bin.

    edges: the texts between the bins, one more than there are bins; as many of them are shown as have room.
    """
    high = 64
    parts: list[str] = []
    y = 4
    for group in groups:
        parts.append(f'<text x="0" y="{y + LINE - 3}" class="label">{escape(group.label)}</text>')
        parts.append(f'<text x="100%" y="{y + LINE - 3}" class="tick end">{escape(group.note)}</text>')
        y += LINE + 6 + high
        most, n_bins = max(group.counts, default=0) or 1, max(1, len(group.counts))
        for place, count in enumerate(group.counts):
            if count:
                tall = max(1.5, high * count / most)
                where = f'x="{100 * place / n_bins:.3f}%" y="{y - tall:.1f}" width="{100 / n_bins:.3f}%"'
                said = escape(f"{edges[place]} to {edges[place + 1]}: {count:,}")
                rect = f'<rect {where} height="{tall:.1f}" class="part"><title>{said}</title></rect>'
                parts.append(f'<g class="s0">{rect}</g>')
        parts.append(f'<line x1="0" x2="100%" y1="{y}" y2="{y}" class="zero"/>')
        for place in range(0, n_bins + 1, ceil(n_bins / TICKS)):
            anchor = "start" if not place else "end" if place == n_bins else "middle"
            at, text = 100 * place / n_bins, escape(edges[place])
            parts.append(f'<text x="{at:.3f}%" y="{y + LINE}" class="tick {anchor}">{text}</text>')
        y += LINE + 14
    return _svg(title, about, "".join(parts), f'width="100%" height="{y}"')


@dataclass(frozen=True, slots=True)
class Point:
    """A dot in a plane, with the interval of its y; size: radius of its marker relative to the usual."""

    x: float
    y: float
    low: float | None
    high: float | None
    series: int
    said: str
    label: str = ""


def plane(
    title: str, about: str, points: Sequence[Point], x: Axis, y: Axis, names: tuple[str, str],
    *, diagonal: bool = False,
) -> str:  # fmt: skip
    """Points over two axes in a drawing of 360 by 300 that shrinks with the page; names: of the axes."""
    left, right, top, bottom = 58, 348, 12, 250

    def at_x(value: float) -> float:
        return left + x.place(value) * (right - left)

    def at_y(value: float) -> float:
        return bottom - y.place(value) * (bottom - top)

    parts = []
    for value, text in x.ticks:
        parts.append(f'<line x1="{at_x(value):.1f}" x2="{at_x(value):.1f}" y1="{top}" y2="{bottom}" class="grid"/>')
        parts.append(f'<text x="{at_x(value):.1f}" y="{bottom + 16}" class="tick middle">{escape(text)}</text>')
    for value, text in y.ticks:
        parts.append(f'<line x1="{left}" x2="{right}" y1="{at_y(value):.1f}" y2="{at_y(value):.1f}" class="grid"/>')
        parts.append(f'<text x="{left - 6}" y="{at_y(value) + 4:.1f}" class="tick end">{escape(text)}</text>')
    if diagonal:
        parts.append(f'<line x1="{left}" x2="{right}" y1="{bottom}" y2="{top}" class="mark"/>')
    for point in points:
        shape, colour = _look(point.series)
        bar = ""
        if point.low is not None and point.high is not None:
            ends = at_y(point.low) - at_y(point.y), at_y(point.high) - at_y(point.y)
            bar = f'<line x1="0" x2="0" y1="{ends[0]:.1f}" y2="{ends[1]:.1f}" class="bar"/>'
        text = f'<text x="10" y="-8" class="tick">{escape(point.label)}</text>' if point.label else ""
        parts.append(
            f'<g transform="translate({at_x(point.x):.1f} {at_y(point.y):.1f})" class="{colour}"><title>'
            f"{escape(point.said)}</title>{bar}{shape}{text}</g>"
        )
    parts.append(f'<text x="{(left + right) / 2}" y="{bottom + 38}" class="label middle">{escape(names[0])}</text>')
    middle = (top + bottom) / 2
    parts.append(f'<text transform="translate(11 {middle}) rotate(-90)" class="label middle">{escape(names[1])}</text>')
    return _svg(title, about, "".join(parts), 'viewBox="0 0 360 296" class="plane"')


def log_axis(values: Sequence[float], say: Callable[[float], str]) -> Axis:
    """An axis over the decimal logarithms of positive values, with ticks at powers of ten and their halves."""
    low, high = floor(log10(min(values))), ceil(log10(max(values)))
    high = max(high, low + 1)
    ticks = [(float(power), say(10.0**power)) for power in range(low, high + 1)]
    if high - low <= 2:
        ticks += [(power + log10(3), say(3 * 10.0**power)) for power in range(low, high)]
    return Axis(low, high, sorted(ticks))


def _dot(dot: Dot, axis: Axis, y: float) -> str:
    shape, colour = _look(dot.series)
    bar = ""
    if dot.low is not None and dot.high is not None:
        low, high = _percent(axis.place(dot.low)), _percent(axis.place(dot.high))
        bar = f'<line x1="{low}" x2="{high}" y1="{y}" y2="{y}" class="bar"/>'
    return (
        f'<g class="{colour}"><title>{escape(dot.said)}</title>{bar}'
        f'<svg x="{_percent(axis.place(dot.value))}" y="{y}" overflow="visible">{shape}</svg></g>'
    )


def _bar(dot: Dot, axis: Axis, y: float) -> str:
    where = f'x="{_percent(0)}" y="{y - LANE / 2 + 1.5}" width="{97 * axis.place(dot.value):.3f}%" height="{LANE - 3}"'
    return f'<rect {where} class="fill {_look(dot.series)[1]}"/>'


def _grid(axis: Axis, lanes: Sequence[tuple[float, float]], bottom: float) -> str:
    parts = []
    for value, text in axis.ticks:
        place = axis.place(value)
        anchor = "start" if place < 0.01 else "end" if place > 0.99 else "middle"
        x, kind = _percent(place), "zero" if value == 0 and axis.low < 0 else "grid"
        parts += [f'<line x1="{x}" x2="{x}" y1="{a}" y2="{b}" class="{kind}"/>' for a, b in lanes]
        parts.append(f'<text x="{x}" y="{bottom + LINE}" class="tick {anchor}">{escape(text)}</text>')
    return "".join(parts)


def _line_places(lines: Sequence[Line], axis: Axis) -> list[tuple[str, str]]:
    """Letters and place of each line; lines that stand at nearly the same place share a text."""
    placed: list[tuple[list[str], float]] = []
    for letter, line in sorted(
        zip(ascii_lowercase, lines, strict=False), key=lambda pair: pair[1].value + pair[1].until
    ):
        place = axis.place((line.value + line.until) / 2)
        if placed and place - placed[-1][1] < 0.025:
            placed[-1][0].append(letter)
        else:
            placed.append(([letter], place))
    return [(" ".join(sorted(letters)), _percent(place)) for letters, place in placed]


def _look(series: int) -> tuple[str, str]:
    """Shape and class of colour; beyond six series both come again, in other pairs."""
    return SHAPES[(series + series // len(SHAPES)) % len(SHAPES)], f"s{series % len(SHAPES)}"


def _percent(place: float) -> str:
    """With a margin, in which the markers at the ends have room."""
    return f"{1.5 + 97 * place:.3f}%"


def _round_step(step: float) -> float:
    power = 10.0 ** floor(log10(step))
    return next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= step * 0.999)


def _svg(title: str, about: str, inside: str, attributes: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" {attributes}>'
        f"<title>{escape(title)}</title><desc>{escape(about)}</desc>{inside}</svg>"
    )
