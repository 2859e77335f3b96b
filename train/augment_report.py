"""What became of the candidates: counted by kind and reason, with examples, in plain values that can be added up."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from train.augment_children import Child, Kind, Refused

EXAMPLES = 3
TEXT_CHARS = 300
BINS = 50  # of the similarity, from 0 to 1


@dataclass(slots=True)
class Counts:
    """Of some rows: parents looked at, candidates, children and refusals. All of it can be written as JSON.

    rows: by kind, those that offered a candidate. refused: kind -> reason -> n and
    examples. changed: field of a perturbation, or group of synonyms -> n. similarity: kind -> counts of BINS bins.
    """

    parents: int = 0
    rows: dict[str, int] = field(default_factory=dict)
    candidates: dict[str, int] = field(default_factory=dict)
    children: dict[str, int] = field(default_factory=dict)
    refused: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    changed: dict[str, dict[str, int]] = field(default_factory=dict)
    similarity: dict[str, list[int]] = field(default_factory=dict)
    answered: int = 0  # children with an answer

    def offer(self, kind: Kind, n: int) -> None:
        """A row offered so many candidates of the kind."""
        _add(self.candidates, kind, n)
        _add(self.rows, kind, int(n > 0))

    def accept(self, child: Child) -> None:
        """The child is written."""
        _add(self.children, child.kind, 1)
        self.answered += child.row.answer is not None
        changed = child.row.meta.get("changed", {})
        names = [changed["field"]] if child.kind == "perturbation" else changed if child.kind == "synonyms" else ()
        for name in names:
            _add(self.changed.setdefault(child.kind, {}), str(name), 1)

    def refuse(self, refused: Refused) -> None:
        """The candidate is not taken."""
        its = self.refused.setdefault(refused.kind, {}).setdefault(refused.reason, {"n": 0, "examples": []})
        its["n"] += 1
        if len(its["examples"]) < EXAMPLES:
            its["examples"].append(
                {"parent": refused.parent_id, "text": _short(refused.text), "detail": refused.detail[:TEXT_CHARS]}
            )

    def similar(self, kind: Kind, cosine: float) -> None:
        """A candidate has this similarity to its parent."""
        bins = self.similarity.setdefault(kind, [0] * BINS)
        bins[min(BINS - 1, max(0, int(cosine * BINS)))] += 1

    def add(self, other: Mapping[str, Any]) -> None:
        """Count what another one counted, as its plain values."""
        self.parents += other["parents"]
        self.answered += other["answered"]
        for name in ("rows", "candidates", "children"):
            for kind, n in other[name].items():
                _add(getattr(self, name), kind, n)
        for kind, reasons in other["refused"].items():
            for reason, its in reasons.items():
                mine = self.refused.setdefault(kind, {}).setdefault(reason, {"n": 0, "examples": []})
                mine["n"] += its["n"]
                mine["examples"] = (mine["examples"] + its["examples"])[:EXAMPLES]
        for kind, names in other["changed"].items():
            for name, n in names.items():
                _add(self.changed.setdefault(kind, {}), name, n)
        for kind, bins in other["similarity"].items():
            old = self.similarity.get(kind, [0] * BINS)
            self.similarity[kind] = [a + b for a, b in zip(old, bins, strict=True)]

    def is_whole(self) -> bool:
        """Whether every candidate is a child or refused."""
        refused = {kind: sum(its["n"] for its in reasons.values()) for kind, reasons in self.refused.items()}
        kinds = {*self.candidates, *self.children, *refused}
        return all(self.candidates.get(kind, 0) == self.children.get(kind, 0) + refused.get(kind, 0) for kind in kinds)


def ordered(counts: Counts, kinds: Iterable[Kind]) -> dict[str, Any]:
    """For the report: by kind rows, candidates, children, what was changed, and the refusals, most frequent first."""
    return {
        kind: {
            "rows": counts.rows.get(kind, 0),
            "candidates": counts.candidates.get(kind, 0),
            "children": counts.children.get(kind, 0),
            "changed": dict(sorted(counts.changed.get(kind, {}).items(), key=lambda item: (-item[1], item[0]))),
            "refused": dict(
                sorted(counts.refused.get(kind, {}).items(), key=lambda item: (-item[1]["n"], item[0]))
            ),
            "similarity": {
                "edges": [number / BINS for number in range(BINS + 1)],
                "counts": counts.similarity.get(kind, [0] * BINS),
            },
        }
        for kind in kinds
    }  # fmt: skip


def _add(counts: dict[str, int], name: str, n: int) -> None:
    counts[name] = counts.get(name, 0) + n


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= TEXT_CHARS else line[: TEXT_CHARS - 1] + "…"
