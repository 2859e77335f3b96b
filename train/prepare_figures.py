"""The numbers of report.json: every row that came in is in one of them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from evaluation.benchmark_json import BROKEN_FILE, BROKEN_REST, BROKEN_ROW
from train.adapters import ADAPTERS
from train.cleaning import RULES as CLEANING
from train.prepare_duplicates import BEFORE, KEPT, NEAR, OPEN, SAME, Fates, Indices, Repeats, pair
from train.prepare_duplicates import RULES as REPEATING
from train.prepare_inputs import Input
from train.prepare_options import Options, weight_of
from train.prepare_rows import EXAMPLES, FOR_EVALUATION, short
from train.prepare_shards import Rows, Table, Tally
from train.prepare_writing import Files, Written
from train.row_files import FILES, SPLITS, UNLABELLED

EDGES = (0, 1, 5, 10, 20, 40, 80, 160, 320, 640, 1280)  # words; the last bin is open
ABOUT = {
    SAME: "question, options and answer were there before, letter case and white space aside",
    NEAR: "nothing but spelling, courtesies or typing errors differ from a row that was there before",
    BEFORE: "the question was there before with another answer; the first answer stays",
    OPEN: "the row has no answer, and its question was there before: what stands there stays",
}
HELD_OUT_ABOUT = (
    "the same question, or nearly, is in validation or test, and the row is in the source's own train split or has no"
    " answer"
)
CHILD_ABOUT = "made from a row that validates or tests; held out are rows as they came alone"


PLURALS = {  # of rules that name what they drop
    "broken row": "broken rows", "broken file": "broken files", "near duplicate": "near duplicates",
    "empty question": "empty questions", "empty answer": "empty answers",
    "paraphrase of a held-out question": "paraphrases of held-out questions",
    "a frozen row without an answer": "frozen rows without an answer",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the rows (n,). fate: KEPT or the rule that dropped it; file: where it is, 0 for nowhere."""

    rows: Rows
    repeats: Repeats
    fate: Fates
    file: Files
    copies: Indices
    tallies: Sequence[Sequence[Tally]]
    written: Written


def report_of_sources(inputs: Sequence[Input], outcome: Outcome, options: Options) -> list[dict[str, Any]]:
    """What is said of each source. Every row is counted once: read = kept + dropped + unlabelled."""
    found = [_source(number, its, outcome, options) for number, its in enumerate(inputs)]
    for its in found:
        left_over = its["rows_in"] - its["kept"] - its["unlabelled"] - sum(its["dropped"].values())
        assert left_over == 0, f"{left_over} rows of {its['source']} are in no count"
    return found


def _source(number: int, its: Input, outcome: Outcome, options: Options) -> dict[str, Any]:
    adapter, table = ADAPTERS[its.source.adapter], outcome.rows.table
    mine = table["source"] == number
    tallies = outcome.tallies[number]
    dropped = _sum(tally.dropped for tally in tallies)
    for fate, n in enumerate(np.bincount(outcome.fate[mine], minlength=len(REPEATING) + 1).tolist()):
        if fate != KEPT and n:
            dropped[REPEATING[fate]] += n
    in_files = np.bincount(outcome.file[mine], minlength=len(FILES) + 1)[1:].tolist()
    rows = dict(zip(FILES, in_files, strict=True))
    used = int(outcome.copies[mine & (outcome.file == 1)].sum())
    named = np.unique(table["split"][mine]).tolist()
    strange = sum(tally.strange for tally in tallies)
    return {
        "adapter": its.source.adapter, "title": "Frozen validation rows" if its.frozen else adapter.title,
        "source": its.source.name, "home": adapter.home,
        "licences": dict(sorted(outcome.written.licences.get(number, Counter()).items())),
        "group": adapter.group, "sha256": its.sha256, "rows_in": sum(tally.rows_in for tally in tallies),
        "kept": sum(rows[split] for split in SPLITS), "unlabelled": rows[UNLABELLED],
        "dropped": _sorted(dropped), "repaired": _sorted(_sum(tally.repaired for tally in tallies)),
        "rows": {split: rows[split] for split in SPLITS}, "official_splits": any(split > 1 for split in named),
        "weight": weight_of(its.source, options), "copies": round(used / rows["train"], 4) if rows["train"] else 0.0,
        **({"strange": strange, "marks": sorted(adapter.marks), "licence": adapter.licence} if strange else {}),
    }  # fmt: skip


def rules(inputs: Sequence[Input], sources: Sequence[Mapping[str, Any]], outcome: Outcome) -> dict[str, Any]:
    """What each rule did: about it, n rows dropped, and the first rows as examples."""
    dropped = _sum(its["dropped"] for its in sources)
    repaired = _sum(its["repaired"] for its in sources)
    examples = _first_examples(inputs, outcome)
    about = {**CLEANING, **_about_repeats(), FOR_EVALUATION: "the source asks that nobody trains on the row"}
    return {
        rule: {"about": about.get(rule, ""), "n": dropped[rule], "repaired": repaired[rule], "examples": examples[rule]}
        for rule in sorted(dropped | repaired, key=lambda rule: (-dropped[rule], -repaired[rule], rule))
    }  # fmt: skip


