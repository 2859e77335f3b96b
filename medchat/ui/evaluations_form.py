"""The form for a new evaluation: what can be chosen, what stands against it, how long it takes, and its command."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr

from evaluation.benchmarks import BENCHMARKS
from evaluation.metric_table import METRICS
from evaluation.run_command import GROUNDING
from evaluation.suite_files import read_suite_file
from evaluation.suites import HUB, SUITES, SuiteInfo, suites
from medchat.catalogue import ModelSpec
from medchat.errors import InvalidInput
from medchat.machine import Fit, fit, free_disk_gb, kind_of
from medchat.records import SAMPLING_RANGES
from medchat.ui import model_picker
from medchat.ui.common import CLOSED, App, counted, escape, static_html
from medchat.ui.evaluations_data import RECOGNISER, folders_of_suites
from medchat.ui.evaluations_speed import Speeds, about_time, needed_s

FAMILIES = {"bundled": "comes with MedChat", "benchmark": "benchmark", "own": "your own questions"}
NOT_HERE = {"fits": "not here yet, fits", "tight": "not here yet, tight", "too_large": "too large for this machine"}
JUDGE = "evaluation.judge:"  # where the metrics are that need one
MOST = 2**31 - 1
OWN_HINT = (
    "Questions of your own: put a .jsonl file of Examples (one JSON object a line, with question and answer) into {}; "
    "it is then listed here, and reported apart from the benchmarks."
)


class Form(NamedTuple):
    """The components of the form. hub, judge: shown where they are needed."""

    box: gr.Accordion
    models: gr.Dropdown
    suites: gr.Dropdown
    about: gr.HTML
    hub: gr.Checkbox
    limit: gr.Number
    seed: gr.Number
    judge: gr.Dropdown
    told: gr.HTML
    start: gr.Button

    @property
    def fields(self) -> list[gr.components.Component]:
        """What is filled in, in the order of Typed."""
        return [self.models, self.suites, self.hub, self.limit, self.seed, self.judge]


@dataclass(frozen=True)
class Typed:
    """The form as somebody filled it in. limit: questions of each suite, None for all."""

    models: Sequence[str] | None = None
    suites: Sequence[str] | None = None
    hub: bool | None = False
    limit: float | None = None
    seed: float | None = 0
    judge: str | None = None

    @classmethod
    def of(cls, draft: Mapping[str, Any] | None) -> "Typed":
        """The form as a draft has it."""
        return cls(**{name: value for name, value in (draft or {}).items() if name in cls.__dataclass_fields__})

    def draft(self) -> dict[str, Any]:
        """As it is kept."""
        return asdict(self)


@dataclass(frozen=True)
class Wanted:
    """An evaluation that can be run. models: None is the recogniser alone. suites: as the command names them."""

    name: str
    models: Sequence[ModelSpec | None]
    suites: Sequence[str]
    limit: int | None
    seed: int
    judge: ModelSpec | None

    @property
    def argv(self) -> list[str]:
        """The command of its job."""
        models = [part for spec in self.models for part in ("--model", spec.id if spec else GROUNDING)]
        named = [part for suite in self.suites for part in ("--suite", suite)]
        limit = ["--limit", str(self.limit)] if self.limit else []
        judge = ["--judge", self.judge.id] if self.judge else []
        command = ["python", "-m", "evaluation", "run", *models, *named, "--out", "{run_dir}"]
        return [*command, "--seed", str(self.seed), *limit, *judge]

    @property
    def variables(self) -> list[str]:
        """The names of the environment variables in which its servers' keys are."""
        specs = [spec for spec in (*self.models, self.judge) if spec and spec.endpoint]
        return list(
            dict.fromkeys(spec.endpoint.key_variable for spec in specs if spec.endpoint and spec.endpoint.key_variable)
        )


