"""`python -m train run RECIPE`: the stages of a recipe in order, each from the adapter of the one before."""

import json
import logging
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medchat.catalogue import Catalogue
from medchat.errors import InvalidInput
from medchat.grounding import Grounder
from medchat.grounding_fit import fitted_or_loaded
from medchat.machine import this_machine
from medchat.run_files import write_whole
from medchat.run_state import stage_words
from medchat.rundir import RunDir, RunWriter
from medchat.settings import Settings
from train.artifacts import finish_run
from train.feedback import preview_of
from train.feedback_command import preview_lines
from train.outlook import require_room
from train.plan import Base, Data, find_data, held_out_examples, resolve_base, split_examples
from train.recipe_schema import Recipe, Stage
from train.recipes import RecipeFault
from train.reward_setup import check_bertscores, check_judges, check_preferences, note_on, reward_setup
from train.rewards import RewardSetup
from train.templates import Prompted, prompted

if TYPE_CHECKING:
    from train.completions import Encoder
    from train.fitting import Fitted, StageJob
    from train.held_out import Measured
    from train.modeling import Hardware, Precision

LIBRARIES = ("torch", "transformers", "trl", "peft", "bitsandbytes", "accelerate", "datasets")
PROMPT = ("system_prompt", "prompt", "prompt_with_context", "case_form", "answer_start", "answer_format")
CHECKING = "checking the base and the data"
STOPPED = "Stopped at step {} of {}."
OTHER_RUN = (
    "The folder holds a run of another configuration ({} differs); choose another --run-dir, or the same settings."
)

OTHERS = "{} holds a run already; give --resume to go on with it, or another --run-dir."

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Run:
    """A run with all that its stages share."""

    recipe: Recipe
    base: Base
    data: Data
    folder: RunDir
    machine: "Hardware"
    precisions: "tuple[Precision, ...]"
    encoder: "Encoder"
    grounder: Grounder
    rewards: RewardSetup
    writer: RunWriter | None
    say: Callable[[str], None]

    def stage_folder(self, number: int) -> Path:
        """Where a stage keeps its checkpoints and what came of it."""
        return self.folder.path / "stages" / f"{number}-{self.recipe.stages[number].kind}"


def train(
    recipe: Recipe, data_folder: Path | None, folder: RunDir, settings: Settings, *, resume: bool,
    say: Callable[[str], None],
) -> dict[str, Any] | None:  # fmt: skip
    """Train all stages; what result.json says, None when it was asked to stop before the end.

    A run that is done is not resumed: what it says is what came out of it, and nothing of it is touched.
    Whatever is wrong with the recipe, the base or the data is said before a model is loaded. Raises MedChatError.
    """
    say(CHECKING)
    catalogue = Catalogue(settings.models_dir, settings.own_models_file)
    base = resolve_base(recipe, catalogue, settings.models_dir)
    _require_reporters(recipe)
    check_judges(recipe, catalogue)
    check_bertscores(recipe, settings.models_dir)
    data = find_data(recipe, data_folder, settings.data_dir / "cache", say)
    check_preferences(recipe, data)
    asked = prompted(base.spec, recipe, data.report, base.folder)
    base = replace(base, spec=asked.spec)
    held_out = held_out_examples(recipe, data)
    config = _config(recipe, base, data, asked)
    if resume:
        _require_same(folder, config)
        if is_done(folder):
            return folder.result()
    elif data.report.get("kind") == "feedback":  # nothing is learnt from ratings before it was said from which
        source = data.folder if data.folder.is_dir() else data.folder.parent
        say("\n".join(preview_lines(preview_of(source, data.report))))
    if asked.note:
        say(asked.note)
    require_room(recipe, base.spec, base.folder, data, this_machine(), say)
    say(f"{recipe.name}: base {base.name}, data {data.folder.name}; loading the libraries")

    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # it speaks while it is imported
    from train.modeling import hardware, packing_of_folder, quiet_libraries, settle_precision, use_threads

    quiet_libraries()
    use_threads(settings.threads)
    machine = hardware()
    if machine.process:
        say = _silent
    elif (folder.path / "stages").exists() and not resume:
        raise InvalidInput(OTHERS.format(folder.path.name))
    machine.wait()
    packing = packing_of_folder(base.folder)
    precisions = tuple(settle_precision(stage, packing, machine) for stage in recipe.stages)
    used = [precision._asdict() for precision in precisions]
    config |= {"used": {"device": str(machine.device), "processes": machine.processes, "stages": used}}
    grounder = fitted_or_loaded(settings.data_dir / "cache")
    with ExitStack() as stack:
        writer = stack.enter_context(folder.begin(config, 0, append=resume)) if machine.process == 0 else None
        from train.completions import Encoder

        for note in dict.fromkeys(note for precision in precisions for note in precision.notes):
            say(note)
        if base.adapter is not None:
            say(f"{base.name} brings an adapter, with which the first stage goes on; the recipe's lora is not used.")
        encoder = Encoder(base.spec, base.folder, grounder)
        rewards = reward_setup(recipe, base, data, grounder, settings, stack)
        run = Run(recipe, base, data, folder, machine, precisions, encoder, grounder, rewards, writer, say)
        result = _stages(run, held_out, resume)
        if writer is None or result is None:
            return result
        writer.stage("making the model", 0)
        result = finish_run(folder, recipe, base, data, config, result, settings.shared_cache_dir, say)
        writer.result(result)
        notes = [note for stage in result["stages"] for note in stage["notes"]]
        writer.finish("done", " ".join(filter(None, [*notes, note_on(rewards.judge)])))
        return result


