"""The chat in a browser, as people use it: headless Chromium against the served app."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser_app import ATTACK, FIRST, N_STEPS, SHARED_HOST
from browser_site import (
    Site,
    Watched,
    ask,
    begin_anew,
    bundled_site,
    choose_model,
    field_of,
    has_steps,
    look_at,
    open_conversation,
    scripted_site,
    shows,
    slowed,
    words,
)
from playwright.sync_api import Page, Route, expect

pytestmark = pytest.mark.browser

CASE = (
    "A 54-year-old man woke at night with a hot, red, very painful big toe after a dinner with plenty of beer. "
    "No injury, no fever. What is the most likely diagnosis?"
)
STOPWATCH = """() => {
  window.times = {};
  document.querySelector("#chat-stop").addEventListener("click", () => { times.pressed ??= performance.now(); }, true);
  new MutationObserver(() => {
    if (document.querySelector("#chat-live [data-phase=stopped]")) times.stopped ??= performance.now();
  }).observe(document, { subtree: true, childList: true, attributes: true });
}"""


@pytest.fixture(scope="module")
def bundled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """`python app.py`, whose bundled model answers at once."""
    with bundled_site(tmp_path_factory.mktemp("bundled")) as site:
        yield site


@pytest.fixture(scope="module")
def scripted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The app with answers that take some seconds."""
    with scripted_site(tmp_path_factory.mktemp("scripted")) as site:
        yield site


def test_a_case_is_answered_reasoning_first_and_then_the_solution(bundled: Site, watched: Watched) -> None:
    page = watched.open(bundled.url)

    ask(page, CASE)

    turn = shows(page, "done")
    assert words(turn.locator(".mc-words")) == CASE
    expect(turn.locator("mark.mc-present")).not_to_have_count(0)
    assert "fever" in words(turn.locator("mark.mc-denied").last)
    assert "Near conditions" in words(turn.locator(".mc-recognised"))
    reasoning = turn.locator("details.mc-reasoning")
    expect(reasoning).not_to_have_attribute("open", "")
    assert "step" in words(reasoning.locator("summary"))
    expect(reasoning.locator("ol.mc-steps li")).not_to_have_count(0)
    expect(turn.locator(".mc-solution p")).to_be_visible()
    print_ = words(turn.locator(".mc-print"))
    for expected in ("MedChat Demo", "first token after", "tokens", "tokens/s", "in all"):
        assert expected in print_
    expect(field_of(page)).to_have_value("")
    expect(page.locator("#chat-send")).to_be_visible()
    expect(page.locator("#chat-stop")).to_be_hidden()
    assert watched.complaints == []


def test_an_example_fills_the_field_and_waits_for_send(bundled: Site, watched: Watched) -> None:
    page = watched.open(bundled.url)
    begin_anew(page)

    page.locator("#chat-example-5").click()

    expect(field_of(page)).to_have_value("What is gout?")
    page.locator("#chat-send").click()
    assert words(shows(page, "done").locator(".mc-words")) == "What is gout?"


def test_the_limits_and_the_known_conditions_are_a_click_away(bundled: Site, watched: Watched) -> None:
    page = watched.open(bundled.url)

    page.get_by_role("button", name="What it knows").click()

    expect(page.locator("#chat-known")).to_contain_text("never for the care of a patient")
    assert page.locator("#chat-known .mc-known li").count() >= 60


def test_regenerate_shows_another_version_and_keeps_the_first(bundled: Site, watched: Watched) -> None:
    page = watched.open(bundled.url)
    ask(page, CASE)
    first = shows(page, "done").get_attribute("data-answer")

    page.locator("#chat-live [data-do=regenerate]").click()

    expect(page.locator("#chat-live .mc-version .mc-count")).to_have_text("Version 2 of 2", timeout=60_000)
    second = shows(page, "done").get_attribute("data-answer")
    kept = bundled.answers(page)[-2:]
    assert [answer.id for answer in kept] == [first, second]
    assert [answer.status for answer in kept] == ["done", "done"]
    assert kept[0].solution


