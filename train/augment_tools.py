"""What children are made and checked with."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from evaluation.metrics import Embeds
from evaluation.vocabulary import Vocabulary
from medchat.records import Example
from train.augment_perturbation import Facts
from train.augment_synonyms import Synonyms
from train.augment_teacher import TeacherOf


class Leaks(Protocol):
    """What is needed of train.leaks.LeakCheck."""

    def found_in_each(self, examples: Sequence[Example]) -> list[str]:
        """The name of the suite that holds the row's question, "" for none, of each row."""
        ...


@dataclass(frozen=True)
class Tools:
    """What children are made and checked with. teacher: None for rules alone; embedder: makes MiniLM's vectors.

    tables: a mark of the tables' files: with others a run that was stopped begins anew.
    """

    facts: Facts
    synonyms: Synonyms
    vocabulary: Vocabulary
    leaks: Leaks
    embedder: Callable[[], Embeds]
    teacher: TeacherOf | None = None
    tables: str = ""
    costs: Callable[[], Mapping[str, Any]] = lambda: {}
