"""Candidates that a teacher writes: paraphrases, the parts of a question, and pairs on rare topics."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from medchat.records import Example, Sampling
from train.augment_children import Child, Kind, Made, Refused, child_of, id_of, with_id
from train.augment_replies import (
    DIVIDE,
    REPHRASE,
    TEACH,
    is_an_empty_list,
    paraphrase_prompt,
    part_of,
    read_list,
    read_pairs,
    split_prompt,
    synthesis_prompt,
)
from train.teacher_records import RESTRICTED, Asked, Replied, is_restricted

NO_LIST = "the teacher's reply holds no list"
ONE_PART = "the teacher sees a single question"
NO_ANSWER = "the teacher gave no answer"
SHORTEST_ANSWER = 20  # characters of a synthetic answer
TEMPERATURE = 0.7  # for wordings that differ
TOKENS_EACH = 160  # of a paraphrase
TOKENS_PAIR = 500  # of a synthetic pair
TOKENS_SPLIT = 1500


class Asks(Protocol):
    """What is needed of train.teachers.Teacher."""

    @property
    def terms(self) -> str:
        """Under which its answers may be used."""
        ...

    def ask(self, asked: Iterable[Asked], progress: Callable[[int], None] = ...) -> Iterator[Replied]:
        """The reply to each question, in any order."""
        ...


@dataclass(frozen=True, slots=True)
class TeacherOf:
    """A teacher with its name in the catalogue. seed: of what it draws."""

    name: str
    asks: Asks
    seed: int

    def replies(self, asked: Sequence[Asked], progress: Callable[[int], None]) -> Mapping[str, Replied]:
        """The replies by the keys of what was asked."""
        return {replied.asked.key: replied for replied in self.asks.ask(asked, progress)} if asked else {}


def paraphrases_asked(row: Example, number: int, n: int, seed: int) -> Asked:
    """What asks for n paraphrases. number: of the row, for the key."""
    sampling = Sampling(max_new_tokens=TOKENS_EACH * n, temperature=TEMPERATURE, top_p=0.95, seed=seed)
    prompt = paraphrase_prompt(row, n)
    return Asked(f"paraphrase {number}", prompt, REPHRASE, sampling, restricted=is_restricted(row))


def split_asked(row: Example, number: int, seed: int) -> Asked:
    """What asks for the parts of the row's question."""
    sampling = Sampling(max_new_tokens=TOKENS_SPLIT, seed=seed)
    return Asked(f"split {number}", split_prompt(row), DIVIDE, sampling, restricted=is_restricted(row))


def synthesis_asked(topic: str, number: int, n: int, seed: int) -> Asked:
    """What asks for n pairs about a topic."""
    sampling = Sampling(max_new_tokens=TOKENS_PAIR * n, temperature=TEMPERATURE, top_p=0.95, seed=seed)
    return Asked(f"synthetic {number}", synthesis_prompt(topic, n), TEACH, sampling)


def paraphrases(row: Example, replied: Replied | None, n: int, teacher: TeacherOf) -> list[Made]:
    """The candidates of a reply, or one Refused."""
    failed = _failed("paraphrase", id_of(row), replied, row.question)
    if failed or replied is None:
        return [failed] if failed else []
    found = read_list(_said(replied), n)
    if not found:
        return [Refused("paraphrase", id_of(row), NO_LIST, text=_said(replied))]
    made = [
        child_of(
            "paraphrase",
            row,
            question=text,
            answer=row.answer,
            teacher=teacher.name,
            terms=teacher.asks.terms,
            variant=number,
        )
        for number, text in enumerate(found)
    ]
    return list(made)


def parts(row: Example, replied: Replied | None, teacher: TeacherOf) -> list[Made]:
    """The parts that a teacher found, each with what stands in the answer word by word, or one Refused."""
    failed = _failed("split", id_of(row), replied, row.question)
    if failed or replied is None:
        return [failed] if failed else []
    found = read_pairs(_said(replied))
    if len(found) < 2:
        reason = ONE_PART if found or is_an_empty_list(_said(replied)) else NO_LIST
        return [Refused("split", id_of(row), reason, text=_said(replied))]
    made = [
        child_of(
            "split", row, question=pair.question, answer=part_of(row.answer, pair.answer), teacher=teacher.name,
            terms=teacher.asks.terms, variant=number, changed={"part": number + 1},
        )
        for number, pair in enumerate(found)
    ]  # fmt: skip
    return list(made)


def synthetic(topic: str, replied: Replied | None, n: int, teacher: TeacherOf) -> list[Made]:
    """New pairs about a topic; all of them wait for a reviewer."""
    failed = _failed("synthetic", "", replied, topic)
    if failed or replied is None:
        return [failed] if failed else []
    pairs = read_pairs(_said(replied))[:n]
    if not pairs:
        return [Refused("synthetic", "", NO_LIST, topic, _said(replied))]
    return [
        _synthetic_row(topic, pair.question, pair.answer, number, teacher)
        if pair.answer and len(pair.answer) >= SHORTEST_ANSWER
        else Refused("synthetic", "", NO_ANSWER, topic, pair.question)
        for number, pair in enumerate(pairs)
    ]


def _synthetic_row(topic: str, question: str, answer: str, number: int, teacher: TeacherOf) -> Child:
    meta = {"made": "synthetic", "teacher": teacher.name, "topic": topic, "review": "needed"}
    meta |= {"teacher_terms": teacher.asks.terms} if teacher.asks.terms else {}
    row = Example(
        question, answer, source=f"synthetic ({teacher.name})", licence=teacher.asks.terms or "not stated",
        split="train", meta=meta,
    )  # fmt: skip
    return Child("synthetic", None, with_id(row), number)


def _failed(kind: Kind, parent: str, replied: Replied | None, text: str) -> Refused | None:
    """Why there is nothing to read in the reply; None where there is."""
    reason = "not asked" if replied is None else replied.error or ("" if replied.whole else "the reply was cut off")
    if reason == RESTRICTED:
        return Refused(kind, parent, reason)  # nothing of it stands in the report
    return Refused(kind, parent, f"teacher: {reason}", text=text) if reason else None


def _said(replied: Replied) -> str:
    return replied.solution or replied.text


def by_number(replies: Mapping[str, Replied]) -> dict[str, dict[int, Replied]]:
    """The replies by kind and by the number of the row or topic."""
    found: dict[str, dict[int, Replied]] = {}
    for key, replied in replies.items():
        kind, _, number = key.partition(" ")
        found.setdefault(kind, {})[int(number)] = replied
    return found
