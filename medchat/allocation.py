"""Who judges what: items dealt to raters, balanced and random, the same again for the same seed.

An answer is a question with a model. A rater sees no answer twice but for hidden repeats: nobody votes on a pair with
an answer that they rate, nor on two pairs that share one. So the units of one question fall into rounds, in each of
which no answer is there twice, and a rater does units of one round only: the pairs of M models make M - 1 rounds where
M is even and M where it is odd; with each answer rated as well they make M; answers that are only rated make one. With
k raters an item it takes k times as many raters as rounds (`raters_needed`).
"""

import random
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from heapq import heapify, heappop, heappush
from itertools import combinations

from medchat.allocation_queues import MOST_REPEATS, Dealt, Vote, balanced_flips, in_order, queue_of, repeats_of
from medchat.allocation_rounds import Unit, by_question, n_rounds_of, shared_out, touched_by
from medchat.allocation_swaps import FIXED, NEW, Hands
from medchat.errors import InvalidInput

__all__ = [
    "Dealt", "Unit", "allocate", "choose_pairs", "deal_again", "deal_late", "raters_needed", "short_of",
]  # fmt: skip

TRIES = 20  # of dealing a leaving rater's units to the others: the fullest of them is taken


def choose_pairs(
    question_ids: Sequence[str],
    models: Sequence[str],
    per_question: int | None = None,
    reference: bool = False,
    seed: int = 0,
) -> list[tuple[str, str, str]]:
    """Which pairs are voted on: (question id, model, model), the first to stand on the left unless flipped.

    All pairs of the models; with reference only those of the first model with each other one. per_question: at most
    so many for each question, None for all. Those that a question gets are the ones that had the fewest questions so
    far, among these such as share no model, then those of the models with the fewest: over the whole study no pair has
    more than one question more than another.
    """
    rng = random.Random(seed)
    pairs = [pair for pair in combinations(models, 2) if not reference or pair[0] == models[0]]
    wanted = len(pairs) if per_question is None else min(per_question, len(pairs))
    uses, seen = Counter[tuple[str, str]](), Counter[str]()
    chosen: dict[str, list[tuple[str, str]]] = {}
    for question_id in rng.sample(list(question_ids), len(question_ids)):
        rest, taken, touched = rng.sample(pairs, len(pairs)), [], Counter[str]()
        for _ in range(wanted):
            best = min(rest, key=lambda p: (uses[p], touched[p[0]] + touched[p[1]], seen[p[0]] + seen[p[1]]))
            rest.remove(best)
            taken.append(best)
            uses[best] += 1
            touched.update(best)
            seen.update(best)
        chosen[question_id] = sorted(taken, key=pairs.index)
    return [(question_id, *pair) for question_id in question_ids for pair in chosen[question_id]]


def raters_needed(units: Sequence[Unit], raters_per_item: int) -> int:
    """The number of raters that it takes for nobody to see an answer twice; 0 without units."""
    questions = by_question(units).values()
    return raters_per_item * max((n_rounds_of(mine) for mine in questions), default=0)


