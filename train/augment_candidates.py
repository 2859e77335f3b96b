"""What rows offer as children, by rules and by a teacher, before any of it is checked."""

from collections.abc import Callable, Iterator, Sequence
from random import Random

from medchat.records import Example
from train.augment_children import Kind, Made, Refused, id_of
from train.augment_options import Options
from train.augment_perturbation import perturbed
from train.augment_split import looks_compound, split_row
from train.augment_synonyms import synonym_variants
from train.augment_teacher import (
    by_number,
    paraphrases,
    paraphrases_asked,
    parts,
    split_asked,
    synthesis_asked,
    synthetic,
)
from train.augment_tools import Tools
from train.teacher_records import RESTRICTED, Asked, Replied


def candidates(
    rows: Sequence[Example], first: int, options: Options, tools: Tools, told: Callable[[int], None]
) -> list[tuple[Kind, list[Made]]]:
    """What the rows offer, row by row and kind by kind: one entry for each row and kind."""
    teacher, kinds, n = tools.teacher, options.kinds, options.per_question
    ruled = _ruled(rows, options)
    replies = by_number(teacher.replies(list(asked_about(rows, options, ruled)), told)) if teacher else {}
    made: list[tuple[Kind, list[Made]]] = []
    for number, row in enumerate(rows):
        if number % 20 == 0:
            told(first + number)
        for kind in kinds:
            if kind == "paraphrase" and teacher:
                made.append((kind, paraphrases(row, replies.get(kind, {}).get(number), n, teacher)))
            elif kind == "split":
                reply = replies.get(kind, {}).get(number)
                by_teacher = wants_teacher(row, ruled[number], options) and not (_is_kept_here(reply) and ruled[number])
                made.append((kind, parts(row, reply, teacher) if by_teacher and teacher else ruled[number]))
            elif kind == "perturbation":
                made.append((kind, list(perturbed(row, tools.facts, _rng(options, kind, row), n))))
            elif kind == "synonyms":
                rng = _rng(options, kind, row)
                made.append((kind, list(synonym_variants(row, tools.synonyms, tools.vocabulary, rng, n))))
    return made


def wants_teacher(row: Example, ruled: Sequence[Made], options: Options) -> bool:
    """Whether a teacher splits the row: it seems to have parts that no rule could part, or whose answers none could."""
    if "split" not in options.kinds or row.kind != "free" or not looks_compound(row.question):
        return False
    return not ruled or any(isinstance(made, Refused) or (row.answer and made.row.answer is None) for made in ruled)


def _rng(options: Options, kind: Kind, row: Example) -> Random:
    return Random(f"{options.seed} {kind} {id_of(row)}")


def synthetic_pairs(
    topics: Sequence[str], options: Options, tools: Tools, told: Callable[[int], None]
) -> list[tuple[Kind, list[Made]]]:
    """What the teacher writes about the topics; nothing without a teacher."""
    teacher, n = tools.teacher, options.per_question
    if teacher is None:
        return []
    replies = by_number(teacher.replies(asked_on(topics, options), told)).get("synthetic", {})
    return [("synthetic", synthetic(topic, replies.get(number), n, teacher)) for number, topic in enumerate(topics)]


def asked_about(
    rows: Sequence[Example], options: Options, ruled: Sequence[Sequence[Made]] | None = None
) -> Iterator[Asked]:
    """What a teacher is asked about the rows. ruled: of each row how rules split it."""
    ruled = _ruled(rows, options) if ruled is None else ruled
    for number, row in enumerate(rows):
        if options.teacher and "paraphrase" in options.kinds:
            yield paraphrases_asked(row, number, options.per_question, options.seed)
        if options.teacher and wants_teacher(row, ruled[number], options):
            yield split_asked(row, number, options.seed)


def asked_on(topics: Sequence[str], options: Options) -> list[Asked]:
    """What a teacher is asked about the topics."""
    return [
        synthesis_asked(topic, number, options.per_question, options.seed) for number, topic in enumerate(topics)
    ]  # fmt: skip


def _ruled(rows: Sequence[Example], options: Options) -> list[list[Made]]:
    return [list(split_row(row)) if "split" in options.kinds else [] for row in rows]


def _is_kept_here(reply: Replied | None) -> bool:
    """Whether the teacher was not asked since the row may not leave this machine."""
    return reply is not None and reply.error == RESTRICTED
