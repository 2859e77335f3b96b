"""Stored predictions: predictions.jsonl, a line for each example and model, added as the answers come."""

import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Self

from evaluation.choices import outcome_of
from evaluation.metrics import Answer
from medchat.errors import InvalidInput
from medchat.records import Example
from medchat.run_files import writing

NAME = "predictions.jsonl"
SYNC_EVERY_S = 5.0


@dataclass(frozen=True, slots=True)
class Prediction:
    """A line of predictions.jsonl: an example, what a model answered to it, and how that was scored.

    choice: the letter of the option that was chosen, None for none. scores: metric -> value, None where it could not
    be scored. outcome: of a multiple-choice question, else "". groups: group -> the example's value. Times, tokens and
    price (US dollars) are None where they are not known. accepted: further right answers. fault: why there is no
    answer, or why the options have no log-probabilities, "" for nothing; why: the same in words that can be counted.
    key_terms: those of the example. judged: metric -> {"judge": its model, "verdicts": [judge.Verdict as an object]}.
    prompt: the messages that the model saw, each with role and content; sampling: as the answer was drawn, with its own
    seed; answer_format: of the raw text. These three are empty where nothing was written.
    """

    id: str
    model: str
    suite: str
    kind: str
    question: str
    context: str
    options: Mapping[str, str] | None
    reference: str | None
    raw: str
    reasoning: str
    solution: str
    complete: bool
    finish_reason: str
    choice: str | None
    option_logprobs: Mapping[str, float] | None
    scores: Mapping[str, float | None]
    outcome: str
    groups: Mapping[str, str]
    question_id: str
    ttft_ms: float | None
    total_ms: float | None
    prompt_tokens: int | None
    completion_tokens: int | None
    price: float | None
    accepted: Sequence[str] = ()
    fault: str = ""
    key_terms: Sequence[str] = ()
    why: str = ""
    judged: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    prompt: Sequence[Mapping[str, str]] = ()
    sampling: Mapping[str, Any] | None = None
    answer_format: str = ""

    @property
    def is_answered(self) -> bool:
        """Whether the model could be asked."""
        return bool(self.raw) or self.option_logprobs is not None or not self.fault

    @property
    def example(self) -> Example:
        """As far as it is known here, the example that was answered."""
        return Example(
            self.question, self.reference, self.id, context=self.context, options=self.options, accepted=self.accepted
        )


_NAMES = frozenset(its.name for its in fields(Prediction))


def prediction_of(
    model: str,
    suite: str,
    example: Example,
    answer: Answer | None,
    *,
    choice: str | None,
    scores: Mapping[str, float | None],
    groups: Mapping[str, str],
    fault: str,
    why: str = "",
    judged: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
) -> Prediction:
    """The line of an example and the answer to it, None where the model could not be asked."""
    said = answer or Answer("", complete=False)
    outcome: str = outcome_of(example, answer) if said.raw else ""
    if answer and not said.raw and choice and example.options and example.answer in example.options:
        outcome = "right" if choice == example.answer else "wrong"
    return Prediction(
        example.id, model, suite, example.kind, example.question, example.context, example.options, example.answer,
        said.raw, said.reasoning, said.solution, said.complete, said.finish_reason, choice, said.option_logprobs,
        scores, outcome, groups, example.question_id, said.ttft_ms, said.total_ms, said.prompt_tokens,
        said.completion_tokens, said.price, tuple(example.accepted), fault, tuple(example.key_terms), why, dict(judged),
        [asdict(message) for message in said.prompt], asdict(said.sampling) if said.sampling else None,
        said.answer_format,
    )  # fmt: skip


class PredictionFile:
    """predictions.jsonl of one suite, open to be added to. What was added survives the process at once, and a power cut
    a few seconds later. A line that was being written when an earlier process was killed is cut off.

    Raises RunError when it cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        with writing():
            folder.mkdir(parents=True, exist_ok=True)
            self._cut_torn_line()
            self._file = self.path.open("ab", buffering=0)
        self._synced_at = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._file, writing():
            os.fsync(self._file.fileno())

    def add(self, predictions: Iterable[Prediction]) -> None:
        """Add their lines."""
        lines = [json.dumps(asdict(prediction), ensure_ascii=False) + "\n" for prediction in predictions]
        rest = "".join(lines).encode("utf-8", "surrogatepass")
        with writing():
            while rest:
                rest = rest[self._file.write(rest) :]
            if time.monotonic() - self._synced_at > SYNC_EVERY_S:
                os.fsync(self._file.fileno())
                self._synced_at = time.monotonic()

    def _cut_torn_line(self) -> None:
        if not self.path.exists():
            return
        with self.path.open("r+b") as file:
            end = file.seek(0, os.SEEK_END)
            size = end
            while size:  # backwards, in blocks: a long file need not be read
                start = max(0, size - (1 << 16))
                file.seek(start)
                newline = file.read(size - start).rfind(b"\n")
                if newline >= 0:
                    size = start + newline + 1
                    break
                size = start
            if size < end:
                file.truncate(size)


def read_predictions(folder: Path) -> Iterator[Prediction]:
    """The predictions in the folder of a run, or in the folders of its suites; one at a time.

    A line that is being written is left out. Raises InvalidInput with file and line for a damaged one.
    """
    for path in prediction_files(folder):
        for _, prediction in placed_predictions(path):
            yield prediction


def placed_predictions(path: Path) -> Iterator[tuple[int, Prediction]]:
    """The predictions in a file, each with the byte at which its line begins, for prediction_at.

    Raises as read_predictions does.
    """
    try:
        with path.open("rb") as lines:
            place = 0
            for number, line in enumerate(lines, 1):
                if line.endswith(b"\n"):
                    yield place, _parsed(line, f"{path.name}, line {number}")
                place += len(line)
    except OSError as error:
        raise InvalidInput(f"{path.name} cannot be read: {error.strerror}.") from error


def prediction_at(path: Path, place: int) -> Prediction:
    """The prediction whose line begins at this byte. Raises InvalidInput when it is not there any more."""
    try:
        with path.open("rb") as lines:
            lines.seek(place)
            return _parsed(lines.readline(), path.name)
    except OSError as error:
        raise InvalidInput(f"{path.name} cannot be read: {error.strerror}.") from error


def prediction_files(folder: Path) -> list[Path]:
    """Where the predictions of a run are: in its folder, or one folder for each of several suites."""
    own = folder / NAME
    return [own] if own.is_file() else sorted(folder.glob(f"*/{NAME}"))


def _parsed(line: bytes, where: str) -> Prediction:
    try:
        row: Any = json.loads(line)
        return Prediction(**{name: value for name, value in row.items() if name in _NAMES})
    except (ValueError, TypeError, AttributeError) as error:
        raise InvalidInput(f"{where}: this is no prediction of `evaluation run`; delete the line.") from error
