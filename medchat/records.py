"""The frozen records that the modules hand to each other."""

import hashlib
import json
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, NamedTuple

from medchat.errors import InvalidInput

MIN_TEMPERATURE = 0.001  # below it the likeliest token has all of the probability, and numbers overflow
Role = Literal["system", "user", "assistant"]
FinishReason = Literal["stop", "length", "cancelled"]
ExampleKind = Literal["free", "mcq", "calc", "diagnosis"]


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation as the model sees it."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a completion is drawn. temperature 0 is greedy; top_p 1, top_k 0 and presence_penalty 0 are off.

    presence_penalty is taken from the logit of each token that the completion already holds.
    """

    max_new_tokens: int = 512
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int = 0
    presence_penalty: float = 0.0

    @property
    def greedy(self) -> bool:
        """Whether the likeliest token is taken each time."""
        return not self.temperature >= MIN_TEMPERATURE


class Range(NamedTuple):
    """The least and the most that somebody may choose."""

    low: float
    high: float


SAMPLING_RANGES: Mapping[str, Range] = {
    "max_new_tokens": Range(16, 32_768),
    "temperature": Range(0, 2),
    "top_p": Range(0.01, 1),
    "top_k": Range(0, 1000),
    "seed": Range(0, 2**31 - 1),
    "presence_penalty": Range(0, 2),
}


@dataclass(frozen=True, slots=True)
class Request:
    """One completion to be made.

    prefill: text with which the completion already begins (a cut answer that goes on); the
    backend yields only what comes after it.
    raw: the last message's content is the prompt itself, no chat template is applied.
    """

    messages: tuple[Message, ...]
    sampling: Sampling = Sampling()
    prefill: str = ""
    raw: bool = False


class Text(NamedTuple):
    """A piece of completion `index` of the batch; kind None leaves it to the parser."""

    index: int  # type: ignore[assignment]  # hides tuple.index, which nothing calls
    text: str
    kind: Literal["reasoning", "solution"] | None = None


class Done(NamedTuple):
    """Completion `index` of the batch has ended."""

    index: int  # type: ignore[assignment]  # hides tuple.index, which nothing calls
    finish_reason: FinishReason
    prompt_tokens: int
    completion_tokens: int


class ModelFacts(NamedTuple):
    """What a look at a model says of it, before it is loaded.

    architecture: "" where nobody says. parameters: in billions, 0 where nobody says. n_ctx: tokens that it was
    trained for. memory_gb: what loading it takes, in GB, 0 where nothing is loaded here.
    """

    architecture: str
    parameters: float
    n_ctx: int
    has_chat_template: bool
    memory_gb: float


def question_id(context: str, question: str) -> str:
    """SHA-256 (hex) of context and question after NFKC, case folding and white-space collapsing."""
    parts = (" ".join(unicodedata.normalize("NFKC", part).casefold().split()) for part in (context, question))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Example:
    """One question with its reference answer: a line of every suite and data set."""

    question: str
    answer: str | None
    id: str = ""
    kind: ExampleKind = "free"
    context: str = ""
    options: Mapping[str, str] | None = None
    accepted: Sequence[str] = ()
    rationale: str = ""
    key_terms: Sequence[str] = ()
    unit: str = ""
    tolerance: float | None = None
    source: str = ""
    licence: str = ""
    split: str = ""
    meta: Mapping[str, Any] = field(default_factory=dict)

    @property
    def question_id(self) -> str:
        """The id that ties the same question together everywhere."""
        return question_id(self.context, self.question)

    @classmethod
    def from_json(cls, line: str, where: str = "") -> "Example":
        """One line of JSONL as an Example; `where` (file and line) goes into the error.

        Raises InvalidInput when it is not an object with a question and an answer, or has
        fields of the wrong type or unknown fields.
        """
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise InvalidInput(f"{where}: not JSON ({error.msg}).") from error
        except RecursionError as error:
            raise InvalidInput(f"{where}: not JSON (nested too deep).") from error
        except ValueError as error:
            raise InvalidInput(f"{where}: not JSON (a number has too many digits).") from error
        return cls.from_row(row, where)

    @classmethod
    def from_row(cls, row: object, where: str = "") -> "Example":
        """An object that was read from JSON as an Example. Raises InvalidInput as from_json does."""
        if not isinstance(row, dict):
            raise InvalidInput(f"{where}: expected a JSON object.")
        unknown = sorted(set(row) - {f.name for f in fields(cls)})
        if unknown:
            raise InvalidInput(f"{where}: unknown field {unknown[0]!r}; put what is your own into 'meta'.")
        if not isinstance(row.get("question"), str) or not row["question"].strip():
            raise InvalidInput(f"{where}: 'question' is missing or not a text.")
        if "answer" not in row or not isinstance(row["answer"], str | None):
            raise InvalidInput(f"{where}: 'answer' is missing or not a text.")
        for name in ("id", "context", "rationale", "unit", "source", "licence", "split"):
            if not isinstance(row.get(name, ""), str):
                raise InvalidInput(f"{where}: {name!r} is not a text.")
        for name in ("accepted", "key_terms"):
            value = row.get(name, [])
            if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
                raise InvalidInput(f"{where}: {name!r} is not a list of texts.")
        if row.get("kind", "free") not in ("free", "mcq", "calc", "diagnosis"):
            raise InvalidInput(f"{where}: 'kind' is none of free, mcq, calc, diagnosis.")
        tolerance = row.get("tolerance")
        is_number = isinstance(tolerance, int | float) and not isinstance(tolerance, bool)
        if tolerance is not None and not (is_number and 0 <= tolerance < 1e9):
            raise InvalidInput(f"{where}: 'tolerance' is no share such as 0.05.")
        if not isinstance(row.get("options"), dict | None):
            raise InvalidInput(f"{where}: 'options' is not an object.")
        if not isinstance(row.get("meta", {}), dict):
            raise InvalidInput(f"{where}: 'meta' is not an object.")
        return cls(**row)

    def to_json(self) -> str:
        """One line of JSONL."""
        return json.dumps(asdict(self), ensure_ascii=False)
