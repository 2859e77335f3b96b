"""Answer formats: what is reasoning, what is the solution, and that nobody ever sees half a mark."""

import time
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medchat.formats import FORMATS, IncrementalParser, Mark, Parsed, parse, render
from medchat.records import FinishReason

TAGGED = [name for name in FORMATS if name not in ("diagnosis", "plain")]
REASONING = "1. Fever of 39 °C and neck stiffness.\n2. BP < 90, so sepsis is weighed."
SOLUTION = "Bacterial meningitis\n\n- lumbar puncture"


def show(name: str, text: str) -> tuple[str, str, bool]:
    parsed = parse(name, text)
    return parsed.reasoning, parsed.solution, parsed.complete


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("gemma-grpo", "<start_reasoning>\nFever.\n<end_reasoning><SOLUTION>Flu</SOLUTION>"),
        ("gemma-grpo", "<start_reasoning>Fever.<end_reasoning>\n<SOLUTION>\nFlu\n</SOLUTION>\n"),
        ("gemma-grpo", "<start_working_out>Fever.<end_working_out><SOLUTION>Flu</SOLUTION>"),
        ("think-response", "<think>Fever.</think><response>Flu</response>"),
        ("think", "<think>\nFever.\n</think>\n\nFlu"),
        ("final-answer", "Fever. Final Answer: Flu"),
        ("final-answer", "Fever.\n\n**Final Answer:** Flu"),
        ("final-answer", "Fever.\n**Final Answer**: Flu"),
        ("final-answer", "Fever.\n**Final Answer**\nFlu"),
        ("final-answer", "Fever.\n### Final Answer\nFlu"),
        ("final-answer", "Fever.\n## Final Answer: Flu"),
        ("huatuo", "## Thinking\n\nFever.\n\n## Final Response\n\nFlu"),
        ("medgemma-thought", "<unused94>thought\nFever.<unused95>Flu"),
        ("medgemma-thought", "<unused94>Fever.<unused95>Flu"),
        (
            "harmony",
            "<|channel|>analysis<|message|>Fever.<|end|><|start|>assistant<|channel|>final<|message|>Flu<|return|>",
        ),
        ("harmony", "<|channel|>analysis<|message|>Fever.<|end|><|start|>assistant<|channel|>final<|message|>Flu"),
    ],
)
def test_an_answer_as_the_model_card_writes_it(name: str, text: str) -> None:
    assert show(name, text) == ("Fever.", "Flu", True)


def test_the_diagnosis_is_the_first_line() -> None:
    assert parse("diagnosis", "\n Influenza\nFever points to it.\n") == Parsed("", "Influenza", True, closed=True)
    assert parse("diagnosis", "Influenza") == Parsed("", "Influenza", True, closed=False)


def test_a_plain_answer_is_shown_as_it_is() -> None:
    text = "<think>A</think> `B`\n</SOLUTION> Final Answer: C <"

    assert show("plain", text) == ("", text, True)


@pytest.mark.parametrize("name", FORMATS)
def test_an_empty_answer_is_not_complete(name: str) -> None:
    assert show(name, "") == show(name, " \n ") == ("", "", False)


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "final-answer"])
def test_an_answer_without_marks_is_shown_as_the_solution(name: str) -> None:
    assert show(name, "Influenza, most likely.") == ("", "Influenza, most likely.", True)


def test_steps_without_a_final_answer_stay_reasoning() -> None:
    assert show("final-answer", "1. Fever.\n2. Weigh influ") == ("1. Fever.\n2. Weigh influ", "", False)


@pytest.mark.parametrize(
    ("name", "opener"),
    [
        ("gemma-grpo", "<start_reasoning>"),
        ("think-response", "<think>"),
        ("think", "<think>"),
        ("huatuo", "## Thinking\n"),
        ("medgemma-thought", "<unused94>thought\n"),
        ("harmony", "<|channel|>analysis<|message|>"),
    ],
)
def test_truncated_reasoning_is_not_a_solution(name: str, opener: str) -> None:
    assert show(name, f"{opener}1. Fever, so perhaps influ") == ("1. Fever, so perhaps influ", "", False)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("gemma-grpo", "Fever.<end_reasoning><SOLUTION>Flu</SOLUTION>"),
        ("think-response", "Fever.</think><response>Flu</response>"),
        ("think", "Fever.\n</think>\n\nFlu"),
        ("huatuo", "Fever.\n\n## Final Response\n\nFlu"),
        ("medgemma-thought", "Fever.<unused95>Flu"),
        ("harmony", "Fever.<|channel|>final<|message|>Flu"),
    ],
)
def test_reasoning_whose_opener_the_chat_template_wrote(name: str, text: str) -> None:
    assert show(name, text) == ("Fever.", "Flu", True)


