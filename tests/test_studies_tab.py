"""The Studies tab without a browser: the form, studies from draft to closing, adjudication, and who may do what."""

import base64
import html
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import gradio as gr
import pytest
from starlette.datastructures import Headers
from study_rooms import Room, new_key

from evaluation.suites import load_suite
from medchat.accounts import RIGHTS, User
from medchat.errors import InvalidInput
from medchat.machine import Machine
from medchat.panel_views import PanelView, SideView
from medchat.rubrics import PAIRWISE_RUBRIC, load_rubrics
from medchat.store import UserRecord
from medchat.study_views import AdjudicationTask, Given, Progress, RaterProgress, RateTask
from medchat.ui import layout
from medchat.ui.adjudicate_view import task_html
from medchat.ui.common import App
from medchat.ui.studies_adjudicate import Adjudicating
from medchat.ui.studies_handlers import Handlers
from medchat.ui.studies_layout import StudiesTab, lay_out
from medchat.ui.studies_onward import RESULTS_DRAFT, Onward
from medchat.ui.studies_order import Order, share, whole
from medchat.ui.studies_people import behind
from medchat.ui.train_layout import lay_out as lay_out_train

REQUEST = cast(gr.Request, SimpleNamespace(cookies={}, client=None, headers=Headers()))
INES = User("ines", "Ines", "investigator", RIGHTS["investigator"])
DORA = User("dora", "Dora", "adjudicator", RIGHTS["adjudicator"])
ANNA = User("anna", "Anna", "rater", RIGHTS["rater"])
ATTACK = '"><script>alert(1)</script><img src=x onerror="alert(1)">'
NOW = datetime(2026, 5, 4, 9, 0, tzinfo=UTC)
RATERS = {"anna": "", "ben": "GPs", "chen": ""}
ORDER = {"name": "Gout", "source": "suite:wordings", "sample": "100", "seed": "5", "models": ["alpha-1", "beta-2"],
         "raters": RATERS, "raters_per_item": "2", "repeats": "0"}  # fmt: skip
MANAGING = ("choose", "check", "fresh", "create", "show", "change", "copy", "delete", "generate", "stop", "leave-out",
            "people", "add", "remove", "preview", "open", "close", "training", "results")  # fmt: skip


def visible(page: str) -> str:
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", page))).strip()


def buttons(page: str) -> list[str]:
    return re.findall(r'<button[^>]*data-do="([\w-]+)"', page)


def is_safe(page: str) -> bool:
    return "<script" not in page and "<img" not in page


def user_record(user: str, role: str) -> UserRecord:
    return UserRecord(user, user.title(), role, True, None, False, NOW)


class FakeAccounts:
    """Takes everybody for one user; of whom there are these."""

    local_only = False

    def __init__(self, user: User) -> None:
        self.user = user
        self.noted: list[tuple[Any, ...]] = []

    def user_of(self, cookies: dict[str, str]) -> User:
        return self.user

    def users(self) -> list[UserRecord]:
        raters = [user_record(name, "rater") for name in ("anna", "ben", "chen", "eve")]
        return [*raters, user_record("dora", "adjudicator"), user_record("ines", "investigator")]

    def address(self, peer: str, forwarded: list[str]) -> str:
        return peer

    def note(self, *what: Any) -> None:
        self.noted.append(what)


@lru_cache(maxsize=1)
def parts() -> StudiesTab:
    """The components, which hold nothing of an app: to make them takes longer than most tests."""
    app = SimpleNamespace(settings=None, store=None, catalogue=None)
    app.settings = SimpleNamespace(data_dir=Path("unused"))
    with gr.Blocks(), gr.Tab() as item:
        return lay_out(cast(App, app), item)