def allocate(
    units: Sequence[Unit], raters: Collection[str], raters_per_item: int, repeat_share: float, seed: int
) -> list[Dealt]:
    """Each unit for `raters_per_item` raters; queue by queue in the order of the raters' ids, each in its order.

    Loads differ by at most 1; every rater gets each model and each pair of models as often as the others, as near as
    that goes, spread evenly over the queue; the answers to one question that a rater sees are as few, and as far apart,
    as can be. Each model stands left as often as right, within 1, for every rater and overall (repeats not counted).
    All raters get the same number of hidden repeats, each at least a third of the queue after its first.
    Raises InvalidInput when there are no raters or units, or too few raters.
    """
    _check(units, raters, raters_per_item, repeat_share)
    rng = random.Random(seed)
    names = sorted(set(raters))
    mine = shared_out(units, names, raters_per_item, rng)
    n_repeats = repeats_of(repeat_share, len(units) * raters_per_item // len(names))
    queues = {rater: in_order(mine[rater], rng) for rater in names}
    flips = _flips(queues, rng)
    dealt: list[Dealt] = []
    for rater in names:
        dealt += queue_of(rater, queues[rater], flips[rater], n_repeats, len(dealt), rng)
    return dealt


def deal_again(
    units: Sequence[Unit],
    dealt: Sequence[Dealt],
    done: Collection[int],
    leaving: str,
    seed: int,
    *,
    opened: Collection[int] = (),
    staying: Collection[str] | None = None,
) -> tuple[list[int], list[Dealt]]:
    """Indexes of rows to withdraw, and new rows at the ends of the others' queues: what `leaving` has not done.

    dealt: the rows that stand. done: indexes of those that are judged; opened: of others that a rater has seen, who
    keeps them. staying: who may get more, None for all others in dealt. Each unit goes to the rater with the least left
    to do who has not seen any of its answers. Where there is none, two raters swap units of the question that neither
    has seen, so that one may have it. What nobody may get even so stays with fewer raters (`short_of` counts it).
    Hidden repeats that the leaving rater had not come to are dropped.
    """
    rng = random.Random(seed)
    raters = sorted(({row.rater for row in dealt} if staying is None else set(staying)) - {leaving})
    by_id = {unit.id: unit for unit in units}
    gone = [place for place, row in enumerate(dealt) if row.rater == leaving and place not in done]
    orphans = [by_id[dealt[place].unit_id] for place in gone if dealt[place].repeat_of is None]
    kept = [row for place, row in enumerate(dealt) if place not in set(gone)]
    left = Counter(row.rater for place, row in enumerate(dealt) if place not in done)
    best: list[tuple[str, Unit]] = []
    for _ in range(TRIES):
        deal = _handed_on(orphans, kept, by_id, raters, left, rng)
        best = max(best, deal, key=len)
        if len(best) == len(orphans):
            break
    repeated = {row.repeat_of for row in dealt}
    fixed = {*done, *opened, *repeated}
    hands = Hands(raters, rng)
    for place, row in enumerate(dealt):
        if row.rater in raters and row.repeat_of is None:
            hands.add(row.rater, by_id[row.unit_id], FIXED if place in fixed else place)
    for rater, unit in best:
        hands.add(rater, unit, NEW)
    found = {unit.id for _, unit in best}
    for unit in orphans:
        if unit.id not in found:
            hands.make_room(unit)
    moved, new = hands.changes(dealt)
    withdrawn = {*gone, *moved}
    stands = [row for place, row in enumerate(dealt) if place not in withdrawn]
    return sorted(withdrawn), _appended(new, stands, by_id, rng)


def deal_late(
    units: Sequence[Unit],
    dealt: Sequence[Dealt],
    done: Collection[int],
    rater: str,
    seed: int,
    *,
    raters_per_item: int | None = None,
) -> tuple[list[int], list[Dealt]]:
    """Indexes of rows to withdraw from the others, and the queue of a rater who joins late.

    dealt: the rows that stand. done: indexes of those that are judged or have been opened: they stay where they are.
    The rater first gets the units that have too few raters, then, of the others' ends, so much that all have the same
    left to do. raters_per_item: None takes the most that a unit has. repeat_of of the new rows counts on from
    len(dealt). Hidden repeats come in the same share as in the other queues.
    """
    rng = random.Random(seed)
    by_id = {unit.id: unit for unit in units}
    seen = _seen(dealt, by_id)[rater]
    missing = short_of(units, dealt, raters_per_item or _most_raters(dealt))
    taken: list[Unit] = []
    for unit_id in sorted(missing, key=lambda _: rng.random()):
        if not seen & touched_by(by_id[unit_id]):
            taken.append(by_id[unit_id])
            seen |= touched_by(by_id[unit_id])
    withdrawn = _given_up(dealt, done, rater, by_id, seen, taken)
    firsts = sum(row.repeat_of is None for row in dealt) or 1
    n_repeats = repeats_of(min(MOST_REPEATS, (len(dealt) - firsts) / firsts), len(taken))
    queue = in_order(taken, rng)
    flips = _flips({rater: queue}, rng)
    start = 1 + max((row.position for row in dealt if row.rater == rater), default=-1)
    new = queue_of(rater, queue, flips[rater], n_repeats, len(dealt), rng)
    return withdrawn, [row._replace(position=row.position + start) for row in new]


def short_of(units: Sequence[Unit], dealt: Iterable[Dealt], raters_per_item: int) -> dict[str, int]:
    """How many raters each unit is short of, by its id, without those that have enough. dealt: the rows that stand."""
    counts = Counter(row.unit_id for row in dealt if row.repeat_of is None)
    return {unit.id: raters_per_item - counts[unit.id] for unit in units if counts[unit.id] < raters_per_item}


# What may be together


def _check(units: Sequence[Unit], raters: Collection[str], raters_per_item: int, repeat_share: float) -> None:
    n_raters = len(set(raters))
    if not units:
        raise InvalidInput("There is nothing to judge: choose questions and models first.")
    if not n_raters:
        raise InvalidInput("There are no raters: add at least one.")
    if raters_per_item < 1:
        raise InvalidInput("Raters per item must be 1 or more.")
    if not 0 <= repeat_share <= MOST_REPEATS:
        raise InvalidInput(f"The share of hidden repeats must be from 0 to {MOST_REPEATS}.")
    if raters_per_item > n_raters:
        there = "there is only 1 rater" if n_raters == 1 else f"there are only {n_raters} raters"
        raise InvalidInput(
            f"Each item is to be judged by {raters_per_item} raters, but {there}: add raters, or ask for fewer an item."
        )
    needed = raters_needed(units, raters_per_item)
    if needed > n_raters:
        most = n_raters // (needed // raters_per_item)
        fewer = f"at most {most} raters an item" if most else "fewer pairs a question"
        raise InvalidInput(
            f"For no rater to see an answer twice, {raters_per_item} raters an item take {needed} raters; there are "
            f"{n_raters}. Add {needed - n_raters} more, or ask for {fewer}."
        )


def _seen(dealt: Iterable[Dealt], by_id: Mapping[str, Unit]) -> defaultdict[str, set[tuple[str, str]]]:
    seen: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)
    for row in dealt:
        seen[row.rater] |= touched_by(by_id[row.unit_id])
    return seen


