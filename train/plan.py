"""What a run will do, checked before anything is loaded: the base's folder, the data's files and their rows."""

import hashlib
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from medchat.catalogue import Catalogue, ModelSpec, is_complete
from medchat.errors import InvalidInput, NotFound
from medchat.models_file import UNFINISHED, HubSource, hub_path, unknown_model
from medchat.records import Example, question_id
from medchat.run_files import json_of
from train.recipe_schema import Recipe, Stage
from train.recipes import RecipeFault
from train.templates import with_recipe

FILES = {"sft": ("sft.jsonl", "train.jsonl"), "grpo": ("grpo.jsonl", "train.jsonl"), "dpo": ("dpo.jsonl",),
         "kto": ("kto.jsonl",)}  # fmt: skip  # the first that a folder has holds the rows of a stage
SPLITS = ("train", "validation", "test")
HELD_OUT_SHARE = 10  # where the data says no split, one question of so many validates

PAIR_COLUMNS = {"dpo": ("chosen", "rejected"), "kto": ("completion",)}


@dataclass(frozen=True, slots=True)
class Base:
    """What is trained on. spec: with the prompt and the format of the recipe. name: how others find it again.

    folder: of its weights. adapter: a LoRA on it with which the first stage begins, None for a new one.
    """

    spec: ModelSpec
    name: str
    folder: Path
    adapter: Path | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """The base that a recipe names, here or not. spec: with the prompt and the format of the recipe.

    folder: of its weights, None where they have to be fetched first; lacking: what to do then, "" where they are here.
    adapter: as of Base.
    """

    spec: ModelSpec
    folder: Path | None
    lacking: str = ""
    adapter: Path | None = None


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a stage in its files. kind: which of the stages; n: how many of each split."""

    kind: str
    train: Path
    validation: Path | None
    test: Path | None
    n: dict[str, int]


@dataclass(frozen=True, slots=True)
class Data:
    """rows: those of each stage. files: the name, SHA-256 and number of rows of each file that is used.

    report: report.json of the folder, {} where there is none.
    """

    folder: Path
    rows: tuple[Rows, ...]
    files: tuple[dict[str, Any], ...]
    report: dict[str, Any]


def resolve_base(recipe: Recipe, catalogue: Catalogue, models_dir: Path) -> Base:
    """Where the recipe's base is, by a catalogue id, a Hub name or a folder. Raises RecipeFault when it is not here."""
    found = wanted_base(recipe, catalogue, models_dir)
    if found.folder is None:
        raise RecipeFault(("base",), found.lacking)
    spec = found.spec
    hub = spec.hub.repo if spec.hub else spec.base if spec.safetensors is None else ""
    return Base(spec, hub or found.folder.name, found.folder, found.adapter)


def wanted_base(recipe: Recipe, catalogue: Catalogue, models_dir: Path) -> Wanted:
    """What is known of the recipe's base. Raises RecipeFault where nothing is, and where it cannot be trained."""
    name = recipe.base
    spec = catalogue.get(name) or _of_hub(name, catalogue, models_dir) or _of_folder(name)
    if spec is None:
        raise RecipeFault(
            ("base",),
            f"there is no model {name!r} on this machine; give the id of one that `python -m medchat models` lists,"
            " or the folder of its weights",
        )
    if spec.endpoint or (spec.backend == "llamacpp" and spec.safetensors is None):
        where = "answers on a server" if spec.endpoint else "is a GGUF file"
        raise RecipeFault(
            ("base",), f"{name!r} {where}, and training needs weights of transformers{_trainable(spec, catalogue)}"
        )
    folder = spec.safetensors or spec.path
    if folder is not None and is_complete(folder):
        return Wanted(with_recipe(spec, recipe), folder, adapter=_adapter_of(spec))
    half = " but in part" if folder is not None and (folder / UNFINISHED).exists() else ""
    lacking = (
        f"{name!r} is not on this machine{half}; fetch it with `python -m medchat models fetch {spec.id}`, or set"
        " another base"
    )
    return Wanted(with_recipe(spec, recipe), None, lacking)


def _of_hub(name: str, catalogue: Catalogue, models_dir: Path) -> ModelSpec | None:
    """The catalogue's model without an adapter whose weights are this repository's, or one that lies there unlisted."""
    for spec in catalogue.values():
        plain = spec.backend == "transformers" and spec.adapter is None and spec.adapter_hub is None
        if plain and spec.hub is not None and spec.hub.repo == name:
            return spec
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        return None
    hub = HubSource(name)
    folder = hub_path(models_dir, hub)
    return replace(unknown_model("transformers"), id=name, name=name, path=folder, hub=hub) if folder.is_dir() else None


def _of_folder(name: str) -> ModelSpec | None:
    folder = Path(name).expanduser()
    if not (folder / "config.json").is_file():
        return None
    folder = folder.resolve()
    return replace(unknown_model("transformers"), id=folder.name, name=folder.name, path=folder)


