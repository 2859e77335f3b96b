"""What the page shows: pure functions from views to HTML, and errors as alerts."""

import html
import logging
import re
from dataclasses import replace
from types import SimpleNamespace

import gradio as gr
import pytest
from starlette.datastructures import Headers

from medchat.accounts import LOCAL, RIGHTS, User
from medchat.errors import InvalidInput, SignedOut
from medchat.recognition import Grounding, Near, Recognised
from medchat.records import Sampling
from medchat.turns import TurnView
from medchat.ui import transcript
from medchat.ui.common import App, address_of, counted, duration, handler, require, user_of
from medchat.ui.layout import signed_in_html
from medchat.ui.transcript import Mark, annotate, prose, turn_html

CASE = "Chest pain and sweating. No fever."
GROUNDING = Grounding(
    recognised=(
        Recognised("chest_pain", "chest pain", 0, 10, False, 0.9),
        Recognised("sweating", "profuse sweating", 15, 23, False, 0.8),
        Recognised("fever", "fever", 28, 33, True, 0.9),
    ),
    near=(Near("mi", "Myocardial infarction", 0.714), Near("pe", "Pulmonary embolism", 0.004)),
    outside=False,
)
VIEW = TurnView(
    "a1", 0, CASE, "", "demo", "Demo", revision=9, phase="done", complete=True, reasoning="1. Pain.\n2. So it is.",
    solution="Myocardial infarction.", reasoning_ms=1234.0, ttft_ms=40.0, total_ms=2040.0, completion_tokens=101,
    grounding=GROUNDING,
)  # fmt: skip
ATTACK = '<script>alert(1)</script><img src=x onerror="alert(1)"> ![x](http://evil.example/x.png) <iframe></iframe>'


def visible(page: str) -> str:
    """The words on the page, without tags and without those for screen readers alone."""
    return re.sub(r"<[^>]+>", "", re.sub(r'<span class="mc-vh">.*?</span>', "", page))


@pytest.mark.parametrize("field", ["question", "context", "reasoning", "solution", "error", "note"])
def test_nothing_that_was_written_becomes_markup(field: str) -> None:
    view = replace(VIEW, phase="failed", **{field: ATTACK})  # type: ignore[arg-type]
    page = turn_html(view)
    tags = {tag.lower() for tag in re.findall(r"<([a-zA-Z]+)", page)}
    assert not tags & {"script", "img", "iframe", "a"}
    assert not re.search(r"<[^>]*\son\w+=", page)
    assert ATTACK in html.unescape(visible(page))


def test_names_from_a_model_or_the_knowledge_are_escaped_too() -> None:
    grounding = Grounding((Recognised("x", '"><b>x', 0, 5, False, 1.0),), (Near("y", "<b>y", 0.5),), True, (), "<b>z")
    page = turn_html(replace(VIEW, grounding=grounding, model_name="<b>Demo</b>"))
    assert "<b>" not in page


def test_findings_are_marked_where_they_stand() -> None:
    page = transcript.case_html(VIEW)
    assert visible(page) == CASE
    assert '<mark class="mc-present" title="Recognised: chest pain">Chest pain' in page
    assert '<mark class="mc-denied" title="Recognised as denied: fever">fever' in page


def test_marks_count_from_the_beginning_of_the_context() -> None:
    # "Known gout." has 11 characters, then two line ends: the question begins at 13.
    found = (Recognised("gout", "gout", 6, 10, False, 1.0), Recognised("red", "red toe", 15, 22, False, 1.0))
    view = replace(VIEW, context="Known gout.", question="A red toe.", grounding=Grounding(found, (), False))
    page = transcript.case_html(view)
    assert re.findall(r"<mark[^>]*>([^<]+)", page) == ["gout", "red toe"]


def test_a_finding_of_an_earlier_turn_is_listed_but_marks_no_text() -> None:
    found = (Recognised("gout", "gout", -30, -26, False, 1.0),)
    page = turn_html(replace(VIEW, grounding=Grounding(found, (), False)))
    assert "<mark" not in page
    assert '<li class="mc-present">gout</li>' in page