def test_a_killed_engine_is_one_clear_line_and_the_next_question_is_answered(bundled: Site, watched: Watched) -> None:
    page = watched.open(bundled.url)
    begin_anew(page)
    worker = bundled.worker_pid
    with slowed(worker):
        ask(page, CASE)
        shows(page, "reasoning|solution")
        os.kill(worker, signal.SIGKILL)
        turn = shows(page, "failed")

    line = "The model stopped unexpectedly; your text is kept. Please ask again: a new one is started."
    expect(turn.locator(".mc-failed")).to_have_text(f"Failed {line}")
    expect(turn.locator(".mc-reasoning, .mc-solution").first).to_be_visible()
    expect(page.get_by_test_id("toast-body")).to_have_count(0)
    ask(page, "What is gout?")
    shows(page, "done")
    assert [answer.status for answer in bundled.answers(page)] == ["failed", "done"]


@pytest.mark.parametrize("by", ["click", "Escape"])
def test_stop_takes_effect_at_once_and_keeps_what_is_written(by: str, scripted: Site, watched: Watched) -> None:
    page = watched.open(scripted.url)
    ask(page, CASE)
    has_steps(page, 3)
    page.evaluate(STOPWATCH)

    if by == "click":
        page.locator("#chat-stop").click()
    else:
        page.keyboard.press(by)

    turn = shows(page, "stopped")
    took_s = page.evaluate("(times.stopped - times.pressed) / 1000")
    print(f"{by}: stopped after {took_s:.3f} s")
    assert took_s < 1  # 0.3 s where nothing else keeps the processor busy
    [answer] = scripted.answers(page)
    assert answer.status == "stopped"
    assert len(answer.raw) > 200
    assert FIRST.startswith(answer.raw)
    assert answer.raw != FIRST
    assert "Point 2" in words(turn.locator(".mc-reasoning"))
    expect(page.locator("#chat-send")).to_be_visible()


@pytest.mark.slow
def test_an_answer_goes_on_while_its_page_is_reloaded(scripted: Site, watched: Watched) -> None:
    page = watched.open(scripted.url)
    ask(page, CASE)
    has_steps(page, 2)

    page.reload()

    shows(page, "reasoning|solution")
    turn = shows(page, "done")
    expect(turn.locator(".mc-steps li")).to_have_count(N_STEPS)
    expect(turn.locator(".mc-solution p")).to_have_text("Gout, which came first.")
    assert words(turn.locator(".mc-words")) == CASE


@pytest.mark.slow
def test_the_page_follows_an_answer_unless_its_reader_scrolls_up(scripted: Site, watched: Watched) -> None:
    page = watched.open(scripted.url, viewport={"width": 1280, "height": 640})
    choose_model(page, "Broken")
    for _ in range(3):  # these answers are long and come at once
        ask(page, CASE)
        expect(shows(page, "failed").locator(".mc-print")).to_be_in_viewport()
    choose_model(page, "Slow")
    ask(page, CASE)
    has_steps(page, 9)
    expect(page.locator("#chat-live .mc-print")).to_be_in_viewport()

    page.mouse.move(600, 200)
    page.mouse.wheel(0, -300)

    has_steps(page, 14)
    expect(page.locator("#chat-live .mc-print")).not_to_be_in_viewport()
    place = page.evaluate("scrollY")
    shows(page, "done")
    assert page.evaluate("scrollY") <= place


