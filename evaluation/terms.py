"""Key terms: the medical terms of a reference that an answer says too, in the same sense.

"No chest pain" is not "chest pain": a term that one of them affirms and the other denies is no match but a
contradiction, which is counted apart. Terms are compared by name, so that a synonym is a match.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from evaluation.metrics import Answer, Metric, Tools, group_of, per_answer, references_of
from evaluation.vocabulary import Term, Vocabulary, vocabulary_of
from medchat.negation import after_cue
from medchat.records import Example

__all__ = ["KeyTerms", "Term", "compared", "key_terms_of", "terms_in"]

Senses = dict[str, frozenset[bool]]  # of each term: affirmed (False), denied (True), or both


class KeyTerms(NamedTuple):
    """How an answer's terms compare with the reference's, by their names.

    missed: only in the reference. added: only in the answer. contradicted: affirmed in one and denied in the other.
    """

    matched: frozenset[str]
    contradicted: frozenset[str]
    missed: frozenset[str]
    added: frozenset[str]

    @property
    def precision(self) -> float | None:
        """Share of the answer's terms that match; None where it has none."""
        n = len(self.matched) + len(self.contradicted) + len(self.added)
        return len(self.matched) / n if n else None

    @property
    def recall(self) -> float:
        """Share of the reference's terms that match."""
        return len(self.matched) / (len(self.matched) + len(self.contradicted) + len(self.missed))

    @property
    def f1(self) -> float:
        """2 matched / (terms of the answer + terms of the reference): the harmonic mean where both are known."""
        n_both = 2 * (len(self.matched) + len(self.contradicted)) + len(self.added) + len(self.missed)
        return 2 * len(self.matched) / n_both


def terms_in(text: str, terms: Vocabulary | Iterable[str]) -> list[Term]:
    """Where the text says or denies these terms, in its order, in any spelling, singular or plural."""
    vocabulary = terms if isinstance(terms, Vocabulary) else Vocabulary(dict.fromkeys(terms, ()))
    return vocabulary.find(text)


def key_terms_of(example: Example, vocabulary: Vocabulary) -> tuple[Vocabulary, Senses]:
    """What an answer to the example is read with, and the reference's terms, each with its sense.

    They are the example's key terms ("no fever" is fever, denied) and those of the vocabulary in the reference answer;
    of a diagnosis the answer itself too, whose wordings are the accepted forms. A key term that the reference answer
    uses has its sense there. No terms: nothing can be scored.
    """
    references = references_of(example)
    own: dict[str, tuple[str, ...]] = {}
    listed: list[tuple[str, bool]] = []
    for term in example.key_terms:
        denied = after_cue(term)
        own.setdefault(denied or term, ())
        listed.append((denied or term, denied is not None))
    if example.kind == "diagnosis" and references and group_of(example) != "unknown":
        own[references[0]] = references[1:]
        listed.append((references[0], False))
    readable = Vocabulary(own, base=vocabulary) if own else vocabulary
    senses = _senses(references[0], readable) if references else {}
    for term, is_denied in listed:
        name = readable.name_of(term)
        if name:
            senses.setdefault(name, frozenset({is_denied}))
    return readable, senses


def compared(example: Example, solution: str, vocabulary: Vocabulary) -> KeyTerms | None:
    """The solution's terms against the reference's; None where the reference has none."""
    readable, theirs = key_terms_of(example, vocabulary)
    if not theirs:
        return None
    ours = _senses(solution, readable)
    both = frozenset(ours.keys() & theirs.keys())
    matched = frozenset(name for name in both if ours[name] & theirs[name])
    return KeyTerms(matched, both - matched, frozenset(theirs.keys() - both), frozenset(ours.keys() - both))


def key_term_precision(tools: Tools) -> Metric:
    """Share of the solution's terms that the reference has in the same sense.

    None where the reference has none, and where a solution that says something has none; 0.0 for a blank one.
    """
    return _metric(tools, lambda terms: terms.precision)


def key_term_recall(tools: Tools) -> Metric:
    """Share of the reference's terms that the solution has in the same sense; None where the reference has none."""
    return _metric(tools, lambda terms: terms.recall)


def key_term_f1(tools: Tools) -> Metric:
    """Harmonic mean of precision and recall; 0.0 where the solution has no term, None where the reference has none."""
    return _metric(tools, lambda terms: terms.f1)


def key_term_contradictions(tools: Tools) -> Metric:
    """Number of terms that one of reference and solution affirms and the other denies.

    None where the reference has no terms. An answer that says nothing contradicts nothing.
    """
    return _metric(tools, lambda terms: float(len(terms.contradicted)))


def _metric(tools: Tools, value: Callable[[KeyTerms], float | None]) -> Metric:
    vocabulary = vocabulary_of(tools.knowledge)

    def one(example: Example, answer: Answer) -> float | None:
        terms = compared(example, answer.solution, vocabulary)
        if terms is None:
            return None
        scored = value(terms)
        return 0.0 if scored is None and not answer.solution.strip() else scored

    return per_answer(one)


def _senses(text: str, vocabulary: Vocabulary) -> Senses:
    senses: Senses = {}
    for term in vocabulary.find(text):
        senses[term.name] = senses.get(term.name, frozenset()) | {term.negated}
    return senses