def test_overlapping_marks_never_repeat_text() -> None:
    marks = [Mark(0, 6, "present", "a"), Mark(3, 9, "denied", "b"), Mark(0, 2, "present", "c")]
    page = annotate("abcdefghi", marks)
    assert visible(page) == "abcdefghi"
    assert page.count("<mark") == 1


def test_unsupported_findings_are_said_to_screen_readers_and_in_plain_sight() -> None:
    view = replace(VIEW, reasoning="1. He has haemoptysis.", unsupported=((10, 21, "haemoptysis"),))
    page = transcript.reasoning_html(view)
    assert 'title="Not found in the case: haemoptysis">haemoptysis<span class="mc-vh"> (not found in the case' in page
    assert "Underlined: cited in the reasoning, but not found in the case: haemoptysis." in visible(page)


def test_numbered_lines_become_steps_with_their_own_numbers() -> None:
    page = prose("Look:\n2. second\n\n3) third\nEnd 4. here")
    assert page == (
        '<p dir="auto">Look:</p><ol class="mc-steps"><li value="2" dir="auto">second</li>'
        '<li value="3" dir="auto">third</li></ol><p dir="auto">End 4. here</p>'
    )


def test_reasoning_is_open_while_it_runs_and_closed_with_its_duration_afterwards() -> None:
    running = replace(VIEW, phase="reasoning", reasoning="1. Pain.\n2.", solution="", reasoning_ms=None)
    assert "<details" in transcript.reasoning_html(running)
    assert " open>" in transcript.reasoning_html(running)
    assert "2." not in visible(transcript.reasoning_html(running))  # half a step is no step yet
    done = transcript.reasoning_html(VIEW)
    assert " open>" not in done
    assert "2 steps · 1.2 s" in visible(done)


def test_a_stopped_answer_without_a_solution_keeps_its_reasoning_open() -> None:
    page = turn_html(replace(VIEW, phase="stopped", solution=""))
    assert " open>" in page
    assert "Stopped What was written so far is kept." in visible(page)


@pytest.mark.parametrize(
    ("phase", "words"),
    [
        ("waiting", "Waiting for the model"),
        ("cut", "Cut off"),
        ("failed", "The model stopped."),
        ("stopped", "Stopped"),
    ],
)
def test_each_state_is_said(phase: str, words: str) -> None:
    error = "The model stopped." if phase == "failed" else ""
    view = replace(VIEW, phase=phase, error=error, complete=False)  # type: ignore[arg-type]
    assert words in visible(turn_html(view))
    assert transcript.status_text(view)


def test_small_print_tells_speed_and_length() -> None:
    # 100 tokens after the first in 2040 - 40 = 2000 ms: 50 tokens/s.
    words = visible(transcript.small_print(VIEW))
    assert words == "Demo · first token after 40 ms · 101 tokens · 50 tokens/s · 2.0 s in all"


def test_small_print_tells_where_the_text_was_sent_and_which_settings_are_not_the_models_own() -> None:
    own = Sampling(max_new_tokens=320)
    view = replace(VIEW, external="api.example", sampling=replace(own, temperature=0.7, seed=3))
    assert visible(transcript.small_print(view, own)).startswith("Demo · sent to api.example · first token")
    assert visible(transcript.small_print(view, own)).endswith("2.0 s in all · temperature 0.7 · seed 3")
    assert "temperature" not in transcript.small_print(replace(view, sampling=own), own)
    assert "temperature" not in transcript.small_print(view, None)


def test_recognised_box_gives_findings_numbers_and_the_verdict() -> None:
    words = visible(transcript.recognised_html(replace(GROUNDING, outside=True)))
    for expected in ("Outside what I know", "profuse sweating", "Myocardial infarction71 %", "under 1 %"):
        assert expected in words
    assert transcript.recognised_html(None) == ""
    assert "Outside" not in transcript.recognised_html(GROUNDING)