@pytest.mark.slow
def test_two_browsers_at_once_get_their_own_answers_and_see_no_others(scripted: Site, watched: Watched) -> None:
    address = f"http://{SHARED_HOST}:{scripted.settings.port}/"
    pages = [watched.open(address) for _ in range(2)]
    for page, question in zip(pages, ["Ann has a red toe.", "Bob has a red toe."], strict=True):
        choose_model(page, "Turns")
        ask(page, question)

    for page in pages:
        expect(page.locator("#chat-live [data-phase=reasoning]")).to_be_visible()  # both at the same time
    turns = [shows(page, "done") for page in pages]

    assert [words(turn.locator(".mc-words")) for turn in turns] == ["Ann has a red toe.", "Bob has a red toe."]
    solutions = [words(turn.locator(".mc-solution p")) for turn in turns]
    assert solutions == ["Gout, which came first.", "Gout, which came second."]
    for page, turn, own in zip(pages, turns, ["Ann", "Bob"], strict=True):
        expect(turn.locator(".mc-steps li")).to_have_count(N_STEPS)
        page.reload()
        shows(page, "done")
        expect(page.locator("#chat-list .mc-name")).to_have_text([f"{own} has a red toe."])


def test_an_earlier_conversation_is_opened_again(scripted: Site, watched: Watched) -> None:
    page = watched.open(scripted.url)
    choose_model(page, "Hostile")
    ask(page, "A red toe.")
    shows(page, "done")
    begin_anew(page)
    ask(page, "A stiff neck.")
    shows(page, "done")

    open_conversation(page, "A red toe.")

    expect(page.locator("#chat-live .mc-words")).to_contain_text("A red toe")
    ask(page, "And now?")
    shows(page, "done")
    expect(page.locator("#chat-history .mc-words")).to_have_count(1)
    expect(page.locator("#chat-history .mc-words")).to_contain_text("A red toe")


def test_a_question_sent_while_the_stream_of_events_closes_is_answered(scripted: Site, watched: Watched) -> None:
    page = watched.open(scripted.url)

    def late(route: Route) -> None:
        """The page hears of the closed stream only after it has sent the question."""
        response = route.fetch()
        field_of(page).fill("A red toe.")
        with page.expect_response("**/queue/join?*"):
            field_of(page).press("Enter")
        route.fulfill(response=response)

    page.route("**/queue/data*", late, times=1)
    choose_model(page, "Hostile")

    assert words(shows(page, "done").locator(".mc-words")) == "A red toe."


@pytest.mark.slow
@pytest.mark.parametrize("without_csp", [False, True])
def test_markup_in_questions_and_answers_stays_text(without_csp: bool, scripted: Site, watched: Watched) -> None:
    page = watched.open(scripted.url, bypass_csp=without_csp)
    choose_model(page, "Hostile")
    page.get_by_role("button", name="Patient context").click()
    page.locator("#chat-context textarea").fill(ATTACK)
    ask(page, ATTACK)
    shows(page, "done")

    page.wait_for_timeout(500)  # the stream of events closes after the last frame: a reload would break it loudly
    page.reload()  # and as it comes back from the store

    turn = shows(page, "done")
    turn.locator("summary").click()
    for part in (".mc-words", ".mc-context", ".mc-steps li >> nth=1", ".mc-solution p"):
        element = turn.locator(part)
        assert ATTACK in words(element)
        element.click()
    expect(page.locator("#chat-list .mc-name").first).to_contain_text("<script>")
    page.locator("#chat-search-field").fill("onerror")
    expect(page.locator("#chat-found .mc-snippet mark").first).to_be_visible()
    page.wait_for_timeout(300)
    assert page.evaluate("window.hit") is None
    transcript = page.locator("#chat-transcript, #chat-list, #chat-found")
    expect(transcript.locator("script, img, svg, iframe, a, b, object, embed, video, form")).to_have_count(0)
    handlers = "nodes => nodes.flatMap(node => node.getAttributeNames()).filter(name => name.startsWith('on'))"
    assert transcript.locator("*").evaluate_all(handlers) == []
    assert watched.complaints == []