# How it is dealt


def _flips(queues: Mapping[str, Sequence[Unit]], rng: random.Random) -> dict[str, list[bool]]:
    """For each unit of each queue whether it is flipped; answers that are rated never are."""
    flips = {rater: [False] * len(queue) for rater, queue in queues.items()}
    places = [(rater, at) for rater, queue in queues.items() for at, unit in enumerate(queue) if unit.kind == "pair"]
    votes = [Vote(rater, *queues[rater][at].models) for rater, at in places]
    for (rater, at), is_flipped in zip(places, balanced_flips(votes, rng), strict=True):
        flips[rater][at] = is_flipped
    return flips


def _handed_on(
    orphans: Sequence[Unit],
    kept: Sequence[Dealt],
    by_id: Mapping[str, Unit],
    raters: Sequence[str],
    left: Mapping[str, int],
    rng: random.Random,
) -> list[tuple[str, Unit]]:
    """Who gets which of the units: those that the fewest may get first, each to the one with the least left to do."""
    seen, load = _seen(kept, by_id), Counter({rater: left.get(rater, 0) for rater in raters})
    rest = {unit.id: unit for unit in rng.sample(list(orphans), len(orphans))}
    of_question = by_question(rest.values())
    may_get = {unit.id: {rater for rater in raters if not seen[rater] & touched_by(unit)} for unit in rest.values()}
    queue = [(len(may_get[unit_id]), place, unit_id) for place, unit_id in enumerate(rest)]
    heapify(queue)
    deal: list[tuple[str, Unit]] = []
    while queue:
        n_able, place, unit_id = heappop(queue)
        able = sorted(may_get[unit_id])
        if len(able) < n_able:  # somebody has got another unit with one of its answers meanwhile
            heappush(queue, (len(able), place, unit_id))
            continue
        unit = rest.pop(unit_id)
        if not able:
            continue
        rater = min(rng.sample(able, len(able)), key=lambda rater: load[rater])
        deal.append((rater, unit))
        load[rater] += 1
        for other in of_question[unit.question_id]:
            if other.id in rest and touched_by(other) & touched_by(unit):
                may_get[other.id].discard(rater)
    return deal


