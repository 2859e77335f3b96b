"""Prompts: what the model is told, in which order, and which earlier turns fit."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from medchat.catalogue import ModelSpec, load_catalogue
from medchat.errors import ContextTooLong
from medchat.prompts import build_messages, case_text, fit_history, past_turn
from medchat.records import Message, Sampling

DEMO = load_catalogue()["demo"]
OTHER = replace(DEMO, demo=False, grounded=False, answer_format="think", system_prompt="You reason about cases.")
HISTORY = [("Fever?", "Flu."), ("Cough?", "Cold."), ("Rash?", "Measles.")]


def test_a_question_alone() -> None:
    assert build_messages(DEMO, " Fever and cough?\n") == (Message("user", "Fever and cough?"),)


def test_context_and_question_stand_apart() -> None:
    assert case_text("Dx?", "Woman, 60.") == "Woman, 60.\n\nDx?"
    assert build_messages(DEMO, "Dx?", "Woman, 60.") == (Message("user", "Woman, 60.\n\nDx?"),)


def test_a_grounded_model_is_told_what_was_recognised_after_the_question() -> None:
    messages = build_messages(DEMO, "Dx?", "Woman, 60.", grounding_text="Recognised: fever.\n")

    assert messages == (Message("user", "Woman, 60.\n\nDx?\n\nRecognised: fever."),)


def test_other_models_are_not_told_what_was_recognised() -> None:
    assert build_messages(OTHER, "Dx?", grounding_text="Recognised: fever.")[-1] == Message("user", "Dx?")


def test_system_prompt_history_and_question_in_this_order() -> None:
    assert build_messages(OTHER, "Dx?", history=HISTORY[:2]) == (
        Message("system", "You reason about cases."),
        Message("user", "Fever?"),
        Message("assistant", "Flu."),
        Message("user", "Cough?"),
        Message("assistant", "Cold."),
        Message("user", "Dx?"),
    )


def test_of_an_earlier_answer_other_models_get_the_solution_alone() -> None:
    assert past_turn(OTHER, "Dx?", "Woman, 60.", "1. Fever.", "Flu\n") == ("Woman, 60.\n\nDx?", "Flu")


def test_an_earlier_answer_is_given_to_the_bundled_models_as_they_wrote_it() -> None:
    asked, answered = past_turn(DEMO, "Dx?", "", "1. Fever.", "Flu")

    assert asked == "Dx?"
    assert answered == "<start_reasoning>\n1. Fever.\n<end_reasoning><SOLUTION>Flu</SOLUTION>"


def counting(per_message: int) -> Callable[[tuple[Message, ...]], int]:
    return lambda messages: per_message * len(messages)


@pytest.mark.parametrize(
    ("n_ctx", "n_kept"),
    [
        # The answer needs 20 of n_ctx and a message has 10 tokens: the question and n turns need 10 + 20 n.
        (90, 3),
        (89, 2),
        (70, 2),
        (69, 1),
        (50, 1),
        (49, 0),
        (30, 0),
        (10, 0),
    ],
)
def test_the_oldest_whole_turns_make_room_for_the_answer(n_ctx: int, n_kept: int) -> None:
    spec: ModelSpec = replace(DEMO, sampling=Sampling(max_new_tokens=20))

    kept, left_out = fit_history(spec, "Dx?", history=HISTORY, count_tokens=counting(10), n_ctx=n_ctx)

    assert kept == tuple(HISTORY[3 - n_kept :])
    assert left_out == 3 - n_kept


def test_context_and_grounding_count_too() -> None:
    spec = replace(DEMO, sampling=Sampling(max_new_tokens=20))

    def characters(messages: tuple[Message, ...]) -> int:
        return sum(len(message.content) for message in messages)

    # "Dx?" 3; "Fever?" "Flu." 10; "Cough?" "Cold." 11; "Rash?" "Measles." 13: 37 and 20 for the answer.
    def kept(context: str, grounding_text: str) -> int:
        return len(fit_history(spec, "Dx?", context, HISTORY, grounding_text, count_tokens=characters, n_ctx=57)[0])

    assert kept("", "") == 3
    assert kept("Man.", "") == 2
    assert kept("", "Recognised: fever.") == 1


def test_a_history_too_long_to_be_measured_is_shortened() -> None:
    def count(messages: tuple[Message, ...]) -> int:
        if len(messages) > 3:
            raise ContextTooLong("Too long.")
        return 10

    assert fit_history(DEMO, "Dx?", history=HISTORY, count_tokens=count, n_ctx=1024) == ((HISTORY[2],), 2)


def test_a_long_conversation_is_measured_a_few_times_only() -> None:
    calls: list[int] = []

    def count(messages: tuple[Message, ...]) -> int:
        calls.append(len(messages))
        return len(messages)

    kept, left_out = fit_history(DEMO, "Dx?", history=HISTORY * 400, count_tokens=count, n_ctx=1024)

    # 1024 - 320 = 704 messages fit: the question and 351 turns.
    assert (len(kept), left_out) == (351, 849)
    assert len(calls) < 15


def test_without_history_nothing_is_measured_and_nothing_left_out() -> None:
    def never(messages: tuple[Message, ...]) -> int:
        raise ContextTooLong("Too long.")

    assert fit_history(DEMO, "Dx?", count_tokens=never, n_ctx=64) == ((), 0)
