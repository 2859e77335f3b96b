"""The human evaluation of the Results tab without a browser: who may look, what is shown, filters and files."""

import csv
import html
import io
import json
import re
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any, cast

import gradio as gr
import pytest
from fastapi import FastAPI
from human_records import FIVE, human_data, rating, vote
from pyarrow import parquet
from starlette.datastructures import Headers
from starlette.testclient import TestClient
from study_rooms import MODELS, Room, new_key

from evaluation.human import HumanResults, analyse
from evaluation.human_data import HumanData
from medchat.accounts import CALL_REFUSED, EXPORTED, RIGHTS, STUDY_LOOKED, User
from medchat.errors import InvalidInput
from medchat.store import UserRecord
from medchat.study_views import PairTask, Progress, RaterProgress, RateTask
from medchat.ui.common import App
from medchat.ui.human_analyses import Analyses
from medchat.ui.human_files import add_routes, content_of
from medchat.ui.human_handlers import DRAFT, Handlers, HumanTab
from medchat.ui.human_parts import progress_section, votes_left_section
from medchat.ui.human_query import Query, narrowed, query_of
from medchat.ui.human_view import VIEWS, choose_html, findings_html, waiting_html

ATTACK = '"><img src=x onerror="alert(1)"><script>alert(1)</script>'
REQUEST = cast(gr.Request, SimpleNamespace(cookies={}, client=None, headers=Headers()))
NOW = datetime(2026, 5, 4, 9, 0, tzinfo=UTC)
RATERS = ("rita", "rob")
USERS = {name: User(name, name.title(), role, RIGHTS[role])
         for name, role in (("rita", "rater"), ("eve", "engineer"), ("ines", "investigator"))}  # fmt: skip
FILES = ("report.html", "report.md", "results.json", "all.zip", "tables/axes.csv", "tables/ranking.parquet",
         "tables/judgements.csv", "plots/ranking.svg")  # fmt: skip


def quickly(data: HumanData) -> HumanResults:
    return analyse(data, resamples=20)


def visible(page: str) -> str:
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", page))).strip()


class FakeAccounts:
    """Takes everybody for one user."""

    def __init__(self) -> None:
        self.user = USERS["eve"]
        self.noted: list[tuple[Any, ...]] = []

    def user_of(self, cookies: dict[str, str]) -> User:
        return self.user

    def note(self, *noted: Any) -> None:
        self.noted.append(noted)

    def address(self, peer: str, forwarded: list[str]) -> str:
        return peer


class People:
    """The section over a room with three studies that are judged to the end: closed, hidden and shown early."""

    def __init__(self, folder: Path) -> None:
        self.room = Room(folder)
        self.accounts = FakeAccounts()
        store = self.room.store
        known = [UserRecord(its.id, its.name, its.role, True, None, False, NOW) for its in USERS.values()]
        self.app = cast(App, SimpleNamespace(
            settings=self.room.settings, accounts=self.accounts, catalogue=self.room.catalogue, jobs=self.room.jobs,
            store=Known(store, known),
        ))  # fmt: skip
        self.closed, self.hidden, self.shown = (self.judged() for _ in range(3))
        self.room.studies.close(self.closed, "ines")
        self.room.studies.show_results(self.shown, "ines", True)
        self.parts = HumanTab(*cast(Any, HumanTab._fields))
        self.analyses = Analyses(quickly)
        self.do = Handlers(self.app, self.parts, self.analyses)
        self.web = FastAPI()
        add_routes(self.web, self.app, self.analyses)
        self.client = TestClient(self.web)

    def judged(self) -> str:
        study_id = self.room.opened(*RATERS, n=2, tasks="both")
        for rater in RATERS:
            while isinstance(task := self.room.desk.step(study_id, rater), RateTask | PairTask):
                if isinstance(task, RateTask):
                    self.room.rate_task(rater, task, comment=f"Said {ATTACK}")
                else:
                    self.room.desk.save_vote(rater, task.assignment_id, "a", save_key=new_key(), seconds=20.0)
        return study_id

    def act(self, verb: str, who: str = "eve", page: str = "page 1", **fields: Any) -> list[dict[str, str]]:
        """The frames of an action."""
        self.accounts.user = USERS[who]
        frames = self.do.act(json.dumps({"do": verb, **fields}), page, REQUEST)
        return [{str(part): value for part, value in frame.items()} for frame in frames]

    def show(self, who: str = "eve", **query: Any) -> dict[str, str]:
        """What stands on the page in the end."""
        page: dict[str, str] = {}
        for frame in self.act("show", who, query=query):
            page |= frame
        return page

    def looks(self) -> list[tuple[str, str, bool]]:
        return [(row.actor, row.target, row.details["allowed"])
                for row in self.room.store.audit(action=STUDY_LOOKED)]  # fmt: skip

    def get(self, name: str, who: str = "eve", **params: Any) -> Any:
        self.accounts.user = USERS[who]
        return self.client.get(f"/human/{name}", params=params)


