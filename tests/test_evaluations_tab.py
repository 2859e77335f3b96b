"""The Results tab without a browser: what its lists and panels say, and handlers that ask who is there first."""

import html
import inspect
import json
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import gradio as gr
import pytest
from starlette.datastructures import Headers
from stored_predictions import line, multiple_choice, write_run
from stores import new_store

from evaluation.predictions import Prediction
from evaluation.stats import estimate
from medchat.accounts import CALL_REFUSED, JOB_DELETED, JOB_RESUMED, JOB_STARTED, JOB_STOPPED, Accounts
from medchat.catalogue import Catalogue
from medchat.errors import InvalidInput
from medchat.jobs import Jobs
from medchat.knowledge import Knowledge, load_knowledge
from medchat.machine import Machine
from medchat.rundir import RunDir
from medchat.settings import Settings
from medchat.store import EvaluationRecord, RunRecord, Store
from medchat.ui import evaluations, evaluations_form, evaluations_item, evaluations_report, evaluations_speed
from medchat.ui.common import App
from medchat.ui.evaluations_data import entries, judged_metrics, labels_of, verdict_of
from medchat.ui.evaluations_form import Typed
from medchat.ui.evaluations_handlers import EvaluationsTab, Handlers

ATTACK = '"><img src=x onerror="alert(1)"><script>alert(1)</script>'
WHEN = datetime(2026, 5, 4, 9, 7, tzinfo=UTC)


@cache
def catalogue() -> Catalogue:
    return Catalogue(Path("/nowhere"))


@cache
def knowledge() -> Knowledge:
    return load_knowledge()


@cache
def parts() -> EvaluationsTab:
    with gr.Blocks(), gr.Tab("Results") as item:
        return evaluations.build(cast(App, None), item)


class Tab:
    """The tab over a store with the engineer Eve, the rater Rob and the admin Ada, and a machine with 16 GB."""

    def __init__(self, folder: Path, fresh: Path) -> None:
        self.settings = Settings(folder)
        shutil.copy(fresh / "medchat.db", folder)
        self.store = Store(self.settings.db_url)
        self.accounts = Accounts(self.store, self.settings)
        self.users = {
            name: self.store.add_user(name, role, None)
            for name, role in (("Ada", "admin"), ("Eve", "engineer"), ("Rob", "rater"))
        }
        self.jobs = Jobs(self.settings.runs_dir, lambda job, run_dir: None, lambda run_dir: None)
        app = SimpleNamespace(
            settings=self.settings, store=self.store, accounts=self.accounts, jobs=self.jobs,
            catalogue=catalogue(), machine=lambda: Machine(16.0, None, 8.0),
            grounding=SimpleNamespace(get=lambda _: SimpleNamespace(knowledge=knowledge())),
        )  # fmt: skip
        self.app = cast(App, app)
        self.parts = parts()
        self.do = Handlers(self.app, self.parts)

    def request(self, name: str = "Eve") -> gr.Request:
        token = self.accounts._begin(self.users[name], "192.0.2.1")
        made = SimpleNamespace(
            cookies={"medchat_session": token}, client=SimpleNamespace(host="192.0.2.1"), headers=Headers()
        )
        return cast(gr.Request, made)

    def shown(self, updates: Mapping[Any, Any]) -> dict[str, Any]:
        parts = self.parts._asdict() | self.parts.form._asdict()
        names = {id(part): name for name, part in parts.items()}
        return {names[id(part)]: value for part, value in updates.items()}

    def act(self, verb: str, who: str = "Eve", watched: Any = None, **fields: Any) -> dict[str, Any]:
        """What the last frame of the action shows."""
        sent = json.dumps({"do": verb, **fields})
        *_, last = self.do.act(sent, watched, self.request(who))
        return self.shown(last)

    def evaluated(
        self, run_id: str, lines: Sequence[Mapping[str, Any]], suite: str = "mine", models: Sequence[str] = ("toy",)
    ) -> list[str]:
        """The ids of the evaluations of a run that has ended with these predictions."""
        folder = write_run(self.settings.runs_dir / run_id, lines)
        run = RunRecord(run_id, "evaluate", run_id, "eve", "", "", "", {}, "done", WHEN, WHEN, {}, str(folder))
        records = [
            EvaluationRecord(
                f"{run_id}-{model}", run_id, model, "", "", "", suite, "digest", {"seed": 0}, len(lines),
                summary([row for row in lines if row["model"] == model]), WHEN, str(folder),
            )
            for model in models
        ]  # fmt: skip
        self.store.add_run(run, records)
        return [record.id for record in records]


