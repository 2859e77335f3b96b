"""Command line of `python -m train augment`: more questions of the rows that are trained on."""

import argparse
import hashlib
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medchat.errors import InvalidInput
from medchat.rundir import RunDir, RunWriter
from medchat.settings import ASSETS, Settings
from train.augment_balance import balance_line
from train.augment_children import KINDS
from train.augment_options import MOST_PER_QUESTION, Options, command_of, options_of, topics_in
from train.teacher_words import estimate_lines, has_price, limit_lines, price_of, spent_line

if TYPE_CHECKING:
    from train.augment_tools import Tools
    from train.teacher_records import Price

REASONS_SHOWN = 5  # of each kind


def add_parser(commands: Any) -> None:
    """Adds the command `augment`."""
    parser = commands.add_parser(
        "augment",
        help="make more questions of the rows that are trained on",
        description="Write the rows with children: other wordings, parts of questions, the same case of another age,"
        " sex or place, exact synonyms, and pairs on rare topics. Each child is checked against its parent, keeps its"
        " split and licence, and says what it was made of; what is refused is counted by reason. Splits,"
        " perturbations and synonyms are made by rules; paraphrases and synthetic pairs need a teacher. The same"
        " command goes on where one stopped.",
    )
    parser.add_argument("source", type=Path, metavar="IN", help="folder that `prepare` wrote, or a file of Examples")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder that is written")
    parser.add_argument(
        "--kind", action="append", required=True, choices=KINDS, dest="kinds", help="what is made; may be repeated"
    )
    parser.add_argument("--teacher", default="", metavar="MODEL", help="model of the catalogue that writes")
    parser.add_argument(
        "--per-question", type=int, default=2, metavar="N",
        help=f"children of a kind for a row, or pairs on a topic, at most (default: 2, most: {MOST_PER_QUESTION})",
    )  # fmt: skip
    parser.add_argument(
        "--topics", type=Path, metavar="FILE",
        help="topics of synthetic pairs, one a line (default: conditions that hardly any row names)",
    )  # fmt: skip
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N rows get children")
    parser.add_argument("--budget", type=float, metavar="USD", help="the teacher is not asked beyond this cost")
    parser.add_argument(
        "--price",
        metavar="IN/OUT",
        help="US dollars for a million tokens, for a teacher without a price in the catalogue",
    )
    parser.add_argument("--estimate", action="store_true", help="only say what the teacher would take")
    parser.add_argument(
        "--suite", action="append", default=[], dest="suites", metavar="NAME|FILE",
        help="an evaluation suite that is held out besides MedChat's and the data folder's; may be repeated",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="draws ages, places and wordings (default: 0)")
    parser.add_argument("--data-dir", type=Path, metavar="DIR", help="the data folder (default: ~/.medchat)")
    parser.add_argument("--run-dir", type=Path, metavar="DIR", help="folder with the state and the progress of the run")
    parser.add_argument("--resume", action="store_true", help="go on with the run in --run-dir")
    parser.set_defaults(function=_augment)


def _augment(args: argparse.Namespace) -> int:
    from train.augment import augment
    from train.progress import Progress, Stopped
    from train.teachers import Stopped as TeacherStopped

    settings = Settings.from_environment(data_dir=args.data_dir)
    topics = topics_in(args.topics) if args.topics else ()
    options = options_of(
        args.kinds, seed=args.seed, per_question=args.per_question, teacher=args.teacher, topics=topics,
        limit=args.limit, budget=args.budget, suites=tuple(args.suites),
    )  # fmt: skip
    price = _price_of(args.price, options, settings)
    if args.estimate:
        return _estimate(args.source, options, settings, price)
    command = command_of(args.source, options, str(args.topics or ""))
    folder = RunDir(args.run_dir) if args.run_dir else None
    config = {"kind": "prepare", "name": f"Augment {args.source.name}", "command": command, "out": str(args.out)}
    with folder.begin(config, 0, append=args.resume) if folder else nullcontext() as writer:
        try:
            with _tools(options, settings, args.out, writer, price) as tools:
                report = augment(
                    args.source, args.out, options, tools, command=command, progress=Progress(_say, writer)
                )
        except (Stopped, TeacherStopped):
            print("Stopped; the same command goes on where it stopped.", file=sys.stderr)
            return 1
        if writer is not None:
            kept = ("kind", "rows", "rows_in", "parents", "children", "sha256")
            writer.result({**{key: report[key] for key in kept}, "out": str(args.out)})
    print("\n".join(summary_lines(report)))
    print(args.out)
    return 0


