"""The weak areas of a student, out of the results of an evaluation: which questions it is likely to get wrong.

The questions of the evaluation are never trained on. Of each row to train on it is estimated how likely the student is
wrong: the share of wrong answers among the evaluated questions that are nearest to it by their words (cosine of TF-IDF
over words and pairs of words), weighted by their nearness; where none is near, the share over all of them.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from evaluation.predictions import Prediction, prediction_files, read_predictions
from medchat.errors import InvalidInput
from medchat.prompts import case_text
from medchat.records import Example

NEAREST = 10
BATCH = 2000
# What tells right from wrong, the first that a prediction has; a value below the bound is wrong.
RIGHT_FROM = {
    "mcq_generated": 1.0, "mcq_loglikelihood": 1.0, "diagnosis_strict": 1.0, "diagnosis": 1.0, "calc_correct": 1.0,
    "exact": 1.0, "healthbench": 0.5, "must_have": 0.5, "key_term_f1": 0.3, "rouge_l": 0.2,
}  # fmt: skip
NOTHING = (
    "The results in {} tell of no right and no wrong answer; run an evaluation with options, diagnoses, calculations or"
    " a reference first."
)


@dataclass(frozen=True)
class Weakness:
    """What the student got wrong. groups: name and value of a group -> its questions and how many were wrong."""

    model: str
    n: int
    wrong: int
    groups: dict[str, dict[str, float]]
    _texts: tuple[str, ...]
    _wrong: npt.NDArray[np.bool_]

    def report(self) -> dict[str, Any]:
        """In plain values, the weakest groups first."""
        ordered = sorted(self.groups.items(), key=lambda its: (-its[1]["wrong"] / its[1]["questions"], its[0]))
        return {"model": self.model, "evaluated": self.n, "answered wrongly": self.wrong, "weak groups": dict(ordered)}

    def chances(self, rows: Iterable[Example]) -> npt.NDArray[np.float64]:
        """Of each row how likely the student is wrong, from 0 to 1."""
        from sklearn.feature_extraction.text import TfidfVectorizer  # takes a second

        vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, dtype=np.float32)
        evaluated = vectorizer.fit_transform(self._texts).T.tocsr()
        overall = self.wrong / self.n
        found: list[float] = []
        for batch in _batches(rows, BATCH):
            near = (vectorizer.transform([_text(row.question, row.context) for row in batch]) @ evaluated).tocsr()
            found += [_chance(near.getrow(i), self._wrong, overall) for i in range(len(batch))]
        return np.array(found, np.float64)


def weakness_in(folder: Path) -> Weakness:
    """What the results of an evaluation say of its model. Raises InvalidInput where they say nothing."""
    if not prediction_files(folder):
        raise InvalidInput(f"{folder.name} holds no predictions.jsonl; give the folder of an evaluation.")
    texts, wrong, models = [], [], Counter[str]()
    groups: dict[str, Counter[str]] = {}
    for prediction in read_predictions(folder):
        is_wrong = was_wrong(prediction)
        if is_wrong is None:
            continue
        models[prediction.model] += 1
        texts.append(_text(prediction.question, prediction.context))
        wrong.append(is_wrong)
        for name, value in {"kind": prediction.kind, "suite": prediction.suite, **prediction.groups}.items():
            its = groups.setdefault(f"{name}: {value}", Counter())
            its["questions"] += 1
            its["wrong"] += is_wrong
    if not any(wrong) or not models:
        raise InvalidInput(NOTHING.format(folder.name))
    if len(models) > 1:
        raise InvalidInput(
            f"{folder.name} holds answers of several models ({', '.join(sorted(models))}); give the results of the"
            " student alone."
        )
    plain = {name: dict(its) | {"wrong": its["wrong"]} for name, its in sorted(groups.items())}
    return Weakness(next(iter(models)), len(wrong), sum(wrong), plain, tuple(texts), np.array(wrong))  # type: ignore[arg-type]


def was_wrong(prediction: Prediction) -> bool | None:
    """Whether the model was wrong, or could give no whole answer; None where nobody can tell."""
    if prediction.outcome:
        return prediction.outcome != "right"
    for name, bound in RIGHT_FROM.items():
        value = prediction.scores.get(name)
        if value is not None:
            return value < bound
    return None


def weakest(chances: npt.NDArray[np.float64], share: float) -> npt.NDArray[np.bool_]:
    """The rows with the highest chances, so many of all; the earlier one first where two are equal."""
    n = round(len(chances) * share)
    chosen = np.zeros(len(chances), bool)
    chosen[np.argsort(-chances, kind="stable")[:n]] = True
    return chosen


def _chance(near: Any, wrong: npt.NDArray[np.bool_], overall: float) -> float:
    if not near.nnz:
        return overall
    order = np.argsort(-near.data, kind="stable")[:NEAREST]
    weights, places = near.data[order], near.indices[order]
    # As if one more question as hard as all together stood at the distance of no likeness at all.
    return float((np.sum(weights * wrong[places]) + 0.1 * overall) / (np.sum(weights) + 0.1))


def _batches(rows: Iterable[Example], size: int) -> Iterable[Sequence[Example]]:
    batch: list[Example] = []
    for row in rows:
        batch.append(row)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _text(question: str, context: str) -> str:
    return case_text(question, context)