class Tab:
    """The tab of an app whose jobs wait for ever, and what its handlers gave by the names of the components."""

    def __init__(self, folder: Path, user: User = INES) -> None:
        self.room = Room(folder)
        self.accounts = FakeAccounts(user)
        room = self.room
        self.app = cast(App, SimpleNamespace(
            settings=room.settings, store=room.store, catalogue=room.catalogue, default=room.catalogue.default,
            accounts=self.accounts, jobs=room.jobs, grounding=SimpleNamespace(get=lambda timeout_s=None: None),
            machine=lambda: Machine(64.0, None, 32.0),
        ))  # fmt: skip
        self.parts = parts()
        self.do, self.judge = Handlers(self.app, self.parts), Adjudicating(self.app, self.parts)
        self.page: dict[str, Any] = {}

    def act(self, verb: str, **fields: Any) -> dict[str, Any]:
        return self._seen(self.do.act(json.dumps({"do": verb, **fields}), "page 1", REQUEST))

    def decide(self, verb: str, **fields: Any) -> dict[str, Any]:
        return self._seen(self.judge.act(json.dumps({"do": verb, **fields}), "page 1", REQUEST))

    def upload(self, kind: str, name: str, data: bytes, **order: Any) -> dict[str, Any]:
        sent = {"do": "upload", "kind": kind, "order": {**ORDER, **order}, "name": name, "size": len(data),
                "data": base64.b64encode(data).decode()}  # fmt: skip
        return self._seen(self.do.upload(json.dumps(sent), "page 1", REQUEST))

    def check(self, **order: Any) -> str:
        return visible(self.act("check", order={**ORDER, **order})["check"])

    def create(self, then: str = "", **order: Any) -> str:
        """The id of the new study."""
        self.act("create", order={**ORDER, **order}, key=new_key(), then=then)
        return self.room.store.studies()[0].id

    def opened(self, **design: Any) -> str:
        return self.room.opened("anna", "ben", **{"n": 2, "raters_per_item": 2, **design})

    def _seen(self, updates: Mapping[Any, Any]) -> dict[str, Any]:
        names = {id(part): name for name, part in self.parts._asdict().items()}
        shown = {names[id(part)]: value for part, value in updates.items()}
        self.page |= shown
        return shown


@pytest.fixture
def tab(tmp_path: Path) -> Iterator[Tab]:
    made = Tab(tmp_path)
    with closing(made.room.store):
        yield made


# The form


def test_the_form_is_filled_with_what_most_would_take(tab: Tab) -> None:
    form = tab.act("enter")["form"]
    assert '<option value="suite:wordings" selected>Vignettes, unseen wordings · 288 questions' in form
    assert 'id="study-sample" value="100"' in form
    assert re.findall(r'value="([\w-]+)" id="study-model-\d+" checked', form) == ["demo", "demo-base"]
    assert '<option value="clinical-3" selected>' in form
    ticked = re.findall(r'data-rater="(\w+)"><label class="mc-pick"><input type="checkbox" id="[\w-]+" checked>', form)
    assert ticked == ["anna", "ben", "chen", "eve"]  # raters by their role, not adjudicator and investigator


@pytest.fixture(scope="module")
def checks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    """A tab in which forms are checked, and nothing is made."""
    made = Tab(tmp_path_factory.mktemp("checks"))
    with closing(made.room.store):
        yield made


def test_the_check_counts_items_judgements_and_each_raters_time(checks: Tab) -> None:
    # 100 questions x 2 models = 200 answers; x 2 raters = 400 judgements; / 3 raters = 133, at 90 s each 200 minutes
    told = checks.check()
    assert "200 answers to rate, 2 raters each: 400 judgements." in told
    assert (
        "Each of 3 raters: 133 judgements, about 3.3 hours (90 s for an answer, a guess until some are judged here)"
        in told
    )
    assert "Create and write the answers" in told


def test_hidden_repeats_add_to_each_raters_work(checks: Tab) -> None:
    # 10 questions x 2 models x 3 raters / 3 raters = 20, and 20 % of them again: 24 judgements of 90 s, 36 minutes
    told = checks.check(sample="10", raters_per_item="3", repeats="20")
    assert "Each of 3 raters: 24 judgements, about 36 minutes" in told


def test_without_a_number_an_item_has_three_raters_at_most_or_all(checks: Tab) -> None:
    assert "3 raters each" in checks.check(raters_per_item="")
    assert "2 raters each" in checks.check(raters_per_item="", raters={"anna": "", "ben": ""})
    # with both, a question makes two rounds (each answer rated, their pair), and nobody is in two: 3 // 2 = 1
    assert "1 rater each" in checks.check(raters_per_item="", tasks="both")


def test_the_power_line_follows_raters_and_ties(checks: Tab) -> None:
    plain = checks.check(tasks="pairwise", raters_per_item="1", ties="0", icc="0")
    assert "783 / 194 / 85 decisive votes show a preference of 55 / 60 / 65 % at 80 % power" in plain
    assert "This design gives each pair about 100 votes" in plain
    # 2 raters alike to 0.2: x 1.2; 20 % ties: / 0.8; 783 x 1.5 = 1,174.5 from 782.9 = 1,174
    told = checks.check(tasks="pairwise")
    assert "with 20 % ties and 2 raters an item whose votes are alike to 0.2 that is 1,174 / 291 / 128 votes" in told
    assert "about 200 votes" in told
    assert "Power" not in checks.check(tasks="rate")


def test_few_questions_and_few_raters_are_warned_about(checks: Tab) -> None:
    told = checks.check(sample="20")
    assert "20 questions: fewer than 100." in told
    assert "3 raters: intervals that allow for differences between raters are unsure" in told


