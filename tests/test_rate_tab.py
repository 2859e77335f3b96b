"""The Rate tab's HTML: what stands in it, and that nothing which was written becomes markup or tells too much."""

import html
import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest

from medchat.rating import Rated, Task
from medchat.rating_form import Filled, Shown, Span, as_shown, steps_of
from medchat.rubrics import Axis, Criterion, OnlyIf, Option, Rubric, load_rubrics, with_criteria
from medchat.store import QueueItem, QueueState, RatingForm, RatingRecord
from medchat.ui import rate_form

ATTACK = '"><script>alert(1)</script><img src=x onerror="alert(1)">'
RUBRICS = load_rubrics()
REASONING = "First:\n1. The toe is red.\n2. So it is gout."
QUEUE = QueueState((), 0, 0, 0, 0)
SHOWN = Shown(RUBRICS["clinical-3"], REASONING, "Gout: colchicine.", False)
TASK = Task("a1", "A red toe?", "Aged 54.", SHOWN, tuple(steps_of(REASONING)), Filled(), 3, "open", False, QUEUE)


class Elements(HTMLParser):
    """The elements of a page, each with its attributes, and their text by the place where it stands."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}))

    def of(self, tag: str, **wanted: str) -> list[dict[str, str]]:
        names = {name.rstrip("_").replace("_", "-"): value for name, value in wanted.items()}
        return [attrs for name, attrs in self.found if name == tag and names.items() <= attrs.items()]


def visible(page: str) -> str:
    """The words on the page, a space in the place of each tag."""
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))).strip()


def queue(*states: str) -> QueueState:
    items = tuple(QueueItem(str(n), str(n), "upload", state) for n, state in enumerate(states))  # type: ignore[arg-type]
    counts = {state: states.count(state) for state in ("done", "skipped", "open")}
    return QueueState(items, 1, counts["done"], counts["skipped"], counts["open"])


def test_nothing_that_was_written_becomes_markup() -> None:
    axis = Axis("a", ATTACK, ATTACK, "choice", (Option("x", ATTACK, ATTACK), Option("y", "y")), section=ATTACK)
    rubric = Rubric("r", 1, ATTACK, ATTACK, (axis,))
    answer = Shown(rubric, f"1. {ATTACK}\n2. {ATTACK}", ATTACK, False)
    filled = Filled(comment=ATTACK, spans=[Span(part="solution", start=0, end=4, quote=ATTACK, kind="unsafe")])
    task = Task("a1", ATTACK, ATTACK, answer, tuple(steps_of(answer.reasoning)), filled, 1, "open", True, QUEUE)
    form = RatingForm("r", 1, as_shown(answer), {"a": "x"}, critical=True, cannot_rate=ATTACK)
    rated = Rated(RatingRecord("i", "ada", "a1", form, datetime(2026, 1, 2, tzinfo=UTC), None), ATTACK)
    page = "".join(
        (
            rate_form.task_html(task, "ada"),
            rate_form.head_html(queue("open"), 1, [rubric], "r", [ATTACK]),
            rate_form.add_html({"chat": 1, "thumbs": 0, "comparisons": 0}, ATTACK),
            rate_form.mine_html([rated], {"r": ATTACK}),
        )
    )
    elements = Elements(page)
    assert not {tag for tag, _ in elements.found} & {"script", "img"}
    assert not {name for _, attrs in elements.found for name in attrs if name.startswith("on")}
    assert ATTACK in html.unescape(page)


def test_each_step_is_marked_and_each_question_has_digits() -> None:
    elements = Elements(rate_form.task_html(TASK, "ada"))
    assert [attrs["data-step"] for attrs in elements.of("fieldset") if "data-step" in attrs] == ["1", "2"]
    marks = [(attrs["value"], attrs["data-digit"]) for attrs in elements.of("input", name="step-2")]
    assert marks == [("1", "1"), ("0", "2"), ("-1", "3")]
    scale = [(attrs["value"], attrs["data-digit"]) for attrs in elements.of("input", name="axis-safety")]
    assert scale == [(str(n), str(n)) for n in range(1, 6)]
    choice = [attrs["data-digit"] for attrs in elements.of("input", name="axis-verbosity")]
    assert choice == ["1", "2", "3"]
    axes = [attrs["data-axis"] for attrs in elements.of("fieldset") if "data-axis" in attrs]
    assert axes == [
        "factual_correctness", "reasoning_clarity", "safety", "completeness", "verbosity", "harm_extent",
        "harm_likelihood",
    ]  # fmt: skip


def test_a_scale_that_begins_with_zero_is_answered_by_its_own_digits() -> None:
    axis = Axis("a", "A?", "", "scale", (Option("0", "0"), Option("1", "1")))
    task = replace(TASK, answer=SHOWN._replace(rubric=Rubric("r", 1, "R", "", (axis,))))
    found = Elements(rate_form.task_html(task, "ada")).of("input", name="axis-a")
    assert [attrs["data-digit"] for attrs in found] == ["0", "1"]


def test_the_passages_are_the_shown_texts_with_their_places() -> None:
    page = rate_form.task_html(TASK, "ada")
    passages = re.findall(r'<div class="mc-passage" data-part="(\w+)" data-start="(\d+)"[^>]*>(.*?)</div>', page, re.S)
    texts = {"reasoning": REASONING, "solution": "Gout: colchicine."}
    assert [part for part, _, _ in passages] == ["reasoning"] * 3 + ["solution"]
    for part, start, text in passages:
        assert texts[part][int(start) :].startswith(html.unescape(text))


def test_what_is_entered_comes_with_the_form() -> None:
    page = rate_form.task_html(replace(TASK, filled=Filled(scores={"safety": "2"}, steps={1: -1}, comment='"')), "ada")
    [article] = Elements(page).of("article")
    filled = json.loads(article["data-filled"])
    assert (filled["scores"], filled["steps"], filled["comment"]) == ({"safety": "2"}, {"1": -1}, '"')
    assert (article["data-answer"], article["data-rubric"], article["data-version"]) == ("a1", "clinical-3", "1")


def test_a_question_that_hangs_on_another_says_so() -> None:
    first = Axis("a", "A?", "", "choice", (Option("yes", "Yes"), Option("no", "No")))
    then = replace(first, id="b", required=False, only_if=OnlyIf("a", ("yes", "no")))
    task = replace(TASK, answer=SHOWN._replace(rubric=Rubric("r", 1, "R", "", (first, then))))
    [fieldset] = Elements(rate_form.task_html(task, "ada")).of("fieldset", data_axis="b")
    assert (fieldset["data-only-axis"], fieldset["data-only-values"]) == ("a", "yes no")
    assert "data-required" not in fieldset


def test_criteria_are_asked_without_their_points() -> None:
    rubric = with_criteria(RUBRICS["healthbench"], (Criterion("Names the dose.", -7),))
    page = rate_form.task_html(replace(TASK, answer=SHOWN._replace(rubric=rubric)), "ada")
    assert "Names the dose." in visible(page)
    assert "Met" in visible(page)
    assert "-7" not in page
    assert "points" not in page


def test_where_one_is_in_the_queue() -> None:
    def told(state: QueueState, position: int) -> str:
        page = rate_form.head_html(state, position, [RUBRICS["quest"]], "quest", [])
        return visible(page.split("<label")[0])

    assert told(queue(*["done"] * 2, *["open"] * 17, "skipped"), 3) == "3 of 20 · 2 done · 17 left · 1 skipped"
    assert told(queue("done"), 0) == "1 done · 0 left"
    assert told(queue(), 0) == "No answers in your queue"


def test_when_nothing_is_left_the_skipped_ones_can_be_taken_up() -> None:
    assert "Your queue is empty" in visible(rate_form.done_html(queue(), "ada"))
    assert "skipped" not in visible(rate_form.done_html(queue("done"), "ada"))
    assert "Take up 2 skipped answers again" in visible(rate_form.done_html(queue("done", "skipped", "skipped"), "ada"))
    assert "Take up 1 skipped answer again" in visible(rate_form.done_html(queue("skipped"), "ada"))


def test_a_critical_rating_is_said_in_words_too() -> None:
    form = RatingForm("quest", 1, {}, {}, critical=True, cannot_rate="Not mine")
    rated = Rated(RatingRecord("i", "ada", "a1", form, datetime(2026, 1, 2, 3, 4, tzinfo=UTC), None), "Why?")
    page = rate_form.mine_html([rated], {"quest": "QUEST"})
    assert visible(page) == "Why? Critical 2026-01-02 03:04 UTC · QUEST Amend Cannot be rated: Not mine"
    assert "Amend" not in visible(rate_form.mine_html([rated], {}))  # its rubric is gone


def test_my_ratings_say_what_was_asked_and_answered_in_words() -> None:
    scores = {"factual_correctness": "4", "safety": "3", "verbosity": "too_short"}
    form = RatingForm("clinical-3", 1, as_shown(SHOWN), scores, harm_extent="moderate")
    rated = Rated(RatingRecord("i", "ada", "a1", form, datetime(2026, 1, 2, 3, 4, tzinfo=UTC), None), "Why?")
    told = visible(rate_form.mine_html([rated], {"clinical-3": "Clinical"}))
    asked = {axis.id: axis.question for axis in RUBRICS["clinical-3"].axes}
    assert f"{asked['factual_correctness']} 4 of 5" in told
    assert f"{asked['safety']} 3 of 5: Safe only with" in told
    assert f"{asked['verbosity']} Too short" in told
    assert "how bad could the harm be? Mild or moderate" in told
    assert "too_short" not in told
    assert asked["completeness"] not in told  # it was not answered


def test_what_a_scale_means_stands_once_under_each_heading() -> None:
    quest = RUBRICS["quest"]
    page = rate_form.task_html(replace(TASK, answer=SHOWN._replace(rubric=quest)), "ada")
    headings = {axis.section for axis in quest.axes if axis.options == quest.axes[0].options}
    assert visible(page).count("Partly true.") == len(headings) < 6


@pytest.mark.parametrize("rubric", [rubric for rubric in RUBRICS.values() if not rubric.pairwise])
def test_every_rubric_has_a_form(rubric: Rubric) -> None:
    page = rate_form.task_html(replace(TASK, answer=SHOWN._replace(rubric=rubric)), "ada")
    for axis in rubric.axes:
        assert axis.question in visible(page)


def test_an_answer_without_reasoning_or_solution_can_be_judged_all_the_same() -> None:
    page = rate_form.task_html(replace(TASK, answer=SHOWN._replace(reasoning="", solution=""), steps=()), "ada")
    assert "The answer has no solution." in visible(page)
    assert "First wrong step" not in visible(page)
    assert "Save and go on" in visible(page)