def test_a_closer_whose_opener_the_template_wrote_leaves_no_solution_behind() -> None:
    assert show("think", "Fever, so influenza.</think>") == ("Fever, so influenza.", "", False)


@pytest.mark.parametrize("name", ["gemma-grpo", "think-response"])
def test_a_cut_solution_is_shown_and_not_complete(name: str) -> None:
    whole = render(name, "Fever.", "Influenza")
    cut = whole[: whole.index("Influenza") + 5]

    assert show(name, cut) == ("Fever.", "Influ", False)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # the reasoning's closer is missing
        ("<start_reasoning>Fever.<SOLUTION>Flu</SOLUTION>", ("Fever.", "Flu", True)),
        # the solution's marks are missing: shown, but the format was not brought to its end
        ("<start_reasoning>Fever.<end_reasoning>Flu", ("Fever.", "Flu", False)),
        # only the solution's closer is there
        ("<start_reasoning>Fever.<end_reasoning>Flu</SOLUTION>", ("Fever.", "Flu", True)),
        # words around the marks
        (
            "Let me think. <start_reasoning>Fever.<end_reasoning> So: <SOLUTION>Flu</SOLUTION> Take care.",
            ("Let me think.\n\nFever.\n\nSo:", "Flu", True),
        ),
        # a solution closer in the reasoning closes nothing
        ("<start_reasoning>Fever.</SOLUTION> Cough.", ("Fever.\n\nCough.", "", False)),
        # a solution with nothing in it
        ("<start_reasoning>Fever.<end_reasoning><SOLUTION></SOLUTION>", ("Fever.", "", False)),
    ],
)
def test_missing_marks(text: str, expected: tuple[str, str, bool]) -> None:
    assert show("gemma-grpo", text) == expected


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("think", "<think><think>Fever.</think>Flu", ("Fever.", "Flu", True)),
        ("think", "<think>Fever.</think></think>Flu", ("Fever.", "Flu", True)),
        ("think", "<think>Fever.</think>Flu</think>", ("Fever.", "Flu", True)),
        ("think", "<think>Fever.</think>Flu<think>Cough.</think>Rest.", ("Fever.\n\nCough.", "Flu\n\nRest.", True)),
        (
            "gemma-grpo",
            "<start_reasoning>Fever.<end_reasoning><SOLUTION><SOLUTION>Flu</SOLUTION></SOLUTION>",
            ("Fever.", "Flu", True),
        ),
        ("gemma-grpo", "<SOLUTION>Flu</SOLUTION><SOLUTION>Cold</SOLUTION>", ("", "Flu", True)),
        ("final-answer", "Fever.\nFinal Answer: must fit.\nFinal Answer: Flu", ("Fever.\n\nmust fit.", "Flu", True)),
    ],
)
def test_doubled_marks_count_once(name: str, text: str, expected: tuple[str, str, bool]) -> None:
    assert show(name, text) == expected


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("think", "<think>A<think>B</think>C</think>Flu", ("A\n\nB\n\nC", "Flu", True)),
        ("think-response", "<think>A<response>B</response>C</think>", ("A", "B", True)),
        ("think-response", "<response>Flu<think>A</think>, type B</response>", ("A", "Flu\n\n, type B", True)),
        ("gemma-grpo", "<SOLUTION>Take <SOLUTION>rest</SOLUTION></SOLUTION>", ("", "Take\n\nrest", True)),
        ("think-response", "<response>Flu<think>A</response>", ("A", "Flu", True)),
    ],
)
def test_nested_marks(name: str, text: str, expected: tuple[str, str, bool]) -> None:
    assert show(name, text) == expected


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("think-response", "<response>Flu</response><think>Fever.</think>", ("Fever.", "Flu", True)),
        ("think-response", "<response>Flu</response><think>Fever, and", ("Fever, and", "Flu", False)),
        ("think", "Flu<think>Fever.</think>", ("Fever.", "Flu", True)),
        ("gemma-grpo", "<end_reasoning>Fever.<start_reasoning></SOLUTION>Flu<SOLUTION>", ("Fever.\n\nFlu", "", False)),
    ],
)
def test_marks_in_the_wrong_order(name: str, text: str, expected: tuple[str, str, bool]) -> None:
    assert show(name, text) == expected


