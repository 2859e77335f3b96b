"""Prompts: the only place where a case, a question and earlier turns become messages."""

from collections.abc import Callable, Sequence

from medchat.catalogue import ModelSpec
from medchat.errors import ContextTooLong
from medchat.formats import render
from medchat.records import Message

Turn = tuple[str, str]  # what the user and what the model said


def case_text(question: str, context: str = "") -> str:
    """Context and question as one text, a blank line between them; what grounding looks at."""
    return "\n\n".join(part for part in (context.strip(), question.strip()) if part)


def past_turn(spec: ModelSpec, question: str, context: str, reasoning: str, solution: str) -> Turn:
    """An earlier question with its answer, for the history.

    Of the answer only the solution is kept; the bundled models are given it in the format they write.
    """
    answer = render(spec.answer_format, reasoning, solution) if spec.demo else solution.strip()
    return case_text(question, context), answer


def build_messages(
    spec: ModelSpec, question: str, context: str = "", history: Sequence[Turn] = (), grounding_text: str = ""
) -> tuple[Message, ...]:
    """The system prompt if the model has one, the history, and the question.

    grounding_text: what was recognised in the case; only grounded models are told.
    """
    messages = [Message("system", spec.system_prompt)] if spec.system_prompt else []
    for asked, answered in history:
        messages += [Message("user", asked), Message("assistant", answered)]
    content = case_text(question, context)
    if spec.grounded and grounding_text.strip():
        content = f"{content}\n\n{grounding_text.strip()}"
    return (*messages, Message("user", content))


def fit_history(
    spec: ModelSpec,
    question: str,
    context: str = "",
    history: Sequence[Turn] = (),
    grounding_text: str = "",
    *,
    count_tokens: Callable[[tuple[Message, ...]], int],
    n_ctx: int,
) -> tuple[tuple[Turn, ...], int]:
    """The latest turns that leave room for an answer, and how many older ones were left out.

    count_tokens: tokens of the rendered messages; it may raise ContextTooLong. n_ctx: tokens that
    prompt and answer may have together. Without any history the question is not measured.
    """
    room = n_ctx - spec.sampling.max_new_tokens

    def fits(n_kept: int) -> bool:
        kept = history[len(history) - n_kept :]
        try:
            return count_tokens(build_messages(spec, question, context, kept, grounding_text)) <= room
        except ContextTooLong:
            return False

    fitting, too_many = 0, len(history) + 1
    while too_many - fitting > 1:  # a long conversation is not measured turn by turn
        middle = (fitting + too_many) // 2
        fitting, too_many = (middle, too_many) if fits(middle) else (fitting, middle)
    return tuple(history[len(history) - fitting :]), len(history) - fitting