def test_questions_of_an_evaluation_suite_are_warned_about_as_they_are_never_trained_on(tab: Tab) -> None:
    told = tab.check(sample="20")
    assert "The questions are in what models are evaluated by (Vignettes, unseen wordings): judgements on" in told
    assert "Create and write the answers" in told  # warned about, not hindered
    [known, *_] = load_suite("wordings").examples
    rows = [json.loads(known.to_json()) | {"id": "q1"}, {"question": "My own case: what is it?", "answer": "Gout"}]
    file = "\n".join(map(json.dumps, rows)).encode()
    assert "1 of 2 questions is in what models are evaluated by" in visible(
        tab.upload("file", "m.jsonl", file)["check"]
    )
    own = json.dumps(rows[1]).encode()
    assert "evaluated by" not in visible(tab.upload("file", "own.jsonl", own)["check"])


def test_a_suite_that_cannot_be_read_is_told_of_and_does_not_hinder_a_study(tab: Tab) -> None:
    (tab.room.settings.data_dir / "suites").mkdir()
    (tab.room.settings.data_dir / "suites" / "broken.jsonl").write_text("no JSON\n", encoding="utf-8")
    told = tab.check()
    assert "Whether the questions are in an evaluation suite cannot be told: broken.jsonl, line 1" in told
    assert "Create and write the answers" in told


def rated_in_2_s(tab: Tab, study_id: str, rater: str) -> None:
    while isinstance(task := tab.room.desk.step(study_id, rater), RateTask):
        tab.room.rate_task(rater, task, seconds=2.0)


def test_how_long_it_takes_is_measured_on_twenty_judgements_and_never_below_what_reading_takes(tab: Tab) -> None:
    # 10 questions x 2 models, each rated by one of two: 20 ratings of 2 s. 10 x 2 x 2 / 3 raters = 13 of 10 s, 2.2 min
    study_id, order = tab.room.opened("anna", "ben", n=10), {**ORDER, "sample": "10"}
    rated_in_2_s(tab, study_id, "anna")
    assert "(90 s for an answer, a guess until some are judged here)" in tab.check(**order)
    rated_in_2_s(tab, study_id, "ben")
    tab.do = Handlers(tab.app, tab.parts)  # times are looked up once a minute
    told = tab.check(**order)
    assert "13 judgements, about 2 minutes (10 s for an answer, by what was judged here so far)" in told


@pytest.mark.parametrize(
    ("status", "now"), [("draft", "Design"), ("ready", "Raters"), ("open", "Open"), ("closed", "Closed")]
)
def test_the_steps_mark_the_one_that_the_study_is_in(tab: Tab, status: str, now: str) -> None:
    study_id = tab.opened() if status in ("open", "closed") else tab.create(sample="4")
    if status == "ready":
        tab.act("generate", study=study_id)
        tab.room.write(tab.room.jobs.all()[0].job.id)
        tab.room.studies.view(study_id)
    if status == "closed":
        tab.room.studies.close(study_id, "ines")
    steps = re.findall(r"<li( [^>]*)?>(\w+)<span", tab.act("show", study=study_id)["head"])
    assert [name for marks, name in steps if "aria-current=step" in marks] == [now]
    place = [name for _, name in steps].index(now)
    assert [name for marks, name in steps if "mc-passed" in marks] == [name for _, name in steps][:place]


def test_the_line_of_a_study_names_its_suite_by_its_title(tab: Tab) -> None:
    tab.create(sample="4")
    assert "4 questions from Vignettes, unseen wordings · " in visible(tab.page["head"])


@pytest.mark.parametrize(("order", "words"), [
    ({"raters": {}}, "Raters: choose at least one."),
    ({"raters_per_item": "4"}, "Each item is to be judged by 4 raters, but there are only 3 raters"),
    ({"tasks": "both", "raters_per_item": "2"}, "2 raters an item take 4 raters; there are 3"),
    ({"models": ["alpha-1"]}, "Models: choose 2 to 8; 1 are chosen."),
    ({"models": ["alpha-1", "gone"]}, "Models: there is no gone"),
    ({"source": "suite:nothing"}, "There is no suite 'nothing'."),
    ({"source": "file:gone.jsonl"}, "Questions: what was chosen is not there any more"),
    ({"sample": "many"}, "How many questions: give a whole number from 1 to 20,000."),
    ({"sample": "0"}, "How many questions: give a whole number"),
    ({"seed": "-1"}, "Seed: give a whole number from 0"),
    ({"repeats": "50"}, "Hidden repeats: give a number from 0 to 30 per cent."),
    ({"repeats": "nan"}, "Hidden repeats: give a number from 0 to 30 per cent."),
    ({"calibration": "99"}, "Calibration: a number from 0 to"),
    ({"rubric": "gone"}, "Rubric: there is no 'gone'"),
    ({"rubric": PAIRWISE_RUBRIC}, "is not made for a single answer"),
    ({"min_seconds": "9999"}, "Least time for an item: give a number from 0 to 3600 seconds."),
])  # fmt: skip
def test_what_cannot_be_is_one_clear_line_and_the_form_stays(checks: Tab, order: dict[str, Any], words: str) -> None:
    shown = checks.act("check", order={**ORDER, **order})
    assert shown.keys() == {"check"}
    assert 'role="alert"' in shown["check"]
    assert words in visible(shown["check"])
    assert buttons(shown["check"]) == []
    assert checks.room.store.studies() == []


