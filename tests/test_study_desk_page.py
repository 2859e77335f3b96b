"""A rater's desk in the Studies tab without a browser: what its page says, and what its handlers do."""

import html
import json
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import gradio as gr
import pytest
from judged_answers import Judges
from panels import Models, model

from medchat.accounts import Accounts
from medchat.panel_views import PanelView, SideView
from medchat.rating import Task
from medchat.rating_form import Filled, Shown, steps_of
from medchat.rubrics import PAIRWISE_RUBRIC, load_rubrics
from medchat.settings import Settings
from medchat.store import QueueState, Store
from medchat.studies import StudyService
from medchat.study_design import Design, QuestionSource
from medchat.study_tasks import NO_AXES
from medchat.study_views import (
    CalibrationResult,
    CalibrationTask,
    Consent,
    Finished,
    MyStudy,
    NotOpen,
    PairTask,
    Place,
    RateTask,
)
from medchat.ui import compare_vote, study_desk, study_desk_view
from medchat.ui.common import App
from medchat.ui.compare_vote import Ballot
from medchat.ui.study_desk_handlers import DeskTab, Handlers

ATTACK = '"><script>alert(1)</script><img src=x onerror="alert(1)">'
RUBRICS = load_rubrics()
REASONING = "1. The toe is red.\n2. So it is gout."
SHOWN = Shown(RUBRICS["clinical-3"], REASONING, "Gout: colchicine.", False)
TASK = Task(
    "assignment-1", "A red toe?", "Aged 54.", SHOWN, tuple(steps_of(REASONING)), Filled(), 3, "open", False,
    QueueState((), 0, 0, 0, 0),
)  # fmt: skip
PLACE = Place(3, 2, 18, 20)
RATE = RateTask("study-1", "Reader study", "assignment-1", TASK, PLACE, 5.0, False, True)
VIEW = PanelView(
    "assignment-2", "Why the toe?", "A man of 54.", True, SideView("A", "1. It is red.", "Gout.", "done"),
    SideView("B", "1. It hurts.", "Sprain.", "done"),
)  # fmt: skip
PAIR = PairTask(
    "study-1", "Reader study", "assignment-2", VIEW, RUBRICS[PAIRWISE_RUBRIC], None, PLACE, 5.0, False, True
)


def visible(page: str) -> str:
    """The words on the page in one line."""
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", page))).strip()


def buttons(page: str) -> list[str]:
    """What the buttons of the page do."""
    return re.findall(r'<button[^>]*data-do="([\w-]+)"', page)


def shown_pair(task: PairTask) -> str:
    return compare_vote.form_html(task.view, task.rubric, None, study_desk_view.around(task))


# What the page says


def test_where_every_question_is_asked_they_stand_open_and_none_can_be_left_out() -> None:
    page, other = shown_pair(replace(PAIR, all_axes=True)), shown_pair(PAIR)

    assert "Answer every question; a reason and a flag are optional." in visible(page)
    assert "<details" not in page
    assert "No answer" not in page
    assert page.count('type="radio"') == 9 * 3  # A, B and a tie
    assert "Say more (optional)" in visible(other)
    assert other.count('type="radio"') == 9 * 4
    assert "<details" in shown_pair(replace(PAIR, all_axes=True, rubric=NO_AXES))


@pytest.mark.parametrize(
    ("study", "words", "button"),
    [
        (MyStudy("s", "Gout", "open", 0, 20, "consent"), "not begun · 0 of 20 done · 20 left", "Begin"),
        (
            MyStudy("s", "Gout", "open", 0, 20, "calibration"),
            "first some practice · 0 of 20 done · 20 left",
            "Continue",
        ),
        (MyStudy("s", "Gout", "open", 0, 20, "work"), "0 of 20 done · 20 left", "Begin"),
        (MyStudy("s", "Gout", "open", 12, 20, "work"), "12 of 20 done · 8 left", "Continue"),
        (MyStudy("s", "Gout", "open", 20, 20, "finished"), "all 20 done", "Look again"),
        (MyStudy("s", "Gout", "closed", 12, 20, "finished"), "12 of 20 done · closed", None),
        (MyStudy("s", "Gout", "open", 7, 7, "not open"), "7 of 7 done · you take no part any more", None),
    ],
)
def test_each_study_says_how_far_its_rater_is_and_has_the_way_in(
    study: MyStudy, words: str, button: str | None
) -> None:
    page = study_desk_view.mine_html([study])
    assert visible(page) == " ".join(filter(None, ("My studies", "Gout", words, button)))
    assert buttons(page) == (["desk-open"] if button else [])


