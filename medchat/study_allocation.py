"""Assignments out of the allocation's table, and the table again out of assignments."""

from collections.abc import Iterable, Mapping, Sequence

from medchat.allocation import Dealt, Unit
from medchat.store import AnswerRecord, Assignment, NewAssignment, StudyItem


def units_of(items: Iterable[StudyItem], answers: Mapping[str, AnswerRecord]) -> list[Unit]:
    """What is dealt, each known by its number: the same study gives the same table wherever it is made."""
    return [
        Unit(
            str(item.number),
            "rate" if item.kind == "rate" else "pair",
            item.question_id,
            tuple(answers[answer_id].model_id for answer_id in item.answer_ids),
        )
        for item in items
        if item.kind != "calibration"
    ]


def new_assignments(
    rows: Sequence[Dealt], items: Iterable[StudyItem], before: Sequence[Assignment] = ()
) -> list[NewAssignment]:
    """The rows to be stored; repeat_of counts on from those that stood before."""
    ids = {str(item.number): item.id for item in items}
    placed = [assignment.id for assignment in before]
    found: list[NewAssignment] = []
    for row in rows:
        repeat_of = None if row.repeat_of is None else placed[row.repeat_of]
        new = NewAssignment(ids[row.unit_id], row.rater, row.position, row.flipped, repeat_of)
        placed.append(new.id)
        found.append(new)
    return found


def standing(assignments: Iterable[Assignment]) -> list[Assignment]:
    """Those that were not withdrawn, queue by queue."""
    kept = [assignment for assignment in assignments if assignment.state != "withdrawn"]
    return sorted(kept, key=lambda assignment: (assignment.rater, assignment.position))


def dealt_of(assignments: Sequence[Assignment], items: Iterable[StudyItem]) -> list[Dealt]:
    """The table as it stands, in the order of the assignments."""
    numbers = {item.id: str(item.number) for item in items}
    places = {assignment.id: place for place, assignment in enumerate(assignments)}
    return [
        Dealt(
            assignment.rater,
            numbers[assignment.item_id],
            assignment.position,
            assignment.flipped,
            places.get(assignment.repeat_of or ""),
        )
        for assignment in assignments
    ]


def touched(assignments: Sequence[Assignment]) -> set[int]:
    """Places of those that were opened or judged."""
    return {place for place, its in enumerate(assignments) if its.opened_at is not None or its.state != "open"}


def judged(assignments: Sequence[Assignment]) -> set[int]:
    """Places of those that were judged, or could not be."""
    return {place for place, its in enumerate(assignments) if its.state in ("done", "cannot")}