class Known:
    """The store, with these users beside it."""

    def __init__(self, store: Any, users: list[UserRecord]) -> None:
        self._store = store
        self._users = users

    def users(self) -> list[UserRecord]:
        return self._users

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Iterator[People]:
    made = People(tmp_path_factory.mktemp("people"))
    yield made
    made.room.store.close()


# Who may look


def test_an_open_study_shows_nothing_by_model_and_the_refused_look_is_audited(people: People) -> None:
    before = people.looks()
    page = people.show(source=people.hidden)
    assert "Results by model are hidden until the study is closed" in visible(page["shown"])
    assert "6 of 6 judgements are done" in visible(page["shown"])
    assert not any(name in "".join(page.values()) for name in (*MODELS, "Rita", "Rob", "At a glance"))
    assert people.looks()[: len(people.looks()) - len(before)] == [("eve", people.hidden, False)]


def test_its_investigator_sees_there_how_far_each_rater_is(people: People) -> None:
    page = people.show("ines", source=people.hidden)
    assert "Rita" in visible(page["shown"])
    assert not any(name in page["shown"] for name in MODELS)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("more", [{}, {"model": "alpha-1", "save": "1"}, {"since": "2026-01-01"}])
def test_no_file_of_an_open_study_is_served_whatever_is_asked_with_it(
    people: People, name: str, more: dict[str, str]
) -> None:
    before = len(people.looks())
    answer = people.get(name, source=people.hidden, **more)
    assert answer.status_code == 403
    assert "hidden until the study is closed" in answer.text
    assert not any(model in answer.text for model in MODELS)
    assert len(people.looks()) == before + 1


def test_a_study_that_shows_results_early_is_seen_each_look_audited_until_it_hides_them_again(people: People) -> None:
    before = len(people.looks())
    page = people.show(source=people.shown)
    assert "At a glance" in page["shown"]
    assert "Still open" in visible(page["shown"])
    assert people.get("report.md", source=people.shown).status_code == 200
    looks = people.looks()
    assert len(looks) - before >= 3  # the page; the file when it is asked for, and when it is there
    assert set(looks[: len(looks) - before]) == {("eve", people.shown, True)}
    people.room.studies.show_results(people.shown, "ines", False)
    try:  # what was worked out before is still kept, and still not shown
        assert "At a glance" not in people.show(source=people.shown)["shown"]
        assert people.get("report.html", source=people.shown).status_code == 403
    finally:
        people.room.studies.show_results(people.shown, "ines", True)


def test_results_hidden_while_they_are_worked_out_are_not_shown(people: People) -> None:
    hidden = Event()

    def analysed(data: HumanData) -> HumanResults:
        people.room.studies.show_results(people.shown, "ines", False)
        hidden.wait(0.7)  # longer than the page waits before it says so
        return quickly(data)

    people.accounts.user = USERS["eve"]
    do = Handlers(people.app, people.parts, Analyses(analysed))
    frames: list[Any] = []
    sent = json.dumps({"do": "show", "query": {"source": people.shown}})
    try:
        with pytest.raises(gr.Error, match="hidden until the study is closed"):
            frames.extend(do.act(sent, "page 9", REQUEST))
    finally:
        people.room.studies.show_results(people.shown, "ines", True)
    assert len(frames) > 1
    assert not any("shown" in frame for frame in frames)


