"""Rows made clean by named rules; no number, unit, sign or negation changes."""

from dataclasses import replace

import pytest

from medchat.language import other_language
from medchat.records import Example
from train.clean_text import even_spaces, right_characters, without_courtesies, without_markup
from train.cleaning import RULES, Limits, clean

ROW = Example(question="What helps against gout?", answer="Rest, ice, and an anti-inflammatory drug for some days.")
LIMITS = Limits()


def cleaned(**fields: object) -> tuple[str, str, str | None]:
    found = clean(replace(ROW, **fields), LIMITS)  # type: ignore[arg-type]
    return found.dropped, found.example.question, found.example.answer


def test_a_clean_row_stays_as_it_is() -> None:
    assert clean(ROW, LIMITS) == (ROW, "", ())


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("10<sup>5</sup>/mL", "10^5/mL"),
        ("10<sup>5</sup>3", "10^5 3"),
        ("H<sub>2</sub>O and 5<sub>2</sub>", "H2O and 5_2"),
        ("BP <90 and >60, p<0.05, a<b and c>d", "BP <90 and >60, p<0.05, a<b and c>d"),
        ("<=3 cm vs >3 cm", "<=3 cm vs >3 cm"),
        ("5&nbsp;mg &lt;10 &#181;g 1&frac12;", "5 mg <10 µg 1½"),
        ("fever&not cough", "fever&not cough"),  # no entity without its semicolon: "¬ cough" denies nothing
        ("R&D; AT&T", "R&D; AT&T"),
        ("<table><tr><td>5</td><td>10</td></tr><tr><td>6</td></tr></table>", "5 | 10\n6"),
        ("<p>One.</p><p class='x'>Two<br/>three</p>", "One.\n\nTwo\nthree"),
        ("<ul><li>a</li><li>b</li></ul>", "- a\n- b"),
        ("&amp;lt;p&amp;gt;once&amp;lt;/p&amp;gt;", "once"),
        ("<think>kept</think> <SOLUTION>kept</SOLUTION>", "<think>kept</think> <SOLUTION>kept</SOLUTION>"),
        ("a<script>var x = 5 < 6;</script>b", "a b"),
    ],
)
def test_markup_goes_and_what_it_says_stays(written: str, shown: str) -> None:
    assert even_spaces(without_markup(written)) == shown


@pytest.mark.parametrize(
    ("written", "right"),
    [
        ("5\u200b10 mg", "5 10 mg"),  # never 510
        ("5\u00ad10 mg", "5-10 mg"),
        ("5\x9610 mg", "5–10 mg"),
        ("a\u200bb\ufeff", "ab"),
        ("5 Âµg, Î¼, â‰¥ 5, itâ€™s", "5 µg, μ, ≥ 5, it’s"),
        ("un âge, São, Âge", "un âge, São, Âge"),
        ("5 \ufffdg", "5 \ufffdg"),  # it may have been a µ
        ("one\r\ntwo\rthree", "one\ntwo\nthree"),
    ],
)
def test_characters_are_put_right_and_no_number_arises(written: str, right: str) -> None:
    assert right_characters(written) == right


@pytest.mark.parametrize(
    ("said", "left"),
    [
        (
            "Hi, welcome to Health Forum. You have gout. Hope this helps. Take care. Regards, Dr. Jane A. Roe",
            "You have gout.",
        ),
        ("Hello doctor, I have no chest pain. Please help. Thanks in advance", "I have no chest pain."),
        ("Hi. Thanks for posting your query on Ask Doctors. Take 5 mg. Let me know if you have any more questions.",
         "Take 5 mg."),
        ("No fever. If you have any further questions, please do not hesitate to contact us.", "No fever."),
        ("Hello, no fever. I wish you a speedy recovery!", "no fever."),
    ],
)  # fmt: skip
def test_courtesies_go_from_both_ends(said: str, left: str) -> None:
    assert without_courtesies(said) == left


@pytest.mark.parametrize(
    "said",
    [
        "Thank you for your question about warfarin. It is a drug.",
        "Take care of the wound daily. Do not lift.",
        "If you have any chest pain, go to hospital.",
        "Please take 5 mg. Feel free to ask me again in 2 days.",
        "It is a stone. See a doctor.",
        "Nothing is broken. The doctor will decide.",
        "I hope this is not cancer.",
        "Stop it. Let me know if you have any fever.",
    ],
)
def test_a_sentence_that_says_something_stays(said: str) -> None:
    assert without_courtesies(said) == said