def test_nothing_typed_is_lost_when_a_study_cannot_be_made_or_the_page_is_loaded_again(tab: Tab) -> None:
    order = {**ORDER, "name": "", "instructions": "Judge slowly.", "sample": "12"}
    shown = tab.act("create", order=order, key="k", then="")
    assert shown.keys() == {"check"}
    assert "Name of the study: give it one" in visible(shown["check"])
    tab.act("check", order=order)
    form = tab.act("enter")["form"]
    assert "Judge slowly." in form
    assert 'id="study-sample" value="12"' in form
    assert "form" not in tab.act("enter", form="there")  # what stands on the page stays


def test_nothing_in_the_form_or_on_a_study_becomes_markup(tab: Tab) -> None:
    texts = dict.fromkeys(("name", "source", "seed", "rubric", "consent", "instructions", "calibration"), ATTACK)
    order = {**ORDER, **texts, "models": [ATTACK], "raters": {ATTACK: ATTACK}}
    shown = tab.act("choose", order=order)
    assert is_safe(shown["form"])
    assert is_safe(shown["check"])
    tab.create(name=ATTACK, raters={ATTACK: ATTACK, "anna": ATTACK, "ben": ""})
    assert all(is_safe(part) for part in tab.page.values() if isinstance(part, str))
    assert "alert(1)" in visible(tab.page["head"])


@pytest.mark.parametrize("sent", [{"models": "demo"}, {"raters": []}, {"name": 3}, {"raters": {"anna": 1}}])
def test_a_request_that_no_page_makes_is_refused_in_a_line(checks: Tab, sent: dict[str, Any]) -> None:
    with pytest.raises(gr.Error, match="Reload the page"):
        checks.act("check", order={**ORDER, **sent})


def test_numbers_are_read_as_people_write_them() -> None:
    assert whole(" 1,000 ", "n", 1, 2000) == 1000
    assert share("12.5 %", "n", 0, 30) == 0.125
    with pytest.raises(InvalidInput, match=r"^n: give a whole number from 1 to 5\.$"):
        whole("2.5", "n", 1, 5)


# From draft to closing


def test_one_press_makes_a_study_with_its_raters_and_has_its_answers_written(tab: Tab) -> None:
    study_id = tab.create(then="generate", sample="4")
    view = tab.room.studies.view(study_id)
    assert (view.record.name, view.record.seed, view.n_questions) == ("Gout", 5, 4)
    assert {one.rater: one.group for one in view.raters} == RATERS
    assert view.record.status == "generating"
    [job] = tab.room.jobs.all()
    assert (job.job.kind, job.job.owner) == ("study", "ines")
    assert "0 of 8 answers are there" in visible(tab.page["head"])
    assert "study-stop" in buttons(tab.page["head"])
    assert 'id="study-name" value=""' in tab.page["form"]  # for the next one
    tab.room.write(job.job.id)
    tab.do.tick("page 1", REQUEST)
    assert tab.room.studies.view(study_id).record.status == "ready"


def test_a_request_that_comes_twice_makes_one_study(tab: Tab) -> None:
    for _ in range(2):
        tab.act("create", order=ORDER, key="the same", then="")
    assert len(tab.room.store.studies()) == 1


def test_the_page_follows_the_answers_and_then_shows_what_can_be_done(tab: Tab) -> None:
    study_id = tab.create(then="generate", sample="4")
    still = tab._seen(tab.do.tick("page 1", REQUEST))
    assert not isinstance(still["head"], str)  # nothing new: nothing is sent
    tab.room.write(tab.room.jobs.all()[0].job.id)
    news = tab._seen(tab.do.tick("page 1", REQUEST))
    assert "Everything is there: 8 items, 2 raters each, for 3 raters." in visible(news["head"])
    assert "study-open" in buttons(news["head"])
    assert "study-people" in buttons(news["people"])
    assert study_id in news["listed"]


