"""Metrics and intervals: what counts as right, what is left unscored, and how sure a figure is."""

import re
from importlib import import_module

import pytest

from evaluation.metrics import (
    DONT_KNOW,
    METRICS,
    Answer,
    Tools,
    abstained,
    exact,
    format_ok,
    group_of,
    metrics,
    references_of,
    says_dont_know,
    supported_by,
)
from evaluation.stats import share, wilson
from medchat.errors import NotFound
from medchat.knowledge import Knowledge
from medchat.recognition import Grounding
from medchat.records import Example

GOUT = Example("Which disease?", "gout", accepted=("gouty arthritis",), meta={"condition": "gout"})
ODD = Example("Which disease?", "outside my knowledge", meta={"condition": None})
FREE = Example("Which disease?", "gout")


def solved(*solutions: str) -> list[Answer | None]:
    return [Answer(solution) for solution in solutions]


# exact


@pytest.mark.parametrize(
    "solution",
    ["gout", "Gout.", "  GOUT !", "gouty\n arthritis", "Gouty  arthritis;", "\uff27out", "Gout.\nIt comes from urate."],
)
def test_spelling_spaces_and_final_punctuation_do_not_matter(solution: str) -> None:
    assert exact([GOUT], solved(solution)) == [1.0]


@pytest.mark.parametrize(
    "solution", ["", "pseudogout", "gout or pseudogout", "It is gout", "Pseudogout.\ngout", DONT_KNOW, "."]
)
def test_anything_else_is_wrong(solution: str) -> None:
    assert exact([GOUT], solved(solution)) == [0.0]


def test_an_empty_accepted_form_matches_no_empty_solution() -> None:
    assert exact([Example("Q?", "gout", accepted=("", "."))], solved("")) == [0.0]


def test_without_a_reference_or_an_answer_there_is_no_score() -> None:
    assert exact([Example("Q?", None), GOUT], [Answer("gout"), None]) == [None, None]


@pytest.mark.parametrize(
    "solution",
    [
        DONT_KNOW,
        "I don\u2019t know.",
        "I do not know: this is outside my teaching knowledge.",
        "Sorry, I don't know this condition.",
        "I'm afraid I cannot say what this is.",
        "This is outside my teaching knowledge.",
        "Outside my knowledge",
        "Beyond what I was taught.",
        "This case is not in my knowledge.",
    ],
)
def test_an_unknown_case_is_right_when_the_model_says_that_it_does_not_know(solution: str) -> None:
    assert exact([ODD], solved(solution)) == [1.0]
    assert abstained([ODD], solved(solution)) == [1.0]


@pytest.mark.parametrize(
    "solution",
    ["Gout", "", "I don't know, but it looks like gout.", "Gout. I don't know why.", "Outside temperature matters."],
)
def test_an_unknown_case_is_wrong_when_the_model_answers_it_all_the_same(solution: str) -> None:
    assert exact([ODD], solved(solution)) == [0.0]
    assert not says_dont_know(solution)


def test_saying_that_one_does_not_know_is_wrong_for_a_known_case() -> None:
    assert exact([GOUT, FREE], solved(DONT_KNOW, DONT_KNOW)) == [0.0, 0.0]
    assert abstained([GOUT, FREE], solved(DONT_KNOW, "gout")) == [1.0, 0.0]


def test_examples_are_grouped_only_when_they_say_which_condition_they_are_about() -> None:
    assert [group_of(example) for example in (GOUT, ODD, FREE)] == ["known", "unknown", ""]


# format_ok


def test_the_format_is_kept_by_a_complete_answer_with_reasoning_and_solution() -> None:
    answers: list[Answer | None] = [
        Answer("gout", "1. Toe.", True, "gemma-grpo"),
        Answer("gout", "", True, "gemma-grpo"),  # no reasoning
        Answer("", "1. Toe.", True, "gemma-grpo"),  # no solution
        Answer("gout", "1. Toe.", False, "gemma-grpo"),  # cut
        Answer("gout", "", True, "plain"),  # a format that has no reasoning
        Answer("gout", "", True, ""),  # no model wrote this
        None,
    ]
    assert format_ok([GOUT] * 7, answers) == [1.0, 0.0, 0.0, 0.0, 1.0, None, None]


# supported


class Finder:
    """Knows two findings, by their names; a case with neither is outside its knowledge."""

    def ground(self, text: str) -> Grounding:
        return Grounding((), (), outside=not re.search("fever|red toe", text))

    def cited(self, reasoning: str) -> list[tuple[int, int, str]]:
        return [(match.start(), match.end(), match[0]) for match in re.finditer("fever|red toe", reasoning)]

    def unsupported(self, reasoning: str, case: str) -> list[tuple[int, int, str]]:
        return [found for found in self.cited(reasoning) if found[2] not in case]


def test_support_is_the_share_of_cited_findings_that_stand_in_context_or_question() -> None:
    supported = supported_by(Finder())
    case = Example("He has a red toe. What is it?", "gout", context="No injury.")
    in_context = Example("What is it?", "gout", context="He has a red toe.")
    answers: list[Answer | None] = [
        Answer("gout", "1. The red toe."),
        Answer("gout", "1. The red toe and fever."),  # 1 of 2
        Answer("gout", "1. The fever."),
        Answer("gout", "1. It must be."),  # nothing cited: nothing to score
        None,
    ]
    assert supported([case] * 5, answers) == [1.0, 0.5, 0.0, None, None]
    assert supported([in_context], [Answer("gout", "1. The red toe.")]) == [1.0]