def test_marks_in_other_letter_case() -> None:
    assert show("think", "<THINK>Fever.</Think>Flu") == ("Fever.", "Flu", True)
    assert show("gemma-grpo", "<Start_Reasoning>A<END_reasoning><solution>B</Solution>") == ("A", "B", True)
    assert show("final-answer", "Fever.\nFINAL ANSWER: Flu") == ("Fever.", "Flu", True)


def test_letters_that_only_look_alike_are_no_marks() -> None:
    # U+212A KELVIN SIGN and U+017F LONG S match k and s when case is ignored the Unicode way.
    text = "<thin\u212a> <re\u017fponse>"

    assert show("think-response", text) == ("", text, True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<think>Close it with `</think>` later.</think>Flu", ("Close it with `</think>` later.", "Flu", True)),
        ("<think>Write `<think>x</think>`.</think>Flu", ("Write `<think>x</think>`.", "Flu", True)),
        ("<think>Write ``a ` </think>``.</think>Flu", ("Write ``a ` </think>``.", "Flu", True)),
        ("<think>As in\n```\n</think>\n```\nso.</think>Flu", ("As in\n```\n</think>\n```\nso.", "Flu", True)),
        ("<think>As in\n  ```xml\n</think>\n  ````\n.</think>A", ("As in\n  ```xml\n</think>\n  ````\n.", "A", True)),
    ],
)
def test_marks_in_code_are_text(text: str, expected: tuple[str, str, bool]) -> None:
    assert show("think", text) == expected


@pytest.mark.parametrize(
    ("text", "reasoning"),
    [
        ("<think>The patient`s fever.</think>Flu", "The patient`s fever."),
        ("<think>The patient`s fever.</think>Flu\n`x`", "The patient`s fever."),
        ("<think>`a` b</think>Flu", "`a` b"),
        ("<think>A\n```\nb</think>Flu", "A\n```\nb"),
        ("<think>A\n```\nb ` c\n``\n</think>Flu", "A\n```\nb ` c\n``"),
    ],
)
def test_code_that_nobody_closes_does_not_swallow_a_closer(text: str, reasoning: str) -> None:
    parsed = parse("think", text)

    assert parsed.reasoning == reasoning
    assert parsed.solution.startswith("Flu")


def test_a_fence_that_is_never_closed_holds_a_stream_back_for_a_thousand_characters_only() -> None:
    parser = IncrementalParser("think")

    assert parser.feed("<think>A\n```\nb</think>" + "x" * 999).solution == ""
    assert parser.feed("x").solution == "x" * 1000


@pytest.mark.parametrize("name", FORMATS)
def test_a_stream_only_ever_shows_beginnings_of_what_it_will_have_shown(name: str) -> None:
    text = render(name, REASONING, SOLUTION)
    whole = parse(name, text)
    parser = IncrementalParser(name)

    for character in text:
        state = parser.feed(character)
        assert whole.reasoning.startswith(state.reasoning)
        assert whole.solution.startswith(state.solution)
    assert parser.finish() == whole


@pytest.mark.parametrize("name", ["gemma-grpo", "think-response", "think", "medgemma-thought", "harmony", "huatuo"])
def test_an_answer_cut_anywhere_shows_no_half_mark(name: str) -> None:
    text = render(name, "Fever.", "Flu")

    for end in range(len(text)):
        parsed = parse(name, text[:end])
        # One # at the end stays: it is what clinicians write for a fracture.
        assert "Fever.".startswith(parsed.reasoning.removesuffix("\n\n#"))
        assert "Flu".startswith(parsed.solution.removesuffix("#"))