def test_a_study_with_missing_answers_says_which_and_can_go_on_or_leave_questions_out(tab: Tab) -> None:
    tab.create(then="generate", sample="3")
    [job] = tab.room.jobs.all()
    lines = (Path(job.job.argv[job.job.argv.index("--suite") + 1])).read_text(encoding="utf-8").splitlines()
    left_out = json.loads(lines[0])["id"]
    tab.room.write(job.job.id, leave=[("beta-2", left_out)])
    tab._seen(tab.do.tick("page 1", REQUEST))
    told = visible(tab.page["head"])
    assert "1 answer is missing: 1 of beta-2. A study does not open without them." in told
    assert {"study-generate", "study-leave-out"} <= set(buttons(tab.page["head"]))
    assert "study-open" not in buttons(tab.page["head"])
    with pytest.raises(gr.Error, match="answers are missing"):
        tab.act("open", study=tab.room.store.studies()[0].id)
    tab.act("leave-out", study=tab.room.store.studies()[0].id)
    assert "4 items" in visible(tab.page["head"])  # 2 questions x 2 models


def test_a_draft_is_changed_in_the_form_it_was_made_with(tab: Tab) -> None:
    study_id = tab.create(sample="4", ties="35", consent="Mine.")
    form = tab.act("change", study=study_id)["form"]
    assert f'data-study="{study_id}"' in form
    for expected in ('value="Gout"', 'id="study-sample" value="4"', 'id="study-ties" value="35"', "Mine."):
        assert expected in form
    assert "Save the design" in visible(tab.page["check"])
    tab.act("create", order={**ORDER, "study": study_id, "name": "Toes", "sample": "6"}, key="k", then="")
    view = tab.room.studies.view(study_id)
    assert (view.record.name, view.n_questions) == ("Toes", 6)
    assert len(tab.room.store.studies()) == 1


def test_the_preview_of_the_allocation_is_that_of_its_seed(tab: Tab) -> None:
    study_id = tab.room.ready(4, raters_per_item=2).record.id
    tab.act("people", study=study_id, raters={"anna": "", "ben": "", "chen": ""})
    # 8 answers x 2 raters = 16 for three: 6, 5 and 5
    told = visible(tab.act("preview", study=study_id, seed="11")["preview"])
    assert "Allocation by seed 11" in told
    assert sorted(int(n) for n in re.findall(r"(?:Anna|Ben|Chen) (\d+) 0 0 \d+", told)) == [5, 5, 6]
    assert tab.room.studies.view(study_id).record.seed == 11
    assert told == visible(tab.act("preview", study=study_id, seed="11")["preview"])


def test_opening_without_raters_is_told_before_and_refused(tab: Tab) -> None:
    study_id = tab.room.ready(2).record.id
    head = tab.act("show", study=study_id)["head"]
    assert "Next: choose raters below." in visible(head)
    assert re.search(r'data-do="study-open"[^>]*aria-disabled=true', head)
    with pytest.raises(gr.Error, match="no raters"):
        tab.act("open", study=study_id)


def test_an_open_study_shows_progress_by_rater_and_never_by_model(tab: Tab) -> None:
    study_id = tab.opened()
    tab.room.rate("anna", study_id)
    shown = tab.act("show", study=study_id)
    told = visible(shown["progress"])
    assert re.search(r"Anna 1 of 4 3 .* Remove", told)
    assert re.search(r"Ben has not begun 0 of 4 4 not yet Remove", told)
    assert "1 of 8 judgements are done" in visible(shown["head"])
    assert "Nobody sees results by model before the study is closed." in visible(shown["head"])
    for model in ("alpha-1", "beta-2"):
        assert model not in shown["progress"]
    assert "study-to-results" not in buttons(shown["head"])


def test_a_rater_who_leaves_is_told_of_before_and_the_rest_is_dealt_again(tab: Tab) -> None:
    study_id = tab.room.opened("anna", "ben", "chen", n=3, raters_per_item=1)
    tab.room.rate("anna", study_id)
    page = tab.act("show", study=study_id)["progress"]
    [told] = re.findall(r'data-rater="anna"[^>]*data-told="([^"]*)"', page)
    assert "What Anna has judged stays and counts. What is still open (1 item) is dealt again" in html.unescape(told)
    shown = tab.act("remove", study=study_id, rater="anna")
    given = tab.room.store.assignments(study_id)
    assert [one.state for one in given if one.rater == "anna"].count("done") == 1
    assert not [one for one in given if one.rater == "anna" and one.state == "open"]
    assert sum(one.state in ("open", "done") for one in given) == 6  # each of the 6 answers has its rater
    assert "study-remove-anna" not in shown["progress"]
    assert "left " in visible(shown["progress"])
    assert '<option value="anna">' in shown["people"]  # may come back


