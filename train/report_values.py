"""Values of a report that no section knows by name: counts as bars, histograms, things with examples, or a table."""

from collections.abc import Mapping, Sequence
from typing import Any

from evaluation.plots import Columns, histogram
from evaluation.report_blocks import Block, Details, Figure, Points, Table, Text
from train.data_report import count_bars, counts, example_blocks, flat, mappings, said, whole, words_of

MOST_SHOWN = 40  # of a list


def value_blocks(title: str, value: object) -> list[Block]:
    """What stands under a key: counts as bars, things with examples one after the other, else a table."""
    if isinstance(value, Mapping):
        return _mapping_blocks(title, value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        several = mappings(value)
        if len(several) == len(value) and several:
            return _list_blocks(title, several)
        return [Points([said(one) for one in value[:MOST_SHOWN]])] if value else []
    return [Text(said(value))]


def _mapping_blocks(title: str, value: Mapping[str, Any]) -> list[Block]:
    if isinstance(value.get("edges"), list) and value.get("counts"):
        return _histogram_blocks(title, value)
    if value and all(isinstance(its, int) and not isinstance(its, bool) for its in value.values()):
        found = counts(value)
        return [count_bars(title, _about(found), found, sum(found.values()))] if found else [Text(f"{title}: none.")]
    if value and all(isinstance(its, Mapping) for its in value.values()):
        return _named_blocks(title, value)
    blocks: list[Block] = []
    facts = flat({name: its for name, its in value.items() if is_fact(its)})
    if facts:
        blocks.append(Table(title, ("What", "Value"), list(facts.items()), words=1))
    for name, its in value.items():
        if not is_fact(its):
            blocks += value_blocks(words_of(str(name)), its)
    return blocks


def _histogram_blocks(title: str, value: Mapping[str, Any]) -> list[Block]:
    edges = [said(edge) if edge is not None else "more" for edge in value["edges"]]
    several = value["counts"] if isinstance(value["counts"], Mapping) else {"all": value["counts"]}
    groups = [
        Columns(str(name), [whole(n) for n in its], f"n = {sum(map(whole, its)):,}")
        for name, its in several.items() if isinstance(its, list) and any(its) and len(its) == len(edges) - 1
    ]  # fmt: skip
    about = "; ".join(f"{group.label}: {', '.join(map(str, group.counts))}" for group in groups)
    return [Figure(title, histogram(title, about, groups, edges))] if groups else []


def _named_blocks(title: str, value: Mapping[str, Mapping[str, Any]]) -> list[Block]:
    """Things by name: how many of each as bars, or a row of a table each, and then what else is known of each."""
    blocks: list[Block] = []
    numbers = {name: whole(its["n"]) for name, its in value.items() if "n" in its}
    if found := counts(numbers):
        blocks.append(count_bars(title, _about(found), found, sum(found.values())))
    columns = [
        key for key in dict.fromkeys(key for its in value.values() for key in its)
        if key not in ("about", "n") and all(is_fact(its.get(key)) for its in value.values())
    ]  # fmt: skip
    if columns:
        headers = ("Name", *map(words_of, columns))
        texts = [words_of(key) for key in columns if any(isinstance(its.get(key), str) for its in value.values())]
        rows = [(str(name), *(said(its.get(key)) for key in columns)) for name, its in value.items()]
        blocks.append(Table(title, headers, rows, texts=texts))
    for name, its in value.items():
        inside: list[Block] = [Text(str(its["about"]))] if its.get("about") else []
        inside += example_blocks(its.get("examples"))
        for key, part in its.items():
            if key not in ("about", "n", "examples") and not is_fact(part):
                inside += value_blocks(words_of(str(key)), part)
        if inside:
            blocks.append(Details(f"{name}: {numbers[name]:,}" if name in numbers else str(name), inside))
    return blocks


def _list_blocks(title: str, several: Sequence[Mapping[str, Any]]) -> list[Block]:
    if any("text" in one or "where" in one for one in several):
        return example_blocks(several)
    columns = list(dict.fromkeys(key for one in several for key in one if is_fact(one[key])))
    rows = [[said(one.get(key, "")) for key in columns] for one in several[:MOST_SHOWN]]
    blocks: list[Block] = [Table(title, list(map(words_of, columns)), rows)] if columns else []
    for number, one in enumerate(several[:MOST_SHOWN], 1):
        inner = {key: its for key, its in one.items() if not is_fact(its)}
        inside = _mapping_blocks(title, inner) if inner else []
        if inside:
            name = next((str(one[key]) for key in columns if isinstance(one[key], str)), f"{title} {number}")
            blocks.append(Details(name, inside))
    return blocks


def is_fact(value: object) -> bool:
    """Whether it is one value, which stands in a table."""
    return value is None or isinstance(value, str | int | float | bool)


def _about(found: Mapping[str, int]) -> str:
    return "; ".join(f"{name}: {n:,}" for name, n in found.items())
