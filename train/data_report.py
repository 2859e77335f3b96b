"""What the reports on folders of rows have in common: counts in words and as bars, examples, prompts, licences, files.

A report is read as it lies on the disk: what it does not say is left out of the page.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from evaluation.plots import Bar, bar_list
from evaluation.report_blocks import Block, Details, Figure, Heading, Passage, Points, Section, Table, Text
from medchat.errors import InvalidInput
from medchat.records import Example
from train.templates import AS_RECIPE, TEMPLATES, Chosen, chosen_of, template_words, text_pair

SPLITS: Mapping[str, str] = {
    "train": "to train on", "validation": "to validate with", "test": "kept for the test",
    "unlabelled": "questions without an answer, for a teacher",
}  # fmt: skip
SHARE_ALIKE = ("-sa", "sharealike", "share-alike", "share alike", "gpl", "odbl")
NO_PROFIT = ("-nc", "noncommercial", "non-commercial")
UNCLEAR = ("", "not known", "not stated", "not named", "unknown", "unclear", "none", "none stated")
PLACEHOLDERS = Example("{question}", "{answer}", context="{context}", rationale="{reasoning}")


def mapping(value: object) -> Mapping[str, Any]:
    """The value, or an empty mapping where it is none."""
    return value if isinstance(value, Mapping) else {}


def mappings(value: object) -> list[Mapping[str, Any]]:
    """The mappings in a list; none where the value is no list."""
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, Sequence) else []


def whole(value: object) -> int:
    """The number, 0 where it is none."""
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0


def counts(value: object) -> dict[str, int]:
    """Name -> how many, the most frequent first, without those that are 0."""
    found = {str(name): whole(n) for name, n in mapping(value).items()}
    return dict(sorted(((name, n) for name, n in found.items() if n), key=lambda item: (-item[1], item[0])))


def total(several: Sequence[Mapping[str, Any]], field: str) -> dict[str, int]:
    """The counts under a field of each, summed."""
    summed: dict[str, int] = {}
    for one in several:
        for name, n in counts(one.get(field)).items():
            summed[name] = summed.get(name, 0) + n
    return counts(summed)


def rows_words(n: int, noun: str = "row") -> str:
    """So many rows."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def share_words(n: float, of: float) -> str:
    """The share in per cent; small ones with a digit more, so that something is never 0 %."""
    if not of:
        return "–"
    share = 100 * n / of
    words = f"{share:.0f}" if share >= 10 or not share else f"{share:.1f}" if share >= 0.1 else "under 0.1"
    return f"{words}\u00a0%"


def count_bars(title: str, about: str, found: Mapping[str, int], of: int, *, hollow: bool = False) -> Figure:
    """A bar a name with its number and its share of `of`."""
    bars = [Bar(name, n, f"{n:,} ({share_words(n, of)})", hollow) for name, n in found.items()]
    return Figure(title, bar_list(title, about, bars))


def example_blocks(examples: object) -> list[Block]:
    """Each example with where it stood; its texts under their names where it has several."""
    found: list[Block] = []
    for one in mappings(examples):
        place = ", ".join(str(one[name]) for name in ("source", "where", "id") if one.get(name))
        texts = {
            name: one[name] for name in one if name not in ("source", "where", "id") and one[name] not in ("", None)
        }
        if list(texts) == ["text"]:
            found.append(Passage(place or "Example", str(texts["text"])))
        elif texts:
            text = str(texts.pop("text", ""))
            lines = [text] * bool(text) + [f"{words_of(name)}: {said(value)}" for name, value in texts.items()]
            found.append(Passage(place or "Example", "\n".join(lines)))
        elif place:
            found.append(Text(f"{place} (the row cannot be shown)", "note"))
    return found