def lay_out() -> Form:
    """The form, closed; each page gets the models and suites of its moment as the tab is opened."""
    with gr.Accordion("New evaluation", open=CLOSED, elem_id="evaluations-new", visible=False) as box:
        with gr.Row(elem_id="evaluations-what"):
            models = gr.Dropdown(
                [], multiselect=True, allow_custom_value=True, label="Models", elem_id="evaluations-models",
                info="Those that are on this machine stand first.", min_width=260,
            )  # fmt: skip
            chosen = gr.Dropdown(
                [], multiselect=True, allow_custom_value=True, label="Suites", elem_id="evaluations-suites",
                info="Sets of questions, each with its way of asking and its metrics.", min_width=260,
            )  # fmt: skip
        about = static_html("", "evaluations-about")
        hub = gr.Checkbox(
            False, label="Fetch what is missing from the Hugging Face Hub", elem_id="evaluations-hub", container=False,
            visible=False,
        )  # fmt: skip
        with gr.Row(elem_id="evaluations-how"):
            limit = gr.Number(
                None, label="Questions of each suite", info="Empty: all of them.", precision=0, minimum=1, maximum=MOST,
                elem_id="evaluations-limit", min_width=150,
            )  # fmt: skip
            seed = gr.Number(
                0, label="Seed", info="The same seed gives the same answers.", precision=0, minimum=0,
                maximum=int(SAMPLING_RANGES["seed"].high), elem_id="evaluations-seed", min_width=150,
            )  # fmt: skip
            judge = gr.Dropdown(
                [], label="Judge", info="A suite has metrics that a judge decides; without one they stay unscored.",
                allow_custom_value=True, elem_id="evaluations-judge", min_width=200, visible=False,
            )  # fmt: skip
        told = static_html("", "evaluations-told")
        start = gr.Button("Start evaluation", variant="primary", size="md", elem_id="evaluations-start")
    return Form(box, models, chosen, about, hub, limit, seed, judge, told, start)


def model_choices(app: App) -> list[tuple[str, str]]:
    """Label and id of each model, those that can be asked now first, then the recogniser, then those to be fetched."""
    machine, free_gb = app.machine(), free_disk_gb(app.settings.models_dir)
    rows = [(spec, fit(spec, machine, free_gb)) for spec in app.catalogue.values()]
    rows.sort(key=lambda row: not _usable(*row))
    labels = [(_model_label(spec, its), spec.id) for spec, its in rows]
    n_usable = sum(_usable(spec, its) for spec, its in rows)
    return [*labels[:n_usable], (f"{RECOGNISER} · no language model", GROUNDING), *labels[n_usable:]]


def suite_choices(app: App) -> list[tuple[str, str]]:
    """Label and name of each suite: those that come with MedChat, benchmarks, somebody's own."""
    return [(_suite_label(info), info.name) for info in known_suites(app)]


def judge_choices(app: App) -> list[tuple[str, str]]:
    """Label and id of each model that can judge, none first."""
    return [("none", ""), *model_picker.choices(app)]


def known_suites(app: App) -> list[SuiteInfo]:
    """Every suite as it is now."""
    return _suites(app.settings.data_dir, suite_stamps(app))


def suite_stamps(app: App) -> tuple[tuple[str, int], ...]:
    """The files of the suites, each with when it was changed."""
    folders = (SUITES, app.settings.data_dir / "suites")
    return tuple((path.name, path.stat().st_mtime_ns) for folder in folders for path in sorted(folder.glob("*")))


def checked(app: App, typed: Typed) -> Wanted:
    """What is to be run. Raises InvalidInput, with one line, for what cannot be."""
    if not typed.models:
        raise InvalidInput("Choose at least one model.")
    if not typed.suites:
        raise InvalidInput("Choose at least one suite.")
    models = [_model(app, name) for name in dict.fromkeys(typed.models)]
    known = {info.name: info for info in known_suites(app)}
    named = [_suite(app, name, known, fetch=bool(typed.hub)) for name in dict.fromkeys(typed.suites)]
    judge = _model(app, typed.judge) if typed.judge else None
    limit = _whole(typed.limit, "The number of questions", 1, MOST) if typed.limit is not None else None
    seed = _whole(typed.seed or 0, "The seed", 0, int(SAMPLING_RANGES["seed"].high))
    titles = [spec.name if spec else RECOGNISER for spec in models]
    name = f"{_listed(titles, 'model')} on {_listed([known[name].title for name in typed.suites], 'suite')}"
    return Wanted(name, models, named, limit, seed, judge)


