"""What the quality report says of the flags: how often, where, and examples with the words that set them off.

Nobody is to be found by a report: identifiers of patients are masked wherever they stand in an example.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from medchat.records import Example
from train.quality_flags import FLAGS, Flag, FlagName
from train.quality_identifiers import without_identifiers

EXAMPLES = 5
A_SOURCE = 2  # examples of one source, while there are others
AROUND_CHARS = 90


class Findings:
    """The flags of rows as they come: rows with each, by source, and the first examples of several sources."""

    def __init__(self) -> None:
        self.rows = 0
        self.n: Counter[FlagName] = Counter()
        self._by_source: dict[FlagName, Counter[str]] = {name: Counter() for name in FLAGS}
        self._words: dict[FlagName, Counter[str]] = {name: Counter() for name in FLAGS}
        self._examples: dict[FlagName, list[dict[str, str]]] = {name: [] for name in FLAGS}
        self._more: dict[FlagName, list[dict[str, str]]] = {name: [] for name in FLAGS}

    def add(self, row: Example, where: str, flags: Sequence[Flag]) -> None:
        """Count the row and what was found in it."""
        self.rows += 1
        for name in dict.fromkeys(flag.name for flag in flags):
            first = next(flag for flag in flags if flag.name == name)
            source = row.source or "not named"
            self.n[name] += 1
            self._by_source[name][source] += 1
            self._words[name][first.detail.partition(":")[0]] += 1
            few = self._by_source[name][source] <= A_SOURCE
            kept = (self._examples if few else self._more)[name]
            if len(kept) < EXAMPLES:
                kept.append({
                    "source": source, "where": where, "why": first.detail, "text": excerpt(row, first),
                })  # fmt: skip

    def report(self, held: Collection[FlagName]) -> dict[str, Any]:
        """Flag -> what it is, in how many rows, and examples; all flags, those of which there is none too."""
        return {
            name: {
                "about": info.about, "n": self.n[name],
                "share": round(self.n[name] / self.rows, 6) if self.rows else 0.0,
                "held_back": name in held, "reasons": _sorted(self._words[name]),
                "by_source": _sorted(self._by_source[name]),
                "examples": [*self._examples[name], *self._more[name]][:EXAMPLES],
            }
            for name, info in FLAGS.items()
        }  # fmt: skip


def excerpt(row: Example, flag: Flag) -> str:
    """The words that set the flag off, between marks, with some before and after; identifiers are masked."""
    text = without_identifiers(getattr(row, flag.field) or "")
    start, end = max(0, flag.start - AROUND_CHARS), min(len(text), flag.end + AROUND_CHARS)
    before, after = _plain(text[start : flag.start]), _plain(text[flag.end : end])
    marked = f"{before} ⟦{_short(_plain(text[flag.start : flag.end]))}⟧ {after}".strip()
    return f"{flag.field}: {'…' if start else ''}{marked}{'…' if end < len(text) else ''}"


def _plain(text: str) -> str:
    return " ".join(text.split())


def _short(text: str) -> str:
    return text if len(text) <= 2 * AROUND_CHARS else f"{text[:AROUND_CHARS]} … {text[-AROUND_CHARS:]}"


def _sorted(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
