"""What the section on people's judgements shows: what can be chosen, and the findings, by view."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from evaluation.human_data import HumanData, HumanRating, HumanVote
from evaluation.report_blocks import Block, Section, Text, blocks_html
from medchat.store import StudyRecord
from medchat.study_views import Progress
from medchat.ui.common import counted, escape
from medchat.ui.human_files import files_html
from medchat.ui.human_parts import progress_section, votes_left_section
from medchat.ui.human_query import ALL, EXAMPLE, UNNAMED, Query, filter_words

if TYPE_CHECKING:
    from evaluation.human import HumanResults

PARTS = {"evaluations": "Evaluations", "human": "Human evaluation"}
# The views with the report's sections that each has; what is in none goes into the last one.
VIEWS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "models": (
        "Models",
        ("glance", "ranking", "votes-left", "axes", "pair-axes", "harm", "good", "differences"),
    ),
    "raters": ("Raters", ("progress", "agreement", "raters")),
    "metrics": ("Reasoning and metrics", ("steps", "automatic")),
    "cases": ("Cases", ("cases", "corrections", "adjudication")),
    "trend": ("Over time", ("trend",)),
    "design": ("Design and methods", ("design", "flow", "method")),
}
NOTHING = {
    "models": "Nothing was judged yet.",
    "raters": "Nobody has judged anything yet.",
    "metrics": "No rater marked steps of the reasoning, and no automatic metric of these answers is stored.",
    "cases": "No case was judged by two raters who differ, and nothing was corrected.",
    "trend": "There is no trend yet: one takes ratings on a scale from more than one day.",
    "design": "",
}
STATUS_WORDS = {
    "closed": "Closed and unblinded.",
    "open": "Still open: its investigator lets results be seen meanwhile. What is here is preliminary; each look is "
    "audited.",
}
OF_THE_WHOLE = "Filtered. Design, flow, progress, calibration and decisions are those of the whole."
NO_JUDGEMENTS = (
    "Nobody has judged an answer yet. Rate answers in the Rate tab, compare them in the Compare tab, or set up a "
    "blinded study in the Studies tab. What results look like is shown by the example, whose raters are made up."
)
NONE_FITS = "No judgement fits these filters. Take some of them away."
TRAIN_HINT = "Opens the preview in the Train tab: of all ratings and votes that may be learned from, not only of these."


def parts_html(part: str) -> str:
    """The ways between the parts of the Results tab."""
    buttons = "".join(
        f'<button type="button" class="mc-button" data-do="human-part" data-part="{name}" id="results-part-{name}" '
        f'aria-pressed="{str(name == part).lower()}">{title}</button>'
        for name, title in PARTS.items()
    )
    return f'<nav class="mc-parts" data-part="{part}" aria-label="Parts of Results">{buttons}</nav>'


def choose_html(query: Query, studies: Sequence[StudyRecord], data: HumanData | None, *, may_name: bool) -> str:
    """What is looked at, and filters. data: before them; None where it may not be seen."""
    sources = [(ALL, "All ratings and votes"), *((its.id, _study_words(its)) for its in studies)]
    sources.append((EXAMPLE, "Example study (simulated)"))
    fields = _select("source", "Results of", sources, query.source)
    if data is not None and (data.ratings or data.votes):
        fields += _filters(query, data)
        if may_name and query.source != EXAMPLE:
            checked = " checked" if query.named else ""
            fields += (
                f'<label for="human-named"><input type="checkbox" id="human-named" name="named"{checked}>'
                "Raters by name</label>"
            )
        if query.is_filtered:
            fields += '<button type="button" class="mc-link" data-do="human-reset" id="human-reset">No filters</button>'
    return f'<div class="mc-filters" role="group" aria-label="What is looked at">{fields}</div>'


def refused_html(why: str, progress: Progress | None, names: Mapping[str, str] | None) -> str:
    """A study whose results may not be seen now: how far it is, never by model. names: None for totals alone."""
    told = f'<p class="mc-leaves" role="note">{escape(why)}</p>'
    if progress is None:
        return _section("progress", "Results", told)
    total = f"{progress.done:,} of {progress.total:,} judgements are done."
    if names is None:
        return _section("progress", "Progress", f'{told}<p class="mc-told">{total}</p>')
    table = blocks_html(progress_section(progress, names).blocks)
    return _section("progress", "Progress", f'{told}<div class="mc-report">{table}</div>')


def empty_html(query: Query) -> str:
    """Where nothing was judged, or nothing fits."""
    if query.is_filtered:
        return f'<p class="mc-none-yet" role="note">{NONE_FITS}</p>'
    button = (
        '<button type="button" class="mc-button" data-do="human-example" id="human-example">Show the example</button>'
    )
    return (
        f'<div class="mc-none-yet" role="note"><p>{NO_JUDGEMENTS}</p><div class="mc-form-buttons">{button}</div></div>'
    )


def findings_html(
    results: "HumanResults", data: HumanData, query: Query, status: str, progress: Progress | None
) -> str:
    """Everything that was found, one view of it at a time; human.js changes between them."""
    from evaluation.human_report import SIMULATED, build

    sections = {section.id: section for section in build(results, data).sections}
    glance = [block for block in sections["glance"].blocks if block != Text(SIMULATED, "warn")]  # said of all views
    sections["glance"] = replace(sections["glance"], blocks=glance)
    if status != "closed" and (left := votes_left_section(results)) is not None:
        sections[left.id] = left
    if progress is not None:
        sections["progress"] = progress_section(progress, results.raters)
    placed = {name: [sections.pop(its) for its in ids if its in sections] for name, (_, ids) in VIEWS.items()}
    placed["design"] += sections.values()
    warned = f'<p class="mc-leaves" role="note">{escape(SIMULATED)}</p>' if results.simulated else ""
    views = "".join(_view(name, placed[name]) for name in VIEWS)
    return (
        f'<section class="mc-human" aria-label="Findings"><h2 dir="auto" tabindex="-1">{escape(_title(results))}</h2>'
        f'<p class="mc-small">{escape(_summary(results, query, status))}</p>{warned}'
        f"{_actions(results, query)}{_view_buttons()}{views}</section>"
    )


def waiting_html(data: HumanData, seconds: float) -> str:
    """While intervals are made."""
    so_far = f" {seconds:.0f} s so far." if seconds >= 1 else ""
    what = f"{counted(len(data.ratings), 'rating')} and {counted(len(data.votes), 'vote')}"
    return (
        '<p class="mc-checking" role="status"><span class="mc-human-busy" aria-hidden="true"></span>Drawing raters and '
        f'questions anew for the intervals of {what}…</p><p class="mc-small" aria-hidden="true">'
        f"This is done once for the same judgements and filters.{so_far}</p>"
    )


def _title(results: "HumanResults") -> str:
    return f"{results.title} (simulated)" if results.simulated else results.title


def _summary(results: "HumanResults", query: Query, status: str) -> str:
    parts = [
        counted(len(results.models), "model"), counted(results.n_questions, "question"),
        counted(len(results.rater_rows), "rater"), counted(results.n_ratings, "rating"),
        counted(results.n_votes, "vote"),
    ]  # fmt: skip
    words = [f"{' · '.join(parts)}.", STATUS_WORDS.get(status, "")]
    words += [OF_THE_WHOLE] if query.is_filtered else []
    return " ".join(word for word in words if word)


def _actions(results: "HumanResults", query: Query) -> str:
    train = (
        ""
        if results.simulated
        else '<button type="button" class="mc-button" data-do="human-train" id="human-train" '
        f'title="{TRAIN_HINT}">Make training data</button>'
    )
    return f'<div class="mc-form-buttons">{files_html(results, query)}{train}</div>'


def _view_buttons() -> str:
    buttons = "".join(
        f'<button type="button" class="mc-button" data-do="human-view" data-view="{name}" id="human-view-{name}" '
        f'aria-pressed="{str(name == "models").lower()}">{title}</button>'
        for name, (title, _) in VIEWS.items()
    )
    return f'<nav class="mc-parts mc-human-views" aria-label="Views of the findings">{buttons}</nav>'


def _view(name: str, sections: Sequence[Section]) -> str:
    inside = _contents(sections) + "".join(_section(its.id, its.title, _report(its.blocks)) for its in sections)
    inside = inside or f'<p class="mc-note" role="note">{NOTHING[name]}</p>'
    return f'<div class="mc-human-view" data-view="{name}"{"" if name == "models" else " hidden"}>{inside}</div>'


def _contents(sections: Sequence[Section]) -> str:
    """Ways to the sections of a long view."""
    if len(sections) < 3:
        return ""
    buttons = "".join(
        f'<button type="button" class="mc-link" data-do="human-go" data-to="human-{its.id}">{escape(its.title)}'
        "</button>"
        for its in sections
    )
    return f'<nav class="mc-human-contents" aria-label="On this page">{buttons}</nav>'


def _report(blocks: Sequence[Block]) -> str:
    return f'<div class="mc-report">{blocks_html(blocks or [Text("Nothing.")])}</div>'


def _section(name: str, title: str, inside: str) -> str:
    return (
        f'<section class="mc-human-part" id="human-{name}" aria-label="{escape(title)}">'
        f'<h3 tabindex="-1">{escape(title)}</h3>{inside}</section>'
    )


def _study_words(record: StudyRecord) -> str:
    return record.name if record.status == "closed" else f"{record.name} (still open)"


def _filters(query: Query, data: HumanData) -> str:
    judged: list[HumanRating | HumanVote] = [*data.ratings, *data.votes]
    chosen = ((query.specialty, "specialty", "Specialty"), (query.group, "group", "Raters of"))
    found = {
        "specialty": sorted({its.specialty for its in judged}),
        "group": sorted({its.group for its in judged}),
    }
    html = ""
    for value, name, label in chosen:
        if any(found[name]) or value:
            choices = [(its or UNNAMED, its or "none given") for its in found[name]]
            html += _select(name, label, [("", "all"), *choices], value)
    html += _select("model", "Model", [("", "all"), *data.models.items()], query.model)
    days = (("since", "From", query.since), ("until", "To", query.until))
    for name, label, value in days:
        html += (
            f'<label for="human-{name}">{label}<input type="date" class="mc-field" id="human-{name}" name="{name}" '
            f'value="{escape(value)}" min="1900-01-01" max="9000-12-31"></label>'
        )
    said = filter_words(query, data.models)
    return html + (f'<span class="mc-vh">{escape(said)}</span>' if said else "")


def _select(name: str, label: str, choices: Iterable[tuple[str, str]], chosen: str) -> str:
    options = "".join(
        f'<option value="{escape(value)}"{" selected" if value == chosen else ""}>{escape(words)}</option>'
        for value, words in choices
    )
    return (
        f'<label for="human-{name}">{label}<select class="mc-field" id="human-{name}" name="{name}">{options}'
        "</select></label>"
    )