def test_who_is_in_no_study_reads_how_one_comes_in() -> None:
    assert "You take part in no study." in visible(study_desk_view.mine_html([]))


def test_the_head_tells_where_one_is() -> None:
    assert "3 of 20 · 2 done · 18 left" in visible(study_desk_view.head_html(RATE, "ada"))
    practice = CalibrationTask("study-1", "Reader study", "item-1", replace(RATE, place=Place(1, 0, 3, 3)), (), False)
    page = study_desk_view.head_html(practice, "ada")
    assert "Practice 1 of 3 · 0 done · 3 left" in visible(page)
    assert 'data-item="item-1"' in page
    assert 'data-item=""' in study_desk_view.head_html(RATE, "ada")


def test_consent_and_instructions_are_read_first_and_can_be_read_again() -> None:
    page = study_desk_view.consent_html(Consent("study-1", "Gout", "My data are kept.", "Judge each answer alone."))
    assert "Judge each answer alone." in visible(page)
    assert "My data are kept." in visible(page)
    assert "I agree, begin" in visible(page)
    again = study_desk_view.about_html("My data are kept.", "Judge each answer alone.")
    assert visible(again).startswith("Instructions and consent")
    assert "My data are kept." in visible(again)
    assert study_desk_view.about_html(" ", "") == ""


def test_without_a_consent_text_nobody_agrees_to_anything() -> None:
    page = visible(study_desk_view.consent_html(Consent("study-1", "Gout", "", "Judge each answer alone.")))
    assert "agree" not in page
    assert page.endswith("Begin")


def test_a_rating_is_neither_skipped_nor_left_for_one_before_the_first() -> None:
    page = study_desk_view.rate_html(RATE, "ada")
    assert "rate-skip" not in buttons(page)
    assert "rate-back" in buttons(page)
    assert 'data-answer="assignment-1"' in page
    assert "rate-back" not in buttons(study_desk_view.rate_html(replace(RATE, may_go_back=False), "ada"))


def test_one_that_is_done_leads_on_to_the_next() -> None:
    done = replace(RATE, task=replace(TASK, state="done", amends=True), amends=True)
    page = study_desk_view.rate_html(done, "ada")
    assert "rate-skip" in buttons(page)
    assert "Next" in visible(page)
    assert "keeps the old one" in visible(page)


def test_a_pair_stands_as_in_the_compare_tab_but_with_ids_of_its_own() -> None:
    around = study_desk_view.around(PAIR)
    page = compare_vote.bar_html(PAIR.view, None, "ada", around) + compare_vote.form_html(
        PAIR.view, PAIR.rubric, Ballot(), around
    )
    assert 'id="pair-vote"' in page
    assert 'id="pair-reason"' in page
    assert 'id="compare-' not in page
    assert "compare-next" not in buttons(page)  # nothing is left out in a study
    assert "desk-back" in buttons(page)
    assert re.search(r"<details[^>]* open>", page)  # its questions are asked


def test_what_is_known_of_a_practice_task_is_told_in_the_words_of_its_form() -> None:
    result = CalibrationResult(False, {"safety": "5"}, {"safety": "2"}, "The dose is tenfold.", 1, 2, None)
    page = study_desk_view.result_html(result, RUBRICS["clinical-3"])
    axis = next(axis for axis in RUBRICS["clinical-3"].axes if axis.id == "safety")
    assert axis.question in visible(page)
    assert "The dose is tenfold." in visible(page)
    assert "Not as expected." in visible(page)
    assert "1 of 2 practice tasks right so far." in visible(page)
    assert buttons(page) == ["desk-go"]


def test_a_practice_pair_says_which_side_was_better() -> None:
    result = CalibrationResult(True, {"vote": "b"}, {"vote": "b"}, "", 1, 1, True)
    page = visible(study_desk_view.result_html(result, RUBRICS[PAIRWISE_RUBRIC]))
    assert "Which answer is better? B better B better" in page
    assert "You have passed" in page


def test_the_end_says_what_can_still_be_changed() -> None:
    page = study_desk_view.finished_html(Finished("study-1", "Gout", 20, 20, closed=False), "ada")
    assert "You have finished." in visible(page)
    assert buttons(page) == ["desk-back", "desk-list"]
    closed = study_desk_view.finished_html(Finished("study-1", "Gout", 20, 20, closed=True), "ada")
    assert "nothing can be changed any more" in visible(closed)
    assert buttons(closed) == ["desk-list"]


