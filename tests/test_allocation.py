"""Who judges what: balance, blindness and reproducibility of the table, for studies of many shapes."""

import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import combinations, pairwise
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medchat.allocation import (
    Dealt,
    Unit,
    allocate,
    choose_pairs,
    deal_again,
    deal_late,
    raters_needed,
    short_of,
)
from medchat.errors import InvalidInput


class Shape(NamedTuple):
    units: list[Unit]
    raters: list[str]
    k: int
    repeat_share: float
    seed: int

    def dealt(self) -> list[Dealt]:
        return allocate(self.units, self.raters, self.k, self.repeat_share, self.seed)


def units_of(n_models: int, n_questions: int, tasks: str, per_question: int | None = None) -> list[Unit]:
    models, questions = [f"m{n}" for n in range(n_models)], [f"q{n}" for n in range(n_questions)]
    units = [Unit(f"{q}-{m}", "rate", q, (m,)) for q in questions for m in models if tasks != "pairwise"]
    pairs = choose_pairs(questions, models, per_question) if tasks != "rate" else []
    return units + [Unit(f"{q}-{a}-{b}", "pair", q, (a, b)) for q, a, b in pairs]


@st.composite
def shapes(draw: st.DrawFn) -> Shape:
    """Studies of all designs, with as many raters as they need or some more."""
    tasks, per_question = draw(st.sampled_from(("rate", "pairwise", "both"))), draw(st.sampled_from((None, 1, 2, 5)))
    units = units_of(draw(st.integers(2, 8)), draw(st.integers(1, 12)), tasks, per_question)
    k = draw(st.integers(1, 3))
    n_raters = raters_needed(units, k) + draw(st.sampled_from((0, 1, 4)))
    share, seed = draw(st.sampled_from((0.0, 0.1, 0.3))), draw(st.integers(0, 1000))
    return Shape(units, [f"r{n}" for n in range(n_raters)], k, share, seed)


def firsts(dealt: Sequence[Dealt]) -> list[Dealt]:
    return [row for row in dealt if row.repeat_of is None]


def seen(units: Sequence[Unit], dealt: Sequence[Dealt]) -> Iterator[tuple[str, str, str]]:
    """Each answer that a rater sees, hidden repeats apart, as often as it is seen."""
    by_id = {unit.id: unit for unit in units}
    for row in firsts(dealt):
        unit = by_id[row.unit_id]
        yield from ((row.rater, unit.question_id, model) for model in unit.models)


def leads(units: Sequence[Unit], dealt: Sequence[Dealt]) -> Counter[tuple[str, str]]:
    """How much oftener each model stood left than right, by rater and, under "", overall."""
    by_id, lead = {unit.id: unit for unit in units}, Counter[tuple[str, str]]()
    for row in firsts(dealt):
        if by_id[row.unit_id].kind == "pair":
            left, right = by_id[row.unit_id].models[::-1] if row.flipped else by_id[row.unit_id].models
            for who in (row.rater, ""):
                lead[who, left] += 1
                lead[who, right] -= 1
    return lead


@settings(max_examples=15, deadline=None, derandomize=True)
@given(shapes())
def test_a_table_of_any_shape_is_balanced_blinded_and_the_same_for_its_seed(shape: Shape) -> None:
    dealt = shape.dealt()

    assert dealt == shape._replace(raters=shape.raters[::-1]).dealt()
    assert set(Counter(row.unit_id for row in firsts(dealt)).values()) == {shape.k}
    assert len(set(seen(shape.units, dealt))) == len(list(seen(shape.units, dealt)))
    loads = [sum(row.rater == rater for row in firsts(dealt)) for rater in shape.raters]
    assert max(loads) - min(loads) <= 1
    assert all(abs(lead) <= 1 for lead in leads(shape.units, dealt).values())
    assert not any(row.flipped for row in dealt if row.unit_id.count("-") == 1)
    for rater in shape.raters:
        assert [row.position for row in dealt if row.rater == rater] == list(
            range(sum(r.rater == rater for r in dealt))
        )


