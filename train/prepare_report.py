"""report.html of a folder of rows: what went in, what came out, what was left out and why, in words and pictures."""

from collections.abc import Mapping
from typing import Any

from evaluation.plots import Bar, Columns, bar_list, histogram, part_legend, stacked_bars
from evaluation.report_blocks import (
    Block,
    Cell,
    Details,
    Document,
    Figure,
    Figures,
    Heading,
    Points,
    Section,
    Table,
    Text,
)
from evaluation.report_blocks import to_html as page
from train.data_report import (
    counts,
    example_blocks,
    licence_section,
    made_section,
    mapping,
    mappings,
    prompt_section,
    reason_blocks,
    rows_words,
    share_words,
    split_points,
    total,
    whole,
)
from train.made_report import MADE, made_document
from train.report_notes import notes_of

LENGTHS = {"question": "Questions", "answer": "Answers", "context": "Contexts"}
FILES = {
    "train": "to train on",
    "validation": "to validate with",
    "test": "for the test",
    "unlabelled": "no answer yet",
}
TITLE_CHARS = 32


def to_html(report: Mapping[str, Any]) -> str:
    """The report as one HTML file that needs nothing beside it; what a report does not say is left out."""
    kind = str(report.get("kind") or "")
    return page(made_document(report) if kind in MADE else prepared_document(report))


def prepared_document(report: Mapping[str, Any]) -> Document:
    """The report on prepared data."""
    sources = mappings(report.get("sources"))
    kept, rows_in = whole(report.get("kept")), whole(report.get("rows_in"))
    names = ", ".join(str(source.get("title") or source.get("adapter") or "") for source in sources)
    subtitle = f"{rows_words(kept)} kept of {rows_in:,} read. Sources: {names or 'none'}."
    sections = [
        Section("glance", "In short", _glance(report, sources)),
        Section("sources", "Sources", _source_blocks(sources)),
        *_left_out_sections(report, sources, rows_in),
        *_length_section(mapping(report.get("lengths"))),
        *_duplicate_section(mapping(report.get("duplicates"))),
        *_leak_section(report),
        *_balance_section(mapping(report.get("balance"))),
        *prompt_section(report),
        *licence_section(counts(report.get("licences"))),
        *made_section(report),
    ]
    return Document("Data for training: what went in and what came out", subtitle, sections)


# In short


def _glance(report: Mapping[str, Any], sources: list[Mapping[str, Any]]) -> list[Block]:
    rows, dropped = mapping(report.get("rows")), total(sources, "dropped")
    rows_in, kept, n_dropped = (whole(report.get(name)) for name in ("rows_in", "kept", "dropped"))
    unlabelled = whole(rows.get("unlabelled"))
    said = f"{rows_words(rows_in)} were read from {rows_words(len(sources), 'source')}"
    said += f": {kept:,} ({share_words(kept, rows_in)}) were kept"
    said += f", {unlabelled:,} have no answer yet" if unlabelled else ""
    said += f", {n_dropped:,} ({share_words(n_dropped, rows_in)}) were dropped" if n_dropped else ", none was dropped"
    blocks: list[Block] = [Text(f"{said}. In the files there are:"), split_points(mapping(rows))]
    again = sum(whole(rows.get(split)) for split in ("train", "validation", "test")) - kept
    if again > 0:
        blocks.append(Text(f"{again:,} of the rows to train on are there again, because the balance asks for it."))
    if dropped:
        most = [f"{name} ({n:,})" for name, n in list(dropped.items())[:3]]
        blocks.append(Text(f"Dropped most often: {', '.join(most)}."))
    notes = notes_of(report)
    if notes:
        blocks += [Heading("Look at these"), Points(notes)]
    return [*blocks, _flow(rows_in, dropped, rows)]


def _flow(rows_in: int, dropped: Mapping[str, int], rows: Mapping[str, Any]) -> Figure:
    """From what was read, over what each rule took away, to what each file has."""
    bars = [Bar("Rows read", rows_in, f"{rows_in:,}")]
    bars += [Bar(f"− {name}", n, f"−{n:,}", hollow=True) for name, n in dropped.items()]
    bars += [
        Bar(f"in {name}: {words}", whole(rows.get(name)), f"{whole(rows.get(name)):,}")
        for name, words in FILES.items() if name in rows
    ]  # fmt: skip
    about = "; ".join(f"{bar.label} {bar.said}" for bar in bars)
    legend = (
        '<p class="note">A minus and an outline: rows that were taken away. A file may hold a row several times: see'
        " Balance.</p>"
    )
    return Figure("From the sources to the files", bar_list("From the sources to the files", about, bars), legend)


# Sources