def test_a_row_of_courtesies_alone_is_dropped_by_that_rule() -> None:
    assert cleaned(answer="You are welcome. Take care!")[0] == "boilerplate"
    assert cleaned(question="Thank you so much, doctor!")[0] == "boilerplate"
    assert cleaned(answer="<p> </p><br/>")[0] in ("mark-up", "empty answer")
    assert cleaned(question="???")[0] == "empty question"
    assert cleaned(answer=" -- . ")[0] == "empty answer"


def test_what_was_repaired_is_named_once() -> None:
    found = clean(replace(ROW, question="<b>Hi,</b> what  helps?", answer="<i>Rest</i>  and ice. Thanks"), LIMITS)

    assert (found.example.question, found.example.answer) == ("what helps?", "Rest and ice.")
    assert found.repaired == ("mark-up", "white space", "boilerplate")
    assert set(found.repaired) <= set(RULES)


def test_lengths_are_judged_by_kind() -> None:
    assert cleaned(question="Gout?")[0] == "too short"
    assert cleaned(answer="x")[0] == "too short"
    assert cleaned(answer="5")[0] == ""
    assert cleaned(answer="No")[0] == ""
    assert cleaned(kind="mcq", options={"A": "rest", "B": "ice"}, answer="A")[0] == ""
    assert cleaned(kind="calc", question="GFR?", answer="7")[0] == ""
    assert cleaned(answer="word " * 3000)[0] == "too long"


def test_a_missing_answer_is_kept_and_a_placeholder_is_a_missing_one() -> None:
    assert cleaned(answer=None) == ("", ROW.question, None)
    assert cleaned(answer=" N/A ") == ("", ROW.question, None)
    assert cleaned(answer="None")[2] == "None"  # which allergies? none


def test_an_answer_that_stands_in_the_question_is_no_answer() -> None:
    said = "Rest and ice for some days"

    assert cleaned(question=f"{said} was what he told me. What helps?", answer=said)[0] == "answer in question"
    assert cleaned(question="What helps against gout?", answer="What helps against  GOUT")[0] == "answer in question"
    assert cleaned(question="Is it gout or lupus?", answer="lupus")[0] == ""
    assert cleaned(context=f"He said: {said}.", answer=said)[0] == ""  # an answer may be taken from its context


@pytest.mark.parametrize(
    "text",
    [
        "Was sind die Symptome der Gicht und wie wird sie beim Hausarzt behandelt?",
        "¿Cuáles son los síntomas de la gota y cómo se trata en los ancianos?",
        "Quels sont les symptômes de la goutte et comment la traite-t-on chez le patient âgé ?",
        "Какие симптомы подагры и как её лечат у пожилых людей сегодня?",
        "痛风的症状是什么？老年患者应该如何治疗，饮食上要注意什么？",
    ],
)
def test_another_language_is_dropped_unless_it_is_asked_for(text: str) -> None:
    code = other_language(text, ("en",))

    assert cleaned(question=text)[0] == "wrong language"
    assert clean(replace(ROW, question=text), Limits(languages=("en", code))).dropped == ""
    assert clean(replace(ROW, question=text), Limits(languages=())).dropped == ""


@pytest.mark.parametrize(
    "text",
    [
        "MSK: Negative myalgia, negative joint pain, negative stiffness, negative weakness.",
        "45M, DM2, HTN, SOB x3d, JVP 8 cm, BNP 900. Dx?",
        "Amoxicillin 500 mg tid 7 d, ibuprofen 400 mg prn",
        "WHAT ARE THE SYMPTOMS OF GOUT IN THE ELDERLY?",
    ],
)
def test_notes_in_abbreviations_are_english(text: str) -> None:
    assert cleaned(question=text)[0] == ""


def test_options_and_context_are_made_clean_too() -> None:
    found = clean(
        replace(
            ROW,
            kind="mcq",
            options={"A": "<b>rest</b>", "B": " ice "},
            answer="A",
            context="Patient:  Hi.\r\nDoctor: Yes?",
        ),
        LIMITS,
    ).example

    assert found.options == {"A": "rest", "B": "ice"}
    assert found.context == "Patient: Hi.\nDoctor: Yes?"
    assert clean(replace(ROW, context=" <p> </p>"), LIMITS).example.context == ""