def test_nothing_that_was_written_becomes_markup() -> None:
    task = replace(RATE, name=ATTACK, task=replace(TASK, question=ATTACK, context=ATTACK))
    result = CalibrationResult(False, {ATTACK: ATTACK}, {ATTACK: ATTACK}, ATTACK, 0, 1, False)
    page = "".join(
        (
            study_desk_view.mine_html([MyStudy(ATTACK, ATTACK, "open", 1, 2, "work")]),
            study_desk_view.head_html(task, "ada"),
            study_desk_view.about_html(ATTACK, ATTACK),
            study_desk_view.consent_html(Consent("s", ATTACK, ATTACK, ATTACK)),
            study_desk_view.rate_html(task, "ada"),
            study_desk_view.result_html(result, None),
            study_desk_view.not_open_html(NotOpen("s", ATTACK, "ready", ATTACK)),
            study_desk_view.refused_html(ATTACK),
        )
    )
    assert "<script" not in page
    assert "<img" not in page
    assert ATTACK in html.unescape(page)


# What the handlers do

REQUEST = cast(gr.Request, SimpleNamespace(cookies={}, client=None, headers=None))
MODELS = {"swift": "Swift", "sluggish": "Sluggish XL"}  # what each calls itself
SCORES = ("factual_correctness", "reasoning_clarity", "safety")
FILLED = {
    "scores": {"factual_correctness": "4", "reasoning_clarity": "4", "safety": "5"}, "harm_extent": "none",
    "harm_likelihood": "low", "seconds": 9.5,
}  # fmt: skip


@dataclass
class Desk:
    """The desk of the one local user in a study, and what it shows."""

    store: Store
    studies: StudyService
    study_id: str
    tab: DeskTab
    do: Handlers
    page: dict[Any, Any]

    def act(self, verb: str, **fields: Any) -> str:
        """What is shown after this, all of it."""
        return self._seen(self.do.act(self._sent(verb, fields), REQUEST))

    def vote(self, verb: str, **fields: Any) -> str:
        return self._seen(self.do.vote(self._sent(verb, fields), REQUEST))

    def keep(self, answer: str, filled: dict[str, Any], number: str = "1") -> str:
        told: str = self.do.keep(self._sent("draft", {"answer": answer, "filled": filled, "number": number}), REQUEST)
        return told

    def save(self, **more: Any) -> str:
        """The rating that stands there is saved."""
        fields = {"answer": self.at, "version": 1, "filled": FILLED, "key": f"key {self.at}", **more}
        return self.act("save", **fields)

    @property
    def at(self) -> str:
        """The task that is shown."""
        return self._of_head("at")

    @property
    def item(self) -> str:
        return self._of_head("item")

    @property
    def all(self) -> str:
        return "".join(text for text in self.page.values() if isinstance(text, str))

    def _of_head(self, name: str) -> str:
        found = re.search(f'data-{name}="([^"]*)"', self.page[self.tab.head])
        return found.group(1) if found else ""

    def _sent(self, verb: str, fields: dict[str, Any]) -> str:
        return json.dumps({"do": verb, "study": self.study_id, "item": self.item, **fields})

    def _seen(self, updates: dict[Any, Any]) -> str:
        self.page |= {part: text for part, text in updates.items() if isinstance(text, str)}
        return "".join(text for text in updates.values() if isinstance(text, str))


def answers_file(n_questions: int) -> bytes:
    rows = [
        {"question": f"Question {n}: why the red toe?", "answer": f"{called} says gout, {n}.", "model": name,
         "reasoning": "1. It is red.\n2. It is hot."}
        for n in range(n_questions)
        for name, called in MODELS.items()
    ]  # fmt: skip
    return "\n".join(map(json.dumps, rows)).encode()


@contextmanager
def desk(folder: Path, n_questions: int = 3, raters: tuple[str, ...] = ("local",), **design: Any) -> Iterator[Desk]:
    """An open study of two models, in which the local user is a rater."""
    store, settings = Judges(folder).store, Settings(data_dir=folder, model="swift")
    catalogue = Models(model("swift"), model("sluggish", name="Sluggish XL"))
    values: dict[str, Any] = {"tasks": "rate", "raters_per_item": 1, "repeat_share": 0.0, **design}
    chosen = Design(QuestionSource("uploaded answers", "answers.jsonl"), tuple(MODELS), **values)
    app = cast(App, SimpleNamespace(
        settings=settings, store=store, catalogue=catalogue, accounts=Accounts(store, settings),
    ))  # fmt: skip
    with closing(store), gr.Blocks(), gr.Tab() as item:
        studies = StudyService(store, cast(Any, catalogue), None, settings)
        study_id = studies.create("ines", "Toes", chosen, [], "s1").record.id
        studies.upload_answers(study_id, "ines", "answers.jsonl", answers_file(n_questions))
        studies.set_raters(study_id, "ines", [(rater, "") for rater in raters])
        studies.open(study_id, "ines")
        tab = study_desk.build(app, item)
        yield Desk(store, studies, study_id, tab, Handlers(app, tab), dict.fromkeys(tab.shown, ""))