def summary(lines: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    names = dict.fromkeys(name for row in lines for name in row["scores"])
    found = {name: estimate([row["scores"].get(name) for row in lines]) for name in names}
    return {
        name: {field: getattr(its, field) for field in ("value", "n", "n_unscored", "low", "high", "method")}
        for name, its in found.items()
    }


def scored(model: str, values: Sequence[float | None], **more: Any) -> list[dict[str, Any]]:
    """One answer a value, which is its score."""
    return [
        line(number, model, scores={"exact": value}, **more) for number, value in enumerate(values)
    ]  # fmt: skip


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store of the current version."""
    folder = tmp_path_factory.mktemp("fresh")
    new_store(folder).close()
    return folder


@pytest.fixture
def tab(tmp_path: Path, fresh: Path) -> Iterator[Tab]:
    made = Tab(tmp_path, fresh)
    yield made
    made.store.close()


def visible(page: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


# The form


def test_models_that_are_here_stand_first_and_each_says_whether_it_can_be_used(tab: Tab) -> None:
    labels = [label for label, _ in evaluations_form.model_choices(tab.app)]
    assert labels[:2] == [
        "MedChat Demo · demo model · llama.cpp · needs 50 MB",
        "MedChat Demo (base) · demo model · llama.cpp · needs 50 MB",
    ]
    assert labels[2] == "Recogniser alone · no language model"
    assert any(label.endswith("too large for this machine") for label in labels[3:])
    assert not any("not here yet" in label for label in labels[:3])


def test_a_suite_says_what_it_is_and_where_missing_files_go(tab: Tab) -> None:
    told = visible(evaluations_form.about_html(tab.app, Typed(suites=["handwritten", "medqa"])))
    assert re.search(r"Cases written by hand comes with MedChat · \d+ questions · licence: Apache-2.0", told)
    assert (
        f"put them into {tab.settings.data_dir / 'suites' / 'medqa'}, or fetch them from the Hugging Face Hub" in told
    )
    fetched = visible(evaluations_form.about_html(tab.app, Typed(suites=["medqa"], hub=True)))
    assert "not here" not in fetched


def test_an_own_file_of_questions_is_listed_as_such(tab: Tab) -> None:
    folder = tab.settings.data_dir / "suites"
    folder.mkdir()
    (folder / "forum.jsonl").write_text('{"question": "Why?", "answer": "Gout."}\n')
    assert ("forum · 1 questions · your own questions", "forum") in [
        (label.replace("1 question ", "1 questions "), name) for label, name in evaluations_form.suite_choices(tab.app)
    ]


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (Typed(), "Choose at least one model."),
        (Typed(["demo"]), "Choose at least one suite."),
        (Typed(["demo", "gone"], ["handwritten"]), "There is no model 'gone' here"),
        (
            Typed(["gemma-3-1b-it-gguf"], ["handwritten"]),
            "is not on this machine; download it in the Models tab first.",
        ),
        (Typed(["demo"], ["handwritten", "medqa"]), "MedQA (USMLE) cannot be asked: its files are not here"),
        (Typed(["demo"], ["/etc/passwd"]), "There is no suite '/etc/passwd' here"),
        (Typed(["demo"], ["medqa=/etc/passwd"]), "There is no suite 'medqa=/etc/passwd' here"),
        (Typed(["demo"], ["handwritten"], limit=0), "The number of questions must be a whole number from 1"),
        (Typed(["demo"], ["handwritten"], seed=-1), "The seed must be a whole number from 0"),
    ],
)
def test_what_cannot_be_run_is_said_in_one_line(tab: Tab, typed: Typed, words: str) -> None:
    with pytest.raises(InvalidInput, match=re.escape(words)) as fault:
        evaluations_form.checked(tab.app, typed)
    assert "\n" not in str(fault.value)


def test_the_command_is_that_of_the_terminal(tab: Tab) -> None:
    wanted = evaluations_form.checked(
        tab.app, Typed(["demo", "grounding"], ["handwritten", "medqa"], hub=True, limit=20, seed=3)
    )
    assert wanted.argv == [
        "python", "-m", "evaluation", "run", "--model", "demo", "--model", "grounding", "--suite", "handwritten",
        "--suite", "medqa=hub", "--out", "{run_dir}", "--seed", "3", "--limit", "20",
    ]  # fmt: skip
    assert wanted.name == "MedChat Demo and Recogniser alone on Cases written by hand and MedQA (USMLE)"
    assert wanted.variables == []


def test_a_server_gets_the_name_of_its_key_and_the_page_says_that_questions_leave(
    tab: Tab, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = next(spec for spec in tab.app.catalogue.values() if spec.external and spec.endpoint)
    assert spec.endpoint
    typed = Typed([spec.id], ["handwritten"])
    with pytest.raises(InvalidInput, match=f"needs a key: set {spec.endpoint.key_variable}"):
        evaluations_form.checked(tab.app, typed)
    monkeypatch.setenv(spec.endpoint.key_variable, "secret")
    wanted = evaluations_form.checked(tab.app, typed)
    assert wanted.variables == [spec.endpoint.key_variable]
    assert "secret" not in " ".join(wanted.argv)
    assert f"they will be sent to {spec.external}" in visible(evaluations_form.about_html(tab.app, typed))


def test_the_time_is_estimated_from_earlier_runs_of_the_same_model(tab: Tab) -> None:
    typed = Typed(["demo"], ["handwritten"], limit=20)
    before = visible(evaluations_form.told_html(tab.app, typed, evaluations_speed.speeds_of(tab.jobs)))
    assert before == "20 answers to be had. How long that takes is not known before the first answers."
    run_dir = RunDir(tab.settings.runs_dir / "earlier")
    with run_dir.begin({"kind": "evaluation"}, 0):
        pass
    rows = [{"step": 10, "time": 100.0}, {"step": 30, "time": 110.0}]  # 20 answers in 10 s
    run_dir.progress_file.write_text(
        "".join(json.dumps(row | {"stage": "demo on handwritten", "per_s": 1.0}) + "\n" for row in rows)
    )
    after = visible(evaluations_form.told_html(tab.app, typed, evaluations_speed.speeds_of(tab.jobs)))
    assert "That takes about 10 s, by earlier runs of these models here" in after  # 20 answers at 2 a second


def test_a_suite_that_takes_a_judge_asks_for_one(tab: Tab) -> None:
    shown = tab.shown(tab.do.describe(tab.request(), ["demo"], ["healthbench"], True, None, 0, ""))
    assert shown["judge"].visible is True
    assert shown["hub"].visible is True
    shown = tab.shown(tab.do.describe(tab.request(), ["demo"], ["handwritten"], True, None, 0, ""))
    assert shown["judge"].visible is False


# Runs


def test_an_evaluation_is_started_waits_is_stopped_resumed_and_deleted(tab: Tab) -> None:
    shown = tab.shown(tab.do.start(tab.request(), {}, ["demo"], ["handwritten"], False, 20, 0, ""))
    [view] = tab.jobs.all()
    assert view.job.owner == tab.users["Eve"].id
    assert "MedChat Demo on Cases written by hand: started." in visible(shown["status"])
    assert "Waiting, next in line" in visible(shown["runs"])
    assert "by you" in visible(shown["runs"])
    assert shown["timer"].active is True
    assert "Stopped" in visible(tab.act("stop", run=view.job.id)["runs"])
    assert "Waiting" in visible(tab.act("resume", "Ada", run=view.job.id)["runs"])
    assert "by Eve" in visible(tab.act("log", "Ada", run=view.job.id)["runs"])
    tab.act("stop", run=view.job.id)
    assert tab.act("delete", run=view.job.id)["runs"] == ""
    done = [row.action for row in tab.store.audit() if row.target == view.job.id]
    assert done == [JOB_DELETED, JOB_STOPPED, JOB_RESUMED, JOB_STOPPED, JOB_STARTED]


def test_what_stands_against_a_start_is_said_in_the_form(tab: Tab) -> None:
    shown = tab.shown(tab.do.start(tab.request(), {}, ["demo"], [], False, None, 0, ""))
    assert list(shown) == ["told"]
    assert "Choose at least one suite." in visible(shown["told"])
    assert tab.jobs.all() == []


def test_a_tick_says_nothing_before_something_changed(tab: Tab) -> None:
    first = tab.shown(next(iter(tab.do.enter({}, tab.request()))))
    quiet = tab.shown(tab.do.tick(first["watched"], tab.request()))
    assert list(quiet) == ["watched"]
    assert quiet["watched"] == gr.skip()
    tab.jobs.submit("evaluate", "other", ["python", "{run_dir}"], "eve")
    assert "Waiting" in visible(tab.shown(tab.do.tick(first["watched"], tab.request()))["runs"])


def test_progress_is_told_with_the_time_left_and_the_log_is_folded(tab: Tab) -> None:
    job_id = tab.jobs.submit("evaluate", "Demo on mine", ["python", "{run_dir}"], tab.users["Eve"].id)
    run_dir = tab.jobs.run_dir(job_id)
    run_dir.log_file.write_text("reading <suites>\n")
    with run_dir.begin({"kind": "evaluation"}, 0) as writer:
        writer.stage("demo on handwritten", 60)
        writer.record(15, answered=15, of=60, per_s=3.0, left_s=15.0)
        shown = tab.shown(next(iter(tab.do.enter({}, tab.request()))))
        words = visible(shown["runs"])
        assert (
            "15 of 60 answers · 3.0 answers a second · about 15 s left MedChat Demo on Cases written by hand" in words
        )
        assert 'aria-valuenow="25"' in shown["runs"]
        assert "reading" not in words
        assert shown["timer"].active is True
        opened = tab.act("log", watched=shown["watched"], run=job_id)
        assert "reading <suites>" in visible(opened["runs"])
        writer.record(30, answered=30, of=60, per_s=3.0, left_s=10.0)
        tab.jobs._note_change()  # what the app's thread does
        news = tab.shown(tab.do.tick(opened["watched"], tab.request()))
        assert "30 of 60 answers" in visible(news["news"])
        assert "runs" not in news


def test_the_page_follows_a_run_until_its_results_are_stored(tab: Tab) -> None:
    job_id = tab.jobs.submit("evaluate", "toy on mine", ["python", "{run_dir}"], tab.users["Eve"].id)
    with tab.jobs.run_dir(job_id).begin({"kind": "evaluation"}, 0):
        pass  # done, and nothing is taken in yet
    shown = tab.shown(next(iter(tab.do.enter({}, tab.request()))))
    assert "Done" in visible(shown["runs"])
    assert shown["timer"].active is True
    waiting = tab.shown(tab.do.tick(shown["watched"], tab.request()))
    assert "results" not in waiting
    tab.evaluated(job_id, scored("toy", [1.0]))
    stored = tab.shown(tab.do.tick(shown["watched"], tab.request()))
    assert "toy 100.0 %" in visible(stored["results"])
    assert stored["timer"].active is False


# Results


def test_an_empty_tab_says_what_to_do_first(tab: Tab) -> None:
    shown = tab.shown(next(iter(tab.do.enter({}, tab.request()))))
    assert "There are no results yet. Open “New evaluation”" in visible(shown["results"])
    assert shown["box"].open is True


def test_results_stand_by_suite_with_interval_n_unscored_and_demo_models_named(tab: Tab) -> None:
    values = [1.0, 1.0, 1.0, 0.0, None]
    tab.evaluated("r1", scored("demo", values), "handwritten", ["demo"])
    tab.evaluated("r2", scored("toy", values), "forum")
    page = tab.shown(next(iter(tab.do.enter({}, tab.request()))))["results"]
    words = visible(page)
    # 3 of 4 right: Wilson's interval is (3.92 / 2 + 3) / (4 + 3.84) -+ ..., 30.1 % to 95.4 %
    assert "MedChat Demo demo model demo 75.0 % (30.1 to 95.4) 4 1 2026-05-04 09:07 UTC" in words
    assert "toy 75.0 %" in words
    assert words.index("Suites that come with MedChat") < words.index("Your own questions Reported apart")
    assert "toy demo model" not in words


def test_stated_figures_are_named_as_the_seeds_and_the_pass_line_is_judged_by_the_lower_end(tab: Tab) -> None:
    # 70 of 100 right: from 60.4 % on, above the line of 60 %; 65 of 100: from 55.3 % on
    for name, right in (("pass", 70), ("near", 65)):
        rows = [line(n, name, scores={"mcq_generated": float(n < right)}) for n in range(100)]
        tab.evaluated(name, rows, "medqa", [name])
    words = visible(tab.shown(next(iter(tab.do.enter({}, tab.request()))))["results"])
    assert "GPT-4: 85 %, Right option, as answered (the seed, unsourced)" in words
    assert "Stated by others, not measured here:" in words
    assert re.search(r"pass .{0,20}70.0 % \(60.4 to 78.1\) passed: above 60.0 %", words)
    assert re.search(r"near .{0,20}65.0 % \(55.3 to 73.6\) not shown to reach 60.0 %", words)


def test_an_evaluation_whose_run_was_deleted_keeps_its_figures_and_loses_its_answers(tab: Tab) -> None:
    [one] = tab.evaluated("r1", scored("toy", [1.0]))
    (tab.settings.runs_dir / "r1" / "predictions.jsonl").unlink()
    page = tab.shown(next(iter(tab.do.enter({}, tab.request()))))["results"]
    assert "100.0 %" in visible(page)
    assert f'value="{one}" data-suite="mine" aria-label="Choose toy on mine, 2026-05-04 09:07 UTC" disabled' in page
    with pytest.raises(gr.Error, match="its run was deleted"):
        tab.act("items", ids=[one])


def test_models_that_are_called_alike_are_told_apart(tab: Tab) -> None:
    tab.evaluated("r1", scored("demo", [1.0]), "mine", ["demo"])
    tab.evaluated("r2", scored("demo", [0.0]), "mine", ["demo"])
    labels = labels_of(entries(tab.app))
    assert sorted(labels.values()) == ["MedChat Demo, 2026-05-04 09:07:00", "MedChat Demo, 2026-05-04 09:07:00 (2)"]


# Comparison


def test_a_comparison_says_in_words_what_is_better_with_interval_and_n(tab: Tab) -> None:
    rows = [*scored("old", [0.0] * 20), *scored("new", [1.0] * 15 + [0.0] * 5)]
    tab.evaluated("r1", rows, "mine", ["old", "new"])
    shown = tab.act("compare", ids=["r1-old", "r1-new"], first="r1-old")
    words = visible(shown["panel"])
    assert "new against old, on 20 questions: better in Exact answer, +75.0 points" in words
    assert "<svg" in shown["panel"]
    assert "n Left out p q" in words
    back = visible(tab.act("compare", ids=["r1-old", "r1-new"], first="r1-new")["panel"])
    assert "old against new, on 20 questions: worse in Exact answer, −75.0 points" in back


def test_little_evidence_is_not_shown_and_groups_come_with_the_smallest_n(tab: Tab) -> None:
    groups = [{"sex": "female" if number < 9 else "male"} for number in range(20)]
    rows = []
    for model, last in (("old", 0.0), ("new", 1.0)):
        for number in range(20):
            score = {"exact": last if number == 0 else 1.0}
            rows.append(line(number, model, scores=score, groups=groups[number]))
    tab.evaluated("r1", rows, "mine", ["old", "new"])
    words = visible(tab.act("compare", ids=["r1-old", "r1-new"])["panel"])
    assert "not shown to differ in Exact answer" in words
    assert "The smallest group has n = 9 (sex: female)." in words


def test_other_questions_are_left_out_and_said_so(tab: Tab) -> None:
    tab.evaluated("r1", scored("old", [1.0, 0.0, 1.0]), "mine", ["old"])
    [new] = tab.evaluated("r2", scored("new", [1.0, 0.0]), "mine", ["new"])
    record = next(its for its in tab.store.evaluations() if its.id == new)
    changed = replace(record, suite_hash="other")
    run = tab.store.run_of("r2")
    assert run
    tab.store.add_run(run, [changed])
    words = visible(tab.act("compare", ids=["r1-old", new])["panel"])
    assert "Compared are the 2 questions that all have." in words


@pytest.mark.parametrize(
    ("ids", "words"),
    [
        (["r1-toy"], "Choose two to 6 evaluations"),
        (["r1-toy", "r2-toy"], "one and the same suite"),
        (["r1-toy", "gone"], "There is no such evaluation any more"),
    ],
)
def test_what_cannot_be_compared_is_said(tab: Tab, ids: list[str], words: str) -> None:
    tab.evaluated("r1", scored("toy", [1.0]), "mine")
    tab.evaluated("r2", scored("toy", [1.0]), "other")
    with pytest.raises(gr.Error, match=words):
        tab.act("compare", ids=ids)


def test_what_was_open_is_there_after_a_reload_and_forgotten_once_closed(tab: Tab) -> None:
    tab.evaluated("r1", [*scored("old", [0.0, 1.0]), *scored("new", [1.0, 1.0])], "mine", ["old", "new"])
    tab.do.describe(tab.request(), ["demo"], ["handwritten"], False, 7, 3, "")
    tab.act("items", ids=["r1-old", "r1-new"], which="differ", item="q0")
    first, second = (tab.shown(frame) for frame in tab.do.enter({}, tab.request()))
    assert "Question 0?" in visible(second["panel"])
    assert (first["models"].value, first["suites"].value, first["limit"], first["seed"]) == (
        ["demo"], ["handwritten"], 7, 3,
    )  # fmt: skip
    assert len(list(tab.do.enter({}, tab.request("Ada")))) == 1  # what Eve looks at is hers
    assert tab.act("close")["panel"] == ""
    assert len(list(tab.do.enter({}, tab.request()))) == 1


# Single answers


def test_answers_are_listed_by_verdict_page_by_page(tab: Tab) -> None:
    values = [None if number == 0 else float(number % 2) for number in range(50)]  # 25 right, 24 wrong, 1 unscored
    tab.evaluated("r1", scored("toy", values))
    panel = tab.act("items", ids=["r1-toy"])["panel"]
    assert "all (50)" in panel
    assert "wrong (24)" in panel
    assert "right (25)" in panel
    assert "unscored (1)" in panel
    wrong = visible(tab.act("items", ids=["r1-toy"], which="wrong", page=1)["panel"])
    assert "21 to 24 of 24 questions" in wrong
    assert "Question 48?" in wrong
    assert "Question 49?" not in wrong


def test_two_models_are_read_side_by_side_where_they_differ(tab: Tab) -> None:
    rows = [
        *scored("old", [0.0, 1.0, 1.0], reasoning="1. It is red.\n2. So it is gout.", solution="Old words."),
        *scored("new", [1.0, 1.0, None], reasoning="", solution="New words."),
    ]
    tab.evaluated("r1", rows, "mine", ["old", "new"])
    words = visible(tab.act("items", ids=["r1-old", "r1-new"], which="differ", item="q0")["panel"])
    assert "1 to 2 of 2 questions" in words  # q0: wrong and right; q2: right and unscored
    assert words.index("Reasoning It is red.") < words.index("Solution Old words.") < words.index("Solution New words.")
    assert "Exact answer ↑ 0.0 % 100.0 %" in words


def test_options_show_the_key_the_choice_and_how_likely_each_is(tab: Tab) -> None:
    rows = multiple_choice("toy", 0.5, n=3)
    tab.evaluated("r1", rows, "medqa")
    row = rows[0]
    words = visible(tab.act("items", ids=["r1-toy"], item=row["id"])["panel"])
    assert re.search(rf"{row['reference']}\. text \(right; .*toy: \d+ % likely\)", words)


def test_key_terms_are_marked_by_sign_and_word_and_by_their_sense(tab: Tab) -> None:
    row = line(
        1, reference="Gout with fever; no rash.", solution="Gout and a rash, with cough.", key_terms=["gout", "rash"],
        scores={"key_term_f1": 0.4},
    )  # fmt: skip
    tab.evaluated("r1", [row])
    page = tab.act("items", ids=["r1-toy"], item="q1")["panel"]
    marks = re.findall(r'<mark class="mc-term mc-(\w+)"[^>]*><span aria-hidden="true">(.) </span>([^<]+)', page)
    reference, solution = marks[:3], marks[3:]
    assert reference == [("matched", "✓", "Gout"), ("missed", "○", "fever"), ("contradicted", "✕", "rash")]
    assert solution == [("matched", "✓", "Gout"), ("contradicted", "✕", "rash"), ("added", "+", "cough")]
    assert '<span class="mc-vh"> (contradicted)</span>' in page


def test_a_score_that_is_missing_says_why_and_a_judge_says_what_it_found(tab: Tab) -> None:
    verdicts = [
        {"criterion": "Says to rest", "points": 5.0, "met": True, "fate": "asked"},
        {"criterion": "Names a dose", "points": 2.0, "met": None, "fate": "over the cap"},
    ]
    row = line(1, scores={"must_have": None}, judged={"must_have": {"judge": "wise", "verdicts": verdicts}})
    tab.evaluated("r1", [row])
    words = visible(tab.act("items", ids=["r1-toy"], item="q1")["panel"])
    assert "Met: Says to rest (5 points, judged by wise)" in words
    assert "No verdict: Names a dose (2 points, judged by wise)" in words
    assert "Must-have statements ↑ unscored (over the judge's cap)" in words


def test_a_judges_score_stands_with_its_agreement_with_clinicians(tab: Tab) -> None:
    tab.evaluated("r1", [line(1, scores={"must_have": 1.0})], "kqa")
    [record] = tab.store.evaluations()
    row = record.summary["must_have"] | {
        "unscored": {"no reference": 2}, "n_unscored": 2,
        "judge": {"label": "judged by wise: not shown to agree with clinicians (n = 0)"},
    }  # fmt: skip
    run = tab.store.run_of("r1")
    assert run
    tab.store.add_run(run, [replace(record, summary={"must_have": row})])
    words = visible(tab.shown(next(iter(tab.do.enter({}, tab.request()))))["results"])
    assert "toy judged by wise: not shown to agree with clinicians (n = 0)." in words
    assert "1 2 (no reference: 2)" in words


@pytest.mark.parametrize("field", ["question", "context", "reasoning", "solution", "reference", "raw", "id"])
def test_nothing_that_was_written_becomes_markup(field: str) -> None:
    fields: dict[str, Any] = {field: ATTACK, "groups": {"<b>": ATTACK}, "options": {"A": ATTACK}, "fault": ATTACK}
    row = line(1, "<b>toy", **fields)
    page = evaluations_item.item_html("exact", {"<b>toy": Prediction(**row)}, knowledge())
    assert not re.search(r"<(script|img|b)\b", page)
    assert not re.search(r"<[^>]*\son\w+=", page)


@pytest.mark.parametrize(
    ("metric", "value", "verdict"),
    [
        ("exact", 1.0, "right"), ("diagnosis", 0.5, "right"), ("diagnosis", 0.0, "wrong"), ("exact", None, "unscored"),
        ("truncated", 1.0, "wrong"), ("unsafe_advice", 1.0, "wrong"), ("unsafe_advice", 0.0, "right"),
        ("rouge_l", 0.4, "wrong"),
    ],
)  # fmt: skip
def test_a_value_is_right_or_wrong_by_what_its_metric_counts(metric: str, value: float | None, verdict: str) -> None:
    assert verdict_of(metric, value) == verdict


def test_length_and_speed_make_no_answer_wrong() -> None:
    assert judged_metrics(["answer_words", "ttft_ms", "rouge_l", "exact", "price"], "rouge_l") == ["rouge_l", "exact"]


# To Rate


def test_failures_come_into_a_raters_queue_once_without_a_models_name(tab: Tab) -> None:
    values = [0.0, 0.0, 1.0, 0.0]
    rows = [*scored("toy", values, options={"A": "Rest", "B": "Ice"}), *scored("other", values)]
    rows[3] |= {"solution": "", "reasoning": "", "raw": "?"}
    tab.evaluated("r1", rows, "mine", ["toy", "other"])
    rob = tab.users["Rob"].id
    asked: dict[str, Any] = {"ids": ["r1-toy", "r1-other"], "of": "r1-toy", "most": "10", "rater": rob}
    shown = tab.act("rate", **asked)
    assert visible(shown["status"]) == "2 answers sent to the queue of Rob. 1 answer without any text left out."
    items = tab.store.queue(rob).items
    answers = [tab.store.answer_to_judge(rob, item.answer_id) for item in items]
    assert sorted(answer.question for answer in answers) == [
        "Question 0?\n\nA. Rest\nB. Ice",
        "Question 1?\n\nA. Rest\nB. Ice",
    ]
    assert {answer.model_id for answer in answers} == {"uploaded:toy"}  # Rate masks it
    assert "toy" not in {item.source for item in items}
    again = visible(tab.act("rate", **asked)["status"])
    assert again.startswith("0 answers sent to the queue of Rob. 2 answers were in it before.")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"most": "0"}, "must be a whole number from 1 to 200"),
        ({"most": "many"}, "must be a whole number from 1 to 200"),
        ({"rater": "nobody"}, "There is no such rater"),
        ({"ids": ["r2-toy"], "of": "r2-toy"}, "None of these answers is wrong"),
    ],
)
def test_what_cannot_be_sent_to_rate_is_said(tab: Tab, changed: dict[str, Any], words: str) -> None:
    tab.evaluated("r1", scored("toy", [0.0]))
    tab.evaluated("r2", scored("toy", [1.0]))
    fields: dict[str, Any] = {"ids": ["r1-toy"], "of": "r1-toy", "most": "5", "rater": tab.users["Eve"].id}
    with pytest.raises(gr.Error, match=words):
        tab.act("rate", **fields | changed)


# Rights


def calls(tab: Tab, request: gr.Request) -> dict[str, Any]:
    """Every handler, called as a raw request may call it."""
    sent = json.dumps({"do": "items", "ids": ["r1-toy"]})
    return {
        "enter": lambda: list(tab.do.enter({}, request)),
        "describe": lambda: tab.do.describe(request, ["demo"], ["handwritten"], False, None, 0, ""),
        "start": lambda: tab.do.start(request, {}, ["demo"], ["handwritten"], False, None, 0, ""),
        "act": lambda: list(tab.do.act(sent, {}, request)),
        "tick": lambda: tab.do.tick({}, request),
    }


def test_a_rater_gets_nothing_and_the_call_is_audited(tab: Tab) -> None:
    tab.evaluated("r1", scored("toy", [1.0]))
    made = calls(tab, tab.request("Rob"))
    public = {name for name, _ in inspect.getmembers(tab.do, callable) if not name.startswith("_")}
    assert made.keys() == public
    for name, call in made.items():
        with pytest.raises(gr.Error, match="Your role, rater, does not allow this"):
            call()
        newest = tab.store.audit(action=CALL_REFUSED)[0]
        assert (newest.actor, newest.target) == (tab.users["Rob"].id, f"evaluations_handlers.{name}")
    assert tab.jobs.all() == []


def test_nobody_who_is_not_signed_in_gets_anything(tab: Tab) -> None:
    nobody = cast(gr.Request, SimpleNamespace(cookies={}, client=None, headers=Headers()))
    for call in calls(tab, nobody).values():
        with pytest.raises(gr.Error, match="signed out"):
            call()


def test_who_may_only_look_cannot_stop_or_delete(tab: Tab, monkeypatch: pytest.MonkeyPatch) -> None:
    from medchat import accounts

    monkeypatch.setitem(cast(dict[str, Any], accounts.RIGHTS), "engineer", frozenset({"results"}))
    job_id = tab.jobs.submit("evaluate", "Demo on mine", ["python", "{run_dir}"], "ada")
    shown = tab.shown(next(iter(tab.do.enter({}, tab.request()))))
    assert shown["box"].visible is False
    assert "results-stop" not in shown["runs"]
    for verb in ("stop", "resume", "delete"):
        with pytest.raises(gr.Error, match="does not allow this"):
            tab.act(verb, run=job_id)
    with pytest.raises(gr.Error, match="does not allow this"):
        tab.do.start(tab.request(), {}, ["demo"], ["handwritten"], False, None, 0, "")


@pytest.mark.parametrize("sent", [None, "", "[]", '{"do": "drop"}', '{"do": "items", "ids": "r1"}', '{"do": "stop"}'])
def test_a_call_that_makes_no_sense_is_one_clear_line(tab: Tab, sent: str | None) -> None:
    with pytest.raises(gr.Error, match="Reload the page"):
        list(tab.do.act(sent, {}, tab.request()))


def test_runs_of_another_kind_are_none_of_this_tab(tab: Tab) -> None:
    job_id = tab.jobs.submit("train", "Demo SFT", ["python", "{run_dir}"], "eve")
    assert tab.shown(next(iter(tab.do.enter({}, tab.request()))))["runs"] == ""
    with pytest.raises(gr.Error, match="There is no such evaluation"):
        tab.act("delete", run=job_id)


# The report


def test_the_report_is_one_file_on_what_was_chosen(tab: Tab) -> None:
    tab.evaluated("r1", [*scored("old", [0.0, 1.0]), *scored("new", [1.0, 1.0])], "mine", ["old", "new"])
    page = evaluations_report._page(tab.app, ["r1-old", "r1-new"])
    assert page.startswith("<!doctype html>")
    assert "new compared with old" in visible(page)
    assert "1 model, 1 suite, 2 answers" in visible(evaluations_report._page(tab.app, ["r1-new"]))
