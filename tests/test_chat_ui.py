"""What stands around an answer: its buttons, the conversations, the picker, the settings; what a page may send."""

import html
import re
import threading
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from medchat.catalogue import Endpoint, ModelSpec
from medchat.errors import InvalidInput
from medchat.records import Sampling
from medchat.store.records import THUMB_REASONS, ConversationRecord, FoundConversation
from medchat.turns import TurnView
from medchat.ui import files, model_picker, sampling, sidebar
from medchat.ui.actions import MAX_CHARS, read_action
from medchat.ui.controls import answer_controls, question_controls
from medchat.ui.followers import Followers

ATTACK = '"><img src=x onerror="alert(1)">'
VIEW = TurnView("a2", 0, "Why?", "", "demo", "Demo", phase="done", complete=True, reasoning="1. So.", solution="Gout.")
OWN = Sampling(max_new_tokens=320, temperature=0.6, top_p=0.95, top_k=20)
SPEC = ModelSpec(
    "m", "Toy", "llamacpp", "think", OWN, 1024, "A toy.", "MIT", ("Reads no images.",), path=Path("x.gguf")
)
REMOTE = replace(SPEC, backend="openai", path=None, endpoint=Endpoint("https://api.example/v1", "big"))
CONVERSATION = ConversationRecord(
    "c1",
    "local",
    "A red toe",
    "demo",
    datetime(2026, 5, 3, 9, 7, tzinfo=UTC),
    datetime(2026, 5, 4, 9, 7, tzinfo=UTC),
    2,
)


def visible(page: str) -> str:
    """The words on the page, a space in the place of each tag."""
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


def test_one_version_has_no_arrows_and_several_lead_to_their_neighbours() -> None:
    assert "of" not in visible(answer_controls(VIEW))
    page = answer_controls(replace(VIEW, version=1, versions=3, next_version="a3"))
    assert "1 of 3" in visible(page)
    assert re.search(r'aria-disabled="true" aria-label="Previous version of answer 1"', page)
    assert re.search(r'data-do="show" data-answer="a3" aria-label="Next version of answer 1"', page)


def test_other_wordings_of_a_question_are_beside_it() -> None:
    page = question_controls(replace(VIEW, branch=2, branches=2, previous_branch="a1"))
    assert "2 of 2" in visible(page)
    assert 'data-answer="a1" aria-label="Previous branch of question 1"' in page
    assert 'data-do="edit" data-answer="a2"' in page


@pytest.mark.parametrize("phase", ["waiting", "reasoning", "solution"])
def test_nothing_can_be_done_with_an_answer_that_is_being_written(phase: Any) -> None:
    view = replace(VIEW, phase=phase)
    assert "<button" not in question_controls(view) + answer_controls(view)


def test_only_a_cut_answer_can_be_continued() -> None:
    assert "Continue" not in visible(answer_controls(VIEW))
    assert 'data-do="continue"' in answer_controls(replace(VIEW, phase="cut"))


def test_an_answer_without_text_has_nothing_to_copy() -> None:
    page = answer_controls(replace(VIEW, phase="failed", reasoning="", solution=""))
    assert "Copy" not in visible(page)
    assert "Regenerate" in visible(page)


def test_a_thumb_is_pressed_and_asks_for_its_reasons() -> None:
    assert 'aria-pressed="true"' not in answer_controls(VIEW)
    page = answer_controls(replace(VIEW, thumb="down", thumb_reasons=("unsafe",), thumb_comment="See <b>dose"))
    assert re.search(r'data-thumb="down" data-answer="a2" aria-pressed="true"', page)
    assert re.search(r'data-thumb="up" data-answer="a2" aria-pressed="false"', page)
    assert re.search(r'data-reason="unsafe" aria-pressed="true"', page)
    assert re.search(r'data-reason="unclear" aria-pressed="false"', page)
    assert 'data-reason="helpful"' not in page
    assert 'value="See &lt;b&gt;dose"' in page


def test_every_reason_belongs_to_one_of_the_thumbs() -> None:
    shown = [re.findall(r'data-reason="([^"]+)"', answer_controls(replace(VIEW, thumb=way))) for way in ("up", "down")]
    assert sorted(shown[0] + shown[1]) == sorted(THUMB_REASONS)
    assert shown[0]
    assert shown[1]


def test_ids_from_elsewhere_are_escaped() -> None:
    view = replace(VIEW, answer_id=ATTACK, version=2, versions=2, previous_version=ATTACK, thumb="up")
    assert "<img" not in answer_controls(view) + question_controls(view)


def test_the_list_names_each_conversation_with_its_turns() -> None:
    page = sidebar.list_html([CONVERSATION, replace(CONVERSATION, id="c2", title=ATTACK, turns=1)], more=True)
    assert "A red toe 2026-05-04 · 2 turns" in visible(page)
    assert '<time datetime="2026-05-04T09:07:00Z">' in page
    assert 'data-do="more" data-shown="2"' in page
    assert "<img" not in page
    assert ATTACK in html.unescape(page)
    assert "Show more" not in sidebar.list_html([CONVERSATION], more=False)
    assert visible(sidebar.list_html([], more=False)) == "No conversations yet."