def _trainable(spec: ModelSpec, catalogue: Catalogue) -> str:
    """The model of the catalogue that has the same weights in a form that can be trained."""
    same = next((s.id for s in catalogue.values() if s.hub and s.hub.repo == spec.base and not s.hub.file), "")
    return f"; choose {same}" if same else ""


def _adapter_of(spec: ModelSpec) -> Path | None:
    """PEFT's folder of the model's adapter; it stands beside what llama.cpp was given of a model trained here."""
    if spec.adapter is None:
        return None
    for folder in (spec.adapter, spec.adapter.parent):
        if (folder / "adapter_config.json").is_file():
            return folder
    raise RecipeFault(("base",), f"the adapter of {spec.id!r} is here as GGUF only, which cannot be trained further")


def find_data(recipe: Recipe, folder: Path | None, cache: Path, say: Callable[[str], None]) -> Data:
    """The data of all stages, every row of it looked at once.

    folder: what --data says, None for the recipe's own. cache: where cases made from the teaching facts are kept.

    Raises RecipeFault when there is none, and InvalidInput with file and line for a row that cannot be used.
    """
    source = folder or _own_data(recipe, cache, say)
    rows = tuple(_rows(number, stage, source) for number, stage in enumerate(recipe.stages))
    used = {path for its in rows for path in (its.train, its.validation, its.test) if path is not None}
    files = tuple({"file": path.name, "sha256": _sha256(path), "rows": _n_lines(path)} for path in sorted(used))
    return Data(source, rows, files, _report_of(source))


def _own_data(recipe: Recipe, cache: Path, say: Callable[[str], None]) -> Path:
    if recipe.data == "demo":
        from train.demo.dataset import dataset_folder

        return dataset_folder(cache, recipe.seed, say)
    if recipe.data == "ratings":
        raise RecipeFault(
            ("data",),
            "this recipe learns from ratings; write them with `python -m train feedback --out DIR`, look at the report"
            " there, and give --data DIR",
        )
    path = Path(recipe.data).expanduser()
    if recipe.data and path.exists():
        return path.resolve()
    source = f" prepared from {recipe.data_source}" if recipe.data_source else ""
    raise RecipeFault(
        ("data",),
        f"this recipe needs a folder{source}; make one with `python -m train prepare --source ... --out DIR` and give"
        " --data DIR",
    )


def _rows(number: int, stage: Stage, source: Path) -> Rows:
    path = source if source.is_file() else _first(number, stage, source)
    beside = {} if source.is_file() or path.name != "train.jsonl" else {
        split: source / f"{split}.jsonl" for split in SPLITS[1:] if (source / f"{split}.jsonl").is_file()
    }  # fmt: skip
    counted = dict.fromkeys(SPLITS, 0)
    seen: set[str] = set()
    for split, row in each_row(stage.kind, path):
        counted[split] += 1
        if len(seen) < 2:
            seen.add(row_question(row))
    for split, file in beside.items():
        counted[split] = sum(1 for _ in each_row(stage.kind, file))
    rows = Rows(stage.kind, path, beside.get("validation"), beside.get("test"), counted)
    _require_enough(number, stage, rows, len(seen))
    return rows


def _first(number: int, stage: Stage, folder: Path) -> Path:
    names = FILES[stage.kind]
    if not folder.is_dir():
        raise RecipeFault(("data",), f"there is no folder or file {folder.name!r}")
    found = next((folder / name for name in names if (folder / name).is_file()), None)
    if found is None:
        have = ", ".join(sorted(path.name for path in folder.glob("*.jsonl"))) or "no JSONL file"
        raise RecipeFault(
            ("stages", number, "kind"),
            f"a stage of {stage.kind} needs {' or '.join(names)} in {folder.name!r}, which has {have}",
        )
    return found


def _require_enough(number: int, stage: Stage, rows: Rows, n_questions: int) -> None:
    name = rows.train.name
    if not any(rows.n.values()):
        what = {"dpo": "pairs", "kto": "rated answers"}.get(stage.kind)
        if what:
            raise InvalidInput(
                f"{name} is empty: there are no {what} from ratings yet. Compare and rate answers first."
            )
        raise InvalidInput(f"{name} is empty; put one question with its answer in each line.")
    if not rows.n["train"]:
        raise InvalidInput(f"{name} has no row of the split 'train', only {rows.n}.")
    if n_questions < 2:
        raise InvalidInput(f"{name} has one question only, which would be learnt by heart; training needs two or more.")