def test_everything_can_be_done_with_the_keyboard(scripted: Site, watched: Watched) -> None:
    page = watched.open(scripted.url)
    tab_to(page, "#chat-question textarea")
    expect(page.get_by_role("listbox")).to_have_count(0)
    page.keyboard.type("A red toe.\n")
    has_steps(page, 2)
    tab_to(page, "#chat-model input", backwards=True)
    has_steps(page, 8)  # the answer goes on while the focus wanders
    tab_to(page, "#chat-stop")
    page.keyboard.press("Enter")
    shows(page, "stopped")
    tab_to(page, "#chat-live [data-do=regenerate]", backwards=True)
    page.keyboard.press("Enter")
    shows(page, "reasoning")
    expect(page.locator("#chat-stop")).to_be_visible()
    page.keyboard.press("Escape")
    turn = shows(page, "stopped")
    expect(turn.locator(".mc-version .mc-count")).to_have_text("Version 2 of 2")
    tab_to(page, ".mc-reasoning summary", backwards=True)
    expect(turn.locator(".mc-body")).to_be_visible()
    page.keyboard.press("Enter")
    expect(turn.locator(".mc-body")).to_be_hidden()
    expect(turn.locator(".mc-reasoning summary")).to_be_focused()
    page.keyboard.press("Enter")
    expect(turn.locator(".mc-body")).to_be_visible()
    tab_to(page, "#chat-new", backwards=True)
    page.keyboard.press("Enter")
    expect(page.locator("#chat-welcome")).to_be_visible()
    expect(page.locator("#chat-transcript .mc-turn")).to_have_count(0)
    expect(field_of(page)).to_be_focused()
    tab_to(page, "#chat-list .mc-open", backwards=True)
    page.keyboard.press("Enter")
    assert words(shows(page, "stopped").locator(".mc-words")) == "A red toe."


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_serious_for_axe_and_nothing_beyond_the_edge(scheme: str, scripted: Site, watched: Watched) -> None:
    page = watched.open(scripted.url, color_scheme=scheme)
    choose_model(page, "MedChat Demo")
    page.get_by_role("button", name="What it knows").click()
    page.get_by_role("button", name="Patient context").click()
    expect(page.locator("#chat-known li").first).to_be_visible()
    look_at(page)
    choose_model(page, "Broken")
    ask(page, CASE)
    shows(page, "failed")
    look_at(page)
    choose_model(page, "Hostile")
    ask(page, CASE)
    shows(page, "done").locator("summary").click()
    look_at(page)


@pytest.mark.slow
def test_a_restart_keeps_half_an_answer_and_continue_finishes_it(tmp_path: Path, watched: Watched) -> None:
    with scripted_site(tmp_path) as site:
        page = watched.open(site.url)
        ask(page, CASE)
        has_steps(page, 3)
        site.process.send_signal(signal.SIGTERM)
        site.process.wait(15)
    with scripted_site(tmp_path, site.settings.port) as site:
        turn = shows(page, "cut")  # the page comes back by itself
        assert "Point 2" in words(turn.locator(".mc-reasoning"))
        [half] = site.answers(page)
        assert half.status == "cut"
        assert FIRST.startswith(half.raw)
        assert half.raw != FIRST

        page.locator("#chat-live [data-do=continue]").click()

        turn = shows(page, "done")
        expect(turn.locator(".mc-steps li")).to_have_count(N_STEPS)
        expect(turn.locator(".mc-solution p")).to_have_text("Gout, which came first.")
        assert site.answers(page)[-1].raw == FIRST
        page.reload()
        assert "Gout, which came first." in words(shows(page, "done"))


def tab_to(page: Page, selector: str, backwards: bool = False) -> None:
    """Moves the focus there with Tab alone."""
    for _ in range(45):
        if page.evaluate("selector => document.activeElement?.matches(selector)", selector):
            return
        page.keyboard.press("Shift+Tab" if backwards else "Tab")
    raise AssertionError(f"{selector} cannot be reached with the keyboard")