def test_raters_have_no_results_and_the_attempt_is_audited(people: People) -> None:
    with pytest.raises(gr.Error, match="does not allow this"):
        people.show("rita", source=people.closed)
    assert people.accounts.noted[-1][:2] == ("rita", CALL_REFUSED)
    assert people.get("report.html", "rita", source=people.closed).status_code == 403
    assert people.accounts.noted[-1][:2] == ("rita", CALL_REFUSED)


def test_raters_are_named_only_for_who_may_know_them(people: People) -> None:
    page = people.show("eve", source=people.closed)
    assert "Rater 1" in page["shown"]
    assert "Raters by name" not in page["choose"]
    assert "Rita" not in "".join(page.values())
    with pytest.raises(gr.Error, match="does not allow this"):
        people.show("eve", source=people.closed, named=True)
    assert people.get("tables/raters.csv", "eve", source=people.closed, named="1").status_code == 403
    named = people.show("ines", source=people.closed, named=True)
    assert "Raters by name" in named["choose"]
    assert "Rita" in named["shown"]
    assert "Rita" in people.get("tables/raters.csv", "ines", source=people.closed, named="1").text
    assert "Rita" not in people.get("tables/raters.csv", "ines", source=people.closed).text


def test_all_ratings_leave_out_what_belongs_to_open_studies(people: People) -> None:
    page = people.show(source="all")
    # Of two questions each rater judges all of one half: 4 ratings and 2 votes of the closed study alone.
    closed = people.show(source=people.closed)
    counts = [re.search(r"(\d+) ratings · (\d+) votes", visible(its["shown"])) for its in (page, closed)]
    assert [its and its.groups() for its in counts] == [("4", "2")] * 2


# What is kept


def test_the_tab_opens_where_it_was_left_and_looks_at_nothing_while_evaluations_are_shown(people: People) -> None:
    people.room.store.drop_draft("eve", DRAFT)
    before = len(people.looks())
    assert [sorted(frame) for frame in people.act("enter")] == [["parts"]]
    assert len(people.looks()) == before
    people.show(source=people.shown, model=MODELS[0])
    frames = people.act("enter")
    assert 'data-part="human"' in frames[0]["parts"]
    assert f'value="{MODELS[0]}" selected' in frames[1]["choose"]
    people.act("part", part="evaluations")
    assert people.room.store.draft("eve", DRAFT) == {
        "part": "evaluations", "source": people.shown, "model": MODELS[0]
    }  # fmt: skip


def test_names_that_were_kept_go_with_the_right_to_them(people: People) -> None:
    people.room.store.save_draft("eve", DRAFT, {"part": "human", "source": people.closed, "named": True})
    shown = [frame["shown"] for frame in people.act("enter") if "shown" in frame]
    assert "At a glance" in shown[-1]
    assert "Rita" not in shown[-1]


def test_a_study_that_is_gone_gives_way_to_all_ratings(people: People) -> None:
    page = people.show(source="no-such-study")
    assert '<option value="all" selected>' in page["choose"]


def test_of_two_requests_of_a_page_the_newer_one_stands(people: People) -> None:
    go = Event()

    def slow(data: HumanData) -> HumanResults:
        go.wait(5)
        return quickly(data)

    people.accounts.user = USERS["eve"]
    do = Handlers(people.app, people.parts, Analyses(slow))
    older, newer = (
        do.act(json.dumps({"do": "show", "query": {"source": people.closed, "model": model}}), "page 1", REQUEST)
        for model in MODELS
    )
    seen = [next(older) for _ in range(3)]  # it waits
    assert "Drawing raters" in seen[-1][people.parts.status]
    with ThreadPoolExecutor(1) as pool:
        rest = pool.submit(list, older)
        assert "choose" in [next(iter(frame)) for frame in (next(newer), next(newer))]
        go.set()
        assert not any("shown" in frame for frame in rest.result(5))
    assert f"(only {MODELS[1]})" in list(newer)[-1][people.parts.shown]