def test_what_only_began_like_a_mark_is_shown() -> None:
    parser = IncrementalParser("gemma-grpo")

    assert parser.feed("<start_reasoning>BP <").reasoning == "BP"
    assert parser.feed(" 90 <s").reasoning == "BP < 90"
    assert parser.feed("ome>").reasoning == "BP < 90 <some>"


def test_an_answer_may_end_with_words_that_begin_a_mark() -> None:
    assert parse("final-answer", "Steps. Final Answer: malaria, grade F").solution == "malaria, grade F"
    assert parse("final-answer", "Steps. Final Answer: give **aspirin**").solution == "give **aspirin**"
    assert parse("final-answer", "Steps. Final Answ").reasoning == "Steps."


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(("reasoning", "solution"), [(REASONING, SOLUTION), ("", "Flu"), ("{} \\1", "{}")])
def test_what_is_rendered_is_parsed_again(name: str, reasoning: str, solution: str) -> None:
    parsed = parse(name, render(name, reasoning, solution))

    kept = reasoning if name in TAGGED else ""
    first_line = solution.splitlines()[0]
    assert (parsed.reasoning, parsed.solution) == (kept, first_line if name == "diagnosis" else solution)
    assert parsed.complete


def test_answers_are_rendered_as_the_model_cards_write_them() -> None:
    assert render("gemma-grpo", "A\n", " B") == "<start_reasoning>\nA\n<end_reasoning><SOLUTION>B</SOLUTION>"
    assert render("think-response", "A", "B") == "<think>A</think><response>B</response>"
    assert render("think", "A", "B") == "<think>\nA\n</think>\n\nB"
    assert render("final-answer", "A", "B") == "A\n\nFinal Answer: B"
    assert render("huatuo", "A", "B") == "## Thinking\n\nA\n\n## Final Response\n\nB"
    assert render("medgemma-thought", "A", "B") == "<unused94>thought\nA<unused95>B"


@pytest.mark.parametrize(
    ("name", "text", "finish_reason", "whole"),
    [
        ("gemma-grpo", "<SOLUTION>Flu</SOLUTION>", "stop", True),
        ("gemma-grpo", "<SOLUTION>Flu</SOLUTION> Take c", "length", True),
        ("gemma-grpo", "<SOLUTION>Fl", "length", False),
        ("gemma-grpo", "<SOLUTION>Fl", "stop", False),
        ("gemma-grpo", "Influenza, mo", "length", False),
        ("gemma-grpo", "Influenza", "stop", True),
        ("diagnosis", "Influenza\nbeca", "length", True),
        ("think", "<think>A</think>Influ", "length", False),
        ("think", "<think>A</think>Influenza", "stop", True),
        ("think", "<think>A</think>Influ", "cancelled", False),
        ("plain", "Influ", "length", False),
    ],
)
def test_whether_all_of_an_answer_is_there(name: str, text: str, finish_reason: FinishReason, whole: bool) -> None:
    assert parse(name, text).is_whole(finish_reason) is whole


def test_text_that_the_server_has_told_apart_is_taken_as_it_is() -> None:
    parser = IncrementalParser("gemma-grpo")

    assert parser.feed("1. Feve", "reasoning") == Parsed("1. Feve", "", False)
    assert parser.feed("r. </SOLUTION>", "reasoning").reasoning == "1. Fever. </SOLUTION>"
    assert parser.feed("Fl", "solution") == Parsed("1. Fever. </SOLUTION>", "Fl", True)
    assert parser.feed("u", "solution").solution == "Flu"
    assert parser.finish() == Parsed("1. Fever. </SOLUTION>", "Flu", True)


@pytest.mark.parametrize("name", ["think", "final-answer", "gemma-grpo"])
def test_text_of_no_kind_after_the_servers_reasoning_is_the_solution(name: str) -> None:
    parser = IncrementalParser(name)
    parser.feed("Fever.", "reasoning")
    parser.feed("Fl")
    parser.feed("u")

    assert parser.finish() == Parsed("Fever.", "Flu", True)


def test_a_state_keeps_what_it_showed_when_more_arrives() -> None:
    parser = IncrementalParser("think")
    first = parser.feed("<think>Fever")
    parser.feed(" and cough.</think>Flu")

    assert first == Parsed("Fever", "", False)