def about_html(app: App, typed: Typed) -> str:
    """What each of the chosen suites is, where missing files go, and which questions leave this machine."""
    known = {info.name: info for info in known_suites(app)}
    items = [_about_suite(app, known[name], bool(typed.hub)) for name in typed.suites or () if name in known]
    hosts = dict.fromkeys(spec.external for name in typed.models or () if (spec := app.catalogue.get(name)))
    leaves = "".join(
        f'<p class="mc-leaves" role="note"><strong>The questions leave your machine:</strong> they will be sent to '
        f"<strong>{escape(host)}</strong>.</p>"
        for host in hosts
        if host
    )
    hint = "" if items else f'<p class="mc-small">{escape(OWN_HINT.format(folders_of_suites(app)[1]))}</p>'
    listed = f'<ul class="mc-suites">{"".join(items)}</ul>' if items else ""
    return f"{listed}{leaves}{hint}"


def told_html(app: App, typed: Typed, speeds: Speeds) -> str:
    """How long it takes, or what stands against it; nothing before anything was chosen."""
    if not typed.models or not typed.suites:
        return ""
    try:
        wanted = checked(app, typed)
    except InvalidInput as fault:
        return fault_html(str(fault))
    return f'<p class="mc-small" role="status">{escape(_estimate_words(app, typed, wanted, speeds))}</p>'


def fault_html(fault: str) -> str:
    """Why it cannot be started."""
    return f'<p class="mc-fault" role="alert">{escape(fault)}</p>'


def needs_judge(app: App, typed: Typed) -> bool:
    """Whether one of the chosen suites has a metric that a judge decides."""
    return any(
        METRICS[metric].load.startswith(JUDGE)
        for name in typed.suites or ()
        for metric in _metrics_of(app, name)
        if metric in METRICS
    )


def can_fetch(app: App, typed: Typed) -> bool:
    """Whether one of the chosen suites is not here and is on the Hub."""
    return any(info.missing and info.on_hub for info in known_suites(app) if info.name in (typed.suites or ()))


def _usable(spec: ModelSpec, its: Fit) -> bool:
    return spec.is_here and its.state != "too_large" and not model_picker.missing_key(spec)


def _model_label(spec: ModelSpec, its: Fit) -> str:
    if spec.is_here and its.state != "too_large":
        state = "needs a key" if model_picker.missing_key(spec) else its.words
    else:
        state = NOT_HERE.get(its.state, "not here yet")
    demo = "demo model" if spec.demo else ""
    return " · ".join(filter(None, (spec.name, demo, kind_of(spec) if not spec.endpoint else "", state)))


def _suite_label(info: SuiteInfo) -> str:
    number = f"{info.n:,} questions" if info.n else ""
    state = "not here yet" if info.missing else ""
    return " · ".join(filter(None, (info.title, number, FAMILIES[info.family], state)))


def _about_suite(app: App, info: SuiteInfo, fetched: bool) -> str:
    number = counted(info.n, "question") if info.n else "number of questions not counted yet"
    facts = " · ".join(
        filter(None, (FAMILIES[info.family], number, f"licence: {info.licence}" if info.licence else ""))
    )
    missing = _missing(app, info, fetched)
    warning = f'<p class="mc-warn-line">{escape(missing)}</p>' if missing else ""
    return (
        f'<li><strong>{escape(info.title)}</strong> <span class="mc-small">{escape(facts)}</span>'
        f'<p class="mc-small">{escape(info.about)}</p>{warning}</li>'
    )