def is_done(folder: RunDir) -> bool:
    """Whether the run in the folder has come to its end, with a result."""
    return folder.state_file.exists() and folder.state().status == "done" and folder.result() is not None


def _silent(_: str) -> None:
    """Of several processes the first one speaks."""


def _stages(run: Run, held_out: list[Any], resume: bool) -> dict[str, Any] | None:
    """What came of all stages; None when one was asked to stop."""
    done: list[dict[str, Any]] = []
    adapter = run.base.adapter
    for number in range(len(run.recipe.stages)):
        file = run.stage_folder(number) / "done.json"
        if resume and file.is_file():
            done.append(json.loads(file.read_text()))
        else:
            one = _stage(run, number, adapter, held_out, done, resume)
            if one is None:
                return None
            if run.writer is not None:
                write_whole(file, json.dumps(one, indent=2) + "\n")
            done.append(one)
        adapter = run.folder.path / done[-1]["adapter"]
    return {
        "kind": "training", "recipe": run.recipe.name, "base": run.base.spec.id, "base_name": run.base.name,
        "final_step": done[-1]["final_step"], "stages": done, "model": None,
    }  # fmt: skip


def _stage(
    run: Run, number: int, adapter: Path | None, held_out: list[Any], done: list[dict[str, Any]], resume: bool
) -> dict[str, Any] | None:
    """What came of one stage; None when it was asked to stop."""
    from train.modeling import load_base, load_trainable, save_adapter, use_adapter

    recipe, stage, precision = run.recipe, run.recipe.stages[number], run.precisions[number]
    asked_to_stop = run.writer.stop_requested if run.writer else lambda: False
    if run.writer is not None:
        run.writer.stage(f"{number}-{stage.kind}: loading", 0)
    run.say(f"{number}-{stage.kind}: loading {run.base.name}" + (f" with {adapter.name}" if adapter else ""))
    model = load_trainable(
        load_base(run.base.folder, precision, run.machine), run.base.folder, adapter, stage.lora, recipe.seed
    )
    rows, training_rows = _measured_rows(run, held_out)
    metrics = _before(run, number, model, rows, done, asked_to_stop)
    fitted = None if asked_to_stop() else _fit(run, number, model, _watched(run, held_out), resume)
    if fitted is None or fitted.stopped:
        if run.writer is not None:
            step = fitted.final_step if fitted else 0
            run.writer.finish("stopped", STOPPED.format(step, stage_words(f"{number}-{stage.kind}")))
        return None
    if fitted.kept_step != fitted.final_step:
        use_adapter(model, fitted.kept)
    for which, suffix in ((rows, ""), (training_rows, "_training")):
        if which is not None:
            metrics |= _measure(run, number, "after", model, which, suffix, lambda: False)
    target = run.folder.artifacts / f"{number}-{stage.kind}"
    if run.machine.process == 0:
        save_adapter(fitted.kept, target, run.base.name)
    run.machine.wait()
    return {
        "kind": stage.kind, "adapter": str(target.relative_to(run.folder.path)), "step": fitted.kept_step,
        "why": fitted.why, "final_step": fitted.final_step, "best": fitted.best, "metrics": metrics,
        "rows": fitted.rows, "peak_memory_gb": fitted.peak_memory_gb,
        "peak_gpu_memory_gb": fitted.peak_gpu_memory_gb, "notes": list(fitted.notes),
    }  # fmt: skip


def _fit(run: Run, number: int, model: Any, watched: "Measured | None", resume: bool) -> "Fitted":
    from train.fitting import StageJob, failures_told
    from train.modeling import trainable_weights

    job = StageJob(
        recipe=run.recipe,
        stage=run.recipe.stages[number],
        number=number,
        base=run.base,
        data=run.data,
        rows=run.data.rows[number],
        encoder=run.encoder,
        machine=run.machine,
        precision=run.precisions[number],
        model=model,
        weights=trainable_weights(model),
        folder=run.stage_folder(number),
        completions=run.folder.completions,
        writer=run.writer,
        watched=watched,
        say=run.say,
        rewards=run.rewards,
    )
    with failures_told(run.base.name):
        return _trainer(job.stage)(job, resume)


