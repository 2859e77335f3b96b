"""Plots of the human evaluation: for the report's page, and as files that stand by themselves."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from evaluation.human import GOOD_TARGET, TARGET_SOURCE, HarmMatrix, HumanResults, Profile
from evaluation.human_words import decimals, directed, percent, said
from evaluation.plots import (
    SHARES,
    Axis,
    Dot,
    Line,
    Row,
    axis_around,
    interval_plot,
    line_legend,
    marker,
    series_legend,
)
from evaluation.report_blocks import STYLE, Figure

WIDTH = 820  # pixels of a file
_RULES = re.compile(r"^(?:svg|rect\.p|\.s0).*$", re.MULTILINE)
_LIGHT = re.compile(r":root \{.*?\n\}", re.DOTALL)
_HEIGHT = re.compile(r'width="100%" height="([\d.]+)"')
_VIEW = re.compile(r'viewBox="0 0 ([\d.]+) ([\d.]+)" class="(\w+)"')
LIKELY = ("Low", "Medium", "High")
EXTENT_ROWS = ("Mild or moderate", "Severe or death")


@dataclass(frozen=True, slots=True)
class Plot:
    """A drawing with its caption, the series in it by number, and lines that are marked; name: of its file."""

    name: str
    caption: str
    svg: str
    series: Mapping[int, str]
    lines: Sequence[Line] = ()

    @property
    def figure(self) -> Figure:
        """For the page."""
        legend = series_legend(self.series) if self.series else ""
        return Figure(self.caption, self.svg, legend + line_legend(self.lines))

    def file(self) -> str:
        """One SVG in light colours, with caption and legend in the drawing."""
        style = STYLE.read_text(encoding="utf-8")
        light = _LIGHT.search(style)
        rules = "\n".join([light.group(0) if light else "", *_RULES.findall(style)]).replace("light dark", "light")
        body, height = _placed(self.svg)
        notes = [f"{letter}: {line.label}" for letter, line in zip("abcdef", self.lines, strict=False)]
        y = 44 + height
        parts = [f'<text x="12" y="24" style="font-size:14px;font-weight:600">{escape(self.caption)}</text>']
        parts.append(f'<svg x="12" y="36" width="{WIDTH - 24}" height="{height}" overflow="visible">{body}</svg>')
        for number, name in self.series.items():
            parts.append(f'<svg x="12" y="{y}" width="16" height="16">{marker(number)}</svg>')
            parts.append(f'<text x="34" y="{y + 12}">{escape(name)}</text>')
            y += 20
        for note in notes:
            parts.append(f'<text x="12" y="{y + 12}" class="tick">{escape(note)}</text>')
            y += 20
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y + 12:g}" role="img">'
            f"<title>{escape(self.caption)}</title><style>{rules}\ntext {{ font-family: sans-serif; }}</style>"
            f'<rect width="100%" height="100%" fill="#ffffff" stroke="none"/>{"".join(parts)}</svg>\n'
        )


def all_plots(results: HumanResults) -> list[Plot]:
    """Every plot of the results, in the order of the report."""
    plots = [
        ranking_plot(results),
        *profile_plots(results),
        pair_plot(results),
        *harm_plots(results),
        good_plot(results),
    ]
    return [plot for plot in [*plots, *trend_plots(results)] if plot is not None]


def series_of(results: HumanResults) -> dict[str, int]:
    """The number of each model's series."""
    return {model: number for number, model in enumerate(results.models)}


def ranking_plot(results: HumanResults) -> Plot | None:
    """Strengths with intervals, raw and adjusted; None where nothing is ranked."""
    ranking = results.ranking
    if ranking is None or all(row.strength is None for row in ranking.rows):
        return None
    adjusted = {row.model: row for row in ranking.adjusted.rows} if ranking.adjusted else {}
    names = {0: "raw", 1: "adjusted for length, Markdown and side"} if adjusted else {0: "raw"}
    rows = []
    for row in ranking.rows:
        both = [row, *([adjusted[row.model]] if row.model in adjusted else [])]
        dots = [
            Dot(its.strength, its.low, its.high, number, f"{names[number]}: {decimals(its.strength)}")
            for number, its in enumerate(both)
            if its.strength is not None
        ]
        rows.append(Row(results.models[row.model], dots, f"won {percent(row.win_rate)}"))
    caption = "Strength of each model in log odds against the average one, with 95 % intervals"
    values = [end for row in rows for dot in row.dots for end in (dot.value, dot.low, dot.high) if end is not None]
    axis = axis_around(values, lambda value: decimals(value, 1))
    return Plot("ranking", caption, interval_plot(caption, _about(rows), rows, axis), names)


def profile_plots(results: HumanResults) -> list[Plot]:
    """Scales, then shares, as bars by axis with one bar a model."""
    scales = [its for its in results.profiles if not its.measure.is_share]
    shares = [its for its in results.profiles if its.measure.is_share]
    plots = []
    if scales:
        least, most = min(its.measure.low for its in scales), max(its.measure.high for its in scales)
        ticks = tuple((float(n), f"{n:g}") for n in range(int(least), int(most) + 1))
        plots.append(_profile_plot("axes", "Mean score by axis and model", scales, Axis(least, most, ticks), results))
    if shares:
        plots.append(_profile_plot("shares", "Share of ratings by model", shares, SHARES, results))
    return plots


