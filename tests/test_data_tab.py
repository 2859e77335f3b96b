"""The Data tab without a browser: sources and who may read what, previews, forms as commands, jobs, rows."""

import html
import json
import re
import tracemalloc
from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from itertools import chain
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import gradio as gr
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from judged_answers import Judges
from starlette.datastructures import Headers

from medchat.accounts import LOCAL, RIGHTS, User
from medchat.catalogue import Catalogue
from medchat.errors import InvalidInput, NotFound
from medchat.jobs import Jobs
from medchat.machine import Machine
from medchat.rundir import RunDir
from medchat.settings import Settings
from medchat.ui import data_browse, data_onward, data_report
from medchat.ui.common import App
from medchat.ui.data_browse import Asked, page_of
from medchat.ui.data_child import Children, Said
from medchat.ui.data_fields import arguments, checked, from_arguments
from medchat.ui.data_folders import folder_named, folders_of
from medchat.ui.data_forms import COMMANDS, form_of
from medchat.ui.data_handlers import Handlers, Updates
from medchat.ui.data_layout import DataTab, lay_out
from medchat.ui.data_preview import arguments_of, preview_html
from medchat.ui.data_rows import browse_html
from medchat.ui.data_sources import path_for
from medchat.ui.review_handlers import REVIEW_DRAFT
from medchat.ui.train_layout import lay_out as lay_out_train
from train import preview
from train.__main__ import main as train_main

REQUEST = cast(gr.Request, SimpleNamespace(cookies={}, client=None, headers=Headers()))
RATER = User("r1", "Ann", "rater", RIGHTS["rater"])
ENGINEER = User("e1", "Eve", "engineer", RIGHTS["engineer"])
ATTACK = '"><script>alert(1)</script><img src=x onerror="alert(1)">'
PAGE = "page 1"
WORDS = "0123456789"


def is_safe(page: str) -> bool:
    return "<script" not in page and "<img" not in page


def visible(page: str) -> str:
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", page))).strip()


def row(n: int, **fields: Any) -> dict[str, Any]:
    return {"question": f"What helps against gout, case {n}?", "answer": f"Colchicine, {n} mg.", "id": f"q{n}",
            "source": "kqa", "licence": "MIT", "split": "train", "meta": {}, **fields}  # fmt: skip


def write_rows(file: Path, rows: list[dict[str, Any]]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(f"{json.dumps(one)}\n" for one in rows), encoding="utf-8")
    return file


class FakeAccounts:
    """Takes everybody for one user; the audit is a list."""

    def __init__(self, user: User) -> None:
        self.user = user
        self.noted: list[tuple[Any, ...]] = []

    def user_of(self, cookies: dict[str, str]) -> User:
        return self.user

    def users(self) -> list[Any]:
        return []

    def address(self, peer: str, forwarded: list[str]) -> str:
        return peer

    def note(self, *what: Any) -> None:
        self.noted.append(what)


@lru_cache(maxsize=1)
def parts() -> DataTab:
    """The components, which hold nothing of an app: to make them takes longer than most tests."""
    with gr.Blocks():
        return lay_out(cast(App, SimpleNamespace(settings=Settings())))


class Tab:
    """The tab of an app whose jobs wait for ever, and what its handlers gave by the names of the components."""

    def __init__(self, folder: Path, user: User = ENGINEER) -> None:
        self.settings = Settings(folder / "data", source_dirs=(folder / "shared",))
        self.prepared = self.settings.data_dir / "prepared"
        self.prepared.mkdir(parents=True)
        (folder / "shared").mkdir()
        self.accounts = FakeAccounts(user)
        self.jobs = Jobs(self.settings.runs_dir, lambda job, run_dir: None, lambda run_dir: None)
        self.jobs.folder.mkdir(parents=True)
        self.store = Judges(self.settings.data_dir).store
        catalogue = Catalogue(self.settings.models_dir, self.settings.own_models_file)
        self.app = cast(App, SimpleNamespace(
            settings=self.settings, store=self.store, catalogue=catalogue, default=catalogue.default,
            accounts=self.accounts, jobs=self.jobs, machine=lambda: Machine(64.0, None, 32.0),
            grounding=SimpleNamespace(get=lambda timeout_s=None: None),
        ))  # fmt: skip
        self.parts = parts()
        self.do = Handlers(self.app, self.parts)

    def shown(self, updates: Updates) -> dict[str, Any]:
        names = {id(part): name for name, part in self.parts._asdict().items()}
        return {names[id(part)]: value for part, value in updates.items()}

    def act(self, verb: str, **fields: Any) -> dict[str, Any]:
        return self.shown(self.do.act(json.dumps({"do": verb, **fields}), PAGE, REQUEST))

    def look(self, source: str, order: Mapping[str, Any]) -> str:
        sent = json.dumps({"do": "look", "source": source, "order": dict(order)})
        *_, last = self.do.look(sent, PAGE, REQUEST)
        return str(self.shown(last)["preview"])

    def source(self, name: str = "own.jsonl", n: int = 3) -> str:
        """A source that everybody who prepares data may read."""
        file = write_rows(self.settings.source_dirs[0] / name, [row(number) for number in range(n)])
        return f"examples={file.resolve()}"

    def folder(self, name: str = "mix", **files: list[dict[str, Any]]) -> Path:
        """A data set with these files and a report."""
        for stem, rows in (files or {"train": [row(n) for n in range(25)]}).items():
            write_rows(self.prepared / name / f"{stem}.jsonl", rows)
        report = {
            "kind": "prepared",
            "rows": {"train": 25},
            "rows_in": 30,
            "kept": 25,
            "dropped": 5,
            "rules": {"too short": {"n": 5}},
            "sources": [{"adapter": "kqa", "title": "K-QA", "rows_in": 30}],
        }
        (self.prepared / name / "report.json").write_text(json.dumps(report))
        return self.prepared / name

    def run(self, status: Any, **state: Any) -> RunDir:
        """A job in this state that writes the data set "mix"."""
        argv = ("python", "-m", "train", "prepare", "--source", "examples=/x", "--balance", "none", "--out",
                str(self.prepared / "mix"), "--run-dir", "{run_dir}")  # fmt: skip
        run_dir = self.jobs.run_dir(self.jobs.submit("prepare", "Prepare: mix", argv, ENGINEER.id))
        run_dir.set_state(replace(run_dir.state(), status=status, **state))
        return run_dir


