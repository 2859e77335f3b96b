"""How far a judge agrees with clinicians on the same answers."""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass

from evaluation.stats import wilson

MIN_ITEMS = 30  # below it the agreement counts as not shown


@dataclass(frozen=True, slots=True)
class JudgeAgreement:
    """n: items that both judged. n_unscored: rated ones without a verdict of the judge.

    agreement: the mean over items of the share of its clinicians that said the same, with its 95 % interval
    (Wilson over items). kappa: Cohen's, over all pairs of verdict and rating; None where chance alone explains all.
    """

    n: int
    n_unscored: int = 0
    agreement: float | None = None
    low: float | None = None
    high: float | None = None
    kappa: float | None = None

    @property
    def is_shown(self) -> bool:
        """Whether enough items were compared for a score of the judge to be used."""
        return self.n >= MIN_ITEMS and self.agreement is not None

    @property
    def label(self) -> str:
        """In words, to stand beside a score."""
        if not self.is_shown or self.agreement is None or self.low is None or self.high is None:
            return f"not shown to agree with clinicians (n = {self.n})"
        kappa = "not defined" if self.kappa is None else f"{self.kappa:.2f}"
        return (
            f"agrees with clinicians in {self.agreement:.0%} ({self.low:.0%} to {self.high:.0%}), kappa {kappa},"
            f" n = {self.n}"
        )


def judge_agreement(verdicts: Mapping[str, Hashable | None], ratings: Iterable[tuple[str, Hashable]]) -> JudgeAgreement:
    """The agreement of the judge's verdicts with clinicians' ratings of the same items.

    verdicts: item -> what the judge said (True, "a", ...), None for no verdict. ratings: item and what one clinician
    said of it, in the same values; an item may have several. The item is an answer, an answer with a criterion, or a
    comparison: whatever both were asked.
    """
    by_item: dict[str, list[Hashable]] = {}
    for item, value in ratings:
        if item in verdicts:
            by_item.setdefault(item, []).append(value)
    judged = {item: values for item, values in by_item.items() if verdicts[item] is not None}
    shares = [sum(value == verdicts[item] for value in values) / len(values) for item, values in judged.items()]
    n_unscored = len(by_item) - len(judged)
    if not shares:
        return JudgeAgreement(0, n_unscored)
    low, high = wilson(sum(shares), len(shares))
    pairs = [(verdicts[item], value) for item, values in judged.items() for value in values]
    return JudgeAgreement(len(shares), n_unscored, sum(shares) / len(shares), low, high, _kappa(pairs))


def _kappa(pairs: list[tuple[Hashable, Hashable]]) -> float | None:
    """Cohen's kappa; None when the judge and the clinicians said one and the same of everything."""
    from sklearn.metrics import cohen_kappa_score

    labels = sorted({str(value) for pair in pairs for value in pair})
    if len(labels) < 2:
        return None
    return float(cohen_kappa_score([str(a) for a, _ in pairs], [str(b) for _, b in pairs], labels=labels))