@pytest.mark.parametrize("fields", [{"query": "all"}, {}])
def test_what_no_page_sends_is_one_clear_line(people: People, fields: dict[str, Any]) -> None:
    with pytest.raises(gr.Error, match="Reload the page"):
        people.act("show", **fields)
    with pytest.raises(gr.Error, match="Reload the page"):
        people.act("part", part="secrets")


# Filters


def filtered_by(**fields: str) -> HumanData:
    first, second = NOW, NOW + timedelta(days=2)
    ratings = [
        rating("q1", "m", "r1", 5, at=first, specialty="Cardiology", group="GPs"),
        rating("q2", "n", "r2", 1, at=second),
    ]
    votes = [vote("q1", "m", "n", "r2", "a", at=second)]
    return narrowed(human_data(ratings, votes), query_of(fields))


@pytest.mark.parametrize(("fields", "ratings", "votes", "title"), [
    ({}, ["q1", "q2"], 1, "By hand"),
    ({"specialty": "Cardiology"}, ["q1"], 0, "By hand (only specialty Cardiology)"),
    ({"specialty": "-"}, ["q2"], 1, "By hand (only no specialty)"),
    ({"group": "GPs"}, ["q1"], 0, "By hand (only raters of GPs)"),
    ({"model": "n"}, ["q2"], 1, "By hand (only N)"),
    ({"until": "2026-05-04"}, ["q1"], 0, "By hand (only to 2026-05-04)"),  # that day is in it
    ({"since": "2026-05-05", "until": "2026-05-06"}, ["q2"], 1, "By hand (only from 2026-05-05, to 2026-05-06)"),
])  # fmt: skip
def test_filters_keep_what_fits_and_are_named_in_the_title(
    fields: dict[str, str], ratings: list[str], votes: int, title: str
) -> None:
    found = filtered_by(**fields)
    assert ([its.question_id for its in found.ratings], len(found.votes), found.title) == (ratings, votes, title)


@pytest.mark.parametrize(("fields", "words"), [
    ({"since": "yesterday"}, "From: write the day as 2026-03-31."),
    ({"until": "0026-05-04"}, "To: write the day as 2026-03-31."),
    ({"since": "2026-05-04", "until": "2026-05-03"}, "The last day is before the first one"),
])  # fmt: skip
def test_days_that_are_none_are_one_clear_line(fields: dict[str, str], words: str) -> None:
    with pytest.raises(InvalidInput, match=re.escape(words)):
        filtered_by(**fields)


def test_filters_that_leave_nothing_say_so(people: People) -> None:
    page = people.show(source=people.closed, until="2001-01-01")
    assert "No judgement fits these filters" in visible(page["shown"])
    assert 'data-do="human-reset"' in page["choose"]
    answer = people.get("report.html", source=people.closed, until="2001-01-01")
    assert (answer.status_code, "nothing to download" in answer.text) == (400, True)


def test_a_filter_goes_into_the_address_of_every_file() -> None:
    query = Query("s1", specialty="Ear, nose & throat", named=True)
    assert query.address == "source=s1&specialty=Ear%2C+nose+%26+throat&named=1"
    assert query_of(query.as_dict()) == query


# What is shown


def two_models() -> HumanData:
    """Model m is better than n on every question; the raters differ widely on one answer, and two days are judged."""
    ratings = [
        rating(f"q{n}", model, rater, score, at=NOW + timedelta(days=n % 2), harm_extent=harm, harm_likelihood="low")
        for n in range(6)
        for model, score, harm in (("m", 5, "none"), ("n", 2, "severe"))
        for rater in ("r1", "r2", "r3")
    ]
    ratings[0] = rating("q0", "m", "r1", 1, at=NOW, comment=ATTACK)
    votes = [vote(f"q{n}", "m", "n", rater, "a" if n else "b") for n in range(6) for rater in ("r1", "r2")]
    automatic = {f"q{n}/{model}": {"exact": float(n)} for n in range(6) for model in ("m", "n")}
    return human_data(ratings, votes, axes=[FIVE], automatic=automatic, title=ATTACK)