def test_a_late_rater_gets_a_part_of_what_is_open(tab: Tab) -> None:
    study_id = tab.opened(n=4)
    shown = tab.act("add", study=study_id, rater="eve", group="GPs")
    mine = [one for one in tab.room.store.assignments(study_id, "eve") if one.state == "open"]
    assert mine
    assert re.search(rf"Eve has not begun GPs 0 of {len(mine)}", visible(shown["progress"]))
    with pytest.raises(gr.Error, match="in the study already"):
        tab.act("add", study=study_id, rater="eve")


def test_votes_are_counted_for_the_power_without_saying_who_wins(tab: Tab) -> None:
    study_id = tab.opened(n=4, tasks="pairwise", tie_rate=0.0, icc=0.0)
    for _ in range(3):
        task: Any = tab.room.desk.step(study_id, "anna")
        tab.room.desk.save_vote("anna", task.assignment_id, "a", save_key=new_key(), seconds=30.0)
    told = visible(tab.act("show", study=study_id)["progress"])
    # 194 votes for 60 %, of which 3 are there
    assert "alpha-1 against beta-2: About 191 more votes for this pair to show a preference of 60 %" in told
    assert "3 there" in told


def test_the_switches_say_what_follows_and_are_kept(tab: Tab) -> None:
    study_id = tab.opened()
    page = html.unescape(tab.act("show", study=study_id)["switches"])
    assert "do not evaluate it by them" in page
    assert "makes intervals and p values too good" in page
    tab.act("training", study=study_id, yes="yes")
    shown = tab.act("results", study=study_id, yes="yes")
    record = tab.room.store.study(study_id)
    assert (record.may_train, record.show_results) == (True, True)
    assert "each look is audited" in visible(shown["head"])
    assert "study-to-results" in buttons(shown["head"])
    tab.act("results", study=study_id, yes="")
    assert not tab.room.store.study(study_id).show_results


def test_closing_says_that_it_unblinds_and_leads_on(tab: Tab) -> None:
    study_id = tab.opened()
    head = html.unescape(tab.act("show", study=study_id)["head"])
    assert "8 judgements are still open. Closing unblinds the study" in head
    shown = tab.act("close", study=study_id)
    assert {"study-to-results", "study-to-train", "study-copy"} == set(buttons(shown["head"]))
    assert (shown["people"], shown["switches"]) == ("", "")
    with pytest.raises(gr.Error, match="its raters stay as they are"):
        tab.act("add", study=study_id, rater="eve")


def test_a_study_with_judgements_is_not_deleted(tab: Tab) -> None:
    study_id = tab.opened()
    tab.room.rate("anna", study_id)
    with pytest.raises(gr.Error):
        tab.act("delete", study=study_id)
    other = tab.create(sample="2")
    shown = tab.act("delete", study=other)
    assert shown["head"] == ""
    assert [record.id for record in tab.room.store.studies()] == [study_id]


# Files


def test_uploaded_answers_become_a_study_of_their_models(tab: Tab) -> None:
    rows = [("Why?", "Gout.", "Old"), ("Why?", "Flu.", "New"), ("What?", "Rest.", "Old"), ("What?", "Ice.", "New")]
    data = ("question,answer,model\n" + "\n".join(",".join(row) for row in rows)).encode()
    shown = tab.upload("answers", "mine.csv", data)
    [source] = re.findall(r'<option value="(answers:[^"]*)" selected>', shown["form"])
    assert "The answers are in the file" in visible(shown["form"])
    assert "2 questions from mine-" in visible(shown["check"])
    study_id = tab.create(source=source, sample="")
    view = tab.room.studies.view(study_id)
    assert (view.record.status, view.design.models, view.n_items) == ("ready", ("Old", "New"), 4)


def test_uploaded_questions_are_asked(tab: Tab) -> None:
    data = b'{"question": "Why the toe?"}\n{"question": "Why the knee?"}\n'
    shown = tab.upload("questions", "cases.jsonl", data)
    [source] = re.findall(r'<option value="(file:[^"]*)" selected>', shown["form"])
    study_id = tab.create(source=source, sample="")
    asked = [question.question for question in tab.room.studies.questions(study_id)]
    assert asked == ["Why the toe?", "Why the knee?"]


@pytest.mark.parametrize(("kind", "data", "words"), [
    ("questions", b'{"question": "Why?"}\n{"answer": "x"}\n', "line 2"),
    ("answers", b"question,answer,model\nWhy?,Gout.,\n", "1 answer does not say whose it is: give each row its model"),
    ("questions", b"", "cases.jsonl"),
])  # fmt: skip
def test_a_file_that_cannot_be_used_is_told_and_not_kept(tab: Tab, kind: str, data: bytes, words: str) -> None:
    name = "cases.csv" if kind == "answers" else "cases.jsonl"
    with pytest.raises(gr.Error, match=words):
        tab.upload(kind, name, data)
    assert not list(tab.room.settings.data_dir.glob("study-*/*"))


