"""The headline of a data set: what to look at first, its numbers, and what became of the rows, as HTML."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from medchat.ui.common import counted, escape
from medchat.ui.data_folders import Folder
from train.row_files import sources_of

MOST_RULES = 8
MOST_REASONS = 3  # why candidates of a kind were refused
NO_REPORT = '<p class="mc-small">There is no report with it: it was not made by MedChat, or is being written.</p>'
NO_CHILD = "No new question came of it"
IN_VAIN = "This data set holds the rows as they were before: training on it teaches nothing that they do not."
NAMES = {"dpo": "Preference pairs", "held": "Held back"}
MADE = {"paraphrase": "Paraphrases", "split": "Split questions", "perturbation": "Changed cases",
        "synonyms": "Synonyms", "synthetic": "Rare topics"}  # fmt: skip
COLUMNS = {"Rows in": "rows_in", "Kept": "kept", "Unlabelled": "unlabelled", "Dropped": "dropped"}

Report = Mapping[str, Any]


class Tile(NamedTuple):
    """A number with its name, and what else is said of it."""

    name: str
    value: str
    more: str = ""


def headline_html(folder: Folder) -> str:
    """What is looked at first, then the numbers."""
    report = folder.report
    if not report:
        return NO_REPORT
    if report.get("kind") == "distilled":
        became = _rules("Answers that were refused, by reason", report.get("unused"))
        became += _rules("Questions without a pair, by reason", report.get("no_pair"))
    else:
        became = _rules("Dropped, by rule", _dropped(report)) + _made(report)
    return _vain(report) + _look(report) + _tiles(folder) + became + _flags(folder) + _sources(report) + _notes(report)


def vain_words(report: Report) -> str:
    """What a job that ended well did not bring about, in a few words; "" where something came of it."""
    return NO_CHILD if report.get("kind") == "augmented" and report.get("children") == 0 else ""


def rows_words(folder: Folder) -> str:
    """How many rows each split has."""
    found = [f"{n:,} {name}" for name, n in folder.rows.items() if n or name == "train"]
    return " · ".join(found) if found else counted(len(folder.files), "file")


def _vain(report: Report) -> str:
    words = vain_words(report)
    return f'<p class="mc-fault" role="note"><strong>{words}.</strong> {IN_VAIN}</p>' if words else ""


def _look(report: Report) -> str:
    """What somebody should look at before training, as the report says it too."""
    from train.report_notes import notes_of

    items = "".join(f"<li>{escape(note)}</li>" for note in notes_of(report))
    if not items:
        return ""
    return f'<div class="mc-leaves mc-look" role="note"><h4>Look at these</h4><ul>{items}</ul></div>'


def _tiles(folder: Folder) -> str:
    report = folder.report
    kind = str(report.get("kind", ""))
    tiles = _OF_KIND[kind](report) if kind in _OF_KIND else _of_rows(report)
    tiles += [Tile(NAMES.get(name, name.capitalize()), f"{n:,}", _more(report, name, n))
              for name, n in folder.rows.items()]  # fmt: skip
    shown = "".join(
        f'<div class="mc-tile"><dt>{escape(name)}</dt><dd>{escape(value)}</dd>'
        f"{f'<dd class=mc-tile-more>{escape(more)}</dd>' if more else ''}</div>"
        for name, value, more in tiles
    )
    return f'<dl class="mc-tiles">{shown}</dl>' if shown else ""


def _of_rows(report: Report) -> list[Tile]:
    return _numbers(("Rows in", report.get("rows_in")), ("Kept", report.get("kept")),
                    ("Dropped", report.get("dropped")))  # fmt: skip


def _of_quality(report: Report) -> list[Tile]:
    return _numbers(("Rows in", report.get("rows_in")), ("Kept", report.get("kept")),
                    ("Held back", report.get("held_rows")))  # fmt: skip


def _of_augmented(report: Report) -> list[Tile]:
    kinds = report.get("kinds")
    refused = sum(_refused(its)[0] for its in kinds.values()) if isinstance(kinds, Mapping) else None
    return _numbers(("Rows in", report.get("rows_in")), ("New questions", report.get("children")),
                    ("Refused", refused))  # fmt: skip


def _of_distilled(report: Report) -> list[Tile]:
    answers, pairs = report.get("answers"), report.get("pairs")
    used, unused = (answers.get(name) for name in ("used", "unused")) if isinstance(answers, Mapping) else (None, None)
    late = _whole(report.get("not_asked_yet")) or 0
    counts = [_whole(used), _whole(unused)]
    n = [None, None] if None in counts else [sum(filter(None, counts)) - late, (counts[1] or 0) - late]
    tiles = _numbers(("Asked", n[0]), ("Used", used), ("Refused", n[1]), ("Not asked yet", late or None))
    tiles += _numbers(("Pairs", pairs.get("pairs"))) if isinstance(pairs, Mapping) else []
    cost, possibly = report.get("cost"), report.get("possibly_charged")
    if "cost" in report:
        value = f"{cost:,.4g} USD" if isinstance(cost, int | float) else "not known"
        more = (
            f"and up to {possibly:,.4g} of answers that broke off" if isinstance(possibly, float) and possibly else ""
        )
        tiles.append(Tile("Cost", value, more))
    return tiles


_OF_KIND = {"quality": _of_quality, "augmented": _of_augmented, "distilled": _of_distilled}


def _numbers(*named: tuple[str, object]) -> list[Tile]:
    return [Tile(name, f"{n:,}") for name, value in named if (n := _total(value)) is not None]


def _more(report: Report, name: str, n: int) -> str:
    """Of the rows to train on how many are copies; of those that are held out their share."""
    if report.get("kind") != "prepared" or (kept := _whole(report.get("kept"))) is None or not kept:
        return ""
    held = [_whole(report["rows"].get(split)) or 0 for split in ("validation", "test")]
    own = kept - sum(held)
    if name == "train" and 0 < own < n:
        return f"{counted(own, 'row')}, {n - own:,} {'copy' if n - own == 1 else 'copies'}"
    return f"{n / kept:.0%} of the rows kept" if name in ("validation", "test") and n else ""


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _total(value: object) -> int | None:
    """A number as it is; of numbers by name their sum."""
    return sum(_whole(n) or 0 for n in value.values()) if isinstance(value, Mapping) else _whole(value)


def _dropped(report: Report) -> object:
    """The rules; of a report that has none, what it says of the rows that were left out."""
    rules, dropped = report.get("rules"), report.get("dropped")
    if isinstance(rules, Mapping) or not isinstance(dropped, Mapping):
        return rules
    return {name: {"n": n} for name, n in dropped.items()}


def _ranked(rules: object) -> list[tuple[int, str]]:
    counts = {
        str(name): _whole(row.get("n")) for name, row in rules.items() if isinstance(row, Mapping)
    } if isinstance(rules, Mapping) else {}  # fmt: skip
    return sorted(((n, name) for name, n in counts.items() if n), key=lambda item: (-item[0], item[1]))


def _rules(title: str, rules: object) -> str:
    ranked = _ranked(rules)
    if not ranked:
        return ""
    items = "".join(f"<li>{escape(name)} <strong>{n:,}</strong></li>" for n, name in ranked[:MOST_RULES])
    more = ranked[MOST_RULES:]
    items += f"<li>{counted(len(more), 'further one')}: see the report</li>" if more else ""
    return f'<h4>{title}</h4><ul class="mc-tally">{items}</ul>'


def _refused(kind: object) -> tuple[int, str]:
    """How many candidates were refused, and why most of them."""
    ranked = _ranked(kind.get("refused")) if isinstance(kind, Mapping) else []
    words = ", ".join(f"{name} {n:,}" for n, name in ranked[:MOST_REASONS])
    more = len(ranked) - MOST_REASONS
    return sum(n for n, _ in ranked), f"{words}, {counted(more, 'further reason')}" if more > 0 else words


def _made(report: Report) -> str:
    """What each kind of augmentation made, and what it refused."""
    kinds = report.get("kinds")
    rows = kinds.items() if isinstance(kinds, Mapping) and report.get("kind") == "augmented" else ()
    lines = []
    for name, its in rows:
        refused, why = _refused(its)
        made = its if isinstance(its, Mapping) else {}
        cells = _number("New", made.get("children")) + _number("Refused", refused)
        lines.append(f'<tr><th scope="row">{escape(MADE.get(str(name), str(name)))}</th>{cells}'
                     f'<td data-label="Why refused">{escape(why or "–")}</td></tr>')  # fmt: skip
    return _table("What was made, by kind", ("Kind", "New", "Refused", "Why refused"), lines)


def _flags(folder: Folder) -> str:
    flags = folder.report.get("flags")
    if not isinstance(flags, Mapping):
        return ""
    items = "".join(
        f"<li>{escape(str(name))} <strong>{n:,}</strong>{_held(folder.held_with(str(name)))}</li>"
        for name, row in flags.items()
        if (n := _whole(row.get("n") if isinstance(row, Mapping) else row))
    )
    return f'<h4>Flags</h4><ul class="mc-tally">{items}</ul>' if items else ""


def _held(n: int) -> str:
    return f" ({n:,} held back)" if n else ""


def _sources(report: Report) -> str:
    rows = [row for row in sources_of(report) if isinstance(row, Mapping)]
    lines = [
        f'<tr><th scope="row">{_source_name(row)}</th>'
        f"{''.join(_number(name, row.get(key)) for name, key in COLUMNS.items())}"
        f'<td data-label="Licence">{escape(_licences(row.get("licences")))}</td></tr>'
        for row in rows
    ]
    title = "Sources" if report.get("kind") == "prepared" else "Sources, when they were first prepared"
    return _table(title, ("Source", *COLUMNS, "Licence"), lines)


def _source_name(row: Report) -> str:
    """The kind of source, and the name of the file: two may be of one kind."""
    title, file = str(row.get("title") or row.get("adapter") or ""), str(row.get("source") or "")
    return escape(title) + (f'<span class="mc-small mc-file" dir="auto">{escape(file)}</span>' if file else "")


def _table(title: str, heads: Sequence[str], lines: Sequence[str]) -> str:
    cells = "".join(f'<th scope="col">{name}</th>' for name in heads)
    return (
        f'<h4>{title}</h4><div class="mc-table-box" tabindex="0" role="region" aria-label="{title}"><table '
        f'class="mc-table mc-small-table"><thead><tr>{cells}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'
        if lines
        else ""
    )


def _number(name: str, value: object) -> str:
    n = _total(value)
    return f'<td class="mc-number" data-label="{name}">{"–" if n is None else f"{n:,}"}</td>'


def _licences(value: object) -> str:
    names = [str(name) for name in value] if isinstance(value, Mapping) else []
    return ", ".join("none stated in its rows" if name in ("", "not stated") else name for name in names)


def _balance(balance: object) -> list[str]:
    """What stands in the mix, and which rows were used more than once for it."""
    if not isinstance(balance, Mapping):
        return []
    told = []
    after = balance.get("after")
    if isinstance(after, Mapping):
        groups = [f"{n:,} {name}" for name, n in after.items() if isinstance(n, int)]
        told.append(f"To train on: {', '.join(groups)}.")
    for row in balance.get("upsampled") or ():
        if isinstance(row, Mapping) and isinstance(row.get("copies"), int | float):
            told.append(f"Rows of {row.get('source')} are used {row['copies']:.1f} times each, for the balance.")
    return told


def _notes(report: Report) -> str:
    duplicates = report.get("duplicates")
    told = []
    if isinstance(duplicates, Mapping):
        n = sum(_whole(duplicates.get(kind)) or 0 for kind in ("same", "near"))
        told.append(f"{counted(n, 'repeated or nearly repeated row')} left out.")
    told += _balance(report.get("balance"))
    return "".join(f'<p class="mc-small">{escape(line)}</p>' for line in told)