@pytest.fixture(scope="module")
def found() -> tuple[HumanData, HumanResults]:
    data = two_models()
    return data, quickly(data)


def test_every_view_has_its_findings(found: tuple[HumanData, HumanResults]) -> None:
    data, results = found
    page = findings_html(results, data, Query("s1"), "closed", Progress((), 5, 6, 0, 0))
    views = dict(re.findall(r'<div class="mc-human-view" data-view="(\w+)"[^>]*>(.*?)(?=<div class="mc-human-view"|$)',
                            page, re.DOTALL))  # fmt: skip
    assert list(views) == list(VIEWS)
    for view, titles in {
        "models": ("At a glance", "Ranking", "Won / tied / lost", "Mean score", "Harm"),
        "raters": ("5 of 6 judgements are done", "Agreement of the raters", "When each misleads", "Straight-lining"),
        "metrics": ("Automatic metrics against clinicians", "Spearman"),
        "cases": ("Cases with the largest disagreement", "It is m.", "One step."),
        "trend": ("Mean rating over time", "Flagged"),
        "design": ("How to read this",),
    }.items():
        assert all(title in visible(views[view]) for title in titles), view
    assert page.count("hidden>") == len(VIEWS) - 1  # one view stands open
    assert "<script" not in page
    assert "<img" not in page


def test_only_a_study_that_is_not_closed_says_how_many_votes_it_still_takes(
    found: tuple[HumanData, HumanResults],
) -> None:
    data, results = found
    assert "Votes still to collect" in findings_html(results, data, Query("s1"), "open", None)
    assert "Votes still to collect" not in findings_html(results, data, Query("s1"), "closed", None)


def test_a_simulated_study_says_so_in_every_view_and_offers_no_training_data(
    found: tuple[HumanData, HumanResults],
) -> None:
    data, results = found
    page = findings_html(replace(results, simulated=True), data, Query("example"), "", None)
    assert page.index("nobody took part in this study") < page.index("mc-human-views")
    assert page.count("nobody took part in this study") == 1
    assert "human-train" not in page
    assert "human-train" in findings_html(results, data, Query("s1"), "closed", None)


def test_a_pair_says_how_many_votes_it_still_takes() -> None:
    votes = [vote(f"q{n}", "m", "n", "r1", said) for n, said in enumerate(["a"] * 10 + ["b"] * 5 + ["tie"] * 5)]
    section = votes_left_section(quickly(human_data([], votes)))
    assert section is not None
    # Ties: 5 of 20 votes, beside 20 with none: 5 / 40 = 12.5 %. 193.85 decisive votes for 60 % (ANCHORS: 194);
    # 193.85 / 0.875 = 221.5, so 222, of which 20 are there.
    assert "M and N: About 202 more votes for this pair" in str(section.blocks[1])
    assert votes_left_section(quickly(human_data([rating("q", "m", "r", 4)]))) is None


def test_progress_is_in_the_order_of_the_names_not_of_who_joined_first() -> None:
    def at(rater: str) -> RaterProgress:
        return RaterProgress(rater, "GPs", 3, 1, 0, 2, {}, (4, 5), NOW, None, None)

    section = progress_section(Progress((at("x"), at("y")), 6, 8, 1, 2), {"x": "Rater 2", "y": "Rater 1"})
    table: Any = section.blocks[1]
    assert list(table.rows[0]) == ["Rater 1", "GPs", "3", "1", "0", "2", "4 of 5", "2026-05-04"]
    assert [row[0] for row in table.rows] == ["Rater 1", "Rater 2"]


def test_a_study_that_may_not_be_seen_offers_no_filter() -> None:
    page = choose_html(Query("s1"), [], None, may_name=True)
    assert "human-model" not in page
    assert "human-named" not in page


def test_what_takes_a_while_says_how_much_there_is_to_do() -> None:
    words = visible(waiting_html(two_models(), 3.4))
    assert "36 ratings and 12 votes" in words
    assert "3 s so far" in words