def test_a_rater_finds_the_study_agrees_and_goes_through_it_to_the_end(tmp_path: Path) -> None:
    with desk(tmp_path, consent="My data are kept.", instructions="Judge alone.") as it:
        listed = it.act("enter", study="")
        assert "not begun · 0 of 6 done · 6 left" in visible(listed)

        assert "My data are kept." in visible(it.act("open"))
        shown = it.act("agree")
        assert "1 of 6 · 0 done · 6 left" in visible(shown)
        assert "Instructions and consent" in visible(shown)
        for done in range(1, 6):
            assert f"{done + 1} of 6 · {done} done · {6 - done} left" in visible(it.save())
        assert "You have finished." in visible(it.save())
        assert {its.state for its in it.store.assignments(it.study_id, "local")} == {"done"}
        assert len(it.store.study_judgements(it.study_id).ratings) == 6


@pytest.mark.parametrize("tasks", ["rate", "pairwise"])
def test_nothing_that_reaches_the_page_tells_which_model_wrote_what(tmp_path: Path, tasks: str) -> None:
    with desk(tmp_path, tasks=tasks) as it:
        sent = it.act("enter", study="") + it.act("open")
        while it.at:
            sent += it.save() if tasks == "rate" else it.vote("vote", comparison=it.at, vote="a", ms=9000, key=it.at)
        assert "[model] says gout" in sent
        answers = it.store.study_judgements(it.study_id).answers
        assert len(answers) == 6
        for telling in ("swift", "sluggish", "uploaded", "answers.jsonl", *answers):
            assert telling not in sent.casefold()


def test_a_hidden_repeat_comes_as_a_case_like_any_other(tmp_path: Path) -> None:
    with desk(tmp_path, n_questions=6, repeat_share=0.3) as it:
        it.act("open")
        [first, *_] = [its for its in it.store.assignments(it.study_id, "local") if its.repeat_of]
        while it.at != first.id:
            it.save()
        assert 'data-filled="{&quot;base&quot;: &quot;&quot;, &quot;scores&quot;: {}' in it.page[it.tab.page]
        assert "rated this answer" not in visible(it.page[it.tab.page])


def test_one_goes_back_amends_and_goes_on_where_one_was(tmp_path: Path) -> None:
    with desk(tmp_path) as it:
        it.act("open")
        first = it.at
        it.save()
        second = it.at
        shown = it.act("back", answer=second)
        assert it.at == first
        assert "&quot;safety&quot;: &quot;5&quot;" in shown
        base = it.store.study_judgements(it.study_id).ratings[first].id
        it.save(filled={**FILLED, "base": base, "harm_extent": "severe"}, key="again")
        assert it.at == second
        ratings = it.store.study_judgements(it.study_id).ratings
        assert (len(ratings), ratings[first].form.harm_extent, ratings[first].supersedes) == (1, "severe", base)


def test_a_pair_is_voted_on_and_the_vote_is_changed(tmp_path: Path) -> None:
    with desk(tmp_path, tasks="pairwise") as it:
        it.act("open")
        first = it.at
        assert it.page[it.tab.bar].count("data-vote=") == 4
        it.vote("vote", comparison=first, vote="a", axes=["omission=b"], reason="Safer.", flags=["b"], ms=4200, key="v")
        assert it.at != first
        it.act("back", answer=it.at)
        assert "You voted: A better." in visible(it.page[it.tab.bar])
        assert 'aria-pressed="true"' in it.vote("change", comparison=first)
        old = it.store.study_judgements(it.study_id).votes[first]
        it.vote("draft", comparison=first, vote="b", of=old.id, ms=10, number="1")
        it.vote("keep", comparison=first)
        it.act("go")
        it.act("back", answer=it.at)
        assert "You voted: A better." in visible(it.page[it.tab.bar])
        it.vote("vote", comparison=first, vote="tie", ms=100, of=old.id, key="w")
        new = it.store.study_judgements(it.study_id).votes[first]
        assert (old.vote, old.reason, old.seconds, new.vote) == ("a", "Safer.", 4.2, "tie")