def pair_plot(results: HumanResults) -> Plot | None:
    """Share of preferences by axis of the vote, reverse-coded ones turned; None without votes."""
    if not results.pair_profiles:
        return None
    caption = "Share of votes that prefer the model (a tie is half a vote; reversed axes are turned)"
    half = Line(0.5, "50 %: neither preferred nor not", 0.5)
    return _profile_plot("votes", caption, results.pair_profiles, SHARES, results, (half,))


def harm_plots(results: HumanResults) -> list[Plot]:
    """Extent by likelihood of harm, a matrix a model; their cells are shaded on one scale."""
    most = max((n / its.n for its in results.harm for row in its.counts for n in row), default=0.0) or 1.0
    return [
        Plot(f"harm-{number}", f"{results.models[its.model]}: {its.none} of {its.n} ratings see no harm",
             _matrix(its, results.models[its.model], most), {})
        for number, its in enumerate(results.harm, 1)
    ]  # fmt: skip


def good_plot(results: HumanResults) -> Plot | None:
    """Share of good answers against the target; None where no rubric says it."""
    if results.good is None:
        return None
    line = Line(GOOD_TARGET, f"target {100 * GOOD_TARGET:.0f} % ({TARGET_SOURCE})", GOOD_TARGET)
    return _profile_plot("good", "Share of answers rated good", [results.good], SHARES, results, (line,))


def trend_plots(results: HumanResults) -> list[Plot]:
    """The headline axis over time, a row for each span of time, a dot for each model."""
    if not results.trend:
        return []
    series = series_of(results)
    values = [end for row in results.trend for end in (row.value, row.low, row.high) if end is not None]
    flags = [row.flagged for row in results.trend]
    plots = []
    for name, caption, axis, say in (
        ("trend", "Mean rating over time", axis_around(values, lambda v: decimals(v, 1), zero=False), decimals),
        ("flags", "Share of flagged ratings over time (critical, or severe harm)",
         axis_around([*flags, 0.05], percent), percent),
    ):  # fmt: skip
        rows = []
        for since in sorted({row.since for row in results.trend}):
            dots = []
            for row in results.trend:
                value = row.value if name == "trend" else row.flagged
                if row.since == since and value is not None:
                    ends = (row.low, row.high) if name == "trend" else (None, None)
                    dots.append(Dot(value, *ends, series[row.model], f"{results.models[row.model]}: {say(value)}"))
            rows.append(Row(f"from {since:%Y-%m-%d}", dots))
        legend = {number: results.models[model] for model, number in series.items()}
        plots.append(Plot(name, caption, interval_plot(caption, _about(rows), rows, axis), legend))
    return plots


def _profile_plot(
    name: str, caption: str, profiles: Sequence[Profile], axis: Axis, results: HumanResults, lines: Sequence[Line] = ()
) -> Plot:
    series = series_of(results)
    rows = [
        Row(
            directed(its.measure),
            [
                Dot(found.value, found.low, found.high, series[model],
                    f"{results.models[model]}: {said(found, is_share=its.measure.is_share)}")
                for model, found in its.models.items()
                if found.value is not None
            ],
        )
        for its in profiles
    ]  # fmt: skip
    caption = f"{caption}, with 95 % intervals"
    drawing = interval_plot(caption, _about(rows), rows, axis, lines, bars=True)
    return Plot(name, caption, drawing, {number: results.models[model] for model, number in series.items()}, lines)


def _matrix(its: HarmMatrix, name: str, most: float) -> str:
    """Three columns of likelihood by two rows of extent; the fuller, the larger a share; `most` is full."""
    parts = []
    for column, label in enumerate(LIKELY):
        parts.append(f'<text x="{172 + 72 * column}" y="28" class="tick middle">{label}</text>')
    parts.append('<text x="244" y="12" class="label middle">Likelihood</text>')
    said_cells = []
    for row, extent in enumerate(reversed(EXTENT_ROWS)):
        counts = its.counts[len(EXTENT_ROWS) - 1 - row]
        y = 36 + 48 * row
        parts.append(f'<text x="128" y="{y + 28}" class="tick end">{extent}</text>')
        for column, n in enumerate(counts):
            x = 136 + 72 * column
            share = n / its.n
            words = f"{extent}, likelihood {LIKELY[column].lower()}: {n} of {its.n} ({percent(share)})"
            said_cells.append(words)
            parts.append(
                f'<g><title>{words}</title><rect x="{x}" y="{y}" width="72" height="48" class="cell" '
                f'fill-opacity="{0.65 * share / most:.3f}"/>'
                f'<text x="{x + 36}" y="{y + 22}" class="middle">{n}</text>'
                f'<text x="{x + 36}" y="{y + 38}" class="tick middle">{percent(share)}</text></g>'
            )
    about = "; ".join(said_cells)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 356 136" class="matrix">'
        f"<title>Harm: {escape(name)}</title><desc>{escape(about)}</desc>{''.join(parts)}</svg>"
    )


def _about(rows: Sequence[Row]) -> str:
    return "; ".join(f"{row.label}: {', '.join(dot.said for dot in row.dots)}" for row in rows)


def _placed(svg: str) -> tuple[str, float]:
    """The drawing without a width of its own, and its height in a file."""
    wide = _HEIGHT.search(svg)
    if wide:
        return svg, float(wide.group(1))
    view = _VIEW.search(svg)
    height = float(view.group(2)) if view else 300.0
    width = float(view.group(1)) if view else 360.0
    return svg.replace('role="img"', f'role="img" width="{width:g}" height="{height:g}"', 1), height