# Analyses


def test_the_same_judgements_are_analysed_once_and_a_new_one_anew() -> None:
    seen: list[int] = []

    def count(data: HumanData) -> HumanResults:
        seen.append(len(data.ratings))
        return cast(HumanResults, seen[-1])

    analyses: Any = Analyses(count)
    one, two = human_data([rating("q", "m", "r", 4)]), human_data([rating("q", "m", "r", 4), rating("p", "m", "r", 1)])
    found = [analyses.results(data) for data in (one, two, human_data([rating("q", "m", "r", 4)]))]
    assert (found, seen) == ([1, 2, 1], [1, 2])


def test_an_analysis_that_failed_is_tried_again() -> None:
    seen: list[int] = []

    def fails_once(data: HumanData) -> HumanResults:
        seen.append(1)
        if len(seen) == 1:
            raise InvalidInput("Broken.")
        return cast(HumanResults, "found")

    analyses: Any = Analyses(fails_once)
    data = human_data([rating("q", "m", "r", 4)])
    with pytest.raises(InvalidInput, match="Broken"):
        analyses.results(data)
    assert analyses.results(data) == "found"


def test_an_analysis_that_nobody_waits_for_any_more_is_not_begun() -> None:
    seen: list[float | None] = []
    go = Event()

    def slow(data: HumanData) -> HumanResults:
        seen.append(data.ratings[0].scores["correct"])
        go.wait(5)
        return cast(HumanResults, seen[-1])

    analyses: Any = Analyses(slow)
    first, left, last = (human_data([rating("q", "m", "r", score)]) for score in (1, 2, 3))
    with analyses.begun(first) as one, analyses.begun(last) as three:
        with analyses.begun(left):
            pass  # its page was sent elsewhere
        go.set()
        assert (one.result(5), three.result(5)) == (1, 3)
    assert seen == [1, 3]


# Files


def test_report_tables_and_plots_can_be_had(found: tuple[HumanData, HumanResults]) -> None:
    data, results = found
    report = content_of("report.html", results, data).decode()
    assert report.startswith("<!doctype html>")
    assert "<script" not in report
    assert content_of("report.md", results, data).startswith(b"# Human evaluation")
    rows = list(csv.DictReader(io.StringIO(content_of("tables/ranking.csv", results, data).decode())))
    assert {row["model"] for row in rows} == {"M", "N"}
    table = parquet.read_table(io.BytesIO(content_of("tables/ranking.parquet", results, data)))
    assert table.column("model").to_pylist() == [row["model"] for row in rows]
    assert content_of("plots/axes.svg", results, data).startswith(b"<svg")
    with zipfile.ZipFile(io.BytesIO(content_of("all.zip", results, data))) as packed:
        names = set(packed.namelist())
    assert {"report.html", "report.md", "results.json", "tables/harm.csv", "plots/axes.svg"} <= names


def test_a_file_is_saved_under_the_name_of_the_study_and_noted(people: People) -> None:
    answer = people.get("tables/axes.csv", source=people.closed, save="1")
    assert answer.headers["content-disposition"] == 'attachment; filename="medchat-Gout-axes.csv"'
    assert people.accounts.noted[-1][:4] == ("eve", EXPORTED, people.closed, {"file": "tables/axes.csv"})
    assert "content-disposition" not in people.get("report.html", source=people.closed).headers


@pytest.mark.parametrize("name", ["tables/passwords.csv", "plots/x.svg", "report.exe", "../../etc/passwd", "tables/"])
def test_there_is_no_other_file(people: People, name: str) -> None:
    assert people.get(name, source=people.closed).status_code == 404


def test_every_link_of_the_page_leads_to_a_file(people: People) -> None:
    page = people.show(source=people.closed)["shown"]
    links = [html.unescape(link) for link in re.findall(r'href="(/human/[^"]+)"', page)]
    assert len(links) > 15
    for link in links:
        if not link.startswith("/human/all.zip"):
            assert people.client.get(link).status_code == 200, link