def test_asking_about_a_condition_is_no_case_with_near_conditions() -> None:
    words = visible(transcript.recognised_html(replace(GROUNDING, recognised=(), asked_about="gout")))
    assert words == "Recognised in this caseAsked about: gout"


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (0.4, "0 ms"),
        (999.4, "999 ms"),
        (999.6, "1.0 s"),
        (59_949, "59.9 s"),
        (59_960, "1 min 0 s"),
        (125_000, "2 min 5 s"),
    ],
)
def test_durations(milliseconds: float, text: str) -> None:
    assert duration(milliseconds) == text


def test_counts() -> None:
    assert (counted(1, "step"), counted(1200, "token")) == ("1 step", "1,200 tokens")


def test_an_error_for_people_is_shown_escaped_and_in_its_own_words() -> None:
    @handler
    def work() -> None:
        raise InvalidInput("Too <b>long</b>.")

    with pytest.raises(gr.Error) as shown:
        work()
    assert shown.value.message == "Too &lt;b&gt;long&lt;/b&gt;."


def test_a_generator_stays_one_and_its_error_arrives_after_its_frames() -> None:
    @handler
    def work():  # type: ignore[no-untyped-def]
        yield 1
        raise InvalidInput("No more.")

    frames = work()
    assert next(frames) == 1
    with pytest.raises(gr.Error, match="No more"):
        next(frames)


def test_a_bug_is_shown_as_a_number_and_logged_without_what_was_typed(caplog: pytest.LogCaptureFixture) -> None:
    @handler
    def work(question: str) -> None:
        raise ValueError(question)

    with caplog.at_level(logging.ERROR), pytest.raises(gr.Error) as shown:
        work("Mrs Secret has gout")
    record = caplog.records[0].__dict__
    assert record["run_id"] in shown.value.message
    assert record["error"] == "ValueError"
    assert "Secret" not in shown.value.message + str(record["at"]) + caplog.text


class FakeAccounts:
    """Knows Ann, a rater, by her cookie; the audit is a list."""

    def __init__(self) -> None:
        self.noted: list[tuple[object, ...]] = []

    def user_of(self, cookies: dict[str, str]) -> User | None:
        return User("a1", "Ann", "rater", RIGHTS["rater"]) if cookies.get("medchat_session") == "ann" else None

    def address(self, peer: str, forwarded: list[str]) -> str:
        return f"{peer} for {forwarded}"

    def note(self, *what: object) -> None:
        self.noted.append(what)


def request_with(cookie: str) -> gr.Request:
    headers = Headers({"x-forwarded-for": "192.0.2.1"})
    made = SimpleNamespace(
        cookies={"medchat_session": cookie}, client=SimpleNamespace(host="10.0.0.1"), headers=headers
    )
    return made  # type: ignore[return-value]


def app_with(accounts: FakeAccounts) -> App:
    return SimpleNamespace(accounts=accounts)  # type: ignore[return-value]


def test_a_request_is_its_users_and_nobodys_without_a_session() -> None:
    app = app_with(FakeAccounts())
    assert user_of(app, request_with("ann")).id == "a1"
    assert require(app, request_with("ann"), "chat").name == "Ann"
    assert address_of(app, request_with("ann")) == "10.0.0.1 for ['192.0.2.1']"
    for refused in (user_of, lambda app, request: require(app, request, "chat")):
        with pytest.raises(SignedOut, match="Reload the page and sign in"):
            refused(app, request_with("bob"))


def test_what_the_role_does_not_allow_is_refused_and_noted_with_the_handler() -> None:
    accounts = FakeAccounts()
    app = app_with(accounts)

    @handler
    def train(request: gr.Request) -> None:
        require(app, request, "train")

    with pytest.raises(gr.Error, match="Your role, rater, does not allow this"):
        train(request_with("ann"))
    address = "10.0.0.1 for ['192.0.2.1']"
    assert accounts.noted == [("a1", "call refused", "test_ui.train", {"right": "train", "role": "rater"}, address)]


def test_the_header_says_who_is_signed_in_and_offers_the_way_out() -> None:
    page = signed_in_html(User("a1", ATTACK, "rater", RIGHTS["rater"]))
    assert "<script" not in page
    assert visible(page).endswith("raterSign out")
    assert '<form method="post" action="/sign-out">' in page
    assert signed_in_html(LOCAL) == ""