@settings(max_examples=15, deadline=None, derandomize=True)
@given(shapes())
def test_repeats_come_a_third_of_the_queue_later_the_other_way_round_and_for_all_alike(shape: Shape) -> None:
    dealt = shape.dealt()

    lengths = Counter(row.rater for row in dealt)
    for row in dealt:
        if row.repeat_of is not None:
            first = dealt[row.repeat_of]
            assert (first.rater, first.unit_id, first.repeat_of) == (row.rater, row.unit_id, None)
            assert row.position - first.position >= lengths[row.rater] / 3
            assert row.flipped == (not first.flipped if row.unit_id.count("-") == 2 else False)
    repeated = [row.repeat_of for row in dealt if row.repeat_of is not None]
    assert len(set(repeated)) == len(repeated)
    least = len(shape.units) * shape.k // len(shape.raters)
    wanted = int(shape.repeat_share * least + 0.5) if least >= 4 else 0
    assert Counter(row.rater for row in dealt if row.repeat_of is not None) == Counter(
        dict.fromkeys(shape.raters, wanted) if wanted else {}
    )


@settings(max_examples=8, deadline=None, derandomize=True)
@given(shapes(), st.floats(0, 1))
def test_what_a_rater_leaves_goes_to_those_who_have_not_seen_it(shape: Shape, part: float) -> None:
    dealt, rng = shape.dealt(), random.Random(shape.seed)
    leaving = rng.choice(shape.raters)
    lengths = Counter(row.rater for row in dealt)
    done = {place for place, row in enumerate(dealt) if row.position < part * lengths[row.rater]}

    opened = {place for place, row in enumerate(dealt) if row.position == len(done) % 3 and place not in done}

    withdrawn, new = deal_again(shape.units, dealt, done, leaving, shape.seed, opened=opened)

    stands = [row for place, row in enumerate(dealt) if place not in withdrawn]
    assert leaving not in {row.rater for row in [*stands, *new]} - {dealt[place].rater for place in done}
    assert all(dealt[place].rater == leaving for place in set(withdrawn) & {*done, *opened})
    assert not done & set(withdrawn)
    kept = {row for place, row in enumerate(dealt) if row.repeat_of is not None and row.rater != leaving}
    assert kept <= set(stands)
    assert {dealt[row.repeat_of] for row in kept if row.repeat_of is not None} <= set(stands)
    assert len(set(seen(shape.units, [*stands, *new]))) == len(list(seen(shape.units, [*stands, *new])))
    assert all(row.position >= 1 + max((r.position for r in stands if r.rater == row.rater), default=-1) for row in new)
    assert len({(row.rater, row.position) for row in new}) == len(new)
    # An item that nobody got is one that everybody who stays has seen an answer of.
    had = set(seen(shape.units, [*stands, *new]))
    others = [rater for rater in shape.raters if rater != leaving]
    for unit in shape.units:
        if unit.id in short_of(shape.units, [*stands, *new], shape.k):
            assert all(any((rater, unit.question_id, model) in had for model in unit.models) for rater in others)
    assert (withdrawn, new) == deal_again(shape.units, dealt, done, leaving, shape.seed, opened=opened)


@pytest.mark.parametrize(("models", "k", "spare"), [(3, 1, 1), (4, 1, 1), (4, 2, 2), (5, 2, 2), (6, 1, 1)])
def test_as_long_as_enough_raters_stay_nothing_is_lost_when_one_leaves_at_the_start(
    models: int, k: int, spare: int
) -> None:
    units = units_of(models, 20, "pairwise")
    raters = [f"r{n}" for n in range(raters_needed(units, k) + spare)]
    dealt = allocate(units, raters, k, 0.0, 3)

    withdrawn, new = deal_again(units, dealt, set(), "r0", 3)

    stands = [row for place, row in enumerate(dealt) if place not in withdrawn]
    assert short_of(units, [*stands, *new], k) == {}


