"""Command line of exports: `python -m train export RUN --to merged|gguf|hub`, and of folders to GGUF."""

import argparse
import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medchat.catalogue import Catalogue, ModelSpec
from medchat.errors import InvalidInput, NotFound
from medchat.models_file import parse_models
from medchat.rundir import RunDir
from medchat.settings import Settings

ABOUT = """Write what came out of a run, or a folder of weights, in the form in which it is served.

What is made of a run is compared with the original on ten prompts, and kept only when it says the same."""
TYPES = ("f16", "bf16", "q8_0", "q4_k_m")


@dataclass(frozen=True)
class Trained:
    """What came out of a run. base: the folder of the base's weights; adapter: PEFT's folder."""

    run_dir: RunDir
    spec: ModelSpec
    base: Path
    adapter: Path
    config: Mapping[str, Any]
    result: Mapping[str, Any]


def add_parser(commands: Any) -> None:
    """Adds the command `export`."""
    parser = commands.add_parser(
        "export", help="write a model, an adapter or a run in the form in which it is served", description=ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument(
        "source",
        metavar="RUN|FOLDER",
        help="a run's id or folder, or a folder of transformers weights or of an adapter",
    )
    parser.add_argument(
        "--to", choices=["merged", "gguf", "hub"], required=True,
        help="merged: safetensors with the adapter in the weights; gguf: for llama.cpp; hub: the adapter, uploaded",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, metavar="PATH", help="where it goes (default for a run: its artifacts)")
    parser.add_argument("--base", type=Path, metavar="FOLDER", help="the transformers folder of an adapter's base")
    parser.add_argument("--type", choices=TYPES, help="of the weights in GGUF (default: f16)")
    parser.add_argument("--repo", metavar="OWNER/NAME", help="the repository of the Hub")
    parser.add_argument("--public", action="store_true", help="everybody may see the repository (default: private)")
    parser.add_argument("--data-dir", type=Path, metavar="DIR", help="the data folder (default: ~/.medchat)")
    parser.set_defaults(function=export)


def export(args: argparse.Namespace) -> int:
    """Export; what is printed last is where it is now. Raises MedChatError."""
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # it speaks while it is imported
    settings = Settings.from_environment(data_dir=args.data_dir)
    run_dir = _run_dir(args.source, settings)
    if run_dir is None:
        return _export_folder(args, settings)
    if args.base is not None:
        raise InvalidInput("--base is for an adapter's folder; a run knows its base.")
    trained = _trained(run_dir, settings)
    if args.to == "hub":
        print(_to_hub(args, trained))
    elif args.to == "merged":
        print(_to_merged(args, trained))
    else:
        print(_to_gguf(args, trained, settings.shared_cache_dir))
    return 0


def _export_folder(args: argparse.Namespace, settings: Settings) -> int:
    """A folder of weights, or an adapter of one's own, as GGUF; whether it says the same is not looked at."""
    from train.export import adapter_to_gguf, is_adapter, quantised, to_gguf

    if args.to != "gguf" or args.out is None:
        raise InvalidInput(f"{args.source!r} is no run; of a folder only --to gguf with --out FILE can be made.")
    folder, out = Path(args.source).resolve(), args.out.resolve()
    cache_dir = settings.shared_cache_dir
    if is_adapter(folder):
        if args.base is None or args.type:
            raise InvalidInput("This is an adapter: give its base with --base, and no --type (it is written in f32).")
        adapter_to_gguf(folder, args.base.resolve(), out, cache_dir)
    elif args.base:
        raise InvalidInput(f"--base is for adapters, and {folder.name!r} is none: it has no adapter_config.json.")
    elif args.type == "q4_k_m":
        print(quantised(folder, out, args.type, cache_dir))
    else:
        to_gguf(folder, out, args.type or "f16", cache_dir)
    print(out)
    return 0


def _run_dir(source: str, settings: Settings) -> RunDir | None:
    """The run of this id, or in this folder; None for a folder that is none."""
    place = Path(source).expanduser()
    if (place / "state.json").is_file():
        return RunDir(place)
    if len(place.parts) == 1 and not place.exists():
        known = settings.runs_dir / source
        if (known / "state.json").is_file():
            return RunDir(known)
    if not place.exists():
        raise NotFound(f"There is no run and no folder {source!r}; `python -m medchat jobs list` lists the runs.")
    return None


def _trained(run_dir: RunDir, settings: Settings) -> Trained:
    """Raises InvalidInput when no model came out of the run, or its base is gone."""
    result, config = run_dir.result(), run_dir.config()
    if not result or result.get("kind") != "training" or not result.get("stages"):
        raise InvalidInput(f"No model has come out of {run_dir.path.name!r} yet; let the run end first.")
    adapter = run_dir.path / result["stages"][-1]["adapter"]
    base = Path(config["base"]["folder"])
    if not (base / "config.json").is_file():
        found = Catalogue(settings.models_dir, settings.own_models_file).get(config["base"]["id"])
        base = (found.safetensors or found.path or base) if found else base
    if not (base / "config.json").is_file():
        raise InvalidInput(f"The base {config['base']['name']!r} is not on this machine any more; fetch it again.")
    row = result.get("model")
    if not row:
        raise InvalidInput(f"{run_dir.path.name!r} says nothing of the model that came out; train it again.")
    [spec] = parse_models({"models": [row]}, "The run", settings.models_dir, own=True).values()
    return Trained(run_dir, spec, base, adapter, config, result)


def _to_hub(args: argparse.Namespace, trained: Trained) -> str:
    from train.uploads import upload_adapter

    if not args.repo:
        raise InvalidInput("Say where it goes: --repo OWNER/NAME.")
    return upload_adapter(trained.adapter, args.repo, public=args.public)


def _to_merged(args: argparse.Namespace, trained: Trained) -> Path:
    from train.cards import merged_card
    from train.fidelity import check_merged, original
    from train.merge import merge
    from train.modeling import quiet_libraries

    quiet_libraries()
    out = (args.out or trained.run_dir.artifacts / "merged").resolve()
    if out.exists() and not (out / "config.json").is_file():
        raise InvalidInput(f"{out.name!r} exists and is no merged model; give another --out.")
    before = original(trained.spec, trained.base, trained.adapter)
    partial = out.with_name(f".{out.name}.checked")
    merge(trained.base, trained.adapter, partial)
    try:
        print(check_merged(before, partial).line("merged"), flush=True)
        card = (trained.adapter / "README.md").read_text(encoding="utf-8")
        (partial / "README.md").write_text(merged_card(card), encoding="utf-8")
        _take_place(partial, out)
    finally:
        _remove(partial)
    return out


def _to_gguf(args: argparse.Namespace, trained: Trained, cache_dir: Path) -> Path:
    from train.export import quantised
    from train.fidelity import check_gguf, original
    from train.merge import merge
    from train.modeling import quiet_libraries

    quiet_libraries()
    kind = args.type or "f16"
    out = (args.out or trained.run_dir.artifacts / f"{trained.spec.id}-{kind}.gguf").resolve()
    if out.is_dir():
        raise InvalidInput(f"{out.name!r} is a folder; give the GGUF file to be written.")
    before = original(trained.spec, trained.base, trained.adapter)
    merged = out.with_name(f".{out.name}.merged")
    partial = out.with_name(f".{out.name}.checked")
    try:
        merge(trained.base, trained.adapter, merged)
        print(quantised(merged, partial, kind, cache_dir), flush=True)
        print(check_gguf(before, partial, kind).line(kind), flush=True)
        partial.replace(out)
    finally:
        _remove(merged)
        _remove(partial)
    return out


def _take_place(partial: Path, out: Path) -> None:
    _remove(out)
    partial.replace(out)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
