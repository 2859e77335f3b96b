"""What people do with their conversations, in a browser: versions, branches, search, files, settings, thumbs."""

import json
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from browser_app import ELSEWHERE, SHARED_HOST
from browser_site import (
    Site,
    Watched,
    ask,
    begin_anew,
    choose_model,
    field_of,
    has_steps,
    look_at,
    open_conversation,
    scripted_site,
    shows,
    words,
)
from playwright.sync_api import Locator, Page, expect

from medchat.store import ModelRecord, Store
from medchat.ui.chat_layout import EXAMPLES

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The app with scripted answers; "Quick" answers at once, each time with another number."""
    with scripted_site(tmp_path_factory.mktemp("site")) as running:
        yield running


@pytest.fixture
def page(site: Site, watched: Watched) -> Page:
    """A page of somebody new, with the quick model chosen."""
    page = watched.open(site.url)
    choose_model(page, "Quick")
    return page


def answered(page: Page, question: str) -> str:
    """The solution of a new question."""
    ask(page, question)
    return words(shows(page, "done").locator(".mc-solution p"))


def solution(page: Page) -> Locator:
    return page.locator("#chat-live .mc-solution p")


def more_of(page: Page, title: str) -> Locator:
    """The opened menu of a conversation."""
    page.get_by_role("button", name=f"More for {title}").click()
    return page.locator(".mc-menu")


def test_arrows_lead_through_the_versions_and_keep_the_focus(page: Page) -> None:
    first = answered(page, "A red toe.")
    page.get_by_role("button", name="Regenerate answer 1").click()
    expect(page.locator("#chat-live .mc-version .mc-count")).to_have_text("Version 2 of 2")
    second = words(shows(page, "done").locator(".mc-solution p"))
    assert first != second

    page.get_by_role("button", name="Previous version of answer 1").click()

    expect(solution(page)).to_have_text(first)
    expect(page.locator("#version-previous-0")).to_be_focused()
    page.keyboard.press("Alt+ArrowRight")
    expect(solution(page)).to_have_text(second)
    page.keyboard.press("Alt+ArrowLeft")
    expect(solution(page)).to_have_text(first)
    page.reload()
    expect(solution(page)).to_have_text(first)
    expect(page.locator("#chat-live .mc-version .mc-count")).to_have_text("Version 1 of 2")


def test_an_edited_question_is_a_branch_beside_the_old_one(page: Page, watched: Watched) -> None:
    answered(page, "A red toe.")
    answered(page, "And the treatment?")
    edit = page.get_by_role("button", name="Edit question 1")
    edit.click()
    page.keyboard.press("Escape")
    expect(edit).to_be_focused()
    edit.click()
    expect(page.get_by_role("textbox", name="Question", exact=True)).to_have_value("A red toe.")
    page.keyboard.press("Control+a")
    page.keyboard.type("A blue toe.")

    page.keyboard.press("Enter")

    expect(page.locator("#chat-live .mc-words")).to_contain_text("A blue toe")
    expect(shows(page, "done").locator(".mc-branch .mc-count")).to_have_text("Question 2 of 2")
    expect(page.locator("#chat-history .mc-turn")).to_have_count(0)
    page.get_by_role("button", name="Previous branch of question 1").click()
    expect(page.locator("#chat-history .mc-words")).to_contain_text("A red toe")
    expect(page.locator("#chat-live .mc-words")).to_have_text("And the treatment?")
    assert watched.complaints == []


def test_an_edit_that_is_refused_keeps_its_words(page: Page) -> None:
    answered(page, "A red toe.")
    page.get_by_role("button", name="Edit question 1").click()
    page.keyboard.press("Control+a")
    page.keyboard.press("Delete")

    page.locator(".mc-form button[type=submit]").click()

    expect(page.get_by_test_id("toast-body")).to_contain_text("Please type a case or a question.")
    expect(page.get_by_role("textbox", name="Question", exact=True)).to_be_visible()
    page.locator(".mc-form").get_by_role("button", name="Cancel").click()
    expect(page.locator("#chat-live .mc-words")).to_contain_text("A red toe")


def test_any_answer_of_the_path_is_regenerated_with_the_chosen_model(page: Page) -> None:
    answered(page, "A red toe.")
    answered(page, "And the treatment?")
    choose_model(page, "Hostile")

    page.get_by_role("button", name="Regenerate answer 1").click()

    expect(page.locator("#chat-history .mc-turn")).to_have_count(0)
    turn = shows(page, "done")
    assert words(turn.locator(".mc-words")) == "A red toe."
    assert words(turn.locator(".mc-print")).startswith("Hostile")
    page.get_by_role("button", name="Previous version of answer 1").click()
    expect(page.locator("#chat-live .mc-words")).to_have_text("And the treatment?")


def test_a_search_finds_words_of_questions_and_answers_and_marks_them(page: Page) -> None:
    answered(page, "An odd rash.")
    begin_anew(page)
    number = answered(page, "A stiff neck.").split()[-1]
    page.locator("#chat-search-field").press_sequentially("NECK stiff", delay=20)

    expect(page.locator("#chat-found .mc-name")).to_have_text(["A stiff neck."])
    expect(page.locator("#chat-list")).to_be_hidden()
    assert "neck" in page.locator("#chat-found mark").all_inner_texts()
    page.locator("#chat-search-field").fill(f"answer {number}")
    expect(page.locator("#chat-found .mc-name")).to_have_text(["A stiff neck."])
    page.locator("#chat-search-field").fill("zebra")
    expect(page.locator("#chat-found")).to_contain_text("No conversation found.")
    page.locator("#chat-search-field").fill("rash")
    expect(page.locator("#chat-found .mc-name")).to_have_text(["An odd rash."])
    page.locator("#chat-found .mc-open").click()
    expect(page.locator("#chat-live .mc-words")).to_contain_text("An odd rash")
    expect(page.locator("#chat-found .mc-open")).to_have_attribute("aria-current", "true")
    page.locator("#chat-search-field").press("Escape")
    expect(page.locator("#chat-list .mc-name")).to_have_text(["A stiff neck.", "An odd rash."])
    expect(page.locator("#chat-list")).to_be_visible()


def test_a_conversation_is_renamed_in_its_place(page: Page) -> None:
    answered(page, "A red toe.")
    more_of(page, "A red toe.").get_by_role("button", name="Rename").click()
    name = page.get_by_role("textbox", name="New name of the conversation")
    expect(name).to_be_focused()
    page.keyboard.type("Toes")
    page.keyboard.press("Enter")

    expect(page.locator("#chat-list .mc-name")).to_have_text(["Toes"])
    expect(name).to_have_count(0)
    expect(page.get_by_role("button", name="More for Toes")).to_be_focused()
    page.reload()
    expect(page.locator("#chat-list .mc-name")).to_have_text(["Toes"])


def test_deleting_asks_once_and_tells_what_becomes_of_rated_answers(page: Page, site: Site) -> None:
    answered(page, "A red toe.")
    begin_anew(page)
    answered(page, "A stiff neck.")
    more_of(page, "A stiff neck.").get_by_role("button", name="Delete").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("rated answers are kept")
    expect(dialog.get_by_role("button", name="Keep it")).to_be_focused()
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(page.locator("#chat-list .mc-name")).to_have_count(2)

    more_of(page, "A stiff neck.").get_by_role("button", name="Delete").click()
    dialog.get_by_role("button", name="Delete").click()

    expect(page.locator("#chat-list .mc-name")).to_have_text(["A red toe."])
    expect(page.locator("#chat-transcript .mc-turn")).to_have_count(0)
    expect(page.locator("#chat-welcome")).to_be_visible()
    assert page.url == site.url


def test_a_rated_answer_is_hidden_instead_of_deleted(page: Page) -> None:
    answered(page, "A red toe.")
    page.get_by_role("button", name="Poor answer").click()
    expect(page.get_by_role("button", name="Poor answer")).to_have_attribute("aria-pressed", "true")

    page.get_by_role("button", name="Delete answer 1").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()

    expect(page.locator("#chat-transcript .mc-turn")).to_have_count(0)
    expect(page.get_by_test_id("toast-body")).to_contain_text("Hidden")


@pytest.mark.parametrize("kind", ["Markdown", "JSON"])
def test_a_conversation_is_exported(kind: str, page: Page, tmp_path: Path) -> None:
    given = answered(page, "A red toe.")
    menu = more_of(page, "A red toe.")

    with page.expect_download() as download:
        menu.get_by_role("link", name=f"Export as {kind}").click()

    expect(menu).to_have_count(0)
    expect(page.get_by_role("button", name="More for A red toe.")).to_be_focused()
    assert download.value.suggested_filename == f"medchat-A-red-toe.{'md' if kind == 'Markdown' else 'json'}"
    download.value.save_as(tmp_path / "file")
    text = (tmp_path / "file").read_text(encoding="utf-8")
    assert "A red toe." in text
    assert given in text
    if kind == "JSON":
        assert json.loads(text)["turns"][0]["model"]


def test_a_copied_link_says_where_it_opens(page: Page, site: Site, watched: Watched) -> None:
    answered(page, "A red toe.")
    more_of(page, "A red toe.").get_by_role("button", name="Copy link").click()
    expect(page.locator(".mc-menu")).to_contain_text("Copied. It opens on this machine only.")

    elsewhere = watched.open(f"http://{SHARED_HOST}:{site.settings.port}/")
    answered(elsewhere, "A red toe.")
    more_of(elsewhere, "A red toe.").get_by_role("button", name="Copy link").click()
    expect(elsewhere.get_by_role("button", name="Copied", exact=True)).to_be_visible()


def test_the_address_leads_back_to_the_conversation_for_its_owner_alone(
    page: Page, site: Site, watched: Watched
) -> None:
    answered(page, "A red toe.")
    expect(page).to_have_url(re.compile(r"/\?conversation=[\w-]{36}$"))
    address = page.url
    begin_anew(page)
    expect(page).to_have_url(site.url)
    answered(page, "A stiff neck.")

    mine = watched.visit(page.context.new_page(), address)
    theirs = watched.open(address)

    expect(mine.locator("#chat-live .mc-words")).to_contain_text("A red toe")
    expect(theirs.get_by_test_id("toast-body")).to_contain_text("That conversation is not here")
    expect(theirs.locator("#chat-transcript .mc-turn")).to_have_count(0)
    expect(theirs).to_have_url(site.url)
    expect(theirs.locator("#chat-list")).to_contain_text("No conversations yet.")


def test_another_conversation_opens_at_once_while_an_answer_is_written(page: Page) -> None:
    answered(page, "A red toe.")
    begin_anew(page)
    choose_model(page, "Slow")
    ask(page, "A stiff neck.")
    has_steps(page, 2)
    field_of(page).fill("And then")

    open_conversation(page, "A red toe.")

    expect(page.locator("#chat-live .mc-words")).to_contain_text("A red toe")
    expect(field_of(page)).to_have_value("")
    page.wait_for_timeout(400)  # a late frame of the other answer would come now
    expect(page.locator("#chat-live .mc-words")).to_contain_text("A red toe")
    open_conversation(page, "A stiff neck.")
    expect(field_of(page)).to_have_value("And then")
    has_steps(page, 8)
    open_conversation(page, "A red toe.")
    expect(page.locator("#chat-live .mc-words")).to_contain_text("A red toe")
    assert answered(page, "And now?")


def test_thumbs_take_reasons_and_a_comment_and_can_be_taken_back(page: Page) -> None:
    answered(page, "A red toe.")
    good, poor = (page.get_by_role("button", name=name, exact=True) for name in ("Good answer", "Poor answer"))
    poor.click()
    expect(poor).to_have_attribute("aria-pressed", "true")
    expect(poor).to_be_focused()
    page.get_by_role("button", name="Unsafe").click()
    expect(page.get_by_role("button", name="Unsafe")).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="Off topic").click()
    expect(page.locator(".mc-why summary")).to_have_text("Poor answer: unsafe, off topic")
    page.get_by_role("button", name="Unsafe").click()
    expect(page.locator(".mc-why summary")).to_have_text("Poor answer: off topic")
    page.get_by_role("textbox", name="Comment on answer 1").fill("The dose.")
    page.keyboard.press("Enter")
    expect(page.locator(".mc-why summary")).to_have_text("Poor answer: off topic, “The dose.”")

    page.reload()

    expect(poor).to_have_attribute("aria-pressed", "true")
    expect(page.locator(".mc-why summary")).to_have_text("Poor answer: off topic, “The dose.”")
    good.click()
    expect(good).to_have_attribute("aria-pressed", "true")
    expect(poor).to_have_attribute("aria-pressed", "false")
    good.click()
    expect(good).to_have_attribute("aria-pressed", "false")
    expect(page.locator(".mc-why")).to_have_count(0)


def test_settings_are_sent_where_they_differ_and_kept_for_each_model(page: Page, site: Site) -> None:
    answered(page, "A red toe.")
    page.get_by_role("button", name="Settings").click()
    temperature = page.locator("#chat-setting-temperature input")
    temperature.fill("0.35")
    page.locator("#chat-setting-seed input").fill("11")
    page.keyboard.press("Tab")
    answered(page, "And the treatment?")
    assert "temperature 0.35 · seed 11" in words(page.locator("#chat-live .mc-print"))

    choose_model(page, "Hostile")
    expect(temperature).to_have_value("0")
    choose_model(page, "Quick")
    expect(temperature).to_have_value("0.35")
    page.get_by_role("button", name="Model's own").click()
    expect(temperature).to_have_value("0")
    answered(page, "And then?")

    drawn = [answer.sampling for answer in site.answers(page)]
    assert [(s.temperature, s.seed, s.max_new_tokens) for s in drawn if s] == [
        (0, 0, 2048),
        (0.35, 11, 2048),
        (0, 0, 2048),
    ]
    temperature.fill("9")
    field_of(page).fill("One more.")
    field_of(page).press("Enter")
    expect(page.get_by_test_id("toast-body")).to_contain_text("Temperature: give a number from 0 to 2.")
    expect(field_of(page)).to_have_value("One more.")


def test_what_leaves_the_machine_is_said_before_and_after(page: Page) -> None:
    expect(page.locator("#chat-leaves")).not_to_contain_text("leaves your machine")
    choose_model(page, "Elsewhere")
    expect(page.locator("#chat-leaves")).to_contain_text("This text leaves your machine")
    expect(page.locator("#chat-send")).to_have_text(f"Send to {ELSEWHERE}")
    ask(page, "A red toe.")
    assert f"sent to {ELSEWHERE}" in words(shows(page, "done").locator(".mc-print"))
    choose_model(page, "Quick")
    expect(page.locator("#chat-leaves")).not_to_contain_text("leaves your machine")
    expect(page.locator("#chat-send")).to_have_text("Send")


def test_a_case_file_fills_the_fields_and_sends_nothing(page: Page, tmp_path: Path) -> None:
    case = tmp_path / "case.json"
    case.write_text(json.dumps({"context": "Known gout.", "question": "Why is the toe red?", "answer": None}))
    choose = page.locator("#chat-case-file")
    choose.set_input_files(case)
    expect(field_of(page)).to_have_value("Why is the toe red?")
    expect(page.locator("#chat-context textarea")).to_have_value("Known gout.")
    expect(page.locator("#chat-transcript .mc-turn")).to_have_count(0)
    for name, content, line in (
        ("scan.pdf", b"%PDF-1.7 x", "PDF"),
        ("large.txt", b"x" * 1_000_001, "1 MB"),
    ):
        (tmp_path / name).write_bytes(content)
        choose.set_input_files(tmp_path / name)
        expect(page.get_by_test_id("toast-body").last).to_contain_text(line)
    expect(field_of(page)).to_have_value("Why is the toe red?")


def test_the_known_conditions_can_be_searched_and_a_case_outside_leads_there(page: Page) -> None:
    page.locator("#chat-model input").click()
    demo = page.get_by_role("option", name=re.compile(r"MedChat Demo · \d+ MB · llama.cpp"))
    demo.click()
    expect(page.locator("#chat-about")).to_contain_text("A small teaching model")
    ask(page, dict(EXAMPLES)["Something it cannot know"])
    shows(page, "done|cut|failed")
    page.get_by_role("button", name="See what it knows").click()
    known = page.locator("#known-list li:visible")
    expect(known.first).to_be_visible()
    assert known.count() >= 60
    page.get_by_role("searchbox", name="Search the conditions it knows").fill("gout")
    expect(known).to_have_text(["gout"])
    page.get_by_role("searchbox", name="Search the conditions it knows").fill("zebra")
    expect(page.locator("#chat-known [role=status]")).to_contain_text("does not know it")
    page.get_by_role("button", name="All models").click()
    expect(page.get_by_role("tab", name="Models")).to_have_attribute("aria-selected", "true")


def test_a_turn_can_be_copied(page: Page) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    given = answered(page, "A red toe.")
    page.get_by_role("button", name="Copy solution").click()
    assert page.evaluate("navigator.clipboard.readText()") == given
    page.get_by_role("button", name="Copy all").click()
    expect(page.get_by_role("button", name="Copied").last).to_be_visible()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == f"Question\nA red toe.\n\nReasoning\n1. The toe is red.\n\nSolution\n{given}"


def test_only_the_first_fifty_conversations_are_listed_until_more_are_wanted(page: Page, site: Site) -> None:
    with closing(Store(site.settings.db_url)) as store:
        store.add_model(ModelRecord("quick", "Quick"))
        for number in range(55):
            store.start_conversation(site.owner(page), "quick", f"Case {number}")
    page.reload()
    expect(page.locator("#chat-list .mc-name")).to_have_count(50)
    page.get_by_role("button", name="Show more").click()
    expect(page.locator("#chat-list .mc-name")).to_have_count(55)
    expect(page.get_by_role("button", name="Show more")).to_have_count(0)


def test_on_a_phone_the_conversations_are_behind_a_button(page: Page) -> None:
    answered(page, "A red toe.")
    begin_anew(page)
    page.set_viewport_size({"width": 400, "height": 800})
    expect(page.locator("#chat-side")).to_be_hidden()
    toggle = page.get_by_role("button", name="Conversations")
    toggle.press("Enter")
    expect(toggle).to_have_attribute("aria-expanded", "true")
    expect(page.locator("#chat-side-close")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#chat-side")).to_be_hidden()
    expect(toggle).to_be_focused()
    toggle.click()
    page.locator("#chat-list .mc-open").click()
    expect(page.locator("#chat-side")).to_be_hidden()
    expect(page.locator("#chat-live .mc-words")).to_contain_text("A red toe")
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_serious_for_axe_in_what_opens(scheme: str, site: Site, watched: Watched) -> None:
    page = watched.open(site.url, color_scheme=scheme)
    choose_model(page, "Quick")
    answered(page, "A red toe.")
    page.get_by_role("button", name="Regenerate answer 1").click()
    expect(page.locator("#chat-live .mc-version .mc-count")).to_have_text("Version 2 of 2")
    shows(page, "done")
    page.get_by_role("button", name="Poor answer").click()
    page.get_by_role("button", name="Unsafe").click()
    page.get_by_role("button", name="Settings").click()
    choose_model(page, "Elsewhere")
    page.locator("#chat-search-field").fill("toe")
    expect(page.locator("#chat-found mark").first).to_be_visible()
    look_at(page)
    page.get_by_role("button", name="Edit question 1").click()
    look_at(page)
    page.keyboard.press("Escape")
    page.locator("#chat-side-toggle").click()
    more_of(page, "A red toe.")
    look_at(page)
    page.locator(".mc-menu").get_by_role("button", name="Delete").click()
    look_at(page)
