"""How many votes each pair of models still needs. Only votes and ties are counted, never who wins."""

from collections import Counter
from collections.abc import Mapping
from itertools import combinations

from evaluation.power import PowerLine, votes_left
from medchat.store import StudyJudgements
from medchat.study_answers import UPLOADED
from medchat.study_design import Design
from medchat.ui.common import escape


def pair_lines(judged: StudyJudgements, design: Design) -> dict[tuple[str, str], PowerLine]:
    """What the votes that came in leave to collect, by the pair of models; {} without votes. Repeats do not count."""
    if not design.votes:
        return {}
    items = {item.id: item for item in judged.items}
    decisive, ties = Counter[frozenset[str]](), Counter[frozenset[str]]()
    for assignment in judged.assignments:
        vote = judged.votes.get(assignment.id)
        if vote is None or assignment.repeat_of is not None:
            continue
        answers = items[assignment.item_id].answer_ids
        pair = frozenset(judged.answers[answer].model_id.removeprefix(UPLOADED) for answer in answers)
        (decisive if vote.vote in ("a", "b") else ties)[pair] += 1
    firsts = design.models[:1] if design.pairs == "reference" else design.models
    return {
        (left, right): votes_left(
            decisive[frozenset((left, right))], 0, ties[frozenset((left, right))], tie_rate=design.tie_rate,
            raters_per_item=design.raters_per_item, icc=design.icc,
        )
        for left, right in combinations(design.models, 2)
        if left in firsts
    }  # fmt: skip


def power_html(lines: Mapping[tuple[str, str], PowerLine], names: Mapping[str, str]) -> str:
    """A line for each pair of models; nothing for none."""
    if not lines:
        return ""
    items = "".join(
        f"<li>{escape(names.get(left, left))} against {escape(names.get(right, right))}: {escape(line.sentence)}</li>"
        for (left, right), line in lines.items()
    )
    return (
        '<section class="mc-study-part" aria-label="Votes"><h3>Votes</h3><p class="mc-small">Counted without looking '
        f'at who wins.</p><ul class="mc-plain">{items}</ul></section>'
    )