def _missing(app: App, info: SuiteInfo, fetched: bool) -> str:
    """What is to be done before the suite can be run, "" for nothing."""
    if not info.missing or (fetched and info.on_hub):
        return ""
    if info.name not in BENCHMARKS:
        return info.missing  # what is wrong with its file
    folder = folders_of_suites(app)[1] / info.name
    hub = ", or fetch them from the Hugging Face Hub by the box below" if info.on_hub else ""
    return f"Its files are not here. Get them from {BENCHMARKS[info.name].home} and put them into {folder}{hub}."


def _model(app: App, name: object) -> ModelSpec | None:
    """The model of this id; None for the recogniser. Raises InvalidInput when it cannot be asked here."""
    if name == GROUNDING:
        return None
    spec = app.catalogue.get(name) if isinstance(name, str) else None
    if spec is None:
        raise InvalidInput(f"There is no model {str(name)[:80]!r} here; choose one from the list.")
    if not spec.is_here:
        raise InvalidInput(f"{spec.name} is not on this machine; download it in the Models tab first.")
    if variable := model_picker.missing_key(spec):
        raise InvalidInput(f"{spec.name} needs a key: set {variable} in the environment and start MedChat again.")
    its = fit(spec, app.machine(), free_disk_gb(app.settings.models_dir))
    if its.state == "too_large":
        raise InvalidInput(f"{spec.name} is too large for this machine: {its.words}.")
    return spec


def _suite(app: App, name: object, known: Mapping[str, SuiteInfo], *, fetch: bool) -> str:
    """How the command names the suite. Raises InvalidInput when it cannot be run."""
    info = known.get(name) if isinstance(name, str) else None
    if info is None:
        folder = folders_of_suites(app)[1]
        raise InvalidInput(
            f"There is no suite {str(name)[:80]!r} here; choose one from the list, or put it into {folder}."
        )
    if missing := _missing(app, info, fetch):
        here = "its files are not here; what to do stands above." if info.name in BENCHMARKS else missing
        raise InvalidInput(f"{info.title} cannot be asked: {here}")
    return f"{info.name}={HUB}" if info.missing else info.name


def _whole(value: float, what: str, low: int, high: int) -> int:
    if not isinstance(value, int | float) or value != value or int(value) != value or not low <= value <= high:
        raise InvalidInput(f"{what} must be a whole number from {low:,} to {high:,}.")
    return int(value)


def _listed(titles: Sequence[str], noun: str) -> str:
    return " and ".join(titles) if len(titles) <= 2 else f"{len(titles)} {noun}s"


def _estimate_words(app: App, typed: Typed, wanted: Wanted, speeds: Speeds) -> str:
    known = {info.name: info.n for info in known_suites(app)}
    sizes = {name: _at_most(known[name], wanted.limit) for name in typed.suites or ()}
    uncounted = [name for name, n in sizes.items() if n is None]
    models = [spec.id if spec else GROUNDING for spec in wanted.models]
    seconds = needed_s(speeds, models, {name: n for name, n in sizes.items() if n is not None})
    total = len(models) * sum(n for n in sizes.values() if n)
    answers = f"{counted(total, 'answer')}{' and more' if uncounted else ''} to be had. "
    if seconds is None or uncounted:
        return f"{answers}How long that takes is not known before the first answers."
    return (
        f"{answers}That takes {about_time(seconds)}, by earlier runs of these models here, and the time to load them."
    )


def _at_most(n: int | None, limit: int | None) -> int | None:
    return limit if n is None else min(n, limit or n)


def _metrics_of(app: App, name: str) -> Sequence[str]:
    path = next((path for folder in folders_of_suites(app) if (path := folder / f"{name}.yaml").is_file()), None)
    return _metrics_in(path, path.stat().st_mtime_ns) if path else ()


@lru_cache(maxsize=64)
def _metrics_in(path: Path, stamp: int) -> Sequence[str]:
    try:
        return tuple(read_suite_file(path).metrics)
    except InvalidInput:
        return ()


@lru_cache(maxsize=2)  # each is a file to be read and checked
def _suites(data_dir: Path, stamps: tuple[tuple[str, int], ...]) -> list[SuiteInfo]:
    return suites(data_dir=data_dir)
