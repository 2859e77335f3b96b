"""What people type and choose before they send it, in a browser: drafts, a slow line, the picker, the settings."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from browser_site import (
    Site,
    Watched,
    ask,
    begin_anew,
    choose_model,
    field_of,
    has_steps,
    is_restored,
    open_conversation,
    scripted_site,
    shows,
    typed_at_once,
    words,
)
from playwright.sync_api import Locator, Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.slow]

BUSY = "Not sent: an answer is still being written. Wait for it, or stop it."
KEPT_MS = 1200  # by then a draft is with the server


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with scripted_site(tmp_path_factory.mktemp("site")) as running:
        yield running


@pytest.fixture
def page(site: Site, watched: Watched) -> Page:
    """A page of somebody new, with the quick model chosen."""
    page = watched.open(site.url)
    choose_model(page, "Quick")
    return page


def context_of(page: Page) -> Locator:
    return page.locator("#chat-context textarea")


def slow_line(page: Page) -> None:
    """From now on each request takes 600 ms longer."""
    line = {"offline": False, "latency": 600, "downloadThroughput": -1, "uploadThroughput": -1}
    page.context.new_cdp_session(page).send("Network.emulateNetworkConditions", line)


def test_a_draft_stays_when_an_old_question_fails_again(page: Page) -> None:
    ask(page, "A red toe.")
    shows(page, "done")
    choose_model(page, "Mute")
    field_of(page).fill("and what about children under five")

    page.get_by_role("button", name="Regenerate answer 1").click()

    shows(page, "failed")
    page.wait_for_timeout(500)
    expect(field_of(page)).to_have_value("and what about children under five")


def test_the_words_of_a_question_that_fails_come_back_unless_others_are_typed(page: Page, watched: Watched) -> None:
    choose_model(page, "Mute")
    page.get_by_role("button", name="Patient context").click()
    context_of(page).fill("Known gout.")
    ask(page, "A red toe.")
    shows(page, "failed")
    expect(field_of(page)).to_have_value("A red toe.")
    expect(context_of(page)).to_have_value("Known gout.")
    expect(page.get_by_test_id("toast-body")).to_have_count(0)
    assert watched.complaints == []

    slow_line(page)
    field_of(page).press("Enter")
    expect(field_of(page)).to_have_value("")
    field_of(page).press_sequentially("Another one.")

    expect(page.locator("#chat-history [data-phase=failed]")).to_have_count(1)
    shows(page, "failed")
    page.wait_for_timeout(1500)
    expect(field_of(page)).to_have_value("Another one.")


def test_what_is_typed_as_soon_as_a_box_is_opened_stays(page: Page) -> None:
    assert typed_at_once(page, "#chat-settings", "#chat-setting-temperature") == "7"
    assert typed_at_once(page, "#chat-context-box", "#chat-context") == "7"


def test_what_is_refused_comes_back(page: Page) -> None:
    slow_line(page)
    page.get_by_role("button", name="Settings").click()
    page.locator("#chat-setting-temperature input").fill("9")
    field_of(page).fill("A red toe.")
    field_of(page).press("Enter")
    expect(page.get_by_test_id("toast-body")).to_contain_text("Temperature: give a number from 0 to 2.")
    expect(field_of(page)).to_have_value("A red toe.")


def test_what_cannot_be_sent_at_all_comes_back_and_can_be_sent_again(page: Page) -> None:
    page.route("**/queue/join*", lambda route: route.abort(), times=1)
    field_of(page).fill("A red toe.")
    with page.expect_event("load"):  # the page comes back by itself
        field_of(page).press("Enter")
    expect(field_of(page)).to_have_value("A red toe.")
    field_of(page).press("Enter")
    assert words(shows(page, "done").locator(".mc-words")) == "A red toe."


def test_a_context_is_sent_once_also_from_a_box_that_was_closed(page: Page) -> None:
    box = page.get_by_role("button", name="Patient context")
    box.click()
    context_of(page).fill("Known gout.")
    box.click()
    ask(page, "A red toe.")
    assert words(shows(page, "done").locator(".mc-context")) == "Patient context Known gout."
    ask(page, "And now?")
    expect(page.locator("#chat-live .mc-words")).to_have_text("And now?")
    expect(shows(page, "done").locator(".mc-context")).to_have_count(0)


def test_what_is_typed_while_a_question_is_sent_stays(page: Page) -> None:
    choose_model(page, "Slow")
    slow_line(page)
    field_of(page).fill("A red toe.")
    field_of(page).press("Enter")
    expect(field_of(page)).to_have_value("", timeout=300)
    field_of(page).press("Enter")  # by mistake
    expect(page.locator("#chat-told")).to_have_text("")
    field_of(page).press_sequentially("and what about children under five", delay=20)
    field_of(page).press("Enter")

    expect(page.locator("#chat-told")).to_have_text(BUSY)
    has_steps(page, 2)
    expect(field_of(page)).to_have_value("and what about children under five")
    field_of(page).press("Enter")
    expect(page.locator("#chat-told")).to_have_text(BUSY)
    shows(page, "done")
    expect(page.locator("#chat-told")).to_have_text("")
    expect(field_of(page)).to_have_value("and what about children under five")
    field_of(page).press("Enter")
    expect(page.locator("#chat-live .mc-words")).to_have_text("and what about children under five")
    expect(page.locator("#chat-history .mc-turn")).to_have_count(1)


def test_a_draft_is_there_after_a_reload_where_it_was_typed(page: Page) -> None:
    ask(page, "A red toe.")
    shows(page, "done")
    begin_anew(page)
    field_of(page).fill('  Half a <b>case</b>,\nand "more"')
    page.get_by_role("button", name="Patient context").click()
    context_of(page).fill("Known gout.")
    page.wait_for_timeout(KEPT_MS)

    page.reload()
    is_restored(page)

    expect(field_of(page)).to_have_value('  Half a <b>case</b>,\nand "more"')
    expect(context_of(page)).to_have_value("Known gout.")
    expect(context_of(page)).to_be_visible()
    expect(page.locator("#chat-transcript .mc-turn")).to_have_count(0)
    assert page.evaluate("localStorage.length + sessionStorage.length") == 0
    field_of(page).press("Enter")
    shows(page, "done")
    page.wait_for_timeout(KEPT_MS)
    page.reload()
    shows(page, "done")
    expect(field_of(page)).to_have_value("")
    open_conversation(page, "A red toe.")
    expect(field_of(page)).to_have_value("")


def test_a_link_to_another_conversation_leaves_the_draft_in_its_own(page: Page, site: Site) -> None:
    ask(page, "A red toe.")
    shows(page, "done")
    link = page.url
    begin_anew(page)
    field_of(page).fill("Half a case")
    page.wait_for_timeout(KEPT_MS)

    page.goto(link)
    shows(page, "done")
    page.wait_for_timeout(KEPT_MS)

    expect(field_of(page)).to_have_value("")
    page.goto(site.url)
    expect(field_of(page)).to_have_value("Half a case")


def test_the_picker_takes_only_models_that_are_there(page: Page, watched: Watched) -> None:
    picker = page.locator("#chat-model input")
    before = picker.input_value()
    picker.click()
    picker.press_sequentially("zzz")
    picker.press("Enter")
    picker.blur()
    expect(picker).to_have_value(before)
    ask(page, "A red toe.")
    assert words(shows(page, "done").locator(".mc-print")).startswith("Quick")
    assert watched.complaints == []


def test_the_app_starts_without_a_warning(site: Site) -> None:
    assert "Warning" not in Path(site.settings.data_dir.with_suffix(".log")).read_text()


def test_a_context_that_was_forgotten_is_added_by_editing(page: Page) -> None:
    ask(page, "A red toe.")
    shows(page, "done")
    page.get_by_role("button", name="Edit question 1").click()
    page.get_by_role("textbox", name="Patient context (optional)").last.fill("Known gout.")
    page.keyboard.press("Enter")
    turn = shows(page, "done")
    expect(turn.locator(".mc-branch .mc-count")).to_have_text("Question 2 of 2")
    assert words(turn.locator(".mc-context")) == "Patient context Known gout."


def test_the_settings_on_the_screen_decide_for_regenerate_and_continue(page: Page, site: Site) -> None:
    page.get_by_role("button", name="Settings").click()
    temperature, seed = (page.locator(f"#chat-setting-{name} input") for name in ("temperature", "seed"))
    length = page.locator("#chat-setting-max-new-tokens input")
    temperature.fill("1.5")
    seed.fill("2147483647")
    ask(page, "A red toe.")
    shows(page, "done")
    page.get_by_role("button", name="Regenerate answer 1").click()
    expect(page.locator("#chat-live .mc-version .mc-count")).to_have_text("Version 2 of 2")
    shows(page, "done")
    page.get_by_role("button", name="Model's own").click()
    expect(temperature).to_have_value("0")
    page.get_by_role("button", name="Regenerate answer 1").click()
    expect(page.locator("#chat-live .mc-version .mc-count")).to_have_text("Version 3 of 3")
    shows(page, "done")
    drawn = [(s.temperature, s.seed) for answer in site.answers(page) if (s := answer.sampling)]
    assert drawn == [(1.5, 2**31 - 1), (1.5, 0), (0, 0)]

    choose_model(page, "Hostile")
    begin_anew(page)
    length.fill("16")
    ask(page, "A red toe.")
    assert words(shows(page, "cut").locator(".mc-print")).count("16 tokens") == 2, "16 were wanted, 16 written"
    length.fill("320")
    page.locator("#chat-live [data-do=continue]").click()
    shows(page, "done")
    lengths = [answer.sampling.max_new_tokens for answer in site.answers(page) if answer.sampling]
    assert lengths == [16, 320]