def _source_blocks(sources: list[Mapping[str, Any]]) -> list[Block]:
    if not sources:
        return [Text("No source is named.")]
    headers = ("Source", "Group", "Read", "Kept", "Dropped", "No answer", "train", "validation", "test", "Copies")
    table = Table("Rows by source", headers, [_source_row(source) for source in sources], texts=("Group",))
    parts = ("train", "validation", "test", "unlabelled", "dropped")
    bars = [(_short(source), [(part, _part(source, part)) for part in parts]) for source in sources]
    about = "; ".join(f"{label}: {', '.join(f'{part} {n}' for part, n in its)}" for label, its in bars)
    title = "What became of the rows of each source, from left to right as in the legend"
    figure = Figure(title, stacked_bars(title, about, bars), part_legend(parts))
    note = (
        "Copies: how often a row to train on is used on average, which the balance decides. A split is the source's own"
        " where it has official ones, otherwise it is drawn by a hash of the question."
    )
    return [table, Text(note, "note"), figure, *(_source_details(source) for source in sources)]


def _title(source: Mapping[str, Any]) -> str:
    return str(source.get("title") or source.get("adapter") or "source")


def _short(source: Mapping[str, Any]) -> str:
    """The title as it stands over a bar, beside a number."""
    title = _title(source)
    return title if len(title) <= TITLE_CHARS else f"{title[: TITLE_CHARS - 1].rstrip()}…"


def _part(source: Mapping[str, Any], part: str) -> int:
    if part == "dropped":
        return sum(counts(source.get("dropped")).values())
    return whole(source.get("unlabelled")) if part == "unlabelled" else whole(mapping(source.get("rows")).get(part))


def _source_row(source: Mapping[str, Any]) -> list[str | Cell]:
    n_in, kept = whole(source.get("rows_in")), whole(source.get("kept"))
    n_dropped, rows = _part(source, "dropped"), mapping(source.get("rows"))
    copies = source.get("copies")
    shares = (Cell(f"{n:,}", "note", share_words(n, n_in)) if 0 < n < n_in else f"{n:,}" for n in (kept, n_dropped))
    return [
        Cell(_title(source), "note", str(source.get("source") or "")),
        str(source.get("group") or ""),
        f"{n_in:,}", *shares, f"{whole(source.get('unlabelled')):,}",
        *(f"{whole(rows.get(split)):,}" for split in ("train", "validation", "test")),
        f"{float(copies):.2f}" if isinstance(copies, int | float) and copies else "–",
    ]  # fmt: skip


def _source_details(source: Mapping[str, Any]) -> Details:
    facts = {
        "File or folder": source.get("source"), "Home": source.get("home"), "Weight": source.get("weight"),
        "Official splits": {True: "kept", False: "none"}.get(bool(source.get("official_splits"))),
        "Licences": ", ".join(f"{name or 'not stated'} ({n:,})" for name, n in counts(source.get("licences")).items()),
        "SHA-256": source.get("sha256"),
    }  # fmt: skip
    rows = [(name, str(value)) for name, value in facts.items() if value not in (None, "")]
    blocks: list[Block] = [Table("About it", ("Property", "Value"), rows, words=1)]
    for field, title in (("dropped", "Dropped"), ("repaired", "Repaired and kept")):
        if found := counts(source.get(field)):
            blocks.append(Table(title, ("Rule", "Rows"), [(name, f"{n:,}") for name, n in found.items()]))
    return Details(f"{_title(source)}: rules, licence and hash", blocks)


# What was left out, and what was repaired


def _left_out_sections(report: Mapping[str, Any], sources: list[Mapping[str, Any]], rows_in: int) -> list[Section]:
    rules = mapping(report.get("rules"))
    dropped, repaired = total(sources, "dropped"), total(sources, "repaired")
    words = (
        f"Every row that was read is in a file or counted here: {rows_in:,} read ="
        f" {whole(report.get('kept')):,} kept + {whole(mapping(report.get('rows')).get('unlabelled')):,} without an"
        f" answer + {whole(report.get('dropped')):,} dropped. Shares are of the rows read."
    )
    blocks = reason_blocks(dropped, rules, "rows dropped", rows_in) or [Text("No row was dropped.")]
    sections = [Section("dropped", "What was dropped, and why", [Text(words), *blocks])]
    if repaired:
        note = (
            "These rows were kept, and something in their text was taken out. Numbers, units and negations never are."
        )
        its = reason_blocks(repaired, rules, "rows repaired", rows_in, hollow=False)
        sections.append(Section("repaired", "What was repaired", [Text(note), *its]))
    return sections


# Lengths, duplicates, leaks


def _length_section(lengths: Mapping[str, Any]) -> list[Section]:
    figures: list[Figure] = []
    points: list[str] = []
    for name, title in LENGTHS.items():
        its = mapping(lengths.get(name))
        edges, unit = its.get("edges"), str(its.get("unit") or "words")
        groups = [
            Columns(str(split), [whole(n) for n in found], f"n = {sum(map(whole, found)):,}")
            for split, found in mapping(its.get("counts")).items() if isinstance(found, list) and any(found)
        ]  # fmt: skip
        if not isinstance(edges, list) or not groups:
            points.append(f"{title}: there is none.")
            continue
        half, most = (
            f"{its[name]:,.0f}" if isinstance(its.get(name), int | float) else "?" for name in ("median", "p95")
        )
        points.append(f"{title}: half have at most {half} {unit}, 95\u00a0% at most {most}.")
        texts = [f"{edge:,.0f}" if isinstance(edge, int | float) else "more" for edge in edges]
        caption = f"{title}, in {unit}"
        about = "; ".join(f"{group.label}: {', '.join(map(str, group.counts))}" for group in groups)
        figures.append(Figure(caption, histogram(caption, f"Edges {', '.join(texts)}. {about}", groups, texts)))
    if not figures:
        return []
    note = (
        "Each row counts once. Each histogram is as high as its largest bin, the bins grow to the right, and the number"
        " of rows stands beside it."
    )
    return [Section("lengths", "How long the texts are", [Points(points), Text(note, "note"), Figures(figures)])]