def _appended(
    deal: Sequence[tuple[str, Unit]], kept: Sequence[Dealt], by_id: Mapping[str, Unit], rng: random.Random
) -> list[Dealt]:
    """New rows behind the queues that are there, each pair on the sides that were rarer for its rater so far."""
    ends, sides = Counter[str](), Counter[tuple[str, str]]()
    for row in kept:
        ends[row.rater] = max(ends[row.rater], row.position + 1)
        if row.repeat_of is None:
            _count_sides(sides, row.rater, by_id[row.unit_id], row.flipped)
    rows: list[Dealt] = []
    for rater, unit in rng.sample(list(deal), len(deal)):
        flipped = unit.kind == "pair" and _is_rarer_flipped(sides, rater, unit, rng)
        _count_sides(sides, rater, unit, flipped)
        rows.append(Dealt(rater, unit.id, ends[rater], flipped, None))
        ends[rater] += 1
    return rows


def _is_rarer_flipped(sides: Mapping[tuple[str, str], int], rater: str, unit: Unit, rng: random.Random) -> bool:
    left, right = unit.models
    lead = sides[rater, left] - sides[rater, right] or sides["", left] - sides["", right]
    return lead > 0 if lead else rng.random() < 0.5


def _count_sides(sides: Counter[tuple[str, str]], rater: str, unit: Unit, flipped: bool) -> None:
    """Counts how much oftener each model was left than right, for the rater and for all of them ("")."""
    if unit.kind == "pair":
        left, right = unit.models[::-1] if flipped else unit.models
        for who in (rater, ""):
            sides[who, left] += 1
            sides[who, right] -= 1


def _most_raters(dealt: Iterable[Dealt]) -> int:
    return max(Counter(row.unit_id for row in dealt if row.repeat_of is None).values(), default=0)


def _given_up(
    dealt: Sequence[Dealt],
    done: Collection[int],
    rater: str,
    by_id: Mapping[str, Unit],
    seen: set[tuple[str, str]],
    taken: list[Unit],
) -> list[int]:
    """Indexes of the rows that the others give up; their units go to `taken` and their answers to `seen`.

    Each time the rater with the most left gives one of the models that the new one has had least, the last in the
    queue of those. A row with a hidden repeat, and the repeat, stay.
    """
    repeated = {row.repeat_of for row in dealt}
    left: dict[str, list[int]] = defaultdict(list)
    for place, row in enumerate(dealt):
        if place not in done and row.rater != rater:
            left[row.rater].append(place)
    free = {
        name: [place for place in places if dealt[place].repeat_of is None and place not in repeated]
        for name, places in left.items()
    }
    loads = Counter({name: len(places) for name, places in left.items()})
    uses = Counter(unit.models for unit in taken)
    given: list[int] = []
    while givers := [name for name in sorted(free) if free[name] and loads[name] > len(taken) + 1]:
        giver = max(givers, key=lambda name: loads[name])
        free[giver] = [at for at in free[giver] if not touched_by(by_id[dealt[at].unit_id]) & seen]
        if not free[giver]:
            continue
        place = min(free[giver], key=lambda at: (uses[by_id[dealt[at].unit_id].models], -dealt[at].position))
        unit = by_id[dealt[place].unit_id]
        free[giver].remove(place)
        loads[giver] -= 1
        uses[unit.models] += 1
        seen |= touched_by(unit)
        given.append(place)
        taken.append(unit)
    return given
