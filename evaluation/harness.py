"""lm-evaluation-harness on a model of the catalogue, in a process of its own; its results in the form of ours.

Tasks of one's own, with their data beside them, need no network; lm-eval's own tasks fetch theirs from the Hub. A
folder of tasks may hold Python code, which lm-eval runs: use only folders that you trust.
"""

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from math import isclose
from pathlib import Path
from typing import Any

import yaml

from evaluation.stats import SHARES, Estimate, Interval, kept_within, wilson
from medchat.catalogue import ModelSpec
from medchat.errors import InvalidInput, MedChatError, ModelUnavailable, NotFound
from medchat.run_files import text_of, writing
from medchat.rundir import RunWriter
from medchat.settings import Settings, child_environment

PREFIX = "lm-eval:"  # before the names of its tasks, so that none is taken for a suite of ours
PACKAGE = "lm-eval==0.4.13"
HALF = 1.96
METHOD = f"lm-eval: mean +- {HALF} of its standard error"
BY_WILSON = "Wilson, 95 %; the mean is lm-eval's"
SHARE_METRICS = ("acc", "acc_norm", "acc_mutual_info", "exact_match", "em", "f1")  # means of values from 0 to 1
LOG = "lm-eval.log"
LOOK_EVERY_S = 0.5
BATCH_SIZE = 8
END_S = 10.0
_TASK = re.compile(r"^task:[ \t]*[\"']?([\w.:/-]+)[\"']?[ \t]*(?:#.*)?$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Tasks:
    """Names of lm-eval's tasks, and the folder that defines them, None for its own."""

    names: tuple[str, ...]
    folder: Path | None = None


@dataclass(frozen=True, slots=True)
class TaskResult:
    """What lm-eval found for one task. suite_hash: of its configuration, and of its questions where it tells."""

    suite: str
    suite_hash: str
    n: int
    summary: Mapping[str, Estimate]


def tasks_of(given: str) -> Tasks:
    """The tasks: those of a folder, or lm-eval's own by their names, with commas between.

    Raises NotFound, InvalidInput for a folder without tasks.
    """
    folder = Path(given).expanduser()
    if folder.is_dir():
        files = sorted(folder.rglob("*.yaml"))
        names = tuple(dict.fromkeys(name for file in files for name in _TASK.findall(text_of(file) or "")))
        if not names:
            raise InvalidInput(f"{folder.name} holds no task of lm-eval: a .yaml file with a line `task: NAME`.")
        return Tasks(names, folder.resolve())
    if os.sep in given or folder.suffix:
        raise NotFound(f"There is no folder {given}.")
    names = tuple(filter(None, map(str.strip, given.split(","))))
    if not names:
        raise InvalidInput("Name a folder of tasks, or tasks of lm-eval.")
    return Tasks(names)


def settings_of(
    spec: ModelSpec, tasks: Tasks, out: Path, precision: str, limit: int | None, seed: int
) -> dict[str, Any]:
    """What lm-eval is told, as its --config file has it.

    Raises InvalidInput for a model whose weights transformers cannot read as they are.
    """
    weights = spec.safetensors or (spec.path if spec.backend == "transformers" else None)
    if weights is None:
        raise InvalidInput(
            f"lm-eval needs weights for transformers, and {spec.name} has none here; choose another model."
        )
    model: dict[str, Any] = {"pretrained": str(weights.resolve()), "trust_remote_code": False}
    if precision in ("nf4", "int8"):
        model["load_in_4bit" if precision == "nf4" else "load_in_8bit"] = True
    else:
        model["dtype"] = "float32" if precision == "fp32" else "bfloat16"
    if spec.adapter:
        if spec.backend != "transformers":
            raise InvalidInput(f"The adapter of {spec.name} is for llama.cpp; lm-eval needs one for transformers.")
        model["peft"] = str(spec.adapter.resolve())
    told: dict[str, Any] = {
        "model": "hf", "model_args": model, "tasks": list(tasks.names), "batch_size": BATCH_SIZE, "seed": seed,
        "output_path": str(out.resolve()), "log_samples": True,
    }  # fmt: skip
    if tasks.folder:
        told["include_path"] = str(tasks.folder)
    return told | ({"limit": limit} if limit else {})


def run_harness(
    told: Mapping[str, Any], tasks: Tasks, folder: Path, settings: Settings, writer: RunWriter
) -> list[TaskResult] | None:
    """Runs lm-eval and reads what it found; None when asked to stop. What it prints goes into lm-eval.log.

    Raises ModelUnavailable with its last line when it fails, MedChatError when it is not installed.
    """
    if find_spec("lm_eval") is None:
        raise MedChatError(f"lm-eval is not installed; install it with 'pip install {PACKAGE}'.")
    writer.stage("lm-eval", 0)
    config = folder / "lm-eval.yaml"
    with writing():
        config.write_text(yaml.safe_dump(dict(told), sort_keys=False), encoding="utf-8")
        log = (folder / LOG).open("wb")
    with log:
        process = subprocess.Popen(
            [sys.executable, "-m", "lm_eval", "run", "--config", str(config)],
            stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, cwd=tasks.folder or folder,
            env=_environment(settings, offline=tasks.folder is not None), start_new_session=True,
        )  # fmt: skip
        try:
            code = _wait(process, writer)
        finally:
            _end(process)
    if code is None:
        return None
    if code:
        raise ModelUnavailable(f"lm-eval failed: {_last_line(folder / LOG)} The whole of it is in {LOG}.")
    return read_results(Path(told["output_path"]))


def read_results(folder: Path) -> list[TaskResult]:
    """What lm-eval has written last into the folder. Raises InvalidInput when that is nothing of its."""
    files = sorted(folder.rglob("results_*.json"), key=lambda file: file.stat().st_mtime)
    if not files:
        raise InvalidInput("lm-eval has written no results; see lm-eval.log.")
    try:
        found = json.loads(files[-1].read_text(encoding="utf-8"))
        counts = found["n-samples"]
        return [
            TaskResult(
                PREFIX + name, _hash(found, name), int(counts[name]["effective"]), _summary(values, counts[name])
            )
            for name, values in found["results"].items()
            if name in counts  # groups of tasks have none
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidInput(f"{files[-1].name} is no file of results of lm-eval 0.4.") from error


def _summary(values: Mapping[str, Any], counts: Mapping[str, Any]) -> dict[str, Estimate]:
    """The metrics of a task; "acc,none" is the metric acc without a filter."""
    estimates = {}
    for key, value in values.items():
        metric, comma, name = key.partition(",")
        if not comma or metric.endswith("_stderr") or not isinstance(value, int | float):
            continue
        error = values.get(f"{metric}_stderr,{name}")
        n = int(counts["effective"])
        interval = _interval(metric, float(value), error if isinstance(error, int | float) else None, n)
        estimates[metric if name == "none" else f"{metric} ({name})"] = Estimate(float(value), n, 0, *interval)
    return estimates


def _interval(metric: str, value: float, error: float | None, n: int) -> Interval:
    """Wilson's for a share of right and wrong, which is told by its standard error: no other values spread as far."""
    if error is None:
        return Interval(None, None, METHOD)
    around = Interval(value - HALF * error, value + HALF * error, METHOD)
    if metric not in SHARE_METRICS or not 0 <= value <= 1:
        return around
    if n > 1 and isclose(error, (value * (1 - value) / (n - 1)) ** 0.5, rel_tol=1e-6, abs_tol=1e-9):
        return Interval(*wilson(value * n, n), BY_WILSON)
    return kept_within(around, SHARES)


def _hash(found: Mapping[str, Any], name: str) -> str:
    asked = [
        found.get("configs", {}).get(name),
        found.get("task_hashes", {}).get(name),
        found.get("versions", {}).get(name),
    ]
    return hashlib.sha256(json.dumps(asked, sort_keys=True, default=str).encode()).hexdigest()


def _environment(settings: Settings, *, offline: bool) -> dict[str, str]:
    own = {
        "HF_DATASETS_CACHE": str(settings.data_dir / "cache" / "datasets"),
        "OMP_NUM_THREADS": str(settings.threads),
        "TOKENIZERS_PARALLELISM": "false",
    }
    return child_environment() | own | ({"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"} if offline else {})


def _wait(process: "subprocess.Popen[bytes]", writer: RunWriter) -> int | None:
    """Its exit status; None when the run was asked to stop."""
    while True:
        try:
            return process.wait(LOOK_EVERY_S)
        except subprocess.TimeoutExpired:
            if writer.stop_requested():
                return None


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End it and what it has started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            return
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(END_S)


def _last_line(log: Path) -> str:
    lines = [line.strip() for line in (text_of(log) or "").splitlines() if line.strip()]
    return lines[-1][:200] if lines else "it said nothing."


def rows_of(facts: Mapping[str, str], results: Sequence[TaskResult], told: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows of result.json."""
    asked = {name: told[name] for name in ("model_args", "batch_size", "limit", "seed") if name in told}
    return [
        {
            **facts, "suite": result.suite, "suite_hash": result.suite_hash, "sampling": asked, "n": result.n,
            "summary": {name: asdict(estimate) for name, estimate in result.summary.items()},
        }
        for result in results
    ]  # fmt: skip