def _duplicate_section(found: Mapping[str, Any]) -> list[Section]:
    if not found:
        return []
    same, near, tied = (whole(found.get(name)) for name in ("same", "near", "tied_groups"))
    words = (
        f"{rows_words(same)} repeat a question with its answer, {rows_words(near)} nearly so: the first of them was"
        f" kept. {_others(whole(found.get('other_answer')))}{rows_words(tied, 'group')} of questions that say"
        " the same stay together in one split, so that none is trained on and tested."
    )
    blocks: list[Block] = [Text(words)]
    for number, one in enumerate(mappings(found.get("examples")), 1):
        similarity = one.get("similarity")
        told = f", similarity {similarity:.2f}" if isinstance(similarity, int | float) else ""
        pair = [{"text": one.get(name), "where": f"{name.upper()}"} for name in ("a", "b")]
        blocks.append(Details(f"Pair {number}{told}", example_blocks(pair)))
    return [Section("duplicates", "Questions that repeat", blocks)]


def _others(n: int) -> str:
    return f"{rows_words(n)} ask what was asked before and answer otherwise: the first answer was kept. " if n else ""


def _leak_section(report: Mapping[str, Any]) -> list[Section]:
    if "leaks" not in report:
        return []
    found = counts(report.get("leaks"))
    how = (
        "A row is taken out when it shares 13 words in a row, or 120 characters, with a question of a suite, or when"
        " its question holds a whole question of a suite, of five words or more."
    )
    if not found:
        return [Section("leaks", "Questions of evaluation suites", [Text(f"None was found. {how}")])]
    table = Table("Rows taken out", ("Suite", "Rows"), [(name, f"{n:,}") for name, n in found.items()])
    return [Section("leaks", "Questions of evaluation suites", [Text(how), table])]


# Balance


def _balance_section(balance: Mapping[str, Any]) -> list[Section]:
    before, after = counts(balance.get("before")), counts(balance.get("after"))
    if not before and not after:
        return []
    names = list(dict.fromkeys(name for its in ("asked", "before", "after") for name in mapping(balance.get(its))))
    bars = [
        (label, [(name, its.get(name, 0)) for name in names])
        for label, its in (("Before", before), ("After", after)) if its
    ]  # fmt: skip
    title = "Rows to train on, before and after the balance, from left to right as in the legend"
    about = "; ".join(f"{label}: {', '.join(f'{name} {n}' for name, n in its)}" for label, its in bars)
    n_before, n_after = sum(before.values()), sum(after.values())
    headers = ("Group", "Asked for", "Before", "Share before", "After", "Share after")
    rows = [
        (
            name, _asked(balance, name), f"{before.get(name, 0):,}", share_words(before.get(name, 0), n_before),
            f"{after.get(name, 0):,}", share_words(after.get(name, 0), n_after),
        )
        for name in names
    ]  # fmt: skip
    table = Table("The same in numbers", headers, rows)
    used = [
        f"{one.get('source')}: {rows_words(whole(one.get('rows')))}, used {whole(one.get('used')):,} times in all,"
        f" {float(one.get('copies') or 0):.2f} times each on average"
        for one in mappings(balance.get("upsampled"))
    ]
    words = "To reach the shares that were asked for, rows of these sources are used more than once:"
    blocks: list[Block] = [Text(words), Points(used)] if used else [Text("No row is used twice.")]
    blocks += [Text(str(note)) for note in balance.get("notes") or ()]
    figure = Figure(title, stacked_bars(title, about, bars), part_legend(names))
    return [
        Section("balance", "Balance", [*blocks, figure, table, *_brief_blocks(mapping(balance.get("brief_answers")))])
    ]


def _brief_blocks(brief: Mapping[str, Any]) -> list[Block]:
    before, after = brief.get("before"), brief.get("after")
    if not isinstance(before, int | float) or not isinstance(after, int | float):
        return []
    asked = brief.get("asked")
    wanted = f"; {asked:g}\u00a0% were asked for" if isinstance(asked, int | float) else ""
    return [Text(f"Brief answers are {before:g}\u00a0% of the rows before and {after:g}\u00a0% after{wanted}.")]


def _asked(balance: Mapping[str, Any], name: str) -> str:
    asked = mapping(balance.get("asked")).get(name)
    if not isinstance(asked, int | float):
        return "as it is"
    return f"{asked:g}\u00a0%"
