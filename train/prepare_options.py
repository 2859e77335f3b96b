"""What `prepare` may be told, checked; and the command that says the same."""

import hashlib
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from medchat.errors import InvalidInput, NotFound, one_of
from train.adapters import Reading, Source
from train.cleaning import Limits
from train.row_formats import writer
from train.templates import AS_RECIPE

GUIDE_BALANCE = (75.0, 25.0)  # knowledge and conversation, in per cent of the rows to train on
GROUPS = ("knowledge", "conversation")
MOST_COPIES = 20
READING, LIMITS = Reading(), Limits()  # as they are where nobody says otherwise


@dataclass(frozen=True, slots=True)
class Options:
    """How training data is made. The defaults are those of the command.

    validation, test: shares of the questions for which the sources name no split. balance: of knowledge and
    conversation in train, in per cent, None for as it comes. weights: source -> how often its rows count.
    brief_share: of brief answers in train. most_copies: how often a row may be used at most. frozen: a file of reviewed
    rows that validate from now on. limit: of the records of each source. suites: names or files
    of evaluation suites that are held out besides those of MedChat and of the data folder.
    """

    seed: int = 0
    reading: Reading = READING
    limits: Limits = LIMITS
    validation: float = 0.1
    test: float = 0.1
    balance: tuple[float, float] | None = GUIDE_BALANCE
    weights: Mapping[str, float] = field(default_factory=dict)
    brief_share: float | None = None
    most_copies: int = MOST_COPIES
    frozen: Path | None = None
    template: str = AS_RECIPE
    answer_format: str = AS_RECIPE
    format: str = "jsonl"
    limit: int | None = None
    suites: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        writer(self.format, self.template, self.answer_format)
        for name, low, high in (("validation", 0.1, 0.2), ("test", 0.0, 0.2)):
            if not low <= getattr(self, name) <= high:
                raise InvalidInput(f"--{name} is a share of the questions from {low:g} to {high:g}.")
        if self.brief_share is not None and not 0 < self.brief_share < 1:
            raise InvalidInput("--brief-share is a share between 0 and 1, such as 0.2.")
        if self.most_copies < 1 or (self.limit is not None and self.limit < 1):
            raise InvalidInput("--most-copies and --limit are whole numbers from 1 on.")
        if self.balance is not None and not (min(self.balance) > 0 and 99.9 <= sum(self.balance) <= 100.1):
            raise InvalidInput("--balance is two parts of 100, such as 75/25, or none.")
        for name, weight in self.weights.items():
            if not 0 < weight <= 100:
                raise InvalidInput(f"--weight {name[:80]}={weight:g}: a weight is a number above 0, 100 at most.")
        if self.frozen is not None and not self.frozen.is_file():
            raise NotFound(f"There is no file {self.frozen.name} with frozen rows.")

    def settings(self) -> dict[str, Any]:
        """The options as plain values, without a place on this machine."""
        found = {its.name: getattr(self, its.name) for its in fields(self)} | {
            "reading": self.reading._asdict(), "limits": asdict(self.limits),
            "frozen": self.frozen.name if self.frozen else None, "suites": [Path(name).name for name in self.suites],
        }  # fmt: skip
        return json.loads(json.dumps(found))


def balance_of(text: str) -> tuple[float, float] | None:
    """The parts that 75/25 names; None for "none". Raises InvalidInput."""
    if text == "none":
        return None
    try:
        first, second = (float(part) for part in text.split("/"))
    except ValueError as error:
        raise InvalidInput(f"--balance {text[:40]}: write two parts of 100, such as 75/25, or none.") from error
    return first, second


def weights_of(texts: Sequence[str]) -> dict[str, float]:
    """The weights that SOURCE=W name. Raises InvalidInput."""
    found = {}
    for text in texts:
        name, _, number = text.rpartition("=")
        try:
            found[name] = float(number)
        except ValueError as error:
            raise InvalidInput(f"--weight {text[:80]}: write SOURCE=W, such as medquad=2.") from error
    return found


def weight_of(source: Source, options: Options) -> float:
    """How often the source's rows count: by its file or, where that has none, by its adapter."""
    return options.weights.get(source.name, options.weights.get(source.adapter, 1.0))


def check_weights(sources: Sequence[Source], options: Options) -> None:
    """Raises InvalidInput for a weight of a source that is not there."""
    names = {name for source in sources for name in (source.adapter, source.name)}
    for name in options.weights:
        if name not in names:
            raise InvalidInput(f"--weight {name[:80]}: there is no such source; choose {one_of(sorted(names))}.")


def command_of(sources: Sequence[Source], options: Options) -> str:
    """The command that makes the same files, with the sources as they were typed."""
    plain, words = Options(), ["python", "-m", "train", "prepare"]
    for source in sources:
        words += ["--source", source.text or f"{source.adapter}={source.name}"]
    for name, text in _flags(options).items():
        if text != _flags(plain).get(name):
            words += [name, text] if text else [name]
    for name in options.suites:
        words += ["--suite", name]
    for name, weight in options.weights.items():
        words += ["--weight", f"{name}={weight:g}"]
    return shlex.join(words) + f" --seed {options.seed} --out DIR"


def _flags(options: Options) -> dict[str, str]:
    """The options as flags; those that are off are left out."""
    reading, balance = options.reading, options.balance
    found = {
        "--dialogues": reading.dialogues,
        "--choices": reading.choices,
        "--abstracts": "" if reading.abstracts else None,
        "--validation": f"{options.validation:g}",
        "--test": f"{options.test:g}",
        "--balance": "none" if balance is None else f"{balance[0]:g}/{balance[1]:g}",
        "--brief-share": None if options.brief_share is None else f"{options.brief_share:g}",
        "--most-copies": str(options.most_copies),
        "--frozen": options.frozen.name if options.frozen else None,
        "--template": options.template,
        "--answer-format": options.answer_format,
        "--format": options.format,
        "--limit": str(options.limit) if options.limit else None,
    }
    limits = {flag_of(its.name): _text(getattr(options.limits, its.name)) for its in fields(Limits)}
    return {name: text for name, text in (found | limits).items() if text is not None}


def flag_of(name: str) -> str:
    """The flag of an option."""
    return "--" + name.replace("_", "-")


def _text(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def digest_of(*parts: object) -> str:
    """What tells one set of settings and inputs from another."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]
