"""The questions of the evaluation suites: nothing is trained on them."""

from collections.abc import Sequence
from pathlib import Path

from evaluation.suites import load_suite, question_text, suite_names
from medchat.errors import NotFound
from medchat.records import Example, question_id


def suite_questions(data_dir: Path | None, suites: Sequence[str] = ()) -> dict[str, str]:
    """Question id -> name of the suite, for every suite that is here: those of MedChat, the data folder and `suites`.

    A question is held out in each way in which it is asked: by itself, as its suite puts it, and with its options.
    Raises InvalidInput for a suite that cannot be read: its questions could not be held out.
    """
    held_out: dict[str, str] = {}
    for name in [*suite_names(data_dir=data_dir), *suites]:
        try:
            suite = load_suite(name, data_dir=data_dir)
        except NotFound:
            if name in suites:
                raise
            continue  # a benchmark whose files are not on this machine
        for example in suite.examples:
            asked, context = question_text(suite, example)
            for its in (example.question_id, question_id(context, asked), _with_options(example)):
                held_out.setdefault(its, suite.name)
    return held_out


def _with_options(example: Example) -> str:
    """The id of the question as a comparison asks it."""
    options = (f"\n{letter}. {text}" for letter, text in (example.options or {}).items())
    return question_id(example.context, example.question + "".join(options))