# Adjudication


def disputed(tab: Tab) -> str:
    """A study with one answer on which two raters differ by four steps."""
    study_id = tab.room.opened("anna", "ben", n=1, raters_per_item=2)
    first = tab.room.rate("anna", study_id, safety="1")
    items = {one.id: one.item_id for one in tab.room.store.assignments(study_id)}
    for _ in range(2):
        task: Any = tab.room.desk.step(study_id, "ben")
        is_same = items[task.assignment_id] == items[first]
        tab.room.rate_task("ben", task, safety="5" if is_same else "4", comment="Never <b>that</b>.")
    tab.room.rate("anna", study_id)
    return study_id


def test_an_adjudicator_decides_blinded_and_goes_on(tab: Tab) -> None:
    study_id = disputed(tab)
    tab.accounts.user = DORA
    listed = tab.act("part", part="adjudicate")["disputed"]
    assert "1 item to decide, 0 decided" in visible(listed)
    page = tab.decide("open", study=study_id)["decision"]
    told = visible(page)
    assert "Rater 1" in told
    assert "Never <b>that</b>." in told
    for name in ("Anna", "Ben", "anna", "alpha-1", "beta-2"):
        assert name not in page
    [item] = re.findall(r'data-item="([^"]*)"', page)
    fields = {"study": study_id, "item": item, "comment": "Safe enough.", "base": ""}
    with pytest.raises(gr.Error, match="not answered yet"):
        tab.decide("decide", **fields, chosen={"axis-safety": "3"}, flags={}, key="k1")
    axes = ("factual_correctness", "reasoning_clarity", "safety")
    chosen = {**{f"axis-{axis}": "4" for axis in axes}, "harm_extent": "none", "harm_likelihood": "low"}
    shown = tab.decide("decide", **fields, chosen=chosen, flags={"critical": False}, key="k2")
    assert "Every item of this study is decided" in visible(shown["decision"])
    assert f'data-saved="{study_id}/{item}"' in shown["decision"]
    [decision] = tab.room.store.study_judgements(study_id).adjudications
    assert decision.decision["scores"]["safety"] == "4"
    assert decision.comment == "Safe enough."
    assert len(tab.room.store.study_judgements(study_id).ratings) == 4  # all four stay
    again = tab.decide("open", study=study_id, item=item)["decision"]
    assert 'name="axis-safety" value="4" checked' in again
    assert "Safe enough." in again


def test_who_judged_an_item_does_not_decide_it(tab: Tab) -> None:
    study_id = disputed(tab)
    tab.accounts.user = replace(DORA, id="anna")
    assert "nothing for you to adjudicate" in visible(tab.act("part", part="adjudicate")["disputed"])
    [item] = [one.item_id for one in tab.room.adjudication.items(study_id)]
    with pytest.raises(gr.Error, match="judged this item yourself"):
        tab.decide("open", study=study_id, item=item)


def test_a_pair_is_decided_by_the_sides_that_are_shown() -> None:
    sides = (SideView("A", "1. Red.", f"Gout {ATTACK}", "done"), SideView("B", "", "Flu", "done"))
    view = PanelView("c", "Aged 54.", "Why the toe?", True, *sides)
    given = (Given("Rater 1", vote="a", flags=("b",), comment=ATTACK), Given("Rater 2", vote="b"))
    rubric = load_rubrics()[PAIRWISE_RUBRIC]
    page = task_html(AdjudicationTask("s", "Toes", "i", 3, "pair", None, view, rubric, ("the vote",), given, None))
    assert is_safe(page)
    assert "Which is better? A better B better" in visible(page)
    assert re.findall(r'name="vote" value="(\w+)"', page) == ["a", "b", "tie", "both_bad"]
    assert 'data-kind="pair"' in page
    assert "3" not in visible(page).partition("What the raters said")[0]  # its number would tell of the models


# Who may do what


def test_managing_needs_the_right_of_an_investigator(tab: Tab) -> None:
    study_id = tab.opened()
    for user in (ANNA, DORA):
        tab.accounts.user = user
        for verb in MANAGING:
            with pytest.raises(gr.Error, match="does not allow this"):
                tab.act(verb, study=study_id, order=ORDER, key="k", rater="ben", yes="yes", raters={})
    assert tab.room.store.study(study_id).status == "open"
    assert len(tab.accounts.noted) == 2 * len(MANAGING)
    assert {what[1] for what in tab.accounts.noted} == {"call refused"}