def said(value: object) -> str:
    """A value as people read it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.4g}"
    if isinstance(value, Mapping):
        return "; ".join(f"{name} {said(its)}" for name, its in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(said, value))
    return "–" if value is None else str(value)


def words_of(name: str) -> str:
    """A key as words."""
    words = name.replace("_", " ")
    return words[:1].upper() + words[1:]


def reason_blocks(
    found: Mapping[str, int], rules: Mapping[str, Any], what: str, of: int, *, hollow: bool = True
) -> list[Block]:
    """Bars of how often each rule held, then what each does and three of its examples, folded.

    what: what is counted, as "rows dropped"; of: the number that the shares are of. hollow: they were taken away.
    """
    if not found:
        return []
    caption = f"{what[:1].upper()}{what[1:]}, by rule"
    about = "; ".join(f"{name}: {n:,}" for name, n in found.items())
    blocks: list[Block] = [count_bars(caption, about, found, of, hollow=hollow)]
    for name, n in found.items():
        rule = mapping(rules.get(name))
        inside: list[Block] = [Text(str(rule["about"]))] if rule.get("about") else []
        inside += example_blocks(rule.get("examples"))
        if inside:
            blocks.append(Details(f"{name}: {n:,}", inside))
    return blocks


def prompt_section(report: Mapping[str, Any]) -> list[Section]:
    """How the rows are asked and answered, with the template written out; nothing where the report does not say."""
    if "template" not in report and "answer_format" not in report:
        return []
    try:
        chosen = chosen_of(report)
    except InvalidInput as error:
        return [Section("prompt", "How the rows are asked", [Text(str(error), "warn")])]
    if not chosen.words:
        words = "The recipe of the training says how the rows are asked and answered; this folder leaves it open."
        return [Section("prompt", "How the rows are asked", [Text(words)])]
    blocks: list[Block] = [
        Text(
            f"These rows are prepared for {chosen.words}. A model that is trained on them is asked in the same way by"
            " evaluation and chat."
        )
    ]
    if chosen.template != AS_RECIPE:
        blocks += _template_blocks(chosen)
    return [Section("prompt", "How the rows are asked", blocks)]


def _template_blocks(chosen: Chosen) -> list[Block]:
    template = TEMPLATES[chosen.template]
    words = template_words(chosen.template)
    title = words[:1].upper() + words[1:]
    blocks: list[Block] = [Text(f"{title}: {template.about}.")]
    blocks.append(Passage("With a context, as plain text", "".join(text_pair(PLACEHOLDERS, chosen))))
    if template.case_form:
        chat = f"user: {template.case_form.replace('{case}', '{context} {question}')}\n"
        answer = text_pair(PLACEHOLDERS, chosen)[1]
        blocks.append(Passage("For a base with a chat", f"{chat}assistant: {template.answer_start}{answer}"))
    return blocks


def licence_section(found: Mapping[str, int]) -> list[Section]:
    """Rows by licence, with a word on those that ask for something, or that nobody stated."""
    if not found:
        return []
    rows = [(name or "not stated", f"{n:,}", licence_note(name)) for name, n in found.items()]
    words = [
        "The licence of each row is kept in the row. What is trained on these rows, and above all a data set made of"
        " them, has to keep to all of them."
    ]
    table = Table("Licences of the rows that were kept", ("Licence", "Rows", "Note"), rows, words=1)
    return [Section("licences", "Licences", [*map(Text, words), table])]


def licence_note(licence: str) -> str:
    """What to mind of a licence, "" for nothing special."""
    name = " ".join(licence.casefold().split())
    notes = []
    if name in UNCLEAR:
        notes.append("nobody stated it: ask its owners before you pass anything on")
    if any(mark in name for mark in SHARE_ALIKE):
        notes.append("share-alike: what is made of it is passed on under the same licence")
    if any(mark in name for mark in NO_PROFIT):
        notes.append("not for profit")
    return "; ".join(notes)


def made_section(report: Mapping[str, Any]) -> list[Section]:
    """The command with its settings, and the files with their hashes."""
    blocks: list[Block] = []
    if report.get("command"):
        command = report["command"]
        text = command if isinstance(command, str) else " ".join(map(str, command))
        words = "The same sources, settings and seed give the same files, to the byte:"
        blocks += [Text(words), Passage("Command", text)]
    settings = flat(mapping(report.get("settings")))
    if "seed" in report and "seed" not in settings:
        settings = {"seed": str(report["seed"]), **settings}
    if settings:
        blocks.append(Table("Settings", ("Setting", "Value"), list(settings.items()), words=1))
    hashes, rows = mapping(report.get("sha256")), mapping(report.get("rows"))
    if hashes:
        files = [(str(name), f"{whole(rows.get(name)):,}", str(digest)) for name, digest in hashes.items()]
        blocks += [Heading("Files"), Table("Files of this folder", ("File", "Rows", "SHA-256"), files, words=1)]
    return [Section("made", "How it was made", blocks)] if blocks else []


def flat(settings: Mapping[str, Any], before: str = "") -> dict[str, str]:
    """The settings in one level, their names in words; what is not set is left out."""
    found: dict[str, str] = {}
    for name, value in settings.items():
        title = f"{before}{str(name).replace('_', ' ')}"
        if isinstance(value, Mapping):
            found |= flat(value, f"{title}: ")
        elif value not in (None, "", [], ()):
            found[title] = str(value) if title.endswith("seed") else said(value)
    return found


def split_points(rows: Mapping[str, int]) -> Points:
    """What is in each file."""
    return Points([f"{rows.get(name, 0):,} {words}" for name, words in SPLITS.items() if name in rows])