def _trainer(stage: Stage) -> "Callable[[StageJob, bool], Fitted]":
    if stage.kind == "sft":
        from train.sft import train_sft

        return train_sft
    if stage.kind == "grpo":
        from train.grpo import train_grpo

        return train_grpo
    from train.dpo import train_dpo, train_kto

    return train_dpo if stage.kind == "dpo" else train_kto


def _before(
    run: Run, number: int, model: Any, rows: "Measured | None", done: list[dict[str, Any]], stop: Callable[[], bool]
) -> dict[str, Any]:
    """The metrics before a stage: those after the one before it, or measured now, once."""
    names = run.recipe.held_out.metrics
    if done:
        return {f"{name}_before": done[-1]["metrics"][name] for name in names if name in done[-1]["metrics"]}
    file = run.stage_folder(number) / "before.json"
    if file.is_file():
        return json.loads(file.read_text())
    metrics = {} if rows is None else _measure(run, number, "before", model, rows, "_before", stop)
    if metrics and run.machine.process == 0:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, json.dumps(metrics, indent=2) + "\n")
    return metrics


def _watched(run: Run, held_out: list[Any]) -> "Measured | None":
    """The rows that are answered at each evaluation: those that validate where there are any."""
    from train.held_out import measured_rows

    how = run.recipe.held_out
    if not how.at_each_evaluation:
        return None
    examples = split_examples(run.data, "validation") or held_out
    return measured_rows(run.encoder, examples, how.rows, how, run.grounder, run.recipe.seed)


def _measured_rows(run: Run, held_out: list[Any]) -> "tuple[Measured | None, Measured | None]":
    """The held-out rows that are answered, and those of the training data."""
    from train.held_out import measured_rows

    settings = run.recipe.held_out
    of_training = split_examples(run.data, "train") if settings.training_rows else []
    wanted = ((held_out, settings.rows), (of_training, settings.training_rows))
    of_rows, of_training_rows = (
        measured_rows(run.encoder, examples, limit, settings, run.grounder, run.recipe.seed)
        for examples, limit in wanted
    )
    return of_rows, of_training_rows


def _measure(
    run: Run, number: int, when: str, model: Any, rows: "Measured", suffix: str, stop: Callable[[], bool]
) -> dict[str, Any]:
    """The metrics as JSON has them, named with the suffix; {} when it was stopped."""
    what = "rows of the training data" if suffix == "_training" else "held-out rows"
    run.say(f"{number}-{run.recipe.stages[number].kind}: answering {len(rows.examples)} {what}, {when}")
    if run.writer is not None:
        run.writer.stage(f"{number}-{run.recipe.stages[number].kind}: {what}, {when}", 0)
    estimates = rows.estimates(model, stop)
    for name, estimate in (estimates or {}).items():
        if estimate.value is not None:
            low, high = (f"{bound:.3f}" if bound is not None else "?" for bound in (estimate.low, estimate.high))
            run.say(f"  {name} {estimate.value:.3f} ({low} to {high}), n {estimate.n}")
    return {f"{name}{suffix}": asdict(estimate) for name, estimate in (estimates or {}).items()}


def _config(recipe: Recipe, base: Base, data: Data, asked: Prompted) -> dict[str, Any]:
    versions = {}
    for name in LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "not installed"
    adapter = str(base.adapter) if base.adapter else None
    prompt = {name: getattr(base.spec, name) for name in PROMPT}
    return {
        "kind": "train",
        "recipe": recipe.resolved(),
        "base": {"id": base.spec.id, "name": base.name, "folder": str(base.folder), "adapter": adapter},
        "data": {"folder": str(data.folder), "files": list(data.files)},
        "prompt": {"template": asked.template, "note": asked.note, **prompt},
        "versions": versions | {"python": ".".join(map(str, sys.version_info[:3]))},
    }


def _require_same(folder: RunDir, config: Mapping[str, Any]) -> None:
    """Raise InvalidInput when there is no run to go on with, or it was configured otherwise."""
    old = folder.config()
    if not old:
        raise InvalidInput(f"{folder.path.name} holds no run to go on with; leave --resume out.")
    for key in ("recipe", "base", "data", *(["prompt"] if "prompt" in old else [])):
        ours = json.loads(json.dumps(config[key]))
        if old.get(key) != ours:
            theirs = old.get(key)
            known = theirs if isinstance(theirs, dict) else {}
            which = next((name for name in ours if known.get(name) != ours[name]), "")
            raise InvalidInput(OTHER_RUN.format(".".join(filter(None, (key, which)))))


def _require_reporters(recipe: Recipe) -> None:
    for name in recipe.report_to:
        if find_spec(name) is None:
            raise RecipeFault(
                ("report_to",), f"the package {name} is not installed; run `pip install {name}`, or leave it out"
            )