TOOLS = Tools(Finder(), Knowledge({}, {}, ""))


def test_metrics_are_found_by_name_in_the_order_asked() -> None:
    assert list(metrics(("format_ok", "exact"), TOOLS)) == ["format_ok", "exact"]
    with pytest.raises(NotFound, match=r"There is no metric 'accuracy'; choose from: .*exact"):
        metrics(("accuracy",), TOOLS)


@pytest.mark.parametrize("name", [name for name, info in METRICS.items() if not info.torch])
def test_every_metric_without_torch_scores_items_and_leaves_what_has_no_answer(name: str) -> None:
    choice = Example("Which?", "A", options={"A": "gout", "B": "sepsis"})
    calculation = Example("What is the mean pressure?", "93.3", kind="calc", unit="mmHg")
    examples = [GOUT, choice, calculation, FREE]
    answers = [*solved("gout", "A", "93.3 mmHg"), None]
    values = metrics((name,), TOOLS)[name](examples, answers)
    assert len(values) == 4
    assert values[3] is None
    assert all(value is None or isinstance(value, float) for value in values)


def test_the_names_and_titles_of_metrics_are_their_own() -> None:
    assert all(name == info.name for name, info in METRICS.items())
    assert len({info.title for info in METRICS.values()}) == len(METRICS)


def test_the_references_are_the_answer_and_its_accepted_forms() -> None:
    assert references_of(Example("Q?", "gout", accepted=("podagra", " ", "gout"))) == ("gout", "podagra")
    assert references_of(Example("Q?", "B", options={"A": "sepsis", "B": "gout"})) == ("gout",)
    assert references_of(Example("Q?", None, accepted=("gout",))) == ()


def test_speed_and_price_are_those_of_the_answer() -> None:
    timed = Answer("gout", ttft_ms=200, total_ms=1200, prompt_tokens=40, completion_tokens=51, price=0.002)
    untimed = Answer("gout", completion_tokens=1)
    names = ("ttft_ms", "total_ms", "tokens_per_s", "prompt_tokens", "completion_tokens", "price")
    values = {name: metric([GOUT] * 3, [timed, untimed, None]) for name, metric in metrics(names, TOOLS).items()}
    assert values == {
        "ttft_ms": [200, None, None],
        "total_ms": [1200, None, None],
        "tokens_per_s": [50, None, None],  # 50 tokens after the first, in 1 s
        "prompt_tokens": [40, None, None],
        "completion_tokens": [51, 1, None],
        "price": [0.002, None, None],
    }


def test_every_metric_gives_one_value_per_item() -> None:
    examples, answers = [GOUT, ODD, FREE], [*solved("gout", DONT_KNOW), None]
    names = ("exact", "abstained", "format_ok", "supported")
    values = {name: metric(examples, answers) for name, metric in metrics(names, TOOLS).items()}
    assert values == {
        "exact": [1.0, 1.0, None],
        "abstained": [0.0, 1.0, None],
        "format_ok": [None, None, None],
        "supported": [None, None, None],
    }


# intervals


def test_wilson_interval_by_hand() -> None:
    # p = 8/10, z = 1.95996, z^2 = 3.84146; centre = (0.8 + 3.84146/20) / (1 + 3.84146/10)
    # = 0.992073 / 1.384146 = 0.716740
    # half = 1.95996/1.384146 * sqrt(0.8*0.2/10 + 3.84146/400) = 1.416007 * sqrt(0.02560365) = 0.226577
    assert wilson(8, 10) == pytest.approx((0.490162, 0.943318), abs=1e-5)


def test_wilson_interval_at_the_ends() -> None:
    # p = 1: low = n / (n + z^2) = 30 / 33.84146 = 0.886487, high = 1; p = 0 mirrors it
    assert wilson(30, 30) == pytest.approx((0.886487, 1.0), abs=1e-6)
    assert wilson(0, 30) == pytest.approx((0.0, 0.113513), abs=1e-6)
    assert wilson(1, 1)[1] <= 1.0
    assert wilson(0, 1)[0] >= 0.0


def test_what_is_unscored_is_counted_and_never_zero() -> None:
    estimate = share([1.0, None, 0.0, 1.0, None, 1.0])
    # 3 of the 4 that were scored
    assert (estimate.value, estimate.n, estimate.n_unscored) == (0.75, 4, 2)
    assert (estimate.low, estimate.high) == wilson(3, 4)


def test_without_any_score_there_is_no_estimate() -> None:
    estimate = share([None, None])
    assert (estimate.value, estimate.low, estimate.high) == (None, None, None)
    assert (estimate.n, estimate.n_unscored) == (0, 2)


def test_shares_between_zero_and_one_are_averaged() -> None:
    assert share([1.0, 0.5, 0.0, 0.5]).value == 0.5  # 2.0 / 4


@pytest.mark.parametrize("name", METRICS)
def test_the_function_of_every_metric_is_there(name: str) -> None:
    module, _, function = METRICS[name].load.partition(":")
    assert callable(getattr(import_module(module), function))
