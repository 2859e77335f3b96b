"""Command line of training: `python -m train demo`, `python -m train export`."""

import argparse
import sys
from pathlib import Path

from medchat.errors import InvalidInput, MedChatError
from medchat.settings import ASSETS, Settings

BUNDLED = ASSETS / "demo"


def main(arguments: list[str] | None = None) -> int:
    """Exit status: 0 done, 1 failed with one line, 2 wrong arguments."""
    parser = argparse.ArgumentParser(prog="python -m train", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    demo = commands.add_parser("demo", help="train the bundled models from scratch on assets/knowledge")
    demo.add_argument("--out", type=Path, default=BUNDLED, help="where the models go (default: assets/demo)")
    demo.add_argument(
        "--run-dir",
        type=Path,
        help="checkpoints and progress (default: in the data folder); the same folder again resumes",
    )
    demo.add_argument("--data-dir", type=Path, help="data folder, for caches")
    demo.add_argument("--base-tokens", type=_millions, metavar="MILLIONS", help="budget of the first stage")
    demo.add_argument("--answer-tokens", type=_millions, metavar="MILLIONS", help="budget of the second stage")
    demo.add_argument("--seed", type=int)
    demo.add_argument("--threads", type=_count, help="cores to use (default: all)")
    export = commands.add_parser("export", help="write a model or an adapter in the form in which it is served")
    export.add_argument("folder", type=Path, help="a folder of transformers weights, or an adapter made by PEFT")
    export.add_argument("--to", choices=["gguf"], required=True, help="gguf: for llama.cpp")
    export.add_argument("--out", type=Path, required=True, metavar="FILE", help="the file to be written")
    export.add_argument("--base", type=Path, metavar="FOLDER", help="the transformers folder of an adapter's base")
    export.add_argument("--type", choices=["f16", "bf16", "q8_0"], help="of a model's weights (default: f16)")
    export.add_argument("--data-dir", type=Path, help="data folder, for caches")
    args = parser.parse_args(arguments)
    try:
        return _demo(args) if args.command == "demo" else _export(args)
    except MedChatError as error:
        print(f"train: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        goes_on = "goes on from the last checkpoint" if args.command == "demo" else "begins anew"
        print(f"Stopped; the same command {goes_on}.", file=sys.stderr)
        return 1


def _demo(args: argparse.Namespace) -> int:
    from train.demo.build import Recipe, build

    settings = Settings.from_environment(data_dir=args.data_dir, threads=args.threads)
    given = {name: getattr(args, name) for name in ("base_tokens", "answer_tokens", "seed")}
    recipe = Recipe(**{name: value for name, value in given.items() if value is not None})
    run_dir = args.run_dir or settings.data_dir / "runs" / "demo"
    suites = ASSETS / "suites" if args.out == BUNDLED else args.out / "suites"
    cache_dir = settings.data_dir / "cache"
    build(args.out, suites, run_dir, cache_dir, recipe, settings.threads, lambda line: print(line, flush=True))
    return 0


def _export(args: argparse.Namespace) -> int:
    from train.export import adapter_to_gguf, is_adapter, to_gguf

    folder, out = args.folder.resolve(), args.out.resolve()
    cache_dir = Settings.from_environment(data_dir=args.data_dir).data_dir / "cache"
    if is_adapter(folder):
        if args.base is None or args.type:
            raise InvalidInput("This is an adapter: give its base with --base, and no --type (it is written in f32).")
        adapter_to_gguf(folder, args.base.resolve(), out, cache_dir)
    else:
        if args.base:
            raise InvalidInput(f"--base is for adapters, and {folder.name!r} is none: it has no adapter_config.json.")
        to_gguf(folder, out, args.type or "f16", cache_dir)
    print(out)
    return 0


def _millions(text: str) -> float:
    value = float(text)
    if not 0.001 <= value <= 1e6:
        raise ValueError
    return value


def _count(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 512:
        raise ValueError
    return value


if __name__ == "__main__":
    sys.exit(main())