@settings(max_examples=8, deadline=None, derandomize=True)
@given(shapes(), st.floats(0, 1))
def test_a_late_rater_takes_over_a_fair_part_of_what_nobody_has_opened(shape: Shape, part: float) -> None:
    dealt = shape.dealt()
    lengths = Counter(row.rater for row in dealt)
    done = {place for place, row in enumerate(dealt) if row.position < part * lengths[row.rater]}

    withdrawn, new = deal_late(shape.units, dealt, done, "late", shape.seed)

    assert not done & set(withdrawn)
    assert {row.rater for row in new} <= {"late"}
    kept = [row for place, row in enumerate(dealt) if place not in withdrawn]
    assert set(Counter(row.unit_id for row in firsts([*kept, *new])).values()) == {shape.k}
    assert len(set(seen(shape.units, [*kept, *new]))) == len(list(seen(shape.units, [*kept, *new])))
    assert not {row.repeat_of for row in kept} & set(withdrawn)
    assert all(dealt[place].repeat_of is None for place in withdrawn)
    most = max(
        (sum(r.rater == rater and n not in done for n, r in enumerate(dealt)) for rater in shape.raters), default=0
    )
    assert len(firsts(new)) <= most
    for row in new:
        if row.repeat_of is not None:
            assert new[row.repeat_of - len(dealt)].unit_id == row.unit_id


def test_a_late_rater_halves_the_work_of_one_that_is_left() -> None:
    units = units_of(2, 10, "rate")
    dealt = allocate(units, ["ann"], 1, 0.0, 1)  # 20 answers

    withdrawn, new = deal_late(units, dealt, set(range(4)), "bob", 2)  # 16 are open: 8 each

    assert len(withdrawn) == len(new) == 8
    assert Counter(row.unit_id.split("-")[1] for row in new) == {"m0": 4, "m1": 4}


def test_a_late_rater_first_gets_what_has_too_few_raters() -> None:
    units = units_of(2, 5, "rate")
    dealt = allocate(units, ["ann", "bob"], 2, 0.0, 1)
    alone = [row for row in dealt if row.rater == "ann"]  # bob has left without a judgement

    assert deal_again(units, dealt, set(), "bob", 1)[1] == []  # ann has them all
    withdrawn, new = deal_late(units, alone, set(), "cem", 1, raters_per_item=2)

    assert withdrawn == []
    assert {row.unit_id for row in new} == {unit.id for unit in units}


def test_a_leaving_raters_work_is_shared_evenly_by_the_others() -> None:
    units = units_of(3, 40, "rate")
    dealt = allocate(units, ["a", "b", "c", "d"], 1, 0.0, 5)  # 120 answers, 30 each

    withdrawn, new = deal_again(units, dealt, set(), "d", 5)

    assert [dealt[place].rater for place in withdrawn] == ["d"] * 30
    assert Counter(row.rater for row in new) == {"a": 10, "b": 10, "c": 10}


@pytest.mark.parametrize(
    ("models", "tasks", "rounds"),
    # All pairs of M models: M - 1 rounds where M is even, M where it is odd. With ratings: M. Ratings alone: 1.
    [(2, "pairwise", 1), (3, "pairwise", 3), (4, "pairwise", 3), (5, "pairwise", 5), (7, "pairwise", 7),
     (8, "pairwise", 7), (2, "both", 2), (5, "both", 5), (8, "both", 8), (8, "rate", 1)],
)  # fmt: skip
def test_raters_needed_is_the_number_of_rounds_times_the_raters_an_item(models: int, tasks: str, rounds: int) -> None:
    units = units_of(models, 2, tasks)

    assert raters_needed(units, 2) == 2 * rounds
    with pytest.raises(InvalidInput):
        allocate(units, [str(n) for n in range(2 * rounds - 1)], 2, 0.0, 0)


