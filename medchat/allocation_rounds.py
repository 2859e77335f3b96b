"""The units of a question put into rounds in which no answer is twice, and dealt to the raters.

The units of one question, k times each, are coloured with as many colours as there are raters so that no colour has an
answer twice; two colours that differ by more than one unit are evened out along their alternating paths (D. de Werra,
1971: where there is such a colouring, there is one with colours that even). Colours go to raters by an optimal
assignment, those with the most units to the raters with the least so far.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

Models = tuple[str, ...]
SEARCH_STEPS = 20_000
TRIES = 4  # colourings of a question, of which the most even is taken
MOST_IN_VAIN = 1_000  # swaps tried in a row of which none makes raters more alike

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Unit:
    """Something to judge. models: whose answer to the question is rated, or whose two are voted on (left, right)."""

    id: str
    kind: Literal["rate", "pair"]
    question_id: str
    models: Models


def touched_by(unit: Unit) -> frozenset[tuple[str, str]]:
    """The answers that a rater of the unit sees."""
    return frozenset((unit.question_id, model) for model in unit.models)


def by_question(units: Iterable[Unit]) -> dict[str, list[Unit]]:
    """The units of each question, in their order."""
    questions: dict[str, list[Unit]] = defaultdict(list)
    for unit in units:
        questions[unit.question_id].append(unit)
    return questions


def n_rounds_of(units: Sequence[Unit]) -> int:
    """The number of rounds that the units of one question make."""
    return max(_rounds(tuple(unit.models for unit in units))) + 1


@lru_cache(maxsize=512)
def _rounds(touches: tuple[Models, ...]) -> tuple[int, ...]:
    """The round of each unit, from 0, as few as a short search finds: no model is twice in a round."""
    models = sorted({model for each in touches for model in each})
    place = {model: number for number, model in enumerate(models)}
    best = _compact([_circle_round([place[model] for model in each], len(models)) for each in touches])
    if len(set(zip(touches, best, strict=True))) < len(touches):  # the same unit twice: each a round of its own
        best = tuple(range(len(touches)))
    degree = Counter(model for each in touches for model in each)
    for n_rounds in range(max(degree.values()), max(best) + 1):
        found = _search(touches, n_rounds)
        if found:
            return found
    return best


def _circle_round(numbers: Sequence[int], n_models: int) -> int:
    """The round of a unit in the round-robin of all pairs (circle method).

    Each model is rated in the round that it sits out; with an even number nobody does, and all are rated in one more.
    """
    odd = n_models - 1 + n_models % 2
    if len(numbers) == 1:
        return 2 * numbers[0] % odd if n_models % 2 else odd
    low, high = sorted(numbers)
    return (2 * low if high == odd else low + high) % odd


def _compact(colours: Sequence[int]) -> tuple[int, ...]:
    numbers = {colour: number for number, colour in enumerate(sorted(set(colours)))}
    return tuple(numbers[colour] for colour in colours)


def _search(touches: Sequence[Models], n_rounds: int) -> tuple[int, ...] | None:
    """Rounds for the units with no model twice in one; None when there are none, or none was found soon."""
    degree = Counter(model for each in touches for model in each)
    order = sorted(range(len(touches)), key=lambda unit: -sum(degree[model] for model in touches[unit]))
    used: list[set[str]] = [set() for _ in range(n_rounds)]
    found, steps = [0] * len(touches), 0

    def place(at: int, opened: int) -> bool:
        nonlocal steps
        steps += 1
        if at == len(order):
            return True
        models = set(touches[order[at]])
        for number in range(min(opened + 1, n_rounds)):
            if steps > SEARCH_STEPS or models & used[number]:
                continue
            used[number] |= models
            found[order[at]] = number
            if place(at + 1, max(opened, number + 1)):
                return True
            used[number] -= models
        return False

    return tuple(found) if place(0, 0) else None


def shared_out(
    units: Sequence[Unit], raters: Sequence[str], raters_per_item: int, rng: random.Random
) -> dict[str, list[Unit]]:
    """Each rater's units: each unit with `raters_per_item` of them, none with an answer twice, loads within 1.

    Of some ways to colour a question, and of all ways to deal its colours, the one is taken that gives each rater each
    kind, model and pair as often as the others so far; ties are drawn. There are enough raters (n_rounds_of times
    raters_per_item).
    """
    questions = by_question(units)
    names = sorted({feature for unit in units for feature in _features(unit)})
    columns = {feature: column for column, feature in enumerate(names)}
    is_kind = np.array([len(feature) == 1 for feature in names], dtype=float)
    had = np.zeros((len(raters), len(names)))  # (R, F) how often each rater got each feature
    heavy = 4.0 * (len(units) * raters_per_item + 1)  # a load counts for more than all features together
    dealt: dict[str, dict[str, list[Unit]]] = {}
    for question in rng.sample(list(questions), len(questions)):
        deals: list[_Deal] = []
        for _ in range(TRIES):
            colours = [each for each in _even_colours(questions[question], len(raters), raters_per_item, rng) if each]
            deals.append(_best_deal(colours, columns, had, heavy * (had @ is_kind), rng))
        best = min(deals, key=lambda deal: deal.cost)
        dealt[question] = {raters[rater]: colour for rater, colour in zip(best.raters, best.colours, strict=True)}
        had[best.raters] += best.adds
    _evened(dealt, rng)
    return {rater: [unit for question in questions for unit in dealt[question].get(rater, ())] for rater in raters}


class _Deal(NamedTuple):
    """Colours, the place of the rater who gets each, what each adds to a rater's features (C, F); how uneven it is."""

    cost: float
    colours: list[list[Unit]]
    raters: npt.NDArray[np.intp]
    adds: Floats