def _price_of(typed: str | None, options: Options, settings: Settings) -> "Price | None":
    """The price that was typed, where the catalogue has none; says the limits of a teacher for demonstration.

    Raises NotFound for a teacher that nobody knows, InvalidInput for a spending limit without a price.
    """
    from medchat.catalogue import Catalogue
    from train.teachers import UNPRICED

    price = price_of(typed) if typed else None
    if not options.teacher:
        return None
    spec = Catalogue(settings.models_dir, settings.own_models_file).resolve(options.teacher)
    if options.budget is not None and price is None and not has_price(spec):
        raise InvalidInput(UNPRICED.format(spec.name))
    for line in limit_lines(spec):
        _say(line)
    return None if has_price(spec) else price


def _estimate(source: Path, options: Options, settings: Settings, price: "Price | None") -> int:
    """Say what the teacher would be asked, and what that costs."""
    from medchat.knowledge import load_knowledge
    from train.augment import questions
    from train.teachers import teacher_of

    if not options.teacher:
        print("No model is asked: rules make these kinds, and cost nothing.")
        return 0
    with teacher_of(options.teacher, settings, price=price) as teacher:
        its = teacher.estimate(questions(source, options, load_knowledge()))
        print("\n".join(estimate_lines(teacher.spec.id, its)))
    return 0


@contextmanager
def _tools(
    options: Options, settings: Settings, out: Path, writer: RunWriter | None, price: "Price | None"
) -> Iterator["Tools"]:
    """What children are made with. Raises NotFound and InvalidInput for a teacher that is not here."""
    from evaluation.embed import Embedder
    from evaluation.vocabulary import vocabulary_of
    from medchat.knowledge import load_knowledge
    from train.augment_guard import load_guard
    from train.augment_perturbation import Facts
    from train.augment_synonyms import load_synonyms
    from train.augment_teacher import TeacherOf
    from train.augment_tools import Tools
    from train.leaks import LeakCheck
    from train.teachers import Ledger, teacher_of
    from train.work_folder import WORK

    knowledge = load_knowledge()
    embedders: list[Embedder] = []

    def embedder() -> Embedder:
        if not embedders:
            embedders.append(Embedder(settings.threads))
        return embedders[0]

    with ExitStack() as stack:
        teacher, ledger = None, Ledger()
        if options.teacher:
            ledger = Ledger.opened(out / WORK / "ledger.jsonl", options.budget)
            stop = writer.stop_requested if writer else lambda: False
            asks = stack.enter_context(teacher_of(options.teacher, settings, ledger=ledger, price=price, stop=stop))
            teacher = TeacherOf(options.teacher, asks, options.seed)
        yield Tools(
            Facts(load_guard(), knowledge), load_synonyms(), vocabulary_of(knowledge),
            LeakCheck(settings.data_dir, options.suites), embedder, teacher, _tables_mark(), ledger.rows,
        )  # fmt: skip


def _tables_mark() -> str:
    files = (ASSETS / name for name in ("synonyms.yaml", "perturbation.yaml"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def summary_lines(report: Any) -> list[str]:
    """What came out, as text."""
    lines = [f"{name}: {n:,}" for name, n in report["rows"].items()]
    lines.append(f"{report['children']:,} children of {report['parents']:,} rows")
    for kind, its in report["kinds"].items():
        refused = sum(reason["n"] for reason in its["refused"].values())
        lines.append(
            f"{kind}: {its['candidates']:,} candidates of {its['rows']:,} rows = {its['children']:,} children"
            f" + {refused:,} refused"
        )
        lines += [f"  {reason['n']:,} {name}" for name, reason in list(its["refused"].items())[:REASONS_SHOWN]]
    lines += [spent_line(model, spent) for model, spent in report["teacher"]["spent"].items()]
    lines += [line] if (line := balance_line(report["balance"])) else []
    if len(report["licences"]) > 1:
        lines.append("licences: " + ", ".join(f"{name} {n:,}" for name, n in report["licences"].items()))
    return lines


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
