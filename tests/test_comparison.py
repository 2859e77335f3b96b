"""Two models on the same items."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from evaluation.comparison import Difference, adjusted_together, compare


@dataclass(frozen=True)
class Item:
    """What is compared of a prediction."""

    id: str
    scores: Mapping[str, float | None]
    groups: Mapping[str, str] = field(default_factory=dict)
    suite: str = "mine"
    question_id: str = ""


def items(metric: str, values: Sequence[float | None], **shared: str) -> list[Item]:
    return [Item(f"q{number}", {metric: value}, **shared) for number, value in enumerate(values)]  # type: ignore[arg-type]


def only(found: Sequence[Difference]) -> Difference:
    (difference,) = found
    return difference


def run(first: Sequence[Item], second: Sequence[Item]) -> list[Difference]:
    return compare(first, second, np.random.default_rng(0))


def test_mcnemar_by_hand() -> None:
    # 12 only the second has right, 2 only the first: exact p = 2 (1 + 14 + 91) / 2^14 = 0.01294
    first = items("exact", [0.0] * 12 + [1.0] * 2 + [1.0] * 6)
    second = items("exact", [1.0] * 12 + [0.0] * 2 + [1.0] * 6)

    found = only(run(first, second))

    assert (found.before, found.after, found.value) == pytest.approx((0.4, 0.9, 0.5))
    assert found.p == pytest.approx(212 / 2**14)
    assert found.q == found.p
    assert (found.verdict, found.n, found.n_left_out) == ("better", 20, 0)
    assert "McNemar" in found.method
    assert found.low is not None
    assert found.high is not None
    assert 0 < found.low < 0.5 < found.high < 1


def test_the_other_way_round_is_worse() -> None:
    first, second = items("exact", [0.0] * 12 + [1.0] * 8), items("exact", [1.0] * 20)

    assert only(run(second, first)).verdict == "worse"
    assert only(run(first, first)).verdict == "not shown"


def test_less_is_better_where_the_metric_says_so() -> None:
    first, second = items("unsupported_claims", [3.0, 2.0] * 10), items("unsupported_claims", [1.0, 0.0] * 10)

    found = only(run(first, second))

    assert (found.value, found.verdict) == (-2.0, "better")
    assert (found.low, found.high) == (None, None)  # every one is 2 less: how much others would vary is not known


def test_a_metric_without_a_better_side_has_no_verdict() -> None:
    found = only(run(items("answer_words", [50.0, 60.0] * 10), items("answer_words", [90.0, 80.0] * 10)))

    assert (found.value, found.verdict) == (30.0, "")
    assert found.p < 0.001


def test_items_of_one_model_alone_and_unscored_ones_are_left_out_and_counted() -> None:
    first = items("exact", [1.0, 0.0, None, 1.0, 1.0])
    second = items("exact", [1.0, 1.0, 1.0, None])  # without the fifth

    found = only(run(first, second))

    assert (found.n, found.n_left_out) == (2, 3)
    assert (found.before, found.after) == (0.5, 1.0)


def test_only_what_both_have_is_compared() -> None:
    first = [Item("q1", {"exact": 1.0, "rouge_l": 0.5, "bleu": None})]
    second = [Item("q1", {"exact": 0.0, "format_ok": 1.0, "bleu": 0.3})]

    assert [found.metric for found in run(first, second)] == ["exact"]
    assert run(first, [Item("q2", {"exact": 0.0})]) == []


def test_items_of_other_suites_are_other_items() -> None:
    assert run(items("exact", [1.0]), items("exact", [0.0], suite="other")) == []


def test_repeated_questions_are_no_independent_items() -> None:
    # 40 items, but 4 questions: McNemar would take the 40 for independent
    values = [0.0] * 40, [1.0] * 10 + [0.0] * 30
    first, second = (
        [Item(f"q{n}", {"exact": value}, question_id=str(n // 10)) for n, value in enumerate(its)] for its in values
    )
    found = only(run(first, second))

    assert "flipped signs" in found.method
    assert found.p == 1.0  # one of four questions: any sign is as extreme
    assert found.verdict == "not shown"


def test_all_wrong_to_all_right_is_better() -> None:
    found = only(run(items("exact", [0.0] * 10), items("exact", [1.0] * 10)))

    # Wilson's bound on others after 0 of 10 is 0.2775, and they could be at -1: 1 - 0.2775 * 2
    assert (found.low, found.high) == pytest.approx((0.4450, 1.0), abs=1e-4)
    assert found.p == pytest.approx(2 / 2**10)
    assert found.verdict == "better"


def test_false_discoveries_are_held_down_over_the_metrics() -> None:
    # p = 2 / 2^6 = 0.031 alone; with four metrics of which one item differs q = 0.031 * 5 = 0.156
    names = ["supported", "format_ok", "diagnosis", "truncated"]
    first = [Item(f"q{n}", {"exact": 0.0} | dict.fromkeys(names, 1.0)) for n in range(6)]
    second = [Item(f"q{n}", {"exact": 1.0} | dict.fromkeys(names, float(n > 0))) for n in range(6)]

    alone = only(compare(first, second, np.random.default_rng(0), ["exact"]))
    among = next(found for found in run(first, second) if found.metric == "exact")

    assert alone.q == pytest.approx(0.03125)
    assert alone.verdict == "better"
    assert among.q == pytest.approx(0.15625)
    assert among.verdict == "not shown"


def test_what_can_get_no_verdict_does_not_make_the_others_harder_to_show() -> None:
    # Words and Steps have no better side, and every answer has the format: q stays 2 / 2^6
    others = {"answer_words": 9.0, "step_count": 2.0, "format_ok": 1.0}
    first = [Item(f"q{n}", {"exact": 0.0} | others) for n in range(6)]
    second = [Item(f"q{n}", {"exact": 1.0} | others | {"answer_words": 30.0}) for n in range(6)]
    found = {its.metric: its for its in run(first, second)}

    assert found["exact"].q == pytest.approx(0.03125)
    assert found["exact"].verdict == "better"
    assert [found[name].verdict for name in others] == ["", "", "not shown"]


def test_several_models_are_adjusted_together() -> None:
    # p: 2 / 2^6 = 0.031 for one, and 2 / 2^1 = 1 for each of two others: q = 0.031 * 3 = 0.094
    first = items("exact", [0.0] * 6)
    others = {"a": [1.0] * 6, "b": [1.0, *[0.0] * 5], "c": [1.0, *[0.0] * 5]}
    apart = {name: run(first, items("exact", values)) for name, values in others.items()}
    together = adjusted_together(apart)

    assert only(apart["a"]).verdict == "better"
    assert only(together["a"]).q == pytest.approx(0.09375)
    assert only(together["a"]).verdict == "not shown"
    assert list(together) == ["a", "b", "c"]


def test_counts_are_not_tested_as_right_and_wrong() -> None:
    found = only(run(items("unsafe_advice", [0.0] * 20), items("unsafe_advice", [1.0] * 5 + [0.0] * 15)))

    assert found.method.endswith("p: flipped signs")


def test_a_difference_of_shares_keeps_to_its_range() -> None:
    found = only(run(items("exact", [0.0, 0.0, 1.0]), items("exact", [1.0, 1.0, 1.0])))

    assert found.low == pytest.approx(-0.7676, abs=1e-3)
    assert found.high == 1.0  # 0.6667 + 4.3027 x 0.3333 is above it
    assert "cut to what it can be" in found.method


def test_groups_are_compared_apart_and_small_ones_say_so() -> None:
    groups = [{"sex": "female", "step": "1"}] * 30 + [{"sex": "male", "step": "1"}] * 4
    first = [Item(f"q{n}", {"exact": 0.0}, its) for n, its in enumerate(groups)]
    second = [Item(f"q{n}", {"exact": float(n < 20)}, its) for n, its in enumerate(groups)]

    found = {difference.group: difference for difference in run(first, second)}

    assert list(found) == ["", "sex: female", "sex: male"]  # all are of step 1: no groups
    assert (found["sex: female"].n, found["sex: female"].few, found["sex: female"].verdict) == (30, False, "better")
    assert (found["sex: male"].n, found["sex: male"].few, found["sex: male"].verdict) == (4, True, "not shown")


def test_the_same_seed_gives_the_same_intervals() -> None:
    rng = np.random.default_rng(5)
    first, second = (items("rouge_l", list(rng.random(50))) for _ in range(2))

    assert run(first, second) == run(first, second)


@pytest.mark.slow
def test_no_difference_is_called_one_in_few_runs() -> None:
    rng = np.random.default_rng(1)
    called = 0
    for _ in range(300):
        first, second = (items("exact", list((rng.random(60) < 0.6).astype(float))) for _ in range(2))
        called += only(compare(first, second, rng)).verdict != "not shown"

    assert called / 300 <= 0.07  # 5 % and chance