def _best_deal(
    colours: list[list[Unit]], columns: Mapping[tuple[str, ...], int], had: Floats, loads: Floats, rng: random.Random
) -> _Deal:
    """The way to deal the colours after which the sum of squares of what raters have had (R, F) is least."""
    from scipy.optimize import linear_sum_assignment  # takes half a second to import

    adds = np.zeros((len(colours), len(columns)))
    for row, colour in enumerate(colours):
        for unit in colour:
            adds[row, [columns[feature] for feature in _features(unit)]] += 1
    sizes = [len(colour) for colour in colours]
    uneven = adds @ (had - had.min(axis=0)).T + (adds**2).sum(axis=1, keepdims=True) / 2  # (C, R)
    cost = uneven + np.outer(sizes, loads - loads.min()) + _noise(uneven.shape, rng)
    rows, raters = linear_sum_assignment(cost)  # all rows, in order: there are no more colours than raters
    return _Deal(float(cost[rows, raters].sum()), colours, raters, adds)


def _features(unit: Unit) -> tuple[tuple[str, ...], ...]:
    """What should be balanced over raters: the kind, each model in it, and a pair as such."""
    whole = [(unit.kind, *unit.models)] if len(unit.models) > 1 else []
    return ((unit.kind,), *((unit.kind, model) for model in unit.models), *whole)


def _noise(shape: tuple[int, ...], rng: random.Random) -> Floats:
    """Random numbers that break ties and nothing else."""
    return 1e-3 * np.random.default_rng(rng.getrandbits(64)).random(shape)


def _even_colours(units: Sequence[Unit], n_colours: int, copies: int, rng: random.Random) -> list[list[Unit]]:
    """The units, each `copies` times, in lists without an answer twice whose lengths differ by at most 1."""
    rounds = _rounds(tuple(unit.models for unit in units))
    n_rounds = max(rounds) + 1
    colours: list[list[Unit]] = [[] for _ in range(n_colours)]
    for copy in range(copies):
        for unit, number in zip(units, rounds, strict=True):
            colours[copy * n_rounds + number].append(unit)
    rng.shuffle(colours)
    while True:
        long, short = max(colours, key=len), min(colours, key=len)
        if len(long) - len(short) <= 1:
            return colours
        _even_out(long, short, rng)


