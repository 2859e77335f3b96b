"""Prompts: what the model is told, in which order, and which earlier turns fit."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from medchat.catalogue import Catalogue, ModelSpec
from medchat.errors import ContextTooLong
from medchat.prompts import build_messages, case_text, cut_to_input, fit_history, is_raw, past_turn
from medchat.records import Message, Sampling

GOLDEN = Path(__file__).parent / "golden"
CATALOGUE = Catalogue(Path("nowhere"))
DEMO = CATALOGUE["demo"]
SYMPTOMS = CATALOGUE["medgemma-symptom-diagnosis"]
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


def test_a_context_longer_than_the_answer_leaves_is_shared_by_both() -> None:
    spec = replace(DEMO, sampling=Sampling(max_new_tokens=1024))

    # An answer may be as long as the context of 100: half is kept for it, and 50 hold the question and 2 turns.
    assert fit_history(spec, "Dx?", history=HISTORY, count_tokens=counting(10), n_ctx=100)[1] == 1


def golden(name: str) -> str:
    return (GOLDEN / f"{name}.txt").read_bytes().decode()


def test_the_medical_reasoning_gemma_gets_the_system_prompt_of_its_training() -> None:
    question = "Which anatomical structure in her chest is most likely to be injured?"

    assert build_messages(CATALOGUE["gemma-3-medical-grpo"], question) == (
        Message("system", golden("gemma-3-medical-grpo")),
        Message("user", question),
    )


@pytest.mark.parametrize(
    ("model_id", "question"),
    [
        ("medgemma-symptom-diagnosis", "fever, cough, fatigue, body aches, headache"),
        (
            "llama-3.2-3b-medical-cot",
            "A 56-year-old patient presents with sudden chest pain radiating to the left arm. "
            "What is the most likely diagnosis?",
        ),
    ],
)
def test_a_prompt_that_a_model_was_trained_with_is_kept_to_the_letter(model_id: str, question: str) -> None:
    spec = CATALOGUE[model_id]

    assert is_raw(spec)
    assert build_messages(spec, question) == (Message("user", golden(model_id)),)


def test_a_raw_prompt_takes_no_history_and_nothing_that_was_recognised() -> None:
    assert build_messages(SYMPTOMS, "fever", history=HISTORY, grounding_text="Recognised: fever.") == build_messages(
        SYMPTOMS, "fever"
    )
    assert not is_raw(DEMO)


def test_where_a_prompt_has_one_place_the_case_goes_before_the_question() -> None:
    message = build_messages(SYMPTOMS, "Dx?", "Woman, 60.")[0].content

    assert "\n### Symptoms:\nWoman, 60.\n\nDx?\n### Diagnosis:\n" in message


def test_medalpaca_is_asked_with_and_without_context_as_it_was_trained() -> None:
    spec = CATALOGUE["medalpaca-7b"]

    assert build_messages(spec, "Dx?")[0].content == "Question: Dx?\n\nAnswer: "
    assert build_messages(spec, "Dx?", "Woman, 60.")[0].content == ("Context: Woman, 60.\n\nQuestion: Dx?\n\nAnswer: ")


def test_braces_that_somebody_typed_stay_as_they_are() -> None:
    content = build_messages(CATALOGUE["medalpaca-7b"], "{context} {0} {", "{question}")[0].content

    assert content == "Context: {question}\n\nQuestion: {context} {0} {\n\nAnswer: "


@pytest.mark.parametrize("model_id", ["biogpt", "biogpt-large", "gemma-2-2b"])
def test_models_that_go_on_with_a_text_get_the_text_alone(model_id: str) -> None:
    assert build_messages(CATALOGUE[model_id], "Gout is")[0].content == "Gout is"


def words(messages: tuple[Message, ...]) -> int:
    return len(messages[-1].content.split())


# The prompt around the symptoms has 17 words: 13 of its first line, 2 of each heading.
CUTTING = replace(SYMPTOMS, max_input_tokens=21)


def test_what_fits_is_not_cut() -> None:
    assert cut_to_input(CUTTING, "fever cough rash pain", "", words) == ("fever cough rash pain", "", False)
    assert cut_to_input(CUTTING, "rash pain", "fever cough", words) == ("rash pain", "fever cough", False)


def test_the_end_of_a_long_question_is_cut_and_the_end_of_the_prompt_stays() -> None:
    question, context, was_cut = cut_to_input(CUTTING, "fever cough rash pain itch chills", "", words)

    assert (question, context, was_cut) == ("fever cough rash pain", "", True)
    assert build_messages(CUTTING, question)[0].content.endswith("rash pain\n### Diagnosis:\n")


def test_the_end_of_the_case_goes_before_the_question_does() -> None:
    assert cut_to_input(CUTTING, "Which disease?", "fever cough rash", words) == (
        "Which disease?",
        "fever cough",
        True,
    )
    assert cut_to_input(CUTTING, "one two three four five", "fever", words) == ("one two three four", "", True)


def test_a_text_is_cut_between_words_and_inside_one_only_where_it_has_no_spaces() -> None:
    def characters(messages: tuple[Message, ...]) -> int:
        return len(messages[-1].content)

    around = len(SYMPTOMS.prompt) - len("{question}")
    spec = replace(SYMPTOMS, max_input_tokens=around + 8)

    assert cut_to_input(spec, "fever coughing", "", characters)[0] == "fever"
    assert cut_to_input(spec, "fever co ughing", "", characters)[0] == "fever co"
    assert cut_to_input(spec, "发热咳嗽乏力全身酸痛", "", characters)[0] == "发热咳嗽乏力全身"


def test_a_text_too_long_to_be_measured_is_cut_too() -> None:
    def count(messages: tuple[Message, ...]) -> int:
        if words(messages) > 30:
            raise ContextTooLong("Too long.")
        return words(messages)

    assert cut_to_input(CUTTING, "pain " * 400, "", count) == ("pain pain pain pain", "", True)


def test_a_model_without_such_a_limit_is_not_measured() -> None:
    def never(messages: tuple[Message, ...]) -> int:
        raise AssertionError

    assert cut_to_input(DEMO, "Dx?", "Woman.", never) == ("Dx?", "Woman.", False)
