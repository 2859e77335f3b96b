"""The Train tab without a browser: its form, its previews, runs as pages follow them, and who may do what."""

import html
import inspect
import json
import os
import re
import subprocess
import sys
from array import array
from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import gradio as gr
import pyarrow
import pyarrow.parquet
import pytest
from judged_answers import Judges
from scripted_models import WordGrounder
from starlette.datastructures import Headers
from tiny_training import example, pair, write_data, write_rows

from medchat.accounts import RIGHTS, User
from medchat.catalogue import Catalogue
from medchat.errors import InvalidInput
from medchat.job_files import Job, JobView
from medchat.jobs import Jobs
from medchat.knowledge import load_knowledge
from medchat.machine import Machine
from medchat.models_file import Endpoint, unknown_model
from medchat.run_state import RunState, now, stage_words
from medchat.rundir import RunDir, RunWriter
from medchat.settings import ROOT, Settings
from medchat.ui import job_views, train_run_view
from medchat.ui.common import App
from medchat.ui.train_compare import Compared, comparison_html
from medchat.ui.train_completions import newest
from medchat.ui.train_curves import Line, _ticks, chart_html, charts_of, curve_html, number_words
from medchat.ui.train_fields import fields_of, overrides_of
from medchat.ui.train_handlers import Handlers, Updates
from medchat.ui.train_layout import TrainTab, lay_out
from medchat.ui.train_order import Order
from medchat.ui.train_progress import Points, Progress, ProgressReader
from train.recipe_schema import GrpoStage
from train.recipes import load_recipe, recipe_names
from train.rewards import REWARD_NAMES, REWARDS
from train.run import STOPPED

REQUEST = cast(gr.Request, SimpleNamespace(cookies={}, client=None, headers=Headers()))
RATER = User("r1", "Ann", "rater", RIGHTS["rater"])
ENGINEER = User("e1", "Eve", "engineer", RIGHTS["engineer"])
ATTACK = '<script>alert(1)</script><img src=x onerror="alert(1)">\''
PAGE = "page 1"
CALM = Machine(64.0, None, 32.0)
DEMO_DPO = {"recipe": "demo-dpo", "data": "ratings"}