def _even_out(long: list[Unit], short: list[Unit], rng: random.Random) -> None:
    """Moves one unit more from the long colour to the short one than back: those of one alternating path."""
    paths = [path for path in paths_between(long, short) if len(path[0]) > len(path[1])]
    swap(long, short, *rng.choice(paths))


def paths_between(one: Sequence[Unit], other: Sequence[Unit]) -> list[tuple[list[Unit], list[Unit]]]:
    """What is tied together by answers in both colours, a path or a ring each: its units of the one and of the other.

    Swapping a whole one leaves no colour with an answer twice. The two sides differ by one unit at most.
    """
    paths: list[tuple[list[Unit], list[Unit]]] = []
    rest = ([*one], [*other])
    while rest[0] or rest[1]:
        side = 0 if rest[0] else 1
        path: tuple[list[Unit], list[Unit]] = ([], [])
        fresh = [rest[side].pop()]
        while fresh:
            path[side].extend(fresh)
            side = 1 - side
            fresh = [unit for unit in rest[side] if any(share_answer(unit, other) for other in path[1 - side])]
            rest[side][:] = [unit for unit in rest[side] if unit not in fresh]
        paths.append(path)
    return paths


def swap(one: list[Unit], other: list[Unit], ours: Sequence[Unit], theirs: Sequence[Unit]) -> None:
    """Moves our units from the one list to the other, and theirs back."""
    one[:] = [unit for unit in one if unit not in ours] + list(theirs)
    other[:] = [unit for unit in other if unit not in theirs] + list(ours)


def _evened(dealt: dict[str, dict[str, list[Unit]]], rng: random.Random) -> None:
    """Swaps units of a question between two raters where it makes them more alike, tried by chance until nothing does.

    dealt: question -> rater -> units. Loads stay within 1 and nobody gets an answer twice.
    """
    had: dict[str, Counter[tuple[str, ...]]] = defaultdict(Counter)
    for by_rater in dealt.values():
        for rater, units in by_rater.items():
            had[rater].update(feature for unit in units for feature in _features(unit))
    loads = Counter({r: sum(len(by_rater.get(r, ())) for by_rater in dealt.values()) for r in had})
    questions, raters = sorted(dealt), sorted(had)
    in_vain = 0
    while len(raters) > 1 and in_vain < MOST_IN_VAIN:
        in_vain += 1
        one, other = rng.sample(raters, 2)
        by_rater = dealt[rng.choice(questions)]
        mine, yours = by_rater.setdefault(one, []), by_rater.setdefault(other, [])
        paths = paths_between(mine, yours)
        moves = [path for path in paths if len(path[0]) - len(path[1]) in (0, loads[one] - loads[other])]
        longer = [path for path in paths if len(path[0]) > len(path[1])]
        shorter = [path for path in paths if len(path[0]) < len(path[1])]
        moves += [(a[0] + b[0], a[1] + b[1]) for a in longer for b in shorter]
        gains = [_gain(ours, theirs, had[one], had[other]) for ours, theirs in moves]
        if not gains or max(gains) <= 0:
            continue
        in_vain = 0
        ours, theirs = moves[gains.index(max(gains))]
        swap(mine, yours, ours, theirs)
        for unit, sign in [(unit, -1) for unit in ours] + [(unit, 1) for unit in theirs]:
            loads[one] += sign
            loads[other] -= sign
            for feature in _features(unit):
                had[one][feature] += sign
                had[other][feature] -= sign


def _gain(
    ours: Sequence[Unit], theirs: Sequence[Unit], had: Mapping[tuple[str, ...], int], has: Mapping[tuple[str, ...], int]
) -> int:
    """By how much less the squares of what two raters have had sum up to, once they have swapped these units."""
    change = Counter[tuple[str, ...]]()
    for unit, sign in [(unit, -1) for unit in ours] + [(unit, 1) for unit in theirs]:
        for feature in _features(unit):
            change[feature] += sign
    return -sum(2 * by * (had.get(feature, 0) - has.get(feature, 0) + by) for feature, by in change.items())


def share_answer(one: Unit, other: Unit) -> bool:
    """Whether who judges both sees an answer twice."""
    return not touched_by(one).isdisjoint(touched_by(other))