def _fragments(name: str) -> st.SearchStrategy[str]:
    """Texts made of marks, pieces of marks, code and words, so that every odd order comes up."""
    marks = list(FORMATS[name].marks)
    pieces = [m[:i] for m in marks for i in range(1, len(m))] + [m[i:] for m in marks for i in range(1, len(m))]
    words = ["`", "``", "```", "```\n", "\n```\n", "\n", " ", "a", "fever ", "# ", "**", "<", "ſK", "x" * 995, "`" * 17]
    options = [st.sampled_from(words), st.text(max_size=3)]
    if marks:
        options += [st.sampled_from(marks), st.sampled_from(marks).map(str.upper)]
    if pieces:
        options.append(st.sampled_from(pieces))
    return st.lists(st.one_of(options), max_size=12).map("".join)


@st.composite
def _cut_texts(draw: st.DrawFn) -> tuple[str, list[str]]:
    """A format's name and the chunks of a text."""
    name = draw(st.sampled_from(sorted(FORMATS)))
    text = draw(_fragments(name))
    cuts = draw(st.lists(st.integers(0, len(text)), max_size=30).map(sorted))
    return name, [text[i:j] for i, j in zip([0, *cuts], [*cuts, len(text)], strict=True)]


def test_a_star_of_a_whole_mark_is_not_half_of_the_next_one() -> None:
    parser = IncrementalParser("final-answer")
    parser.feed("**Final Answer:**")

    assert parser.feed("Final Answer*").solution == "Final Answer"
    assert IncrementalParser("final-answer").feed("**Final Answer:**Final Answer*").solution == "Final Answer"
    assert parser.finish() == parse("final-answer", "**Final Answer:**Final Answer*")


@settings(max_examples=1000, deadline=None)
@given(_cut_texts())
def test_streams_agree_with_whole_texts_for_every_way_of_cutting(case: tuple[str, list[str]]) -> None:
    name, chunks = case
    parser = IncrementalParser(name)
    seen = ""

    for chunk in chunks:
        seen += chunk
        assert parser.feed(chunk) == IncrementalParser(name).feed(seen)
    assert parser.finish() == parse(name, seen)


@settings(max_examples=1000, deadline=None)
@given(st.sampled_from(TAGGED), st.data())
def test_what_was_marked_as_reasoning_never_becomes_the_solution(name: str, data: st.DataObject) -> None:
    opener = next((m for m, mark in FORMATS[name].marks.items() if mark is Mark.BEGIN_REASONING), "")
    noise = [m for m, mark in FORMATS[name].marks.items() if mark in (Mark.BEGIN_REASONING, Mark.NOTHING)]
    options = ["`", "```\n", "\n", " ", "<", *noise]
    text = opener + "SECRET" + "".join(data.draw(st.lists(st.sampled_from(options), max_size=8)))
    later = data.draw(_fragments(name))

    assert parse(name, text).solution == ""
    assert not parse(name, text).complete
    assert "SECRET" not in parse(name, text + later).solution


@pytest.mark.parametrize(
    ("name", "unit", "kind"),
    [
        ("gemma-grpo", "The patient`s BP is < 90 and he is febrile.\n", None),
        ("gemma-grpo", "The patient`s BP is < 90 and he is febrile.\n", "reasoning"),
        ("gemma-grpo", "```\n</SOLUTION> ` <end_reasoning> `\n", None),
        ("think", "a</think>", None),
        ("harmony", "<|chan <|x|> `<", None),
    ],
)
def test_a_hundred_thousand_characters_in_chunks_of_three_take_less_than_half_a_second(
    name: str, unit: str, kind: Literal["reasoning"] | None
) -> None:
    def seconds(text: str) -> float:
        parser = IncrementalParser(name)
        start = time.process_time()
        for i in range(0, len(text), 3):
            parser.feed(text[i : i + 3], kind)
        assert len(parser.finish().reasoning) + len(parser.finish().solution) > 1000
        return time.process_time() - start

    text = "<start_reasoning>" + unit * (300_000 // len(unit))
    short, long = (min(seconds(text[:length]) for _ in range(2)) for length in (100_000, 300_000))

    assert short < 0.5
    # Three times the text takes three times as long, not nine; the rest is for a busy machine.
    assert long < 6 * short