@pytest.fixture
def tab(tmp_path: Path) -> Tab:
    return Tab(tmp_path)


# Who sees what


def test_a_rater_gets_the_review_and_nothing_else(tmp_path: Path) -> None:
    tab = Tab(tmp_path, RATER)
    assert 'data-part="review"' in tab.act("enter")["parts"]
    assert list(tab.act("enter")) == ["parts"]
    for verb in ("add", "check", "start", "browse", "open", "remove", "watch", "stop", "review", "close", "part"):
        with pytest.raises(gr.Error, match="does not allow this"):
            tab.act(verb)
    with pytest.raises(gr.Error, match="does not allow this"):
        next(tab.do.look("{}", PAGE, REQUEST))
    with pytest.raises(gr.Error, match="does not allow this"):
        next(tab.do.ask("{}", PAGE, REQUEST))
    with pytest.raises(gr.Error, match="does not allow this"):
        tab.do.upload("{}", PAGE, REQUEST)
    with pytest.raises(gr.Error, match="does not allow this"):
        tab.do.tick(PAGE, REQUEST)
    assert len(tab.accounts.noted) == 15  # each refusal is in the audit


def test_an_engineer_sees_every_kind_of_source_with_licence_home_and_what_it_takes(tab: Tab) -> None:
    shown = tab.act("enter")
    page = shown["catalogue"]
    assert is_safe(page)
    assert visible(shown["parts"]) == "New data set Jobs and data sets Review"
    assert "MedQuAD" in page
    mimic = page[page.index('id="data-kind-mimic_iv"') :].partition("</details>")[0]
    assert "never run on real files" in mimic
    assert "data-hub=" not in mimic  # it is never fetched
    assert "data-path=" in mimic
    assert "Choose a source first" in shown["check"]
    labelled = set(re.findall(r'<label [^>]*for="([^"]+)"', page))
    assert set(re.findall(r'<input type="text" id="([^"]+)"', page)) <= labelled


# Paths


def test_who_signs_in_reads_only_from_the_folders_that_are_allowed(tmp_path: Path) -> None:
    tab = Tab(tmp_path)
    allowed = write_rows(tmp_path / "shared" / "a.jsonl", [row(1)])
    secret = write_rows(tmp_path / "data" / "medchat.jsonl", [row(2)])
    (tmp_path / "shared" / "link").symlink_to(tmp_path / "data")
    assert path_for(tab.settings, ENGINEER, str(allowed)) == allowed.resolve()
    wrong = (secret, tmp_path / "shared" / "link" / "medchat.jsonl", f"{tmp_path}/shared/../data/medchat.jsonl",
             "/etc/passwd", tmp_path / "not-there")  # fmt: skip
    for path in wrong:
        with pytest.raises(InvalidInput, match="may not read that path"):
            path_for(tab.settings, ENGINEER, str(path))
    with pytest.raises(InvalidInput, match="whole path"):
        path_for(tab.settings, ENGINEER, "shared/a.jsonl")
    with pytest.raises(InvalidInput, match="whole path"):
        path_for(tab.settings, ENGINEER, "/a\x00b")
    with pytest.raises(NotFound, match="There is no file or folder"):
        path_for(tab.settings, ENGINEER, f"{tmp_path}/shared/nothing.jsonl")


def test_on_their_own_machine_people_name_any_path(tmp_path: Path) -> None:
    file = write_rows(tmp_path / "elsewhere" / "a.jsonl", [row(1)])
    assert path_for(Settings(tmp_path / "data"), LOCAL, str(file)) == file.resolve()


def test_a_path_that_was_sent_without_the_form_is_checked_again_at_the_start(tab: Tab) -> None:
    order = {"command": "prepare", "sources": ["examples=/etc/passwd"], "typed": {}}
    assert "may not read that path" in tab.act("check", order=order)["check"]
    with pytest.raises(gr.Error, match="may not read that path"):
        tab.act("start", order=order, key="k")
    order = {"command": "prepare", "sources": [tab.source()], "typed": {"frozen": "/etc/passwd"}}
    assert "may not read that path" in tab.act("check", order=order)["check"]
    assert tab.jobs.all() == []