class Tags(HTMLParser):
    """The names of the tags and attributes that a browser would see."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes |= {name for name, _ in attrs}


def is_safe(page: str) -> bool:
    tags = Tags(page)
    return not tags.names & {"script", "img"} and not any(name.startswith("on") for name in tags.attributes)


def visible(page: str) -> str:
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", page))).strip()


def points(*values: float, first: int = 1) -> Points:
    return Points(array("q", range(first, first + len(values))), array("d", values))


@lru_cache(maxsize=1)
def grounder() -> Any:
    found = WordGrounder()
    found.knowledge = load_knowledge()  # type: ignore[attr-defined]
    return found


@lru_cache(maxsize=1)
def parts() -> TrainTab:
    """The components, which hold nothing of an app: to make them takes longer than most tests."""
    return laid_out(training=True)[1]


def laid_out(*, training: bool) -> tuple[gr.Blocks, TrainTab]:
    with gr.Blocks() as page:
        return page, lay_out(cast(App, SimpleNamespace(settings=Settings(training=training))))


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


class Tab:
    """The tab of an app whose jobs wait for ever, and what its handlers gave by the names of the components."""

    def __init__(self, folder: Path, user: User = ENGINEER, *, training: bool = True, machine: Machine = CALM) -> None:
        self.settings = Settings(folder / "data", training=training)
        self.settings.data_dir.mkdir(parents=True, exist_ok=True)
        self.judges = Judges(self.settings.data_dir)
        self.accounts = FakeAccounts(user)
        self.jobs = Jobs(self.settings.runs_dir, lambda job, run_dir: None, lambda run_dir: None)
        self.jobs.folder.mkdir(parents=True, exist_ok=True)
        catalogue = Catalogue(self.settings.models_dir, self.settings.own_models_file)
        self.app = cast(App, SimpleNamespace(
            settings=self.settings, store=self.judges.store, catalogue=catalogue, default=catalogue.default,
            accounts=self.accounts, jobs=self.jobs, machine=lambda: machine,
            grounding=SimpleNamespace(get=lambda timeout_s=None: grounder()),
        ))  # fmt: skip
        self.parts = parts()
        self.do = Handlers(self.app, self.parts)

    def shown(self, updates: Updates) -> dict[str, Any]:
        names = {id(part): name for name, part in self.parts._asdict().items()}
        return {names[id(part)]: value for part, value in updates.items()}

    def act(self, verb: str, order: Mapping[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
        asked = {"do": verb, **({"order": order} if order else {}), **fields}
        return self.shown(self.do.act(json.dumps(asked), PAGE, REQUEST))

    def look(self, order: Mapping[str, Any]) -> str:
        *_, last = self.do.look(json.dumps({"do": "look", "order": order}), PAGE, REQUEST)
        return str(self.shown(last)["preview"])

    def tick(self) -> dict[str, Any]:
        return self.shown(self.do.tick(PAGE, REQUEST))

    def lab(self, verb: str, filled: Mapping[str, Any], **fields: Any) -> dict[str, Any]:
        sent = {"do": verb, "filled": {**LAB, **filled}, **fields}
        return self.shown(self.do.score(json.dumps(sent), PAGE, REQUEST))

    def votes(self, n: int) -> None:
        """One clear vote on each of n pairs."""
        for number in range(n):
            self.judges.vote("ann", "a", f"Gout {number}", "Influenza", f"Case {number}: a red toe. What is it?")

    def run(self, name: str = "A run", status: Any = "running", **state: Any) -> RunDir:
        """A run of training, in this state."""
        run_dir = self.jobs.run_dir(self.jobs.submit("train", name, ("python", "{run_dir}"), ENGINEER.id))
        run_dir.set_state(replace(run_dir.state(), status=status, **state))
        return run_dir


LAB = {"question": "", "context": "", "answer": "", "rationale": "", "key_terms": "", "answer_format": "think",
       "completions": [""]}  # fmt: skip


@pytest.fixture
def tab(tmp_path: Path) -> Tab:
    return Tab(tmp_path)


# Fields and what is typed into them


@pytest.mark.parametrize("name", recipe_names())
def test_every_setting_typed_as_it_stands_gives_the_same_recipe(name: str) -> None:
    recipe = load_recipe(name)
    fields = fields_of(recipe)
    others = {key: replace(field, value="something else") for key, field in fields.items()}
    typed = {key: field.value for key, field in fields.items() if field.value or not field.can_be_empty}
    assert all(field.about for field in fields.values())
    assert load_recipe(name, overrides_of(others, typed)) == recipe


def test_only_what_was_changed_is_set() -> None:
    fields = fields_of(load_recipe("demo-sft"))
    typed = {
        "stages.0.learning_rate": "1e-4",
        "stages.0.max_steps": fields["stages.0.max_steps"].value,
        "stages.0.gradient_checkpointing": "true",
        "held_out.metrics": "exact, format_ok",
        "system_prompt": "yes",
    }
    assert overrides_of(fields, typed) == [
        "stages.0.learning_rate=1e-4",
        "stages.0.gradient_checkpointing=true",
        'held_out.metrics=["exact", "format_ok"]',
        'system_prompt="yes"',  # which would be true without its marks
    ]


def test_a_part_that_the_recipe_leaves_out_can_be_filled_in_and_emptied() -> None:
    fields = fields_of(load_recipe("demo-sft"))
    overrides = overrides_of(fields, {"stages.0.eval_steps": "5", "stages.0.early_stopping.patience": "3"})
    stopping = load_recipe("demo-sft", overrides)
    assert stopping.stages[0].early_stopping
    assert stopping.stages[0].early_stopping.patience == 3
    emptied = overrides_of(fields_of(stopping), {"stages.0.early_stopping.patience": ""})
    assert emptied == ["stages.0.early_stopping=null"]


@pytest.mark.parametrize(("typed", "message"), [
    ({"stages.0.max_steps": " "}, "stages.0.max_steps: this is empty"),
    ({"stages.7.max_steps": "3"}, "stages.7.max_steps: this recipe has no such setting"),
])  # fmt: skip
def test_what_cannot_be_set_is_told_with_its_key(typed: dict[str, str], message: str) -> None:
    with pytest.raises(InvalidInput, match=re.escape(message)):
        overrides_of(fields_of(load_recipe("demo-sft")), typed)


def test_the_form_labels_every_field_and_nothing_in_it_becomes_markup(tab: Tab) -> None:
    order = Order("demo-grpo", base=ATTACK, name=ATTACK, typed={"stages.0.learning_rate": ATTACK})
    page = tab.shown({tab.parts.form: tab.do._desk.form_html(order)})["form"]
    assert is_safe(page)
    labelled = set(re.findall(r'<label for="([^"]+)"', page))
    named = set(re.findall(r'<(?:input|select|textarea) [^>]*?id="(train-[fr]-[^"]+)"', page))
    assert named
    assert named <= labelled
    assert f"largest step of the optimiser recipe: {load_recipe('demo-grpo').stages[0].learning_rate}" in visible(page)


def test_rewards_are_rows_with_their_weight_and_the_recipes_own_are_ticked(tab: Tab) -> None:
    page = tab.do._desk.form_html(Order("demo-grpo"))
    ticked = re.findall(r'data-reward="([a-z_]+)"[^>]*><input type="checkbox"[^>]*? checked>', page)
    [rewards] = [stage.rewards for stage in load_recipe("demo-grpo").stages if isinstance(stage, GrpoStage)]
    assert ticked == [reward.name for reward in rewards]
    assert f'aria-label="Weight of Format, exact" value="{rewards[0].weight}"' in page
    assert len(re.findall(r'class="mc-reward"', page)) == len(REWARD_NAMES)


def rewards_typed(*rewards: dict[str, Any]) -> dict[str, Any]:
    """An order of demo-grpo with these rewards, as the page sends it."""
    return {"recipe": "demo-grpo", "typed": {"stages.1.rewards": json.dumps(rewards)}}


def test_each_option_of_a_reward_is_a_field_with_its_meaning_and_default(tab: Tab) -> None:
    typed = rewards_typed({"name": "length", "weight": 1, "options": {"most": 90}})["typed"]
    page = tab.do._desk.form_html(Order("demo-grpo", typed=typed))
    fields = re.findall(r'<(?:input type="text"|select) id="(train-r-[^"]+)" data-option="([a-z_]+)"', page)
    assert len(fields) == sum(len(REWARDS[name].options) for name in REWARD_NAMES)
    assert len({identity for identity, _ in fields}) == len(fields)
    assert re.search(r'data-option="most" data-kind="number" data-default="200"[^>]* value="90"', page)
    text = visible(page)
    assert "Length: most words up to which it does; 0 from twice as many. Default: 200" in text
    assert re.search(r"A model as judge: model Choose a model… MedChat Demo .*? the model of the catalogue that", text)
    assert re.search(r"most_calls questions that it may be asked in all, .*? Default: 500", text)


def test_an_option_that_says_the_default_is_no_change(tab: Tab, tmp_path: Path) -> None:
    own = tab.settings.data_dir / "recipes"
    own.mkdir()
    rewards = [{"name": "length", "weight": 1.0, "options": {"most": 90, "least": 20}}]
    changes = [f"stages.1.rewards={json.dumps(rewards)}"]
    (own / "mine.yaml").write_text(json.dumps(load_recipe("demo-grpo", changes).resolved()))
    page = tab.do._desk.form_html(Order("own: mine"))
    default = re.search(r'data-rewards="stages.1.rewards" data-default="([^"]+)"', page)
    assert default
    assert json.loads(html.unescape(default[1])) == [{"name": "length", "weight": 1.0, "options": {"most": 90}}]


def test_a_judge_without_a_model_is_refused_at_the_rewards_and_one_with_a_model_is_set(tab: Tab) -> None:
    page = tab.act("check", rewards_typed({"name": "judge", "weight": 1, "options": {}}))["check"]
    assert 'data-key="stages.1.rewards"' in page
    assert "the reward 'judge' needs the option 'model'" in visible(page)
    page = tab.act("check", rewards_typed({"name": "judge", "options": {"model": "nobody"}}))["check"]
    assert 'data-key="stages.1.rewards"' in page
    assert "there is no model 'nobody'" in visible(page)
    order = rewards_typed({"name": "judge", "weight": 1, "options": {"model": "demo", "most_calls": 9}})
    told = visible(tab.act("check", order)["check"])
    assert '"options": {"model": "demo", "most_calls": 9}' in told


def test_preference_is_refused_for_cases_that_nobody_rated(tab: Tab) -> None:
    page = visible(tab.act("check", rewards_typed({"name": "preference", "weight": 1}))["check"])
    assert "prepare ratings with `python -m train feedback --out DIR`" in page


def test_a_judge_on_a_server_is_named_and_its_key_goes_along(tab: Tab) -> None:
    endpoint = Endpoint("https://wise.example/v1", "m", "WISE_KEY", False)
    spec = replace(unknown_model("openai"), id="wise", name="Wise", endpoint=endpoint)
    tab.app.catalogue.add(spec)
    order = rewards_typed({"name": "judge", "weight": 1, "options": {"model": "wise"}})
    assert "The judge is asked on wise.example: cases and answers go there." in visible(
        tab.act("check", order)["check"]
    )
    tab.act("start", order, key="k")
    filled = {"question": "Why?", "completions": ["Gout"]}
    assert "asked on wise.example" in visible(tab.lab("score", filled, order=order)["scores"])
    tab.lab("job", filled, order=order)
    assert [view.job.variables for view in tab.jobs.all()] == [("WISE_KEY",)] * 2


def test_a_clone_has_the_options_of_its_rewards(tab: Tab) -> None:
    tab.act("start", rewards_typed({"name": "length", "weight": 1, "options": {"most": 90}}), key="k")
    [view] = tab.jobs.all()
    page = tab.act("clone", run=view.job.id)["form"]
    assert re.search(r'data-option="most" data-kind="number" data-default="200"[^>]* value="90"', page)


# Checking and starting


def test_an_order_shows_the_exact_command_and_what_it_takes(tab: Tab) -> None:
    typed = {"stages.0.max_steps": "3", "stages.0.learning_rate": "1e-4"}
    page = visible(tab.act("check", {"recipe": "demo-sft", "typed": typed})["check"])
    assert (
        "python -m train run demo-sft --set stages.0.max_steps=3 --set stages.0.learning_rate=1e-4 "
        f"--data-dir {tab.settings.data_dir}"
    ) in page
    assert re.search(r"Stage 1: SFT : about [\d.]+ [GM]B of memory", page)
    assert "3 steps" in page
    assert page.endswith("Start")


def test_a_fault_is_told_at_its_field_and_the_form_stays_as_it_is(tab: Tab) -> None:
    shown = tab.act("check", {"recipe": "demo-sft", "typed": {"stages.0.max_steps": "many"}})
    assert shown.keys() == {"check"}
    assert 'data-key="stages.0.max_steps"' in shown["check"]
    assert 'role="alert"' in shown["check"]
    assert "train-start" not in shown["check"]


def test_a_base_that_is_not_here_is_told_with_what_to_do(tab: Tab) -> None:
    page = visible(tab.act("check", {"recipe": "gemma3-1b-grpo"})["check"])
    assert "python -m medchat models fetch" in page


def test_whether_a_base_fits_is_told_before_it_is_fetched_or_data_is_chosen(tab: Tab) -> None:
    order = {"recipe": "medgemma-27b-lora"}
    t4, h200 = (tab.act("check", order, machine=machine)["check"] for machine in ("T4", "H200"))
    for page in (t4, h200):
        words = visible(page)
        assert "its shape is a guess from its number of parameters" in words
        assert "fetch it with `python -m medchat models fetch medgemma-27b-text-it`" in words
        assert "choose a prepared folder, the ratings, or upload examples" in words
        assert "python -m train run medgemma-27b-lora" in words
        assert re.search(r'data-do="train-models" data-model="medgemma-27b-text-it"[^>]*>Fetch the base', page)
        assert re.search(r'id="train-start"[^>]*aria-disabled="true"', page)
    assert "Does not fit" in t4
    assert "Does not fit" not in h200
    with pytest.raises(gr.Error, match="is not on this machine; fetch it"):
        tab.act("start", order, key="k1")
    assert tab.jobs.all() == []


def test_a_base_that_nobody_knows_leads_to_the_models_tab_too(tab: Tab) -> None:
    page = tab.act("check", {"recipe": "demo-sft", "base": "nobody/knows"})["check"]
    assert "there is no model 'nobody/knows' on this machine" in visible(page)
    assert 'data-do="train-models" data-model=""' in page
    assert tab.do.models("{}", PAGE, REQUEST).selected == "models"


def test_the_machine_that_was_chosen_stays_with_another_recipe(tab: Tab) -> None:
    page = tab.act("choose", {"recipe": "demo-grpo"}, part="recipe", machine="T4")["check"]
    assert '<option value="T4" selected>' in page


def test_the_demo_is_estimated_by_the_length_of_its_lessons(tab: Tab) -> None:
    page = visible(tab.act("check", {"recipe": "demo-sft"})["check"])
    found = re.search(r"Stage 1: SFT : about ([\d.]+) GB", page)
    assert found
    # measured on Linux x86-64 with one thread: 1.94 to 1.99 GB
    assert float(found[1]) == pytest.approx(1.96, rel=0.3)
    assert "240 steps, time not known before the first steps" in page


def test_what_cannot_fit_is_refused_with_advice(tmp_path: Path) -> None:
    tab = Tab(tmp_path, machine=Machine(0.5, None, 0.4))
    page = visible(tab.act("check", {"recipe": "demo-sft"})["check"])
    assert "Does not fit" in page
    with pytest.raises(gr.Error, match=r"needs about .* of memory, this machine has 500 MB"):
        tab.act("start", {"recipe": "demo-sft"}, key="k1")
    assert tab.jobs.all() == []


def test_the_estimate_can_be_for_a_gpu_by_name(tab: Tab) -> None:
    page = tab.act("check", {"recipe": "demo-sft"}, machine="T4")["check"]
    assert '<option value="T4" selected>' in page
    assert "from the number of operations" in visible(page)


def test_a_run_is_started_once_however_often_its_request_comes(tab: Tab) -> None:
    order = {"recipe": "demo-sft", "name": "Mine", "typed": {"stages.0.max_steps": "3"}}
    first = tab.act("start", order, key="k1")
    tab.act("start", order, key="k1")
    [view] = tab.jobs.all()
    assert view.job.argv == (
        "python", "-m", "train", "run", "demo-sft", "--set", "stages.0.max_steps=3", "--run-dir", "{run_dir}"
    )  # fmt: skip
    assert (view.job.kind, view.job.name, view.job.owner, view.job.variables) == ("train", "Mine", "e1", ())
    assert ("job started", view.job.id) in [(what[1], what[2]) for what in tab.accounts.noted]
    assert f'data-run="{view.job.id}"' in first["head"]
    assert "Waiting" in visible(first["runs"])
    assert "1 run before it in line" in visible(first["check"])  # a new button, for a run of its own
    tab.act("start", order, key="k2")
    assert len(tab.jobs.all()) == 2


def test_a_key_for_reporting_goes_along_only_where_the_run_reports(tab: Tab, monkeypatch: pytest.MonkeyPatch) -> None:
    tab.act("start", {"recipe": "demo-sft", "typed": {"report_to": "wandb"}}, key="k1")
    assert tab.jobs.all()[0].job.variables[0] == "WANDB_API_KEY"


def test_where_training_is_off_nothing_begins_and_the_tab_says_why(tmp_path: Path) -> None:
    tab = Tab(tmp_path, training=False)
    run_id = tab.run(status="stopped").id
    for verb, fields in (("start", {"order": {"recipe": "demo-sft"}, "key": "k"}), ("resume", {"run": run_id})):
        with pytest.raises(gr.Error, match="MEDCHAT_TRAINING=on"):
            tab.act(verb, **fields)
    assert [view.state.status for view in tab.jobs.all()] == ["stopped"]
    assert "MEDCHAT_TRAINING=on" in visible(tab.act("check", {"recipe": "demo-sft"})["check"])
    assert 'data-do="train-resume"' not in tab.act("watch", run=run_id)["head"]


@pytest.mark.parametrize("training", [True, False])
def test_the_tab_says_that_training_is_off_only_where_it_is(training: bool) -> None:
    page, _ = laid_out(training=training)
    words = " ".join(str(block.value) for block in page.blocks.values() if isinstance(block, gr.HTML))
    assert ("Training is off here" in words) is not training


@pytest.mark.parametrize(("variables", "expected"), [
    ({}, True),
    ({"SPACE_ID": "a/b"}, False),
    ({"SPACE_ID": "a/b", "MEDCHAT_TRAINING": "on"}, True),
    ({"MEDCHAT_TRAINING": "off"}, False),
])  # fmt: skip
def test_training_is_off_on_a_space_unless_it_is_asked_for(
    variables: dict[str, str], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SPACE_ID", "MEDCHAT_TRAINING"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert Settings.from_environment().training is expected


# Data and its preview


def shown_in(page: str) -> dict[str, str]:
    """What the page sends of the preview that stands on it."""
    place, digest = (re.search(rf'data-{name}="([^"]*)"', page) for name in ("place", "digest"))
    assert place
    assert digest
    return {"place": html.unescape(place[1]), "digest": digest[1]}


def test_nothing_is_trained_on_ratings_whose_preview_was_not_shown(tab: Tab) -> None:
    tab.votes(3)
    with pytest.raises(gr.Error, match="Look at the preview of the ratings first"):
        tab.act("start", DEMO_DPO, key="k1")
    shown = shown_in(tab.look(DEMO_DPO))
    tab.accounts.user = replace(ENGINEER, id="e2")  # who has not looked
    with pytest.raises(gr.Error, match="Look at the preview of the ratings first"):
        tab.act("start", DEMO_DPO, key="k1", **shown)
    with pytest.raises(gr.Error, match="Look at the preview of the ratings first"):  # as a folder of its own, too
        tab.act("start", {**DEMO_DPO, "data": shown["place"]}, key="k1")
    with pytest.raises(gr.Error, match="Look at the preview of the ratings first"):
        tab.act("start", {**DEMO_DPO, "data": shown["place"]}, key="k1", place=shown["place"], digest="0" * 64)
    assert tab.jobs.all() == []
    tab.accounts.user = ENGINEER
    assert "Look at the preview" in visible(tab.act("check", DEMO_DPO)["check"])
    assert 'aria-disabled="true"' in tab.act("check", DEMO_DPO)["check"]
    assert "Look at the preview" not in visible(tab.act("check", DEMO_DPO, **shown)["check"])
    tab.act("start", DEMO_DPO, key="k1", **shown)
    argv = tab.jobs.all()[0].job.argv
    assert argv[argv.index("--data") + 1].startswith(str(tab.settings.data_dir / "training" / "ratings-"))


def test_ratings_that_changed_after_they_were_shown_are_not_trained_on(tab: Tab) -> None:
    tab.votes(3)
    shown = shown_in(tab.look(DEMO_DPO))
    folder = tab.settings.data_dir / shown["place"].removeprefix("place:")
    write_rows(folder / "dpo.jsonl", [pair(1), pair(2)])
    with pytest.raises(gr.Error, match="not those that you looked at"):
        tab.act("start", DEMO_DPO, key="k1", **shown)


def test_the_preview_of_ratings_says_what_they_give_and_what_was_left_out(tab: Tab) -> None:
    tab.votes(3)
    tab.judges.vote("ann", "tie", "Gout", "Flu", "Case 9: a swollen toe. What is it?")
    page = visible(tab.look(DEMO_DPO))
    for expected in (
        "Pairs, chosen and rejected (DPO) 3 0", "3 of the pairs", "Chosen", "Rejected Reasoning Red and hot. Influenza",
        "1 rater · probability 0.75 · margin 1.00 · train", "votes on pairs cannot be told 0", "Rater 1",
        "Pairs, chosen and rejected (DPO): 1 × the votes are even", "With fewer than 10 questions",
    ):  # fmt: skip
        assert expected in page
    assert "ann" not in re.findall(r"\w+", page)  # who judged how is nobody's business here


def test_without_any_rating_the_preview_says_what_to_do_first(tab: Tab) -> None:
    assert "compare answers in the Compare tab" in visible(tab.look(DEMO_DPO))


def test_where_all_was_left_out_the_preview_says_why_and_no_run_can_be_started(tab: Tab) -> None:
    asked = {"question": "A suite's own case: what is it?", "answer": "Gout"}
    (tab.settings.data_dir / "suites").mkdir()
    (tab.settings.data_dir / "suites" / "mine.jsonl").write_text(json.dumps(asked), encoding="utf-8")
    tab.judges.vote("ann", "a", "Gout", "Flu", asked["question"])
    tab.judges.vote("ann", "tie", "Gout", "Flu", "Case 9: a swollen toe. What is it?")
    page = tab.look(DEMO_DPO)
    assert "none of them can be trained on" in visible(page)
    for reason in ("a question of the evaluation suite mine", "the votes are even"):
        assert f"Pairs, chosen and rejected (DPO): 1 × {reason}" in visible(page)
    shown = {"place": "", "digest": "none", "shown_for": "ratings"}
    assert 'data-digest="none"' in page
    assert "None of the ratings can be trained on" in visible(tab.act("check", DEMO_DPO, **shown)["check"])
    with pytest.raises(gr.Error, match="None of the ratings can be trained on"):
        tab.act("start", DEMO_DPO, key="k1", **shown)
    assert not (tab.settings.data_dir / "training").exists()


def test_nothing_that_raters_or_models_wrote_becomes_markup(tab: Tab) -> None:
    tab.judges.vote("ann", "a", ATTACK, "Influenza", f"{ATTACK} What is it?")
    tab.judges.vote("ann", "a", "Gout", ATTACK, "What is it?")
    page = tab.look(DEMO_DPO)
    assert is_safe(page)
    assert ATTACK in html.unescape(page)


def test_a_prepared_folder_is_listed_looked_at_and_trained_on(tab: Tab) -> None:
    folder = tab.settings.data_dir / "prepared"
    folder.mkdir()
    write_rows(folder / "train.jsonl", [example(n) for n in range(20)])
    write_rows(folder / "validation.jsonl", [example(n, "validation") for n in range(20, 24)])
    order = {"recipe": "demo-sft", "data": "place:prepared"}
    assert "Folder: prepared" in visible(tab.act("choose", order, part="base")["form"])
    assert "Stage 1: SFT: 20 train, 4 validation The first 3 rows" in visible(tab.look(order))
    assert "20 rows to train on, 4 to validate" in visible(tab.act("check", order)["check"])
    fewer = order | {"typed": {"stages.0.train_rows": "8"}}
    assert "8 rows of 20 in the file to train on, 4 to validate" in visible(tab.act("check", fewer)["check"])
    tab.act("start", order, key="k1")
    argv = tab.jobs.all()[0].job.argv
    assert argv[argv.index("--data") + 1] == str(folder)


def test_only_what_is_listed_can_be_trained_on(tab: Tab, tmp_path: Path) -> None:
    write_data(tmp_path / "elsewhere")
    for data in ("place:../elsewhere", f"place:{tmp_path / 'elsewhere'}", "elsewhere"):
        page = visible(tab.act("check", {"recipe": "demo-sft", "data": data})["check"])
        assert page.startswith("data: "), page


def test_a_folder_with_pairs_of_raters_needs_a_look_wherever_it_lies(tab: Tab) -> None:
    write_data(tab.settings.data_dir / "copied")
    order = {"recipe": "demo-dpo", "data": "place:copied"}
    with pytest.raises(gr.Error, match="Look at the preview"):
        tab.act("start", order, key="k1")
    tab.act("start", order, key="k1", **shown_in(tab.look(order)))
    assert len(tab.jobs.all()) == 1


def upload(tab: Tab, name: str, text: str) -> dict[str, Any]:
    data = b64encode(text.encode()).decode()
    sent = {"do": "upload", "name": name, "size": len(text), "data": data, "order": {"recipe": "demo-sft"}}
    return tab.shown(tab.do.upload(json.dumps(sent), PAGE, REQUEST))


def test_uploaded_examples_become_the_data_of_the_form(tab: Tab) -> None:
    rows = "question,answer\nWhat is a red hot toe?,Gout\nWhat is a barking cough?,Croup\n"
    shown = upload(tab, "my cases.csv", rows)
    chosen = re.search(r'<option value="(place:training/my-cases-[0-9a-f]{8}\.jsonl)" selected>', shown["form"])
    assert chosen
    kept = [json.loads(line) for line in (tab.settings.data_dir / chosen[1][6:]).read_text().splitlines()]
    assert [row["answer"] for row in kept] == ["Gout", "Croup"]
    tab.act("start", {"recipe": "demo-sft", "data": chosen[1]}, key="k1")
    assert len(tab.jobs.all()) == 1


@pytest.mark.parametrize(("name", "text", "message"), [
    ("x.csv", "question,answer\nWhy?,\n", "x.csv: example 1 has no answer"),
    ("x.jsonl", '{"answer": "Gout"}\n', "x.jsonl, line 1"),
    ("x.pdf", "%PDF-1.4", "is a PDF"),
])  # fmt: skip
def test_a_file_that_cannot_be_trained_on_is_refused_with_its_line(
    tab: Tab, name: str, text: str, message: str
) -> None:
    with pytest.raises(gr.Error, match=re.escape(message)):
        upload(tab, name, text)


# Cloning


def test_a_clone_gives_the_same_command_again(tab: Tab) -> None:
    write_data(tab.settings.data_dir / "mine")
    order = {"recipe": "demo-grpo", "base": "demo", "data": "place:mine", "name": "First",
             "typed": {"stages.1.temperature": "0.7", "seed": "5"}}  # fmt: skip
    tab.act("start", order, key="k1", **shown_in(tab.look(order)))
    [first] = tab.jobs.all()
    tab.act("clone", run=first.job.id)
    kept = tab.judges.store.draft(ENGINEER.id, "train")
    assert kept
    again = kept["order"]
    assert again == {**order, "name": "First (again)"}
    tab.act("start", again, key="k2", **shown_in(tab.look(again)))
    assert tab.jobs.all()[0].job.argv == first.job.argv


def test_a_run_of_the_command_line_can_be_cloned_by_its_configuration(tab: Tab) -> None:
    recipe = load_recipe("demo-sft", ["stages.0.max_steps=7", "base=demo-base"])
    config = {"kind": "train", "recipe": recipe.resolved(), "base": {"id": "demo-base"}}
    with RunDir(tab.settings.runs_dir / "by-hand").begin(config, 1):
        pass
    page = tab.act("clone", run="by-hand")["form"]
    assert 'data-set="stages.0.max_steps"' in page
    kept = tab.judges.store.draft(ENGINEER.id, "train")
    assert kept
    assert kept["order"]["typed"] == {"stages.0.max_steps": "7"}


# Progress and curves


def test_progress_is_read_on_from_where_it_was_and_anew_after_a_resume(tmp_path: Path) -> None:
    run_dir, reader = RunDir(tmp_path / "run"), ProgressReader()
    with run_dir.begin({}, 5) as writer:
        writer.stage("0-sft", 5)
        writer.record(1, loss=2.0, eval_loss=None)
        first = reader.read(run_dir, run_dir.state())
        assert list(first.curves["0-sft"]["loss"].values) == [2.0]
        writer.record(2, loss=1.5)
        again = reader.read(run_dir, run_dir.state())
        assert again is first
        assert list(again.curves["0-sft"]["loss"].steps) == [1, 2]
        assert "eval_loss" not in again.curves["0-sft"]
    with run_dir.begin({}, 5, append=True) as writer:
        writer.stage("0-sft", 5)
        writer.cut_back(1)
        resumed = reader.read(run_dir, run_dir.state())
        assert list(resumed.curves["0-sft"]["loss"].steps) == [1]


def test_the_time_left_goes_by_the_pace_of_the_last_steps() -> None:
    progress = Progress()
    for step, time in ((1, 100.0), (2, 104.0), (4, 112.0)):
        progress.add({"step": step, "stage": "0-sft", "time": time, "loss": 1.0})
    # 12 s for 3 steps: 4 s a step, and 6 of 10 are left.
    assert progress.left_s(RunState("running", step=4, steps=10, stage="0-sft")) == 24.0
    assert progress.left_s(RunState("running", step=0, steps=10, stage="1-grpo")) is None


def test_a_curve_says_in_words_what_it_draws() -> None:
    page = curve_html("Loss", [Line("training", points(2.0, 1.0, 1.25)), Line("validation", points(1.5, first=3))])
    assert 'role="img"' in page
    told = html.unescape(re.findall(r'aria-label="([^"]+)"', page)[0])
    assert told == (
        "Loss. training: from 2 at step 1 to 1.25 at step 3, between 1 and 2. "
        "validation: 1.5 at step 3, between 1.5 and 1.5."
    )
    assert visible(page).startswith("Loss training 1.25 validation 1.5")
    assert page.count("<circle") == 2


def test_a_long_curve_is_thinned_and_keeps_its_peak() -> None:
    values = [1.0] * 5000
    values[2345] = 9.0
    page = curve_html("Loss", [Line("", points(*values))])
    drawn = re.findall(r"[ML][\d.]+ ([\d.]+)", page)
    assert len(drawn) <= 302
    assert float(min(drawn, key=float)) < 60  # the peak is in the upper part


@pytest.mark.parametrize(("low", "high", "expected"), [
    (0.0, 1.0, [0.0, 0.5, 1.0]),
    (0.12, 0.68, [0.0, 0.2, 0.4, 0.6, 0.8]),
    (3.0, 3.0, [2.6, 2.8, 3.0, 3.2, 3.4]),
    (0.0, 0.0, [-1.0, 0.0, 1.0]),
])  # fmt: skip
def test_axes_have_round_numbers(low: float, high: float, expected: list[float]) -> None:
    assert _ticks(low, high) == pytest.approx(expected)


@pytest.mark.parametrize(("value", "words"), [(0, "0"), (0.25, "0.25"), (3e-6, "3e-06"), (1234.5, "1,234")])
def test_numbers_at_an_axis_are_short(value: float, words: str) -> None:
    assert number_words(value) == words


def test_each_reward_has_a_curve_of_its_own_beside_the_total() -> None:
    curves = {name: points(0.5) for name in (
        "loss", "reward", "rewards/format_exact/mean", "rewards/format_exact/std", "completions/mean_length",
        "learning_rate", "entropy", "memory_gb",
    )}  # fmt: skip
    first, more = charts_of(curves, {"format_exact": "Format, exact"})
    titles = [chart.title for chart in first]
    assert titles == ["Loss", "Reward", "Reward: Format, exact", "Completion length (tokens)", "Learning rate"]
    assert [chart.title for chart in more] == ["Entropy", "Memory (GB)"]
    assert visible(chart_html(first[2], curves)).startswith("Reward: Format, exact mean 0.5 spread 0.5")


# A run on the page


def view_of(state: RunState, **job: Any) -> JobView:
    made = Job(**{"id": "train-1", "kind": "train", "name": "Mine", "argv": ("python", "{run_dir}"), "variables": (),
                  "owner": "e1", "created_at": now(), **job})  # fmt: skip
    return JobView(made, state, 2 if state.status == "queued" else None, Path("/runs/train-1"))


@pytest.mark.parametrize(("state", "words", "buttons"), [
    (RunState("queued"), "1 run before it in line", ["stop", "clone", "delete"]),
    (RunState("running", step=3, steps=12, stage="0-sft"), "Stage 1: SFT · step 3 of 12", ["stop", "clone"]),
    (RunState("lost", message="Its process is gone."), "Its process is gone. Resumed, it goes on from its last",
     ["resume", "clone", "delete"]),
    (RunState("failed", message="The disk is full."), "The disk is full. Put right what the line above says",
     ["resume", "clone", "delete"]),
    (RunState("stopped"), "Resume the run to go on", ["resume", "clone", "delete"]),
    (RunState("done"), "Done", ["clone", "delete"]),
])  # fmt: skip
def test_a_run_says_how_it_is_what_to_do_and_offers_it(state: RunState, words: str, buttons: list[str]) -> None:
    page = train_run_view.head_html(view_of(state), Progress(), "you", None, may_begin=True)
    assert words in visible(page)
    assert re.findall(r'data-do="train-(\w+)"', page) == buttons


def test_a_run_says_once_how_to_go_on_with_it() -> None:
    state = RunState("stopped", message=STOPPED.format(4, stage_words("0-sft")))
    page = visible(train_run_view.head_html(view_of(state), Progress(), "you", None, may_begin=False))
    assert "Stopped at step 4 of Stage 1: SFT. Resume the run to go on from where it was saved." in page
    assert page.lower().count("resume") == 1


def test_a_run_of_the_command_line_is_resumed_there() -> None:
    page = train_run_view.head_html(view_of(RunState("lost"), argv=()), Progress(), "x", None, may_begin=True)
    assert "begun on the command line: go on with it there" in visible(page)
    assert "train-resume" not in page


def test_how_far_a_run_is_is_told_to_everybody() -> None:
    page = job_views.meter_html(RunState("running", step=3, steps=12))
    assert 'role="progressbar"' in page
    assert 'aria-valuenow="25"' in page


@pytest.mark.parametrize(("stage", "words"), [
    ("0-sft", "Stage 1: SFT"),
    ("1-grpo: held-out rows, after", "Stage 2: GRPO, held-out rows, after"),
    ("making the model", "making the model"),
])  # fmt: skip
def test_stages_are_counted_as_people_do(stage: str, words: str) -> None:
    assert stage_words(stage) == words


def test_metrics_stand_before_and_after_each_stage_with_their_intervals() -> None:
    def estimate(value: float | None) -> dict[str, Any]:
        bounds = (None, None) if value is None else (value - 0.1, value + 0.1)
        return {"value": value, "n": 8, "low": bounds[0], "high": bounds[1]}

    result = {"stages": [
        {"metrics": {"exact_before": estimate(0.25), "exact": estimate(0.5), "supported_before": estimate(None)}},
        {"metrics": {"exact_before": estimate(0.5), "exact": estimate(0.75)}},
    ]}  # fmt: skip
    page = visible(train_run_view.metrics_html(result, {"exact": "Exact answer"}))
    assert "Metric Before After stage 1 After stage 2" in page
    assert "Exact answer 0.250 (0.15 to 0.35), n 8 0.500 (0.40 to 0.60), n 8 0.750 (0.65 to 0.85), n 8" in page
    assert train_run_view.metrics_html({}, {}) == ""


def test_completions_show_reasoning_and_solution_apart_with_each_reward(tmp_path: Path) -> None:
    table = tmp_path / "1-grpo-000005.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([
        {"step": 5, "prompt": f"A red toe. {ATTACK}", "completion": "<think>It is red.</think>Gout",
         "format_exact": 1.0, "judge": None, "advantage": 0.7},
        {"step": 5, "prompt": f"A red toe. {ATTACK}", "completion": "<think>It is", "format_exact": 0.0, "judge": None,
         "advantage": -0.7},
    ]), table)  # fmt: skip
    first, second = newest(table, "think")
    assert (first.stage, first.step, first.reasoning, first.solution) == ("1-grpo", 5, "It is red.", "Gout")
    assert (second.complete, second.solution) == (False, "")
    page = train_run_view.completions_html([first, second], {"format_exact": "Format, exact"})
    assert is_safe(page)
    assert visible(page).count("A red toe.") == 1
    assert "Completion Format, exact judge Advantage" in visible(page)
    assert "Reasoning It is red. Solution Gout 1 – 0.7" in visible(page)
    assert "No solution It was cut, or left its format. 0 – -0.7" in visible(page)


def test_a_table_that_is_being_written_shows_nothing(tmp_path: Path) -> None:
    (tmp_path / "1-grpo-000005.parquet").write_bytes(b"PAR1")
    assert newest(tmp_path / "1-grpo-000005.parquet", "think") == []


def test_nothing_of_a_run_becomes_markup(tab: Tab) -> None:
    run_dir = tab.run(ATTACK, "failed", message=ATTACK, stage=ATTACK, started_at=now(), ended_at=now())
    run_dir.log_file.write_text(f"{ATTACK}\n")
    run_dir.config_file.write_text(json.dumps({"recipe": {"title": ATTACK}, "base": {"name": ATTACK}}))
    run_dir.progress_file.write_text(json.dumps({"step": 1, "stage": ATTACK, ATTACK: 1.0, "loss": 1.0}) + "\n")
    shown = tab.act("watch", run=run_dir.id)
    pages = "".join(value for value in shown.values() if isinstance(value, str))
    assert ATTACK in html.unescape(pages)
    assert is_safe(pages)


# Runs compared


def test_compared_runs_lie_over_each_other_and_what_differs_is_marked() -> None:
    def run(name: str, rate: float, *losses: float) -> Compared:
        config = {
            "recipe": load_recipe("demo-sft", [f"stages.0.learning_rate={rate}"]).resolved(),
            "base": {"id": "demo"},
        }
        return Compared(
            f"train-{name}", name, "done", config, Progress({"0-sft": {"loss": points(*losses)}}, len(losses))
        )

    page = comparison_html([run("First", 1e-3, 2.0, 1.0), run("Second", 1e-4, 2.0, 1.8)])
    assert len(re.findall(r'<path class="mc-line', page)) == 2
    assert "Training loss First 1 Second 1.8" in visible(page)
    marked = re.findall(r'<th scope="row">([^<]+)</th><td data-label="First" class="mc-differs">([^<]+)</td>', page)
    assert marked == [("recipe.stages.0.learning_rate", "0.001")]
    assert "The same in all" in visible(page)


def test_one_run_is_not_compared_and_the_page_says_what_to_do() -> None:
    one = Compared("train-1", "First", "done", {}, Progress())
    assert "Pick two runs or more" in visible(comparison_html([one]))
    assert comparison_html([]) == ""


def test_picked_runs_are_compared_at_once_and_not_too_many(tab: Tab) -> None:
    ids = [tab.run(f"Run {number}", "done").id for number in range(6)]
    assert "Runs compared" in visible(tab.act("pick", runs=ids[:2])["comparison"])
    with pytest.raises(gr.Error, match="At most 5 runs"):
        tab.act("pick", runs=ids)
    assert tab.act("pick", runs=[])["comparison"] == ""


# Pages that follow runs


@pytest.fixture
def at_work(tab: Tab) -> Iterator[tuple[Tab, RunWriter]]:
    run_dir = tab.run("A run", "queued")
    with run_dir.begin({"recipe": load_recipe("demo-sft").resolved(), "base": {"id": "demo"}}, 5) as writer:
        writer.stage("0-sft", 5)
        writer.record(1, loss=2.0)
        yield tab, writer


def test_a_page_gets_only_what_has_changed(at_work: tuple[Tab, RunWriter]) -> None:
    tab, writer = at_work
    first = tab.act("enter")
    assert {"runs", "head", "curves", "log", "facts", "form"} <= first.keys()
    assert first["timer"].active
    assert tab.tick() == {"runs": gr.skip()}
    writer.record(2, loss=1.5)
    news = tab.tick()
    assert news.keys() == {"head", "curves"}
    assert "step 2 of 5" in visible(news["head"])
    assert "training 1.5" in visible(news["curves"])


def test_a_run_says_how_many_rows_it_used_and_how_many_it_came_to(tab: Tab) -> None:
    config = {"recipe": load_recipe("demo-sft").resolved(), "data": {"files": [{"file": "train.jsonl", "rows": 2000}]}}
    rows = {"in_files": {"train": 2000, "validation": 0}, "used": {"train": 1980, "validation": 0}, "seen": 48}
    with tab.run("A run", "queued").begin(config, 6) as writer:
        writer.result({"kind": "training", "stages": [{"kind": "sft", "metrics": {}, "rows": rows}], "model": None})
    facts = visible(tab.act("enter")["facts"])
    assert "train.jsonl: 2,000 rows in it" in facts
    assert "Rows Stage 1: SFT: 2,000 rows in the file to train on, 1,980 used, 48 seen" in facts


def test_the_log_comes_when_something_was_printed(at_work: tuple[Tab, RunWriter]) -> None:
    tab, _ = at_work
    tab.act("enter")
    run_dir = RunDir(tab.jobs.all()[0].path)
    run_dir.log_file.write_text("loading\n")
    assert visible(tab.tick()["log"]) == "loading"


def test_a_run_that_is_being_started_says_what_it_does(tab: Tab) -> None:
    run_dir = tab.run("A run", "starting", started_at=now())
    assert "its process is being started" in visible(tab.act("watch", run=run_dir.id)["head"])
    run_dir.log_file.write_text("checking the base and the data\ndemo-sft: loading the libraries\n")
    assert "demo-sft: loading the libraries" in visible(tab.tick()["head"])
    os.utime(run_dir.log_file, (0, 0))  # what an earlier process said is not what it does
    assert "its process is being started" in visible(tab.tick()["head"])
    with run_dir.begin({}, 5) as writer:
        run_dir.log_file.write_text("loading the model\n")
        assert "loading the model" in visible(tab.tick()["head"])
        writer.stage("0-sft: loading", 0)
        assert "Stage 1: SFT, loading" in visible(tab.tick()["head"])


def test_a_page_that_outlived_the_app_shows_its_run_again(at_work: tuple[Tab, RunWriter]) -> None:
    tab, _ = at_work
    other = tab.run("Another run", "done")
    tab.act("watch", run=other.id)
    tab.do = Handlers(tab.app, tab.parts)  # MedChat was started again
    assert "Another run" in visible(tab.tick()["head"])


def test_the_run_at_work_is_shown_to_somebody_new(at_work: tuple[Tab, RunWriter]) -> None:
    tab, _ = at_work
    tab.run("A later one", "done")
    assert "A run" in visible(tab.act("enter")["head"])


def test_the_first_visit_is_told_what_to_do(tab: Tab) -> None:
    shown = tab.act("enter")
    assert "No model was trained here yet. Open “New run” above" in visible(shown["runs"])
    assert f"“{load_recipe('demo-sft').title}” takes minutes" in visible(shown["runs"])
    assert shown["box"].open is True
    assert 'data-recipe="demo-sft"' in shown["form"]


def test_a_form_that_stands_there_is_left_alone(tab: Tab) -> None:
    assert not {"form", "preview", "check", "box"} & tab.act("enter", form="there").keys()


def test_what_was_typed_is_there_on_the_next_page(tab: Tab) -> None:
    tab.act("check", {"recipe": "demo-grpo", "name": "Mine", "typed": {"stages.0.max_steps": "oops"}})
    page = tab.act("enter")["form"]
    assert 'data-recipe="demo-grpo"' in page
    assert 'value="oops"' in page
    assert 'value="Mine"' in page


def test_stop_resume_and_delete_are_done_and_audited(tab: Tab) -> None:
    run_id = tab.run("A run", "queued").id
    assert "Stopped" in visible(tab.act("stop", run=run_id)["head"])
    assert "Waiting" in visible(tab.act("resume", run=run_id)["head"])
    tab.act("stop", run=run_id)
    assert tab.act("delete", run=run_id)["head"] == ""
    assert tab.jobs.all() == []
    assert [what[1] for what in tab.accounts.noted] == ["job stopped", "job resumed", "job stopped", "job deleted"]


def test_runs_of_other_tabs_are_neither_listed_nor_touched(tab: Tab) -> None:
    other = tab.jobs.submit("evaluate", "An evaluation", ("python", "{run_dir}"), ENGINEER.id)
    assert "An evaluation" not in visible(tab.act("enter")["runs"])
    for verb in ("stop", "resume", "delete", "clone"):
        with pytest.raises(gr.Error, match="Reload the page"):
            tab.act(verb, run=other)


def test_what_came_out_is_one_press_from_the_chat_and_from_its_base(tab: Tab) -> None:
    run_dir = tab.run("A run", "done")
    run_dir.config_file.write_text(json.dumps({"base": {"id": "demo"}}))
    spec = replace(tab.app.catalogue["demo"], id="new", name="The new one", own=True)
    tab.app.catalogue.add(spec)
    run_dir.result_file.write_text(json.dumps({"kind": "training", "model": {"id": "new", "name": "The new one"}}))
    page = tab.act("watch", run=run_dir.id)["head"]
    assert 'data-do="train-chat" data-model="new"' in page
    assert 'data-do="train-pair" data-model="new" data-base="demo"' in page
    tabs, picker = tab.do.chat('{"do": "chat", "model": "new"}', PAGE, REQUEST)
    assert (tabs.selected, picker.value) == ("chat", "new")
    tabs, first, second = tab.do.pair('{"do": "pair", "model": "new", "base": "demo"}', PAGE, REQUEST)
    assert (tabs.selected, first.value, second.value) == ("compare", "new", "demo")
    tab.app.catalogue.remove("new")
    assert "is not in the list of models" in visible(tab.tick()["head"])


# Rights


def test_no_handler_works_for_who_may_not_train(tmp_path: Path) -> None:
    tab = Tab(tmp_path, RATER)
    verbs = [name for name, _ in inspect.getmembers(Handlers, inspect.isfunction) if not name.startswith("_")]
    assert set(verbs) == {"act", "look", "upload", "tick", "chat", "pair", "models", "score"}
    for verb in verbs:
        n_values = len(inspect.signature(getattr(tab.do, verb)).parameters) - 1
        values = ['{"do": "start"}'] * n_values
        with pytest.raises(gr.Error, match="Your role, rater, does not allow this"):
            list(getattr(tab.do, verb)(*values, REQUEST))
    assert [what[1] for what in tab.accounts.noted] == ["call refused"] * len(verbs)


@pytest.mark.parametrize("sent", [
    None, "", "[]", '{"do": "fly"}', '{"do": "start", "order": {"recipe": 3}, "key": "k"}',
    '{"do": "start", "order": {"recipe": "../../etc/passwd"}, "key": "k"}', '{"do": "watch"}',
    '{"do": "check", "order": {"recipe": "demo-sft", "typed": {"a": 1}}}', '{"do": "pick", "runs": "all"}',
])  # fmt: skip
def test_what_no_page_would_send_is_one_clear_line(tab: Tab, sent: Any) -> None:
    with pytest.raises(gr.Error):
        tab.do.act(sent, PAGE, REQUEST)
    assert tab.jobs.all() == []


def test_a_run_that_is_gone_is_one_clear_line(tab: Tab) -> None:
    for verb in ("stop", "resume", "delete", "clone"):
        with pytest.raises(gr.Error, match="There is no such run"):
            tab.act(verb, run="../../secret")
    assert tab.act("watch", run="train-gone")["head"] == ""


# The reward laboratory


def test_rewards_that_need_no_model_are_there_at_once(tab: Tab) -> None:
    filled = {"question": "He has a red toe. What is it?", "answer": "Gout", "key_terms": "gout",
              "completions": ["<think>A red toe.</think>Gout", "Influenza", " "]}  # fmt: skip
    page = tab.lab("score", filled)["scores"]
    text = visible(page)
    assert "Reward Completion 1 Completion 2 Range" in text
    assert re.search(r"Right answer .*? 1 0 0 to 1", text)
    assert "Embedding similarity, BERTScore" in text
    assert 'data-do="lab-job"' in page
    assert "A model as judge" in text


def test_without_a_reference_the_rewards_that_need_one_say_so(tab: Tab) -> None:
    text = visible(tab.lab("score", {"question": "Why?", "completions": ["<think>A.</think>Gout"]})["scores"])
    assert "Right answer: It compares with a reference answer, and there is none." in text
    assert re.search(r"Format, exact .*? 1 0 to 1", text)


def test_the_laboratory_has_the_options_and_the_judge_of_the_new_runs_form(tab: Tab) -> None:
    filled = {"question": "Why?", "completions": ["Gout is the one"]}
    order = rewards_typed({"name": "brevity", "options": {"most": 2}}, {"name": "judge", "options": {"model": "demo"}})
    text = visible(tab.lab("score", filled, order=order)["scores"])
    assert re.search(r"Brevity .*? Set: most 2\. 0\.5 0 to 1", text)  # 2 of 4 words
    assert "computed by a job: A model as judge, Clinicians' preference." in text
    tab.lab("job", filled, order=order)
    [view] = tab.jobs.all()
    asked = json.loads(Path(view.job.argv[4]).read_text())
    assert asked["example"]["answer"] is None
    assert asked["options"] == {"brevity": {"most": 2}, "judge": {"model": "demo"}}
    with pytest.raises(
        gr.Error, match=r"In the form of the new run, stages\.1\.rewards\.0: the reward .*judge.* needs"
    ):
        tab.lab("score", filled, order=rewards_typed({"name": "judge"}))


@pytest.mark.parametrize(("filled", "message"), [
    ({"answer": "Gout", "completions": ["Gout"]}, "Give the question"),
    ({"question": "Why?", "answer": "Gout", "completions": [" "]}, "Paste a completion"),
    ({"question": "x" * 20_001}, "too long"),
    ({"answer_format": "none"}, "Reload the page"),
])  # fmt: skip
def test_the_laboratory_says_what_it_lacks(tab: Tab, filled: dict[str, Any], message: str) -> None:
    with pytest.raises(gr.Error, match=message):
        tab.lab("score", filled)


def test_a_judged_question_fills_the_laboratory_with_its_answers_and_the_correction(tab: Tab) -> None:
    answer = tab.judges.answer("Flu", question="A red toe?", owner="ann")
    tab.judges.rate(answer, 2, corrected_solution="It is gout.")
    tab.judges.vote("ann", "a", "Gout", "Cold", "A red toe?")
    page = tab.lab("list", {})["laboratory"]
    key = re.search(r'<option value="([0-9a-f]{64})">A red toe\?</option>', page)
    assert key
    filled = tab.lab("pick", {}, question=key[1])["laboratory"]
    assert "It is gout." in filled
    assert len(re.findall('data-lab="completion"', filled)) == 3


def test_the_other_rewards_are_computed_by_a_job(tab: Tab) -> None:
    filled = {"question": "Why?", "answer": "Gout", "completions": ["Gout"]}
    assert 'data-waiting="true"' in tab.lab("job", filled)["scores"]
    [view] = tab.jobs.all()
    assert view.job.argv[:4] == ("python", "-m", "train", "rewards")
    asked = json.loads(Path(view.job.argv[4]).read_text())
    assert (asked["completions"], asked["example"]["answer"]) == (["Gout"], "Gout")
    assert 'data-waiting="true"' in tab.lab("news", filled)["scores"]
    run_dir = RunDir(view.path)
    run_dir.result_file.write_text(json.dumps({"values": {"bertscore": [0.5]}, "missing": {}, "options": {}}))
    run_dir.set_state(replace(run_dir.state(), status="done"))
    assert re.search(r"BERTScore .*? 0.5 -1 to 1", visible(tab.lab("news", filled)["scores"]))
    assert tab.jobs.all() == []  # nobody looks at it any more


# Without torch

USED = """
import json, sys
from pathlib import Path
sys.path.insert(0, "tests")
import test_train_tab as tests
tab = tests.Tab(Path(sys.argv[1]))
tab.votes(3)
tab.act("enter")
tab.look(tests.DEMO_DPO)
tab.act("check", {"recipe": "demo-grpo"})
run_dir = tab.run("A run", "done")
run_dir.config_file.write_text(json.dumps({"base": {"id": "demo"}}))
tab.act("watch", run=run_dir.id)
tab.lab("score", {"question": "Why?", "answer": "Gout", "completions": ["Gout"]})
print(*{name.split(".")[0] for name in sys.modules})
"""


def test_whatever_is_done_on_the_tab_loads_no_torch(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", USED, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    assert not set(done.stdout.split()) & {"torch", "transformers", "llama_cpp", "sklearn"}