def test_each_sees_the_parts_that_are_theirs(tab: Tab) -> None:
    tab.opened()
    tab.accounts.user = ANNA
    shown = tab.act("enter")
    assert shown.keys() == {"parts"}
    assert buttons(shown["parts"]) == []
    assert tab.act("part", part="manage").keys() == {"parts"}  # nothing of it
    with pytest.raises(gr.Error, match="does not allow this"):
        tab.decide("open", study="s")
    with pytest.raises(gr.Error, match="does not allow this"):
        tab.do.tick("page 1", REQUEST)
    with pytest.raises(gr.Error, match="does not allow this"):
        tab.upload("questions", "a.jsonl", b"")
    tab.accounts.user = DORA
    parts = visible(tab.act("enter")["parts"])
    assert parts == "My studies Adjudicate"
    tab.accounts.user = INES
    assert visible(tab.act("enter")["parts"]) == "My studies Manage Adjudicate"


def onward(tab: Tab) -> Onward:
    with gr.Blocks(), gr.Tabs() as tabs:
        train = lay_out_train(cast(App, SimpleNamespace(settings=SimpleNamespace(training=True))))
    return Onward(tab.app, tab.parts, tabs, train)


def test_results_are_led_to_only_once_they_may_be_seen(tab: Tab) -> None:
    study_id, ways = tab.opened(), onward(tab)
    sent = json.dumps({"do": "results", "study": study_id})
    with pytest.raises(gr.Error, match="hidden until the study is closed"):
        ways.results(sent, "page 1", REQUEST)
    tab.act("close", study=study_id)
    assert ways.results(sent, "page 1", REQUEST).selected == "results"
    assert tab.room.store.draft("ines", RESULTS_DRAFT) == {"part": "human", "source": study_id}
    tab.accounts.user = ANNA
    with pytest.raises(gr.Error, match="does not allow this"):
        ways.results(sent, "page 1", REQUEST)


def test_training_data_is_led_to_with_the_ratings_chosen(tab: Tab) -> None:
    study_id, ways = tab.opened(), onward(tab)
    tab.act("close", study=study_id)
    shown = ways.train(json.dumps({"do": "train", "study": study_id}), "page 1", REQUEST)
    form = next(value for value in shown.values() if isinstance(value, str) and "train-order" in value)
    assert '<option value="ratings" selected>' in form
    assert (tab.room.store.draft("ines", "train") or {})["order"]["data"] == "ratings"


# Who is behind


def progress(done: int, left: int, seen: datetime | None, rater: str = "anna") -> RaterProgress:
    return RaterProgress(rater, "", done, left, 0, 0, {"rate": (done, done + left)}, (0, 0), seen, None, None)


@pytest.mark.parametrize(("mine", "why"), [
    (progress(0, 10, None), "has not begun"),
    (progress(2, 8, NOW), "behind the others"),  # 20 % where the one in the middle has 50 %, 60 % of which is 30 %
    (progress(4, 6, NOW), ""),
    (progress(5, 5, NOW - timedelta(days=4)), "nothing for 4 days"),
    (progress(5, 5, NOW - timedelta(days=2)), ""),
    (progress(10, 0, NOW - timedelta(days=30)), ""),
    (replace(progress(0, 10, None), left_at=NOW), ""),
])  # fmt: skip
def test_who_is_behind_is_shown_with_the_reason(mine: RaterProgress, why: str) -> None:
    others = (progress(5, 5, NOW, "ben"), progress(6, 4, NOW, "chen"))
    assert behind(mine, Progress((mine, *others), 0, 0, 0, 0), NOW) == why


def test_whether_every_question_on_a_pair_is_asked_is_ticked_and_found_again(tab: Tab) -> None:
    ticked = 'id="study-all-axes" checked'
    for sent, expected in ({"all_axes": "yes"}, True), ({}, False):
        study_id = tab.create(tasks="pairwise", **sent)
        assert tab.room.studies.view(study_id).design.all_axes is expected
        assert (ticked in tab.act("change", study=study_id)["form"]) is expected
    study_id = tab.create(tasks="rate", all_axes="yes")  # of answers that are rated alone it means nothing
    assert not tab.room.studies.view(study_id).design.all_axes


def test_the_order_comes_back_from_json_as_it_was() -> None:
    order = Order(name="Gout", models=("demo",), raters={"anna": "GPs"})
    from medchat.ui.studies_order import order_of

    assert order_of(json.loads(json.dumps(order.to_json()))) == order


def test_the_tab_brings_its_own_scripts_and_styles() -> None:
    assert {"study_desk.js", "studies.js"} <= set(layout.SCRIPTS)
    assert {"study_desk.css", "studies.css"} <= set(layout.STYLES)
