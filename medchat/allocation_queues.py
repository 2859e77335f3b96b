"""The order of a rater's queue, its hidden repeats, and which answer of a pair stands on the left."""

import math
import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from medchat.allocation_rounds import Unit, by_question

MOST_REPEATS = 0.3
FEWEST_FOR_REPEATS = 4  # in a shorter queue a repeat would follow its first at once

Node = tuple[str, str]  # a rater ("" for all of them) and a model ("" for all of them)


class Dealt(NamedTuple):
    """A unit in a rater's queue. position: from 0 in that queue. flipped: of a pair, the second model is on the left.

    repeat_of: of a hidden repeat, the index of its first in the list of all that is dealt. The repeat of a pair is
    shown the other way round, so that who always takes one side does not look consistent.
    """

    rater: str
    unit_id: str
    position: int
    flipped: bool
    repeat_of: int | None


def in_order(units: Sequence[Unit], rng: random.Random) -> list[Unit]:
    """A rater's units in a random order in which those of one question stand far apart.

    The first of n units of a question falls into the first n-th of the queue, the others follow each as much later;
    each model, or pair of models, comes evenly over every n-th.
    """
    uses = Counter[tuple[int, int, tuple[str, ...]]]()
    by_length: dict[int, list[list[Unit]]] = defaultdict(list)
    questions = by_question(units)
    for question in rng.sample(list(questions), len(questions)):
        rest, visits = rng.sample(questions[question], len(questions[question])), list[Unit]()
        n = len(rest)
        while rest:
            unit = min(rest, key=lambda unit: uses[n, len(rest), unit.models])
            uses[n, len(rest), unit.models] += 1
            rest.remove(unit)
            visits.append(unit)
        by_length[len(visits)].append(visits)
    at: list[tuple[float, Unit]] = []
    for length, group in by_length.items():
        for number, visits in enumerate(_interleaved(group, rng)):
            offset = (number + rng.random()) / len(group)
            at += [((lap + offset) / length, unit) for lap, unit in enumerate(visits)]
    return [unit for _, unit in sorted(at, key=lambda placed: placed[0])]


def _interleaved(group: Sequence[list[Unit]], rng: random.Random) -> Iterator[list[Unit]]:
    """Lists of units, all of a length, so that at each place in them what comes has come evenly at any time.

    Next is always what is most behind the share that it has of the whole; ties are drawn.
    """
    alike: dict[tuple[tuple[str, ...], ...], list[list[Unit]]] = defaultdict(list)
    for units in group:
        alike[tuple(unit.models for unit in units)].append(units)
    totals = Counter(feature for units in group for feature in enumerate(unit.models for unit in units))
    used = Counter[tuple[int, tuple[str, ...]]]()
    for number in range(1, len(group) + 1):
        behind = {f: total * number / len(group) - used[f] for f, total in totals.items()}
        rest = [models for models, units in alike.items() if units]
        chosen = max(rest, key=lambda models: (sum(behind[f] for f in enumerate(models)), rng.random()))
        used.update(enumerate(chosen))
        yield alike[chosen].pop(rng.randrange(len(alike[chosen])))


def repeats_of(share: float, n_units: int) -> int:
    """The number of hidden repeats in a queue of so many units."""
    return math.floor(share * n_units + 0.5) if n_units >= FEWEST_FOR_REPEATS else 0


def queue_of(
    rater: str, units: Sequence[Unit], flipped: Sequence[bool], repeats: int, start: int, rng: random.Random
) -> list[Dealt]:
    """The rows of a rater, with so many hidden repeats, each at least a third of the queue after its first.

    start: the index of the first row among all that is dealt. What has been repeated least, of models or pairs of
    models, is repeated next. At most MOST_REPEATS of the units are repeats, so that there is always a place.
    """
    n = len(units) + repeats
    apart = math.ceil(n / 3)
    slots = set(rng.sample(range(apart, n), repeats))
    rows: list[Dealt] = []
    kept = iter(zip(units, flipped, strict=True))
    uses, repeated = Counter[tuple[str, ...]](), set[int]()
    shown: dict[int, Unit] = {}
    for position in range(n):
        if position not in slots:
            unit, is_flipped = next(kept)
            shown[position] = unit
            rows.append(Dealt(rater, unit.id, position, is_flipped, None))
            continue
        early = [place for place in shown if place <= position - apart and place not in repeated]
        first = min(rng.sample(early, len(early)), key=lambda place: uses[shown[place].models])
        repeated.add(first)
        uses[shown[first].models] += 1
        turned = shown[first].kind == "pair" and not rows[first].flipped
        rows.append(Dealt(rater, rows[first].unit_id, position, turned, start + first))
    return rows


class Vote(NamedTuple):
    """A pair that a rater votes on: the model that is on the left unless it is flipped, and the other one."""

    rater: str
    left: str
    right: str


def balanced_flips(votes: Sequence[Vote], rng: random.Random) -> list[bool]:
    """Whether each pair is flipped, so that each model is left as often as right within 1, by rater and overall.

    The same two models before the same rater are set against each other two by two. What remains makes a graph with a
    node for each rater and model and an edge for each pair; nodes with an odd number of edges are joined to a node of
    their model, those of models to one of all. Then every node has an even number of edges, the graph falls into closed
    walks, and who goes along them leaves each node as often as it comes in: an edge is left where it starts.
    """
    flips = [False] * len(votes)
    single: dict[tuple[str, str, str], int] = {}
    for number in rng.sample(range(len(votes)), len(votes)):
        vote = votes[number]
        key = (vote.rater, min(vote.left, vote.right), max(vote.left, vote.right))
        other = single.pop(key, None)
        if other is None:
            single[key] = number
            continue
        flips[number] = rng.random() < 0.5
        same_way = votes[other].left == vote.left
        flips[other] = flips[number] != same_way
    edges: list[tuple[Node, Node, int | None]] = [
        ((votes[number].rater, votes[number].left), (votes[number].rater, votes[number].right), number)
        for number in single.values()
    ]
    edges += [(node, ("", node[1]), None) for node in _odd(edges)]
    edges += [(node, ("", ""), None) for node in _odd(edges)]
    for number, forward in _walked(edges, rng):
        flips[number] = not forward
    return flips


def _odd(edges: Sequence[tuple[Node, Node, int | None]]) -> list[Node]:
    degree = Counter(node for one, other, _ in edges for node in (one, other))
    return [node for node, n in degree.items() if n % 2 and node != ("", "")]


def _walked(edges: Sequence[tuple[Node, Node, int | None]], rng: random.Random) -> list[tuple[int, bool]]:
    """Each vote's edge, and whether a closed walk goes along it from its first end to its second."""
    at: dict[Node, list[int]] = defaultdict(list)
    for place, (one, other, _) in enumerate(edges):
        at[one].append(place)
        at[other].append(place)
    for places in at.values():
        rng.shuffle(places)
    walked: set[int] = set()
    ways: list[tuple[int, bool]] = []
    for start in list(at):
        node = start
        while True:
            while at[node] and at[node][-1] in walked:
                at[node].pop()
            if not at[node]:  # every node has an even number of edges: a walk can only end where it began
                break
            place = at[node].pop()
            walked.add(place)
            one, other, number = edges[place]
            forward = node == one
            node = other if forward else one
            if number is not None:
                ways.append((number, forward))
    return ways