def each_row(kind: str, path: Path) -> Iterator[tuple[str, Any]]:
    """Split and row of each line: an Example for sft and grpo, else a mapping with the answers of the stage.

    A row that names no split is of the file's own, or, where the file is no split, of one drawn by its question.
    Raises InvalidInput with file and line.
    """
    of_file = path.stem if path.stem in SPLITS else ""
    number = 0
    try:
        with path.open(encoding="utf-8-sig") as lines:
            for number, line in enumerate(lines, 1):
                if not line.strip():
                    continue
                where = f"{path.name}, line {number}"
                row = _example(line, where) if kind in ("sft", "grpo") else _judged(kind, line, where)
                named = row.split if isinstance(row, Example) else row.get("split", "")
                split = of_file or (named if named in SPLITS else "") or _drawn_split(row_question(row))
                yield split, row
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{path.name}, after line {number}: this is not UTF-8 text.") from error
    except OSError as error:
        raise InvalidInput(f"{path.name} cannot be read: {error.strerror}.") from error


def row_question(row: Any) -> str:
    """The id of the row's question."""
    return row.question_id if isinstance(row, Example) else question_id(row.get("context", ""), row["question"])


def _drawn_split(question: str) -> str:
    return "validation" if int(question[:8], 16) % HELD_OUT_SHARE == 0 else "train"


def _example(line: str, where: str) -> Example:
    example = Example.from_json(line, where)
    if example.answer is None:
        raise InvalidInput(f"{where}: 'answer' is null; a row without an answer cannot be trained on.")
    return example


def _judged(kind: str, line: str, where: str) -> dict[str, Any]:
    """A pair of dpo.jsonl or an answer of kto.jsonl."""
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise InvalidInput(f"{where}: not JSON ({error.msg}).") from error
    if not isinstance(row, dict) or not isinstance(row.get("question"), str) or not row["question"].strip():
        raise InvalidInput(f"{where}: 'question' is missing or not a text.")
    if not isinstance(row.get("context", ""), str):
        raise InvalidInput(f"{where}: 'context' is not a text.")
    for column in PAIR_COLUMNS[kind]:
        answer = row.get(column)
        if not isinstance(answer, dict) or not isinstance(answer.get("solution"), str):
            raise InvalidInput(f"{where}: {column!r} is missing, or has no text 'solution'.")
        if not isinstance(answer.get("reasoning", ""), str):
            raise InvalidInput(f"{where}: the 'reasoning' of {column!r} is not a text.")
    if kind == "kto" and not isinstance(row.get("label"), bool):
        raise InvalidInput(f"{where}: 'label' is missing, or neither true nor false.")
    if kind == "dpo" and row["chosen"] == row["rejected"]:
        raise InvalidInput(f"{where}: the chosen answer is the rejected one too.")
    return row


def _report_of(source: Path) -> dict[str, Any]:
    """report.json of the folder; of a file the report beside it, where that names the file's SHA-256."""
    if source.is_file():
        beside = source.with_name("report.json")
        found = json_of(beside.read_bytes()) if beside.is_file() else None
        if isinstance(found, dict) and isinstance(hashes := found.get("sha256"), dict):
            return found if _sha256(source) in hashes.values() else {}
        return {}
    file = source / "report.json"
    try:
        report = json.loads(file.read_bytes()) if file.is_file() else {}
    except (OSError, ValueError) as error:
        raise InvalidInput(f"report.json of {source.name!r} is damaged; make the folder again.") from error
    return report if isinstance(report, dict) else {}


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _n_lines(path: Path) -> int:
    with path.open("rb") as stream:
        return sum(1 for line in stream if line.strip())


def held_out_examples(recipe: Recipe, data: Data) -> list[Example]:
    """Examples that are answered before and after each stage: of the suite that the recipe names, or of the data.

    Of the data those of the test split, or else those that validate; none where it has no Examples.
    """
    from evaluation.suites import load_suite

    if recipe.held_out.suite:
        try:
            return list(load_suite(recipe.held_out.suite).examples)
        except NotFound as error:
            raise RecipeFault(("held_out", "suite"), str(error).rstrip(".")) from error
    return split_examples(data, "test") or split_examples(data, "validation")


def split_examples(data: Data, split: str, limit: int = 0) -> list[Example]:
    """The Examples of a split in the data of the first stage that has Examples; at most `limit` (0: all)."""
    rows = next((rows for rows in data.rows if rows.kind in ("sft", "grpo")), None)
    if rows is None:
        return []
    file = {"train": rows.train, "validation": rows.validation, "test": rows.test}[split] or rows.train
    found: list[Example] = []
    for of, row in each_row(rows.kind, file):
        if of == split and (not limit or len(found) < limit):
            found.append(row)
    return found


def planned_steps(stage: Stage, n_rows: int, processes: int = 1) -> int:
    """Optimiser steps of a stage over so many rows."""
    if stage.max_steps:
        return stage.max_steps
    epochs = stage.num_train_epochs
    if stage.one_epoch_from_rows and n_rows >= stage.one_epoch_from_rows:
        epochs = min(1.0, epochs)
    n_batches = math.ceil(n_rows * (stage.num_generations if stage.kind == "grpo" else 1)
                          / (stage.per_device_train_batch_size * processes))  # fmt: skip
    return max(1, math.ceil(epochs * math.ceil(n_batches / stage.gradient_accumulation_steps)))
