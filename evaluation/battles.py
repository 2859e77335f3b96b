"""Votes on pairs of answers as arrays: who met whom, who won, who voted on which case."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from evaluation.human_data import HumanVote
from evaluation.stats import Floats
from medchat.errors import InvalidInput

Ints = npt.NDArray[np.int64]
STYLES = ("twice as many words", "twice as much Markdown")
OUTCOMES = {"a": 1.0, "b": 0.0, "tie": 0.5, "both_bad": 0.5}


@dataclass(frozen=True)
class Battles:
    """V votes, as arrays.

    left, right: numbers (V,) of the two models as they stood on the screen. outcome: (V,) 1 for the left one, 0 for the
    right one, 0.5 for a tie. rater, case: numbers (V,) of who voted on which question. features: (V, F) style of the
    left answer less that of the right one, None where it is not known. n_both_bad: ties that said that both are bad.
    """

    left: Ints
    right: Ints
    outcome: Floats
    rater: Ints
    case: Ints
    features: Floats | None = None
    styles: tuple[str, ...] = STYLES
    n_both_bad: int = 0


def battles_of(votes: Sequence[HumanVote], models: Sequence[str]) -> Battles:
    """The votes between different models of the list, hidden repeats left out; "both bad" counts as a tie.

    Features: log2(1 + words) and log2(1 + marks of Markdown), left less right: their effect is that of doubling.
    Raises InvalidInput for a model that is not in the list.
    """
    place = {model: number for number, model in enumerate(models)}
    unknown = sorted({model for vote in votes for model in vote.models} - place.keys())
    if unknown:
        raise InvalidInput(f"Votes name models that are not to be ranked: {', '.join(unknown)}; add them or leave out.")
    counted = [vote for vote in votes if not vote.repeat_of and vote.models[0] != vote.models[1]]
    left, right = (np.array([place[vote.models[side]] for vote in counted], dtype=np.int64) for side in (0, 1))
    style = np.array([[vote.words, vote.markdown] for vote in counted], dtype=float).reshape(-1, 2, 2)  # (V, F, side)
    features = np.log2(1 + style[:, :, 0]) - np.log2(1 + style[:, :, 1])
    return Battles(
        left, right, np.array([OUTCOMES[vote.vote] for vote in counted], dtype=float),
        numbered([vote.rater for vote in counted]), numbered([vote.question_id for vote in counted]), features,
        n_both_bad=sum(vote.vote == "both_bad" for vote in counted),
    )  # fmt: skip


def numbered(names: Sequence[str]) -> Ints:
    """The number (V,) of each name, in the order in which names appear."""
    places: dict[str, int] = {}
    return np.array([places.setdefault(name, len(places)) for name in names], dtype=np.int64)


def table(battles: Battles, n_models: int) -> tuple[Floats, Floats, Floats]:
    """Wins, ties and losses (M, M) of the model of the row against that of the column."""
    cell = battles.left * n_models + battles.right
    won, tied, lost = (
        np.bincount(cell[battles.outcome == outcome], minlength=n_models**2).reshape(n_models, n_models).astype(float)
        for outcome in (1.0, 0.5, 0.0)
    )
    wins = won + lost.T
    return wins, tied + tied.T, wins.T


def groups_of(linked: npt.NDArray[np.bool_]) -> list[list[int]]:
    """The models (M, M: whether two of them met) by groups that are connected, the group of the first one first."""
    left, groups = set(range(len(linked))), []
    while left:
        group, new = set[int](), {min(left)}
        while new:
            group |= new
            new = {other for one in new for other in np.flatnonzero(linked[one]).tolist()} - group
        groups.append(sorted(group))
        left -= group
    return groups


def reached(beaten: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Whether (..., M, M) the model of the row has won or tied against that of the column, directly or over others.

    beaten: whether it has directly. Strengths that fit best are finite when all are reached by all (L. R. Ford,
    American Mathematical Monthly 1957).
    """
    n_models = beaten.shape[-1]
    known = beaten | np.eye(n_models, dtype=bool)
    steps = 1
    while steps < n_models:
        known = (known.astype(np.float32) @ known.astype(np.float32)) > 0
        steps *= 2
    return known
