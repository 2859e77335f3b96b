"""What somebody should look at before training on a folder of rows, in sentences: for its report and its page."""

from collections.abc import Mapping
from typing import Any

from train.data_report import counts, licence_note, mapping, mappings, rows_words, share_words, whole

UPSAMPLED_NOTED = 1.005  # copies of a row from which on it is said
USUAL_SHARE = (0.1, 0.2)  # of the rows, to validate with
SHARE_SLACK = 0.02  # a split that is drawn by a hash is off by as much
OTHER_ANSWER = "the same question with another answer"  # the rule of that name
UNNAMED = ("", "not stated")  # licence of rows that name none

Report = Mapping[str, Any]


def notes_of(report: Report) -> list[str]:
    """The sentences, "" for none; what a report does not say is left out."""
    is_prepared = report.get("kind") == "prepared"
    found = [*_source_notes(report)] if is_prepared else []
    found += _validation_notes(report)
    found += [_licence_words(name, n, note) for name, n in counts(report.get("licences")).items()
              if (note := licence_note(name))]  # fmt: skip
    if leaks := sum(counts(report.get("leaks")).values()):
        found.append(f"{rows_words(leaks)} stood in an evaluation suite and were taken out, so that tests stay honest.")
    return found


def _source_notes(report: Report) -> list[str]:
    said = mapping(report.get("balance")).get("notes")
    notes = [str(note) for note in said] if isinstance(said, list) else []
    for source in mappings(report.get("sources")):
        n_in, name = whole(source.get("rows_in")), str(source.get("title") or source.get("adapter"))
        n_dropped = sum(counts(source.get("dropped")).values())
        if n_strange := whole(source.get("strange")):
            notes.append(_strange_words(source, name, n_strange))
        if n_others := counts(source.get("dropped")).get(OTHER_ANSWER, 0):
            notes.append(
                f"{rows_words(n_others, 'answer')} of {name} {'was' if n_others == 1 else 'were'} left out: the same"
                " question was there before with another answer, and the first one stays."
            )
        if n_in and n_dropped > n_in / 2:
            notes.append(f"Of {name} more than half was dropped ({share_words(n_dropped, n_in)}): see why below.")
        rows = mapping(source.get("rows"))
        if rows and whole(source.get("kept")) and not whole(rows.get("train")):
            notes.append(f"No row of {name} is to train on: all of its splits are held out.")
        copies = source.get("copies")
        if isinstance(copies, int | float) and copies > UPSAMPLED_NOTED:
            notes.append(f"A training row of {name} is there {copies:.2f} times on average (upsampled).")
    return notes


def _strange_words(source: Report, name: str, n: int) -> str:
    """Of records that have no field of the set as which they are read."""
    fields = ", ".join(map(str, source.get("marks") or ()))
    return (
        f"{rows_words(n, 'record')} of {source.get('source')} {'has' if n == 1 else 'have'} none of the fields that"
        f" {name} has ({fields}): is that file really of that set? Its rows are said to be under"
        f" {source.get('licence')}; for a file of your own take the adapter qca."
    )


def _validation_notes(report: Report) -> list[str]:
    rows = mapping(report.get("rows"))
    n = whole(rows.get("validation"))
    if "validation" not in rows:
        return []
    if not n:
        return ["There is no row to validate with: add rows, or a source with validation rows of its own."]
    of = labelled_rows(report)
    low, high = USUAL_SHARE
    if low - SHARE_SLACK <= n / of <= high + SHARE_SLACK:
        return []
    asked = mapping(report.get("settings")).get("validation")
    wanted = f", where {share_words(asked, 1)} was asked for" if isinstance(asked, int | float) and asked else ""
    words = f"{rows_words(n)} to validate: {share_words(n, of)} of the rows{wanted}; usual is 10 to 20\u00a0%."
    own = [_title(source) for source in mappings(report.get("sources")) if source.get("official_splits")]
    held = f" All validation rows of {' and '.join(own)} stay such, because the source has splits of its own."
    return [words + held if own and n / of > high and report.get("kind") == "prepared" else words]


def labelled_rows(report: Report) -> int:
    """Rows of train, validation and test, each once where the report says so; at least 1."""
    rows = mapping(report.get("rows"))
    n = sum(whole(rows.get(split)) for split in ("train", "validation", "test"))
    kept = whole(report.get("kept")) if report.get("kind") == "prepared" else 0
    return max(1, kept or n)


def _title(source: Report) -> str:
    return str(source.get("title") or source.get("adapter") or "source")


def _licence_words(name: str, n: int, note: str) -> str:
    if name.casefold() in UNNAMED:
        return f"{rows_words(n)} state{'s' if n == 1 else ''} no licence: ask the owners before you pass anything on."
    return f"Licence {name} ({rows_words(n)}): {note}."
