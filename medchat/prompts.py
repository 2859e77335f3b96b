"""Prompts: the only place where a case, a question and earlier turns become messages."""

import re
from collections.abc import Callable, Sequence

from medchat.catalogue import ModelSpec
from medchat.errors import ContextTooLong
from medchat.formats import render
from medchat.records import Message, Request, Sampling

Turn = tuple[str, str]  # what the user and what the model said
CountTokens = Callable[[tuple[Message, ...]], int]  # of the rendered messages; it may raise ContextTooLong

_PLACE = re.compile(r"\{(?:question|context)\}")
_CASE = "{case}"
_LAST_WORD = re.compile(r"\s+\S{0,30}\Z")


def case_text(question: str, context: str = "") -> str:
    """Context and question as one text, a blank line between them; what grounding looks at."""
    return "\n\n".join(part for part in (context.strip(), question.strip()) if part)


def past_turn(spec: ModelSpec, question: str, context: str, reasoning: str, solution: str) -> Turn:
    """An earlier question with its answer, for the history.

    Of the answer only the solution is kept; the bundled models are given it in the format they write.
    """
    answer = render(spec.answer_format, reasoning, solution) if spec.demo else solution.strip()
    return case_text(question, context), answer


def is_raw(spec: ModelSpec) -> bool:
    """Whether the model has a prompt of its own instead of a chat, which takes one case and no earlier turns."""
    return bool(spec.prompt)


def build_messages(
    spec: ModelSpec, question: str, context: str = "", history: Sequence[Turn] = (), grounding_text: str = ""
) -> tuple[Message, ...]:
    """The system prompt if the model has one, the history, and the question; for a raw one its whole prompt.

    grounding_text: what was recognised in the case; only grounded models are told.
    """
    if is_raw(spec):
        return (Message("user", _raw_prompt(spec, question.strip(), context.strip())),)
    messages = [Message("system", spec.system_prompt)] if spec.system_prompt else []
    for asked, answered in history:
        messages += [Message("user", _said(spec, asked)), Message("assistant", _after_start(spec, answered))]
    content = _said(spec, case_text(question, context))
    if spec.grounded and grounding_text.strip():
        content = f"{content}\n\n{grounding_text.strip()}"
    return (*messages, Message("user", content))


def answer_request(spec: ModelSpec, messages: tuple[Message, ...], sampling: Sampling, written: str = "") -> Request:
    """The request for the answer to these messages; written: what the model has written of it, where it was cut."""
    return Request(messages, sampling, prefill=answer_start(spec) + written, raw=is_raw(spec))


def answer_start(spec: ModelSpec) -> str:
    """What stands before all that the model writes, in its own turn of the chat; a raw prompt has it in itself."""
    return "" if is_raw(spec) else spec.answer_start


def as_answer(request: Request, text: str) -> str:
    """The text as it follows the request: behind a word, be it of a raw prompt or of the answer's start, by a space."""
    before = request.prefill or (request.messages[-1].content if request.raw else "")
    return f" {text.lstrip()}" if before and not before[-1].isspace() else text


def _said(spec: ModelSpec, case: str) -> str:
    return spec.case_form.replace(_CASE, case, 1) if spec.case_form else case


def _after_start(spec: ModelSpec, answered: str) -> str:
    return f"{spec.answer_start} {answered}" if spec.answer_start else answered


def _raw_prompt(spec: ModelSpec, question: str, context: str) -> str:
    template = spec.prompt
    if context and spec.prompt_with_context:
        template = spec.prompt_with_context
    elif context:
        question = case_text(question, context)
    given = {"{question}": question, "{context}": context}
    return _PLACE.sub(lambda place: given[place[0]], template)  # in one go: braces may stand in what was typed


def cut_to_input(spec: ModelSpec, question: str, context: str, count_tokens: CountTokens) -> tuple[str, str, bool]:
    """Question and context with which the raw prompt has at most spec.max_input_tokens, and whether they were cut.

    The end of the context goes first, then that of the question: what the prompt says after them stays.
    """
    if not spec.max_input_tokens:
        return question, context, False

    def fits(question: str, context: str) -> bool:
        try:
            return count_tokens(build_messages(spec, question, context)) <= spec.max_input_tokens
        except ContextTooLong:
            return False

    if fits(question, context):
        return question, context, False
    context = _longest_beginning(context, lambda part: fits(question, part))
    if not context:
        question = _longest_beginning(question, lambda part: fits(part, ""))
    return question, context, True


def _longest_beginning(text: str, fits: Callable[[str], bool]) -> str:
    """The longest beginning that fits, in whole words where the text has spaces."""
    fitting, too_long = 0, len(text) + 1
    while too_long - fitting > 1:
        middle = (fitting + too_long) // 2
        fitting, too_long = (middle, too_long) if fits(text[:middle]) else (fitting, middle)
    if fitting < len(text) and not text[fitting].isspace():
        return _LAST_WORD.sub("", text[:fitting])
    return text[:fitting].rstrip()


def fit_history(
    spec: ModelSpec,
    question: str,
    context: str = "",
    history: Sequence[Turn] = (),
    grounding_text: str = "",
    *,
    count_tokens: CountTokens,
    n_ctx: int,
) -> tuple[tuple[Turn, ...], int]:
    """The latest turns that leave room for an answer, and how many older ones were left out.

    n_ctx: tokens that prompt and answer may have together. Without any history the question is not measured.
    """
    # A long answer that may fill the whole context would leave no turn in it.
    room = n_ctx - min(spec.sampling.max_new_tokens, n_ctx // 2)

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