def test_what_was_sought_is_marked_where_it_stands() -> None:
    page = sidebar.found_html([FoundConversation(CONVERSATION, "The Toe is <hot>, toes too.", "a9")], "toe <hot>")
    assert "The <mark>Toe</mark> is <mark>&lt;hot&gt;</mark>, <mark>toe</mark>s too." in page
    assert 'data-conversation="c1" data-answer="a9"' in page
    assert "1 conversation found." in visible(page)
    assert "No conversation found." in visible(sidebar.found_html([], "toe"))
    assert sidebar.found_html([], "  ") == ""


def test_a_model_is_named_with_its_memory_and_kind() -> None:
    assert model_picker.label(replace(SPEC, memory_gb=5.5)) == "Toy · 5.5 GB · llama.cpp"
    assert model_picker.label(SPEC) == "Toy · llama.cpp"
    assert model_picker.label(REMOTE) == "Toy · server at api.example"


def test_an_external_model_says_so_before_anything_is_sent() -> None:
    assert "This text leaves your machine" in visible(model_picker.leaves_html(REMOTE))
    assert "api.example" in visible(model_picker.leaves_html(REMOTE))
    assert model_picker.send_label(REMOTE) == "Send to api.example"
    near = replace(REMOTE, endpoint=Endpoint("http://localhost:8080/v1", "big"))
    for spec in (SPEC, near):
        assert model_picker.leaves_html(spec) == ""
        assert model_picker.send_label(spec) == "Send"


def test_limits_licence_languages_and_terms_are_told() -> None:
    spec = replace(SPEC, languages=("en", "de"), gated=True, max_input_tokens=512, prompt="Symptoms: {question}")
    words = visible(model_picker.limits_html(spec, {}))
    for expected in ("Reads no images.", "Licence: MIT.", "English, German", "terms accepted", "512 tokens", "earlier"):
        assert expected in words
    assert "conditions" not in words
    known = model_picker.limits_html(SPEC, {"Joints": ["gout", "<b>x"]})
    assert "It knows these 2 conditions and no others" in visible(known)
    assert "<b>" not in known


def test_untouched_and_empty_settings_are_the_models_own() -> None:
    values = sampling.own_values(SPEC)
    assert values == [0.6, 0.95, 20, 0, 320, 0.0]
    assert sampling.chosen_sampling(SPEC, values) == OWN
    assert sampling.chosen_sampling(SPEC, [None, "", None, None, None, None]) == OWN


def test_a_changed_setting_is_sent_with_the_others_as_they_are() -> None:
    chosen = sampling.chosen_sampling(SPEC, [0, 0.95, 20, 7.0, 100, 0])
    assert chosen == replace(OWN, temperature=0.0, seed=7, max_new_tokens=100)
    assert isinstance(chosen.seed, int)


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (0, 2.5, "Temperature: give a number from 0 to 2."),
        (0, float("nan"), "Temperature"),
        (1, 0, "Top-p: give a number from 0.01 to 1."),
        (2, -1, "Top-k"),
        (3, "x", "Seed"),
        (3, True, "Seed"),
        (4, 5000, "Length: give a number from 16 to 1,023."),
        (5, 3, "Presence penalty"),
    ],
)
def test_a_setting_out_of_its_range_is_named(place: int, value: object, words: str) -> None:
    values: list[Any] = sampling.own_values(SPEC)
    values[place] = value
    with pytest.raises(InvalidInput) as refused:
        sampling.chosen_sampling(SPEC, values)
    assert str(refused.value).startswith(words)


@pytest.mark.parametrize(
    "sent", [None, "", "{", "[]", "7", '{"do": 7}', "[" * 100_000, '"' + "x" * MAX_CHARS + '"', 3, {"do": "open"}]
)
def test_what_is_no_action_is_one_clear_line(sent: object) -> None:
    with pytest.raises(InvalidInput, match="Reload the page"):
        read_action(sent)


def test_fields_of_an_action_are_what_they_should_be() -> None:
    action = read_action('{"do": "more", "shown": 900, "title": 7, "reasons": ["unsafe"], "flag": true}')
    assert action.verb == "more"
    assert action.number("shown", 0, 100) == 100
    assert action.texts("reasons") == ["unsafe"]
    assert action.text("absent", "x") == "x"
    for read in (
        lambda: action.text("title"),
        lambda: action.text("absent"),
        lambda: action.number("flag", 0, 1),
        lambda: action.texts("title"),
    ):
        with pytest.raises(InvalidInput, match="Reload the page"):
            read()


def test_a_new_follower_waits_until_the_one_before_has_left() -> None:
    followers = Followers()
    order: list[str] = []
    inside = threading.Event()

    def first() -> None:
        with followers.page("ann", "p") as follower:
            inside.set()
            assert not follower.pause(10)
            order.append("first leaves")

    thread = threading.Thread(target=first)
    thread.start()
    assert inside.wait(5)
    with followers.page("bob", "p") as other:  # another owner's page of the same key
        assert other.pause(0.01)
        with followers.page("ann", "p") as second:
            order.append("second begins")
            assert second.pause(0.01)
    thread.join(5)
    assert order == ["first leaves", "second begins"]


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("A red toe?", "medchat-A-red-toe"),
        ("../../etc/passwd\r\nx: y", "medchat-etc-passwd-x-y"),
        ("Fußschmerz", "medchat-Fu-schmerz"),
        ("痛風", "medchat"),
    ],
)
def test_a_file_gets_a_name_that_every_system_takes(title: str, name: str) -> None:
    assert files.file_name(title) == name