def test_what_cannot_be_judged_is_put_aside_with_its_reason(tmp_path: Path) -> None:
    with desk(tmp_path, tasks="pairwise") as it:
        it.act("open")
        first = it.at
        assert "Cannot judge" in visible(it.page[it.tab.form])
        it.act("cannot compare", answer=first, reason="Not my field.")
        assert it.at != first
        state = {its.id: (its.state, its.cannot_reason) for its in it.store.assignments(it.study_id, "local")}
        assert state[first] == ("cannot", "Not my field.")


def test_too_soon_is_told_beside_the_form_and_nothing_is_lost(tmp_path: Path) -> None:
    with desk(tmp_path, min_seconds=60.0) as it:
        it.act("open")
        at = it.at
        told = it.save()
        assert re.search(r'data-refused="\w+">Take at least 60 seconds for each case: \d+ more\.', told)
        assert it.at == at
        assert it.store.study_judgements(it.study_id).ratings == {}
        assert "&quot;harm_extent&quot;: &quot;none&quot;" in it.act("open")


def test_a_draft_is_there_on_another_device(tmp_path: Path) -> None:
    with desk(tmp_path) as it:
        it.act("open")
        assert "Draft kept." in it.keep(it.at, {"comment": "The dose?"})
        it.act("list")
        assert "The dose?" in it.act("open")
    # The same of a pair
    (tmp_path / "pairs").mkdir()
    with desk(tmp_path / "pairs", tasks="pairwise") as it:
        it.act("open")
        assert 'data-kept="7"' in it.vote("draft", comparison=it.at, vote="b", reason="Shorter.", ms=10, number="7")
        assert "Shorter." in it.act("open")


def test_practice_comes_first_and_says_how_it_went(tmp_path: Path) -> None:
    with desk(tmp_path, calibration=1, pass_share=1.0) as it:
        shown = it.act("open")
        assert "Practice 1 of 1" in visible(shown)
        assert it.item
        it.keep(it.at, {"comment": "Hm."})
        assert "Hm." in it.act("open")
        wrong = {**FILLED, "harm_extent": "none", "scores": dict.fromkeys(SCORES, "5")}
        told = it.save(filled=wrong, key="c1")
        assert "Not as expected." in visible(told)
        assert "That is too few: try again." in visible(told)
        assert "You have answered it before" in visible(it.act("go"))
        right = {**FILLED, "harm_extent": "severe", "scores": dict.fromkeys(SCORES, "1")}
        assert "You have passed" in visible(it.save(filled=right, key="c2"))
        assert "1 of 6 · 0 done" in visible(it.act("go"))
        assert it.store.study_judgements(it.study_id).ratings == {}


def test_a_case_that_was_taken_away_gives_way_to_the_next(tmp_path: Path) -> None:
    with desk(tmp_path) as it:
        it.act("open")
        gone = it.at
        it.store.withdraw_assignments(it.study_id, [gone])
        with pytest.warns(UserWarning, match="taken out of your queue"):
            it.save()
        assert it.at not in ("", gone)


def test_after_the_closing_nothing_is_saved_and_the_page_says_so(tmp_path: Path) -> None:
    with desk(tmp_path) as it:
        it.act("open")
        it.save()
        it.studies.close(it.study_id, "ines")
        with pytest.warns(UserWarning, match="closed"):
            shown = it.save(key="late")
        assert "nothing can be changed any more" in visible(shown)
        assert len(it.store.study_judgements(it.study_id).ratings) == 1


def test_an_answer_without_a_word_can_lose_a_vote() -> None:
    pair = study_desk_view.votable(replace(VIEW, left=SideView("A", "", "", "done")))
    assert pair.can_vote
    assert pair.left.solution == "(This answer is empty.)"
    assert pair.right == VIEW.right


@pytest.mark.parametrize("verb", ["", "drop table", "vote"])
def test_what_the_page_never_sends_is_refused_in_one_line(tmp_path: Path, verb: str) -> None:
    with desk(tmp_path) as it, pytest.raises(gr.Error, match="Reload the page"):
        it.act(verb)


def test_the_study_of_somebody_else_is_not_there(tmp_path: Path) -> None:
    with desk(tmp_path, raters=("bob",)) as it:
        assert "You take part in no study." in visible(it.act("enter", study=""))
        theirs = it.store.assignments(it.study_id, "bob")[0].id
        for call in (
            lambda: it.act("open"),
            lambda: it.act("back", answer=theirs),
            lambda: it.act("save", answer=theirs, version=1, filled=FILLED, key="k"),
            lambda: it.vote("vote", comparison=theirs, vote="a", ms=9, key="k"),
            lambda: it.act("cannot compare", answer=theirs, reason="So."),
        ):
            with pytest.raises(gr.Error, match="There is no such"):
                call()
        assert "Draft not kept" in it.keep(theirs, {"comment": "Mine?"})
