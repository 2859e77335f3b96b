"""Command line of `python -m train feedback`: what raters said, as training data."""

import argparse
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medchat.settings import Settings

if TYPE_CHECKING:
    from train.feedback import Preview

TEXT_CHARS = 300  # of an answer in the preview


def add_parser(commands: Any) -> None:
    """Adds the command `feedback`."""
    parser = commands.add_parser(
        "feedback",
        help="write what raters said as training data",
        description="Write sft, grpo, dpo, kto and steps as .jsonl with report.json, and show what is in them.",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder that is written")
    parser.add_argument("--seed", type=int, default=0, help="which questions validate is drawn by it (default: 0)")
    parser.add_argument("--data-dir", type=Path, metavar="DIR", help="the data folder (default: ~/.medchat)")
    parser.add_argument(
        "--min-probability", type=float, default=0.7, metavar="P",
        help="how sure it must be that one answer is better (default: 0.7; one clear vote gives 0.75)",
    )  # fmt: skip
    parser.add_argument("--db", metavar="URL", help="SQLAlchemy URL of the store (default: a file in the data folder)")
    parser.set_defaults(function=_feedback)


def _feedback(args: argparse.Namespace) -> int:
    from medchat.store import Store
    from medchat.store.migrate import check
    from train.feedback import FeedbackSettings, collect, preview, write
    from train.suite_questions import suite_questions

    settings = Settings.from_environment(data_dir=args.data_dir, db=args.db)
    chosen = FeedbackSettings(args.min_probability, seed=args.seed)
    check(settings.db_url)
    with closing(Store(settings.db_url)) as store:
        feedback = collect(store, suite_questions(settings.data_dir), chosen)
    write(feedback, args.out)
    print("\n".join(preview_lines(preview(feedback))))
    print(args.out)
    return 0


def preview_lines(shown: "Preview") -> list[str]:
    """The preview as text."""
    lines = [f"{name}.jsonl: {_counts(splits)}" for name, splits in shown.rows.items()]
    for name, reasons in shown.left_out.items():
        lines.append(f"left out of {name}.jsonl: {_counts(reasons)}")
    alpha = shown.agreement["votes"]
    lines.append(f"agreement of the votes (Krippendorff's alpha): {_figure(alpha['value'])}, n = {alpha['n_items']}")
    lines.append(f"disagreement on the same pair: {_figure(shown.disagreement)}")
    for number, pair in enumerate(shown.pairs, 1):
        lines += [
            f"example {number} (p = {pair['probability']:.2f}, raters: {pair['raters']}): {_short(pair['question'])}",
            f"  chosen:   {_short(pair['chosen']['solution'])}",
            f"  rejected: {_short(pair['rejected']['solution'])}",
        ]
    return [*lines, *shown.notes]


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{n} {name}" for name, n in counts.items())


def _figure(value: float | None) -> str:
    return "cannot be told" if value is None else f"{value:.2f}"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= TEXT_CHARS else line[: TEXT_CHARS - 1] + "…"