def _about_repeats() -> dict[str, str]:
    found = {REPEATING[fate]: about for fate, about in ABOUT.items()}
    held_out, child, weight = (REPEATING[fate] for fate in range(OPEN + 1, len(REPEATING) + 1))
    return {**found, held_out: HELD_OUT_ABOUT, child: CHILD_ABOUT, weight: "its source has a weight below 1"}


def _first_examples(inputs: Sequence[Input], outcome: Outcome) -> dict[str, list[dict[str, str]]]:
    labels = [its.source.name for its in inputs]
    found: dict[str, list[dict[str, str]]] = {}
    for label, tallies in zip(labels, outcome.tallies, strict=True):
        for tally in tallies:
            for rule, its in tally.examples.items():
                examples = found.setdefault(rule, [])
                examples += [{"source": label, "where": where, "text": text} for where, text in its]
                del examples[EXAMPLES:]
    for fate, rule in REPEATING.items():
        found[rule] = []
        for row in np.flatnonzero(outcome.fate == fate)[:EXAMPLES].tolist():
            where, fields = outcome.rows.read(row)
            text = short(f"{fields['question']} | {fields['answer'] or ''}")
            source = labels[int(outcome.rows.table["source"][row])]
            found[rule].append({"source": source, "where": where, "text": text})
    return found


def lengths(table: Table, file: Files) -> dict[str, Any]:
    """Histograms of the words of what is kept, each row once; contexts where there is one."""
    found = {}
    for name in ("question", "answer", "context"):
        words = table[f"{name}_words"]
        there = (file > 0) & (words > 0)
        edges = [*EDGES[1:], np.inf]
        counts = {
            split: np.histogram(words[there & (file == number)], edges)[0].tolist()
            for number, split in enumerate(FILES, 1)
        }
        found[name] = {
            "edges": [*EDGES[1:], None], "counts": counts, "median": _quantile(words[there], 0.5),
            "p95": _quantile(words[there], 0.95), "unit": "words",
        }  # fmt: skip
    return found


def duplicates(outcome: Outcome) -> dict[str, Any]:
    """same: repeats of question and answer; near: nearly so; tied_groups: of several rows that stay on one side."""
    table, fate = outcome.rows.table, outcome.fate
    n = np.bincount(fate, minlength=len(REPEATING) + 1)
    sizes = np.bincount(outcome.repeats.group[outcome.file > 0], minlength=len(table))
    examples = []
    for row in np.flatnonzero(fate == NEAR)[:EXAMPLES].tolist():
        a, b, similarity = pair(outcome.rows, int(outcome.repeats.first[row]), row)
        examples.append({"a": short(a.question), "b": short(b.question), "similarity": round(similarity, 4)})
    return {
        "same": int(n[SAME]), "near": int(n[NEAR]), "other_answer": int(n[BEFORE]),
        "tied_groups": int((sizes > 1).sum()), "examples": examples,
    }  # fmt: skip


def leaks(tallies: Sequence[Sequence[Tally]]) -> dict[str, int]:
    """Rows that held a question of an evaluation suite, by suite."""
    return dict(sorted(_sum(tally.leaks for its in tallies for tally in its).items()))


def reasons(tallies: Sequence[Sequence[Tally]], fate: Fates, file: Files) -> str:
    """Why rows are not taught, and how many, the most frequent reason first; "" where there is no row."""
    dropped = _sum(tally.dropped for its in tallies for tally in its)
    for number, name in enumerate(FILES, 1):
        where = "without an answer" if name == UNLABELLED else f"for {name}, where their sources have them"
        dropped[where] = int((file == number).sum())
    for number, n in enumerate(np.bincount(fate).tolist()):
        if number != KEPT and n:
            dropped[REPEATING[number]] += n
    first = {rule: its[0] for tallies_ in tallies for tally in tallies_ for rule, its in tally.examples.items()}
    told = {
        rule: ": ".join(filter(None, first[rule])) for rule in (BROKEN_FILE, BROKEN_REST, BROKEN_ROW) if rule in first
    }
    return "; ".join(
        f"{rule_words(rule, n)}{f' ({told[rule]})' if rule in told else ''}"
        for rule, n in _sorted(dropped).items()
        if n
    )


def rule_words(rule: str, n: int) -> str:
    """ "4 broken rows", "1 near duplicate"."""
    return f"{n:,} {PLURALS.get(rule, rule) if n != 1 else rule}"


def _quantile(words: npt.NDArray[np.uint32], share: float) -> float | None:
    return float(np.quantile(words, share)) if len(words) else None


def _sum(counts: Any) -> Counter[str]:
    total: Counter[str] = Counter()
    for its in counts:
        total.update(its)
    return total


def _sorted(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda its: (-its[1], its[0])))