def test_settings_take_whole_folders_for_sources(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MEDCHAT_SOURCE_DIRS", f"{tmp_path}:{tmp_path}/b")
    assert Settings.from_environment(data_dir=tmp_path).source_dirs == (tmp_path.resolve(), (tmp_path / "b").resolve())
    monkeypatch.setenv("MEDCHAT_SOURCE_DIRS", "data")
    with pytest.raises(InvalidInput.__mro__[1], match="give whole paths"):
        Settings.from_environment(data_dir=tmp_path)


# Uploads and previews


def upload(tab: Tab, adapter: str, name: str, data: bytes) -> dict[str, Any]:
    sent = {"do": "upload", "adapter": adapter, "name": name, "size": len(data), "data": b64encode(data).decode(),
            "order": {"command": "prepare"}}  # fmt: skip
    return tab.shown(tab.do.upload(json.dumps(sent), PAGE, REQUEST))


def test_an_uploaded_file_becomes_a_source(tab: Tab) -> None:
    shown = upload(tab, "examples", "../../My rows.JSONL", (json.dumps(row(1)) + "\n").encode())
    [file] = (tab.settings.data_dir / "sources").iterdir()
    assert re.fullmatch(r"My-rows-[0-9a-f]{8}\.jsonl", file.name)
    assert f"examples={file.resolve()}" in shown["chosen"]
    assert str(file.resolve()) in visible(shown["check"])


@pytest.mark.parametrize(("name", "data", "message"), [
    ("rows.exe", b"x", "is read from .jsonl or .csv files"),
    ("rows.jsonl", b" \n", "is empty"),
])  # fmt: skip
def test_what_cannot_be_read_is_not_kept(name: str, data: bytes, message: str, tab: Tab) -> None:
    with pytest.raises(gr.Error, match=message):
        upload(tab, "examples", name, data)
    assert not (tab.settings.data_dir / "sources").exists()


def test_a_preview_has_each_row_as_it_stood_beside_what_becomes_of_it(
    tab: Tab, capsys: pytest.CaptureFixture[str]
) -> None:
    file = Path(tab.source(n=2).partition("=")[2])
    with file.open("a") as stream:
        stream.write(
            json.dumps(row(3, question="?!", answer="Rest.")) + "\n{broken\n" + json.dumps(row(4, answer=None))
        )
    [*_, source] = arguments_of(f"examples={file}", {"dialogues": "first", "balance": "none"})
    assert preview.main([source, "--data-dir", str(tab.settings.data_dir)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["scanned"], found["kept"], found["unlabelled"]) == (5, 2, 1)
    assert found["dropped"]["empty question"] == 1
    assert sum(found["dropped"].values()) == 2  # and the broken line; 5 = 2 + 1 + 2
    page = preview_html("Examples", str(file), found)
    assert "Dropped empty question" in visible(page)
    assert "All 5 rows of the source: 2 rows kept, 1 without an answer, 2 dropped." in visible(page)
    assert html.escape('"answer": "Colchicine, 0 mg."') in page  # as the file has it


def test_a_preview_escapes_what_the_file_says(tab: Tab) -> None:
    attacked = {"where": ATTACK, "raw": ATTACK, "came": [
        {"example": row(1, question=ATTACK, answer=ATTACK, source=ATTACK), "dropped": ATTACK, "detail": ATTACK,
         "repaired": [ATTACK]},
    ]}  # fmt: skip
    found = {"scanned": 1, "kept": 0, "unlabelled": 0, "is_whole": True, "dropped": {ATTACK: 1},
             "repaired": {ATTACK: 1}, "rows": [attacked], "lost": [attacked]}  # fmt: skip
    assert is_safe(preview_html(ATTACK, ATTACK, found))


def test_a_preview_follows_the_settings_that_make_rows(tab: Tab) -> None:
    assert arguments_of("kqa=/x", {"choices": "explained", "abstracts": "yes", "seed": "5"}) == [
        "-m", "train.preview", "--choices", "explained", "--abstracts", "--", "kqa=/x",
    ]  # fmt: skip
    with pytest.raises(InvalidInput, match="Multiple choice: choose what is listed"):
        arguments_of("kqa=/x", {"choices": "--db"})


@pytest.mark.slow
def test_a_source_is_looked_at_in_a_process_of_its_own(tab: Tab) -> None:
    source = tab.source(n=2)
    page = tab.look(source, {"command": "prepare", "sources": [source]})
    assert "All 2 rows of the source: 2 rows kept, none dropped." in visible(page)
    assert "may not read that path" in tab.look("examples=/etc/passwd", {"command": "prepare"})


def test_a_newer_command_of_a_page_ends_the_older_one(tmp_path: Path) -> None:
    children = Children(Settings(tmp_path), pulse_s=0.02)
    waits = ["-c", "import time; time.sleep(600)"]
    older = children.run(("e1", PAGE), waits, 600)
    assert isinstance(next(older), float)
    *_, said = children.run(("e1", PAGE), ["-c", "print('here')"], 60)
    assert said == Said("here\n")
    with pytest.raises(InvalidInput, match="It was stopped"):
        list(older)
    with pytest.raises(InvalidInput, match="no such file"):
        list(children.run(("e1", PAGE), ["-c", "import sys; sys.exit('train: no such file')"], 60))


# Forms and commands


@pytest.mark.parametrize("command", COMMANDS)
def test_what_a_form_says_is_what_its_command_takes(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        train_main([command, "--help"])
    options = set(re.findall(r"--[a-z][a-z-]+", capsys.readouterr().out))
    fields = form_of(command).fields
    assert {f"--{key.partition('.')[0]}" for key in fields} <= options
    assert all(field.about and field.label for field in fields.values())


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_line_gives_its_form_again(command: str) -> None:
    form = form_of(command)
    typed = {key: field.default for key, field in form.fields.items()}
    for key, field in form.fields.items():
        if field.kind == "choice":
            typed[key] = field.choices[-1][0]
        elif field.kind == "whole" and field.high >= 7 >= field.low:
            typed[key] = "7"
    if "kind" in typed and form.fields["kind"].kind == "many":
        typed["kind"] = "split,synonyms"
    if command == "distill":
        typed["teacher"] = "a,b"
    given = checked(form, typed)
    assert from_arguments(form, arguments(form, given)) == given


@pytest.mark.parametrize(("command", "typed", "message"), [
    ("prepare", {"validation": "0.5"}, "Validation: give a number from 0.1 to 0.2"),
    ("prepare", {"seed": "1.5"}, "Seed: give a whole number"),
    ("prepare", {"seed": "nan"}, "Seed: give a whole number"),
    ("prepare", {"seed": ""}, "Seed: this is empty; it is 0 where"),
    ("prepare", {"--db": "x"}, "There is no setting"),
    ("prepare", {"languages": "en\n--out"}, "Languages: use one line"),
    ("prepare", {"template": "x"}, "Template: choose what is listed"),
    ("augment", {"kind": ""}, "Kinds: choose at least one"),
    ("augment", {"kind": "split,--db"}, "Kinds: choose what is listed"),
])  # fmt: skip
def test_what_cannot_be_is_told_with_its_label(command: str, typed: dict[str, str], message: str) -> None:
    with pytest.raises(InvalidInput, match=re.escape(message)):
        checked(form_of(command), typed)


def test_no_box_ticked_is_said_where_some_are_ticked_by_default() -> None:
    form = form_of("quality")
    assert checked(form, {"hold": ""}) == {"hold": "none"}
    assert arguments(form, {"hold": "none", "set.cut_words": "9"}) == ["--hold", "none", "--set", "cut_words=9"]


def test_settings_that_do_not_go_together_are_refused(tab: Tab) -> None:
    tab.folder()
    order = {"command": "augment", "folder": "mix", "typed": {"kind": "paraphrase"}}
    assert "written by a teacher" in tab.act("check", order=order)["refine_check"]
    order = {"command": "prepare", "sources": [tab.source()], "typed": {"balance": "75/20"}}
    assert "75/25" in tab.act("check", order=order)["check"]


def test_prepare_is_started_as_the_command_that_was_shown(tab: Tab) -> None:
    order = {"command": "prepare", "sources": [tab.source()], "weights": {tab.source(): "2"}, "name": "Ünsere Sätze!",
             "typed": {"balance": "none", "seed": "0"}}  # fmt: skip
    told = visible(tab.act("check", order=order)["check"])
    assert "--weight own.jsonl=2 --balance none --out" in told
    for _ in range(2):  # pressed twice
        shown = tab.act("start", order=order, key="k1")
    [view] = tab.jobs.all()
    assert view.job.kind == "prepare"
    assert view.job.name == "Prepare: unsere-satze"
    source = tab.source()
    assert view.job.argv == (
        "python", "-m", "train", "prepare", "--source", source, "--weight", "own.jsonl=2", "--balance", "none",
        "--out", str(tab.prepared / "unsere-satze"), "--run-dir", "{run_dir}",
    )  # fmt: skip
    assert view.job.variables == ()
    assert 'data-part="sets"' in shown["parts"]
    assert [what[1] for what in tab.accounts.noted] == ["job started", "job started"]


def test_a_data_set_is_never_written_over(tab: Tab) -> None:
    tab.folder("mix")
    order = {"command": "prepare", "sources": [tab.source()], "name": "mix"}
    assert "There is a data set mix already" in tab.act("check", order=order)["check"]
    (tab.prepared / "left" / ".work").mkdir(parents=True)  # of a job that was stopped
    assert "There is a data set" not in tab.act("check", order={**order, "name": "left"})["check"]
    tab.act("start", order={**order, "name": "left"}, key="k1")
    with pytest.raises(gr.Error, match="is in line already"):
        tab.act("start", order={**order, "name": "left"}, key="k2")


@pytest.mark.parametrize("weight", ["0", "-1", "x", "1000", "1e5"])
def test_a_weight_is_a_number_above_0(weight: str, tab: Tab) -> None:
    order = {"command": "prepare", "sources": [tab.source()], "weights": {tab.source(): weight}}
    assert "give a number above 0" in tab.act("check", order=order)["check"]


def test_the_form_labels_every_field_and_nothing_in_it_becomes_markup(tab: Tab) -> None:
    for command in COMMANDS:
        tab.folder(f"for-{command}")
        order = {"command": command, "folder": f"for-{command}", "name": ATTACK, "typed": {}}
        tab.act("check", order=order)
        page = tab.act("refine", command=command, folder=f"for-{command}")["refine"] if command != "prepare" else (
            tab.act("drop", source="", order=order)["form"]
        )  # fmt: skip
        assert is_safe(page)
        labelled = set(re.findall(r'<label for="([^"]+)"', page))
        fields = set(re.findall(r'<(?:input type="text"|select) id="([^"]+)" data-set', page))
        assert fields
        assert fields <= labelled


def test_a_form_that_is_damaged_is_one_line(tab: Tab) -> None:
    orders: list[Any] = [{"command": "rm"}, {"sources": "x"}, {"typed": {"a": 1}}, {"weights": []}, {"name": 5}, []]
    for order in orders:
        with pytest.raises(gr.Error, match="Reload the page"):
            tab.act("check", order=order)


# Jobs


def test_a_job_is_followed_with_its_share_and_the_time_left(tab: Tab) -> None:
    run_dir = tab.run("queued")
    shown = tab.act("watch", run=run_dir.id)
    assert "next in line" in visible(shown["head"])
    run_dir.set_state(replace(run_dir.state(), status="done", step=10, steps=10))
    tab.folder("mix")
    shown = tab.shown(tab.do.tick(PAGE, REQUEST))
    assert "Open mix" in visible(shown["head"])
    assert "mix" in visible(shown["sets"])
    assert list(tab.shown(tab.do.tick(PAGE, REQUEST))) == ["runs"]  # nothing has changed: it is left as it is


def test_a_stopped_job_goes_on_and_a_deleted_one_takes_its_leftovers(tab: Tab) -> None:
    run_dir = tab.run("stopped")
    shown = tab.act("watch", run=run_dir.id)
    assert 'data-do="data-resume"' in shown["head"]
    tab.act("resume", run=run_dir.id)
    assert run_dir.state().status == "queued"
    tab.act("stop", run=run_dir.id)
    assert run_dir.state().status == "stopped"
    (tab.prepared / "mix" / ".work").mkdir(parents=True)
    tab.act("delete", run=run_dir.id)
    assert not run_dir.path.exists()
    assert not (tab.prepared / "mix").exists()


def test_the_data_set_of_a_deleted_job_stays(tab: Tab) -> None:
    run_dir = tab.run("done")
    folder = tab.folder("mix")
    tab.act("delete", run=run_dir.id)
    assert (folder / "train.jsonl").is_file()


def test_a_cloned_job_fills_the_form_again(tab: Tab) -> None:
    run_dir = tab.run("done")
    shown = tab.act("clone", run=run_dir.id)
    assert 'data-source="examples=/x"' in shown["chosen"]
    assert re.search(r'data-set="balance"[^>]* value="none"', shown["form"])
    assert 'data-part="make"' in shown["parts"]


def test_a_job_of_another_kind_is_left_alone(tab: Tab) -> None:
    run_id = tab.jobs.submit("train", "A run", ("python", "{run_dir}"), ENGINEER.id)
    for verb in ("watch", "stop", "delete", "resume", "clone"):
        with pytest.raises(gr.Error, match="Reload the page"):
            tab.act(verb, run=run_id)


# Data sets


def test_a_data_set_is_shown_with_its_numbers_and_the_ways_on(tab: Tab) -> None:
    folder = tab.folder("mix", train=[row(1)], review=[row(1), row(2)])
    (folder / "report.html").write_text("<p>R")
    shown = tab.act("open", folder="mix")["shown"]
    words = visible(shown)
    assert "Rows in 30 Kept 25 Dropped 5 Train 25" in words
    assert "too short 5" in words
    assert "Review 2 rows" in words
    assert "Train on this" in words
    assert 'href="/data/report.html?set=mix"' in shown
    tab.act("review", folder="mix")
    assert tab.store.draft(ENGINEER.id, REVIEW_DRAFT) == {"folder": "mix"}


@pytest.mark.parametrize("name", ["", ".", "..", "../runs", "a/b", ".hidden", "not-there", "/etc", "x\x00"])
def test_no_name_leads_out_of_the_folder(name: str, tab: Tab) -> None:
    (tab.prepared / ".hidden").mkdir()
    with pytest.raises(NotFound):
        folder_named(tab.settings, name)
    for verb in ("open", "browse", "remove", "review"):
        with pytest.raises(gr.Error, match="not there any more"):
            tab.act(verb, folder=name)


def test_what_a_folder_says_of_itself_is_escaped(tab: Tab) -> None:
    folder = tab.folder("mix")
    report = {"kind": "prepared", "rows": {ATTACK: 5}, "rules": {ATTACK: {"n": 3}}, "flags": {ATTACK: {"n": 1}},
              "sources": [{"title": ATTACK, "licences": {ATTACK: 1}}],
              "balance": {"after": {ATTACK: 1}, "upsampled": [{"source": ATTACK, "copies": 2.0}]}}  # fmt: skip
    (folder / "report.json").write_text(json.dumps(report))
    assert is_safe(tab.act("open", folder="mix")["shown"])
    (folder / "report.json").write_text(
        '{"rows": [1], "rules": 5, "sources": "x", "balance": [], "dropped": {"a": "b"}}'
    )
    assert "mix" in tab.act("open", folder="mix")["shown"]
    (folder / "report.json").write_text("not json")
    assert "There is no report with it" in tab.act("open", folder="mix")["shown"]


def test_a_data_set_is_deleted_unless_a_job_needs_it(tab: Tab) -> None:
    folder = tab.folder("mix")
    run_dir = tab.run("queued")
    with pytest.raises(gr.Error, match="Prepare: mix needs this data set"):
        tab.act("remove", folder="mix")
    tab.jobs.stop(run_dir.id)
    tab.act("remove", folder="mix")
    assert not folder.exists()
    assert list(tab.prepared.iterdir()) == []
    assert folders_of(tab.settings) == []


def test_the_report_is_for_those_who_prepare_data(tmp_path: Path) -> None:
    tab = Tab(tmp_path)
    (tab.folder("mix") / "report.html").write_text("<p>Numbers")
    web = FastAPI()
    data_report.add_routes(web, tab.app)
    client = TestClient(web)
    assert client.get("/data/report.html?set=mix").text == "<p>Numbers"
    assert "attachment" in client.get("/data/report.html?set=mix&save=1").headers["content-disposition"]
    assert client.get("/data/report.html?set=../mix").status_code == 404
    tab.accounts.user = RATER
    assert client.get("/data/report.html?set=mix").status_code == 403


def test_train_on_this_chooses_the_data_set_in_the_train_tab(tab: Tab) -> None:
    tab.folder("mix")
    with gr.Blocks():
        tabs, train = gr.Tabs(), lay_out_train(tab.app)
    do = data_onward.Onward(tab.app, tabs, train)
    updates = do.train(json.dumps({"do": "train", "folder": "mix"}), PAGE, REQUEST)
    assert re.search(r'<option value="place:prepared/mix" selected>', updates[train.form])
    tab.folder("empty", unlabelled=[row(1, answer=None)])
    with pytest.raises(gr.Error, match="nothing in it that can be trained on"):
        do.train(json.dumps({"do": "train", "folder": "empty"}), PAGE, REQUEST)


# What a data set says of itself


def report_of(tab: Tab, name: str, **report: Any) -> str:
    """The panel of a data set with this report."""
    folder = tab.folder(name)
    (folder / "report.json").write_text(json.dumps(report))
    return str(tab.act("open", folder=name)["shown"])


def test_a_job_that_brought_nothing_does_not_look_done(tab: Tab) -> None:
    run_dir = tab.run("done")
    page = report_of(tab, "mix", kind="augmented", source="old", rows={"train": 25}, children=0, kinds={})
    assert "training on it teaches nothing" in visible(page)
    assert not re.search(r'mc-primary"[^>]*data-do="data-train"', page)
    shown = tab.act("watch", run=run_dir.id)
    for part in ("head", "runs"):
        assert "No new question came of it" in visible(shown[part])
        assert "Done" not in visible(shown[part])


def test_a_distillation_says_what_was_asked_used_and_paid(tab: Tab) -> None:
    words = visible(report_of(
        tab, "mix", kind="distilled", rows={"train": 30}, answers={"used": 5, "unused": 4}, cost=0.25,
        possibly_charged=0.0, not_asked_yet=1, unused={"refused": {"n": 2}, "cut off": {"n": 1}},
    ))  # fmt: skip
    # 5 used and 4 not, of which 1 was not asked: 8 were asked, 3 refused
    assert "Asked 8 Used 5 Refused 3 Not asked yet 1 Cost 0.25 USD" in words
    assert "Answers that were refused, by reason refused 2 cut off 1" in words


def test_what_to_look_at_stands_above_the_numbers(tab: Tab) -> None:
    page = report_of(
        tab, "mix", kind="prepared", rows_in=1300, kept=1211, settings={"validation": 0.1}, licences={"not stated": 25},
        rows={"train": 684, "validation": 448, "test": 240},
        sources=[{"title": "K-QA", "source": "a.csv", "kept": 1211, "rows": {"train": 523}, "official_splits": True}],
    )  # fmt: skip
    words = visible(page)
    # 448 of 1,211 are 37 %; 1,211 - 448 - 240 = 523 rows to train on, and 684 - 523 = 161 copies
    assert "448 rows to validate: 37 % of the rows, where 10 % was asked for; usual is 10 to 20 %." in words
    assert "All validation rows of K-QA stay such" in words
    assert "25 rows state no licence: ask the owners" in words
    assert words.index("Look at these") < words.index("Rows in")
    assert "Train 684 523 rows, 161 copies" in words
    assert "Validation 448 37% of the rows kept" in words


def test_two_sources_of_one_kind_are_told_apart_by_their_files(tab: Tab) -> None:
    sources = [{"title": "Plain", "source": name, "rows_in": 3, "licences": {"not stated": 3}}
               for name in ("a.csv", "b.csv")]  # fmt: skip
    words = visible(report_of(tab, "mix", kind="prepared", rows={"train": 6}, sources=sources))
    assert "Plain a.csv" in words
    assert "Plain b.csv" in words
    assert "none stated in its rows" in words
    words = visible(report_of(tab, "checked", kind="quality", rows={"train": 4}, sources=sources))
    assert "Sources, when they were first prepared" in words


def test_an_augmentation_says_what_each_kind_made_and_refused(tab: Tab) -> None:
    kinds = {"split": {"children": 4, "refused": {"lost a number": {"n": 2}, "too short": {"n": 1}}},
             "synonyms": {"children": 0, "refused": {}}}  # fmt: skip
    words = visible(report_of(
        tab, "mix", kind="augmented", source="old", rows_in={"train": 20, "test": 5}, rows={"train": 29}, children=4,
        kinds=kinds,
    ))  # fmt: skip
    assert "from old" in words
    assert "Rows in 25 New questions 4 Refused 3" in words
    assert "Split questions 4 3 lost a number 2, too short 1" in words
    assert "Synonyms 0 0 –" in words


def test_a_review_that_waits_is_the_first_thing_to_do(tab: Tab) -> None:
    held = [row(n, meta={"flags": ["refusal"]}) for n in (30, 31)]
    folder = tab.folder("mix", train=[row(1)], held=held, review=[row(1), *held])
    (folder / "report.json").write_text(json.dumps({
        "kind": "quality", "rows": {"train": 1}, "rows_in": 3, "kept": 1, "held_rows": 2,
        "held_because_of": {"refusal": 2}, "flags": {"refusal": {"n": 2}},
    }))  # fmt: skip
    page = tab.act("open", folder="mix")["shown"]
    words = visible(page)
    assert "Rows in 3 Kept 1 Held back 2" in words
    assert "refusal 2 (2 held back)" in words
    assert "3 rows wait for a review. 2 rows are held back: they are out of training" in words
    assert "All others stay in training meanwhile." in words
    assert re.findall(r'mc-primary" data-do="([^"]+)"', page) == ["data-review"]
    assert "No quality check was made" not in words
    assert 'data-split="held"' in page
    assert "shown" in tab.act("part", part="sets")  # somebody may have reviewed since
    found = visible(tab.act("browse", folder="mix", split="held")["rows"])
    assert "held back, line 1 refusal" in found
    found = visible(tab.act("browse", folder="mix", split="train", flag="refusal")["rows"])
    assert "2 rows with this flag are held back for review: choose the split “held back”." in found


def test_rows_that_nobody_checked_are_said_before_training(tab: Tab) -> None:
    words = visible(report_of(tab, "mix", kind="prepared", rows={"train": 25}))
    assert "No quality check was made of these rows: identifiers of patients" in words


def test_a_data_set_is_deleted_by_whoever_made_it(tmp_path: Path) -> None:
    tab = Tab(tmp_path)
    folder = tab.folder("mix")
    run_dir = tab.run("done")
    assert "made by you" in visible(tab.act("open", folder="mix")["shown"])
    tab.act("delete", run=run_dir.id)  # the data set is still theirs
    tab.accounts.user = replace(ENGINEER, id="e2", name="Ede")
    page = tab.act("open", folder="mix")["shown"]
    assert "made by somebody whose account is gone" in visible(page)
    assert "data-remove" not in page
    with pytest.raises(gr.Error, match="by whoever made it, or by an admin"):
        tab.act("remove", folder="mix")
    assert folder.is_dir()
    tab.accounts.user = ENGINEER
    tab.act("remove", folder="mix")
    assert not folder.exists()
    tab.folder("copied")  # nobody knows whose it is
    with pytest.raises(gr.Error, match="by whoever made it, or by an admin"):
        tab.act("remove", folder="copied")
    tab.accounts.user = User("a1", "Ada", "admin", RIGHTS["admin"])
    tab.act("remove", folder="copied")
    assert list(tab.prepared.iterdir()) == []


def test_rows_are_downloaded_by_those_who_prepare_data(tmp_path: Path) -> None:
    tab = Tab(tmp_path)
    folder = tab.folder("mix")
    (folder / "secret.txt").write_text("x")
    web = FastAPI()
    data_report.add_routes(web, tab.app)
    client = TestClient(web)
    found = client.get("/data/rows?set=mix&file=train.jsonl")
    assert found.text == (folder / "train.jsonl").read_text()
    assert 'filename="mix-train.jsonl"' in found.headers["content-disposition"]
    for wrong in ("set=mix&file=secret.txt", "set=mix&file=../mix/train.jsonl", "set=..&file=train.jsonl"):
        assert client.get(f"/data/rows?{wrong}").status_code == 404
    assert [what[1:3] for what in tab.accounts.noted] == [("exported", "mix")]
    tab.accounts.user = RATER
    assert client.get("/data/rows?set=mix&file=train.jsonl").status_code == 403
    shown = tab.shown(tab.do._watch.show(ENGINEER, PAGE, "", "mix"))["shown"]
    assert "set=mix&amp;file=train.jsonl" in shown


def test_jobs_that_are_at_work_are_counted_beside_the_way_to_them(tab: Tab) -> None:
    tab.run("queued")
    run_dir = tab.run("done")
    assert 'data-at-work="1 waiting"' in tab.act("watch", run=run_dir.id)["runs"]


def test_a_job_that_failed_says_what_can_be_done(tab: Tab) -> None:
    run_dir = tab.run("failed", message="PubMedQA (medquad): The folder medquad has no .json file.")
    words = visible(tab.act("watch", run=run_dir.id)["head"])
    assert "To take another source or setting, press “Clone with changes”" in words
    assert "Put right" not in words


def test_a_source_of_the_wrong_kind_is_refused_before_anything_begins(tab: Tab) -> None:
    folder = tab.settings.source_dirs[0] / "medquad"
    write_rows(folder / "rows.xml", [row(1)])
    shown = tab.act("add", adapter="pubmedqa", place=str(folder), order={"command": "prepare"})
    assert "the folder medquad has none" in shown["chosen"]
    order = {"command": "prepare", "sources": [f"pubmedqa={folder.resolve()}"]}
    assert "the folder medquad has none" in tab.act("check", order=order)["check"]


def test_a_search_says_how_much_it_finds(tab: Tab) -> None:
    tab.folder(train=[row(n, answer="rest") for n in range(14)] + [row(14, answer="ice")])
    found = visible(tab.act("browse", folder="mix", text="rest")["rows"])
    assert "14 rows found, 10 rows on this page." in found
    assert "are searched" not in found
    page = page_of(folder_named(tab.settings, "mix"), Asked("rest"), "", n=10)
    second = tab.act("browse", folder="mix", text="rest", cursor=page.next)["rows"]
    assert "4 rows; that is the last page." in visible(second)


def test_a_search_that_takes_too_long_says_how_much_it_found_at_least(tab: Tab) -> None:
    tab.folder(train=[row(n, answer="rest") for n in range(2000)])
    ticks: Iterator[float] = iter(range(10_000))
    page = page_of(folder_named(tab.settings, "mix"), Asked("rest"), "", clock=lambda: float(next(ticks)))
    # it counts from row 11 on and looks at the clock, a second later each time, every 500: 2 s are over after 1,000
    assert (page.more, page.knows_more) == (1000, False)
    assert "At least 1,010 rows found" in visible(browse_html(Asked("rest"), page, choices={}))


def test_a_row_that_is_there_again_is_marked_and_badges_say_what_they_are(tab: Tab) -> None:
    tab.folder(train=[row(1, kind="free"), row(1, id="q1#2", kind="free", meta={"copy": 2})])
    found = visible(tab.act("browse", folder="mix")["rows"])
    assert found.count("copy 2") == 1
    assert "open question split: train source: kqa licence: MIT" in found


# Rows


def all_pages(tab: Tab, asked: Asked, **options: Any) -> list[list[str]]:
    """The ids of each page."""
    folder, pages, cursor = folder_named(tab.settings, "mix"), [], ""
    while True:
        page = page_of(folder, asked, cursor, **options)
        pages.append([str((found.row or {}).get("id")) for found in page.rows])
        if not page.next:
            return pages
        cursor = page.next


def test_pages_hold_every_row_once_over_all_files(tab: Tab) -> None:
    tab.folder(train=[row(n) for n in range(13)], test=[row(n) for n in range(13, 17)], validation=[])
    # 13 rows to train on and 4 of the test: pages of 7, 7 and 3
    assert [len(page) for page in all_pages(tab, Asked(), n=7)] == [7, 7, 3]
    assert list(chain.from_iterable(all_pages(tab, Asked(), n=7))) == [f"q{n}" for n in range(17)]
    assert all_pages(tab, Asked(split="test"), n=7) == [["q13", "q14", "q15", "q16"]]


def test_rows_are_found_by_words_source_and_flag(tab: Tab) -> None:
    tab.folder(train=[
        row(1, answer="Rest and ICE"), row(2, source="medquad/NIH", context="Ice hockey"),
        row(3, meta={"flags": ["refusal"]}), row(4, meta={"flags": ["cut off"]}),
    ])  # fmt: skip
    assert all_pages(tab, Asked("ice")) == [["q1", "q2"]]
    assert all_pages(tab, Asked("rest ice")) == [["q1"]]
    assert all_pages(tab, Asked("q3")) == [["q3"]]
    assert all_pages(tab, Asked(source="medquad")) == [["q2"]]
    assert all_pages(tab, Asked(flag="refusal")) == [["q3"]]
    assert all_pages(tab, Asked(flag=data_browse.ANY_FLAG)) == [["q3", "q4"]]
    assert all_pages(tab, Asked(flag=data_browse.NO_FLAG)) == [["q1", "q2"]]


def test_a_long_search_is_cut_into_answers_and_goes_on(tab: Tab) -> None:
    tab.folder(train=[row(n, answer="rest" if n == 1200 else "ice") for n in range(1300)])
    ticks: Iterator[float] = iter(range(10_000))  # each look at the clock is a second later
    pages = all_pages(tab, Asked("rest"), clock=lambda: float(next(ticks)))
    # it looks at the clock every 500 rows and stops once 1.5 s are over: after 1000 rows, then at the end
    assert pages == [[], ["q1200"]]


def test_a_broken_line_is_shown_as_such(tab: Tab) -> None:
    folder = tab.folder(train=[row(1)])
    with (folder / "train.jsonl").open("a") as stream:
        stream.write('{"half\n[1]\n' + json.dumps(row(2)))
    page = page_of(folder_named(tab.settings, "mix"), Asked(), "")
    assert [bool(found.row) for found in page.rows] == [True, False, False, True]
    assert [found.where for found in page.rows] == ["line 1", "line 2", "line 3", "line 4"]
    shown = tab.act("browse", folder="mix")["rows"]
    assert "This line is no JSON" in shown
    for cursor in ("x", "99:0:1", "0:-1:1", "0:1"):
        with pytest.raises(gr.Error, match="There is no such page"):
            tab.act("browse", folder="mix", cursor=cursor)


def test_rows_are_escaped_and_shown_in_full(tab: Tab) -> None:
    tab.folder(train=[row(1, question=ATTACK, context="x" * 3000, meta={"flags": [ATTACK], "made": ATTACK})])
    page = tab.act("browse", folder="mix", text=ATTACK[:20])["rows"]
    assert is_safe(page)
    assert "1 row; that is the last page." in visible(page)
    assert "1,800 characters more" in visible(page)  # of 3,000, of which 1,200 stand there
    assert "The row in full" in visible(page)


def test_reading_a_page_takes_no_more_memory_than_the_page(tab: Tab) -> None:
    tab.folder(train=[row(n, context=WORDS * 100) for n in range(5_000)])  # 6 MB
    folder = folder_named(tab.settings, "mix")
    tracemalloc.start()
    page_of(folder, Asked("not there"), "", clock=lambda: 0.0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000