def test_pairs_with_a_reference_need_a_rater_each() -> None:
    pairs = choose_pairs(["q"], ["old", "a", "b", "c"], reference=True)

    assert pairs == [("q", "old", "a"), ("q", "old", "b"), ("q", "old", "c")]
    assert raters_needed([Unit(b, "pair", q, (a, b)) for q, a, b in pairs], 1) == 3


@pytest.mark.parametrize(("models", "per_question"), [(3, 1), (4, 2), (5, 2), (6, 3), (8, 4), (8, 5)])
def test_some_pairs_a_question_still_compare_every_two_models_as_often(models: int, per_question: int) -> None:
    names = [f"m{n}" for n in range(models)]

    chosen = choose_pairs([f"q{n}" for n in range(50)], names, per_question, seed=3)

    uses = Counter((a, b) for _, a, b in chosen)
    counts = [uses[pair] for pair in combinations(names, 2)]
    assert len(chosen) == 50 * per_question
    assert max(counts) - min(counts) <= 1
    assert chosen == choose_pairs([f"q{n}" for n in range(50)], names, per_question, seed=3)
    assert chosen != choose_pairs([f"q{n}" for n in range(50)], names, per_question, seed=4)


def test_every_rater_gets_each_model_as_often_and_evenly_over_the_queue() -> None:
    units = units_of(4, 60, "rate")  # 240 answers by 3 of 8 raters: 90 each, 22 or 23 of each model

    dealt = allocate(units, [f"r{n}" for n in range(8)], 3, 0.0, 7)

    for rater in {row.rater for row in dealt}:
        models = [row.unit_id.split("-")[1] for row in dealt if row.rater == rater]
        assert set(Counter(models).values()) <= {22, 23}
        # In the first half of the queue each has half of its own, within two.
        assert all(abs(models[:45].count(model) - models.count(model) / 2) <= 2 for model in set(models))


def test_answers_to_one_question_stand_far_apart_in_a_queue() -> None:
    units = units_of(3, 20, "rate")

    dealt = allocate(units, ["ann"], 1, 0.0, 1)  # 60 answers, three to each question: 20 apart, as the draw allows

    places: dict[str, list[int]] = defaultdict(list)
    for row in dealt:
        places[row.unit_id.split("-")[0]].append(row.position)
    assert min(later - earlier for mine in places.values() for earlier, later in pairwise(mine)) >= 15


def test_another_seed_makes_another_table() -> None:
    units = units_of(3, 10, "both")
    raters = [f"r{n}" for n in range(6)]

    assert allocate(units, raters, 2, 0.1, 1) != allocate(units, raters, 2, 0.1, 2)


@pytest.mark.parametrize(
    ("raters", "k", "share", "told"),
    [
        ([], 1, 0.0, "There are no raters"),
        (["a", "b"], 3, 0.0, "judged by 3 raters, but there are only 2 raters: add raters"),
        (["a"], 2, 0.0, "there is only 1 rater:"),
        (["a", "b", "c", "d"], 2, 0.0, "2 raters an item take 6 raters; there are 4. Add 2 more, or ask for at most 1"),
        (["a", "b"], 1, 0.0, "1 raters an item take 3 raters; there are 2. Add 1 more, or ask for fewer pairs"),
        (["a", "b", "c"], 0, 0.0, "1 or more"),
        (["a", "b", "c"], 1, 0.4, "from 0 to 0.3"),
    ],
)  # fmt: skip
def test_a_table_that_cannot_be_is_refused_with_what_to_change(
    raters: list[str], k: int, share: float, told: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        allocate(units_of(3, 4, "pairwise"), raters, k, share, 1)

    assert told in str(refused.value)
    assert "\n" not in str(refused.value)


def test_nothing_to_judge_is_refused() -> None:
    with pytest.raises(InvalidInput, match="nothing to judge"):
        allocate([], ["a"], 1, 0.0, 1)
