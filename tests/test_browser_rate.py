"""The Rate tab in a browser: rating by mouse and by keyboard, drafts that nothing loses, and whose each thing is."""

import json
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from browser_app import ATTACK
from browser_site import Site, Watched, ask, choose_model, look_at, scripted_site, shows, words
from playwright.sync_api import Browser, Locator, Page, expect

from medchat.store import RatingRecord, SpanMark, StepMark, Store

pytestmark = [pytest.mark.browser, pytest.mark.slow]

REASONING = "1. The toe is red.\n2. No fever, so it is sepsis.\n3. So it is gout."
SOLUTION = "Gout \U0001f9b6: give colchicine 5 mg at once.\n\nRest the foot."
DIGITS = "45324"  # of clinical-3: the last is none of "length", which has three


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with scripted_site(tmp_path_factory.mktemp("site")) as running:
        yield running


def rows(n: int, **more: str) -> bytes:
    """A file with so many answers."""
    lines = [
        {"question": f"Q{k}: why the toe?", "reasoning": REASONING, "answer": SOLUTION} | more for k in range(1, n + 1)
    ]
    return "\n".join(map(json.dumps, lines)).encode()


def open_tab(page: Page) -> Page:
    page.get_by_role("tab", name="Rate").click()
    expect(page.locator("#rate-head .mc-place")).not_to_be_empty()
    return page


def upload(page: Page, data: bytes, name: str = "answers.jsonl") -> None:
    page.locator("#rate-file").set_input_files({"name": name, "mimeType": "text/plain", "buffer": data})


def rating_page(watched: Watched, site: Site, data: bytes) -> Page:
    """The tab of somebody new, with these answers in the queue."""
    page = open_tab(watched.open(site.url))
    upload(page, data)
    expect(page.locator(".mc-rate")).to_be_visible()
    return page


def place(page: Page) -> Locator:
    return page.locator("#rate-head .mc-place")


def ratings(site: Site, page: Page) -> Sequence[RatingRecord]:
    with closing(Store(site.settings.db_url)) as store:
        return store.my_ratings(site.owner(page))


def is_kept(page: Page) -> None:
    """Waits until the server has kept what is entered."""
    page.wait_for_function("document.querySelector('.mc-kept')?.textContent && !sessionStorage.length", timeout=2000)


def checked(page: Page, name: str) -> str:
    return page.locator(f"input[name={name}]:checked").get_attribute("value") or ""


def press_all(page: Page, keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def test_an_answer_is_rated_by_keyboard_alone(site: Site, watched: Watched) -> None:
    page = rating_page(watched, site, rows(2))
    expect(place(page)).to_have_text("1 of 2 · 0 done · 2 left")
    press_all(page, "r13")  # step 1 is correct, step 2 is wrong
    expect(page.locator("[name=first_wrong]")).to_have_value("2")
    page.keyboard.press("m")
    press_all(page, "x")  # the text stays as it was written
    for _ in range(len("Gout \U0001f9b6: give ")):  # the foot is one step for the caret
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Control+Shift+ArrowRight")
    expect(page.locator(".mc-quote")).to_have_text("colchicine")
    page.keyboard.press("3")
    page.keyboard.type("ten times the dose")
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    press_all(page, "45324")
    expect(page.locator("input[name=axis-verbosity]").first).to_be_focused()  # it has no fourth answer
    press_all(page, "232")
    expect(page.locator("input[name=critical]")).to_be_focused()
    page.keyboard.press("Space")
    page.keyboard.press("c")
    page.keyboard.type("1. s and 2 stay letters here.")
    page.keyboard.press("Tab")
    page.keyboard.type("Gout: 0.5 mg.")
    page.keyboard.press("Control+Enter")

    expect(place(page)).to_have_text("2 of 2 · 1 done · 1 left")
    expect(page.locator("input[name=axis-factual_correctness]").first).to_be_focused()
    expect(page.locator(".mc-rate input:checked, .mc-spans li")).to_have_count(0)  # the next one begins empty
    expect(page.locator("[name=corrected_solution]")).to_have_value("")
    [rating] = ratings(site, page)
    form = rating.form
    assert form.scores == {
        "factual_correctness": "4", "reasoning_clarity": "5", "safety": "3", "completeness": "2", "verbosity": "right",
    }  # fmt: skip
    assert (form.harm_extent, form.harm_likelihood, form.critical) == ("severe", "medium", True)
    assert form.step_marks == (StepMark(1, 1), StepMark(2, -1))
    assert form.first_wrong_step == 2
    assert form.span_marks == (SpanMark("solution", 13, 23, "colchicine", "unsafe", "ten times the dose"),)
    assert form.corrected_reasoning == "1. s and 2 stay letters here."
    assert form.corrected_solution == "Gout: 0.5 mg."
    assert 0 < form.seconds < 60
    assert watched.complaints == []


def test_what_is_missing_gets_the_focus_and_nothing_is_sent(site: Site, watched: Watched) -> None:
    page = rating_page(watched, site, rows(1))
    press_all(page, "4")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".mc-wrong")).to_have_text(
        "Not answered yet: Can you follow how the answer gets to its conclusion?"
    )
    expect(page.locator("input[name=axis-reasoning_clarity]").first).to_be_focused()
    assert ratings(site, page) == []


def test_arrows_move_between_questions_and_answers(site: Site, watched: Watched) -> None:
    page = rating_page(watched, site, rows(1))
    press_all(page, "4")
    page.keyboard.press("ArrowUp")
    expect(page.locator("input[name=axis-factual_correctness][value='4']")).to_be_focused()
    page.keyboard.press("ArrowRight")
    assert checked(page, "axis-factual_correctness") == "5"
    page.keyboard.press("ArrowDown")
    expect(page.locator("input[name=axis-reasoning_clarity]").first).to_be_focused()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog", name="Keys")).to_be_hidden()


def test_words_are_marked_with_the_mouse_in_both_parts_and_unmarked(site: Site, watched: Watched) -> None:
    page = rating_page(watched, site, rows(1))
    page.locator(".mc-rate-steps .mc-passage").nth(1).dblclick(position={"x": 60, "y": 8})
    page.get_by_role("button", name="Unsupported").click()
    expect(page.locator(".mc-spans input")).to_be_focused()
    page.locator(".mc-passage[data-part=solution]").dblclick(position={"x": 10, "y": 8})
    page.get_by_role("button", name="Outdated").click()
    expect(page.locator(".mc-spans q")).to_have_text(["fever", "Gout"])
    is_kept(page)
    page.reload()
    open_tab(page)
    expect(page.locator(".mc-spans q")).to_have_text(["fever", "Gout"])
    page.get_by_role("button", name="Remove the mark 1").click()
    expect(page.locator(".mc-spans q")).to_have_text(["Gout"])


def test_a_draft_is_there_after_a_reload_and_in_another_browser(site: Site, watched: Watched) -> None:
    page = rating_page(watched, site, rows(2))
    press_all(page, "45")
    page.locator("[name=comment]").fill("Half a thought")
    is_kept(page)
    page.reload()
    open_tab(page)
    expect(page.locator("[name=comment]")).to_have_value("Half a thought")
    assert checked(page, "axis-reasoning_clarity") == "5"

    other = watched.browser.new_context()
    other.add_cookies(page.context.cookies())  # type: ignore[arg-type]
    again = open_tab(watched.visit(other.new_page(), site.url))

    expect(again.locator("[name=comment]")).to_have_value("Half a thought")
    assert checked(again, "axis-factual_correctness") == "4"


def test_a_draft_outlives_a_killed_server(chromium: Browser, tmp_path: Path) -> None:
    pages = Watched(chromium)
    with scripted_site(tmp_path) as site:
        page = rating_page(pages, site, rows(2))
        press_all(page, "45")
        page.locator("[name=comment]").fill("Half a thought")
        is_kept(page)
        os.kill(site.process.pid, signal.SIGKILL)
        site.process.wait()
        page.locator("[name=comment]").fill("A whole thought")  # nobody hears this
        page.wait_for_timeout(1000)
    with scripted_site(tmp_path, site.settings.port):
        page.reload()
        open_tab(page)
        expect(page.locator("[name=comment]")).to_have_value("A whole thought")
        assert checked(page, "axis-factual_correctness") == "4"
        is_kept(page)
        other = chromium.new_context()
        other.add_cookies(page.context.cookies())  # type: ignore[arg-type]
        again = open_tab(pages.visit(other.new_page(), site.url))
        expect(again.locator("[name=comment]")).to_have_value("A whole thought")
    pages.close()


def test_a_save_whose_answer_is_lost_makes_one_rating(site: Site, watched: Watched) -> None:
    page = rating_page(watched, site, rows(2))
    press_all(page, "4532211")
    page.route("**/queue/data*", lambda route: route.abort(), times=1)
    page.keyboard.press("Control+Enter")
    page.wait_for_timeout(1500)
    page.keyboard.press("Control+Enter")
    page.wait_for_timeout(500)

    again = open_tab(watched.visit(page.context.new_page(), site.url))  # the first one may be loading itself anew
    expect(place(again)).to_have_text("2 of 2 · 1 done · 1 left")
    [rating] = ratings(site, page)
    assert rating.supersedes is None


def test_somebody_else_sees_nothing_of_it(site: Site, watched: Watched) -> None:
    page = rating_page(watched, site, rows(1, question="A very secluded toe?"))
    press_all(page, "4532211")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".mc-rate-none")).to_contain_text("No answer is left")
    answer_id = ratings(site, page)[0].answer_id
    stranger = open_tab(watched.open(site.url))
    stranger.get_by_text("My ratings").click()

    expect(stranger.locator("#rate-mine")).to_contain_text("You have rated nothing yet.")
    expect(place(stranger)).to_have_text("No answers in your queue")
    stranger.evaluate(
        "id => { const button = document.createElement('button');"
        " Object.assign(button.dataset, { do: 'rate-open', answer: id, rubric: 'clinical-3' });"
        " document.querySelector('#rate-tab').append(button); button.click(); }",
        answer_id,
    )
    expect(stranger.get_by_test_id("toast-body")).to_contain_text("There is no such answer any more.")
    assert "secluded" not in stranger.content()


def test_a_saved_rating_is_amended_by_its_rater(site: Site, watched: Watched) -> None:
    page = rating_page(watched, site, rows(1))
    press_all(page, "4532211")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".mc-rate-none")).to_be_visible()
    page.get_by_text("My ratings").click()
    page.get_by_role("button", name="Amend").click()
    expect(page.locator(".mc-rate-form .mc-note")).to_contain_text("You have rated this answer before.")
    assert checked(page, "axis-safety") == "3"
    press_all(page, "1")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".mc-rate-none")).to_be_visible()

    [rating] = ratings(site, page)
    assert rating.supersedes
    assert rating.form.scores["factual_correctness"] == "1"


def test_skipping_going_back_and_not_rating(site: Site, watched: Watched) -> None:
    page = rating_page(watched, site, rows(3))
    page.keyboard.press("s")
    expect(place(page)).to_have_text("2 of 3 · 0 done · 2 left · 1 skipped")
    page.keyboard.press("b")
    expect(page.locator(".mc-rate .mc-words")).to_have_text("Q1: why the toe?")
    page.get_by_role("button", name="Next").click()
    expect(page.locator(".mc-rate .mc-words")).to_have_text("Q2: why the toe?")
    page.get_by_text("Cannot rate").click()
    page.get_by_role("button", name="Save the reason").click()
    expect(page.locator(".mc-wrong")).to_contain_text("Say in a few words")
    page.get_by_label("Why not?").fill("Not my field")
    page.get_by_role("button", name="Save the reason").click()
    expect(place(page)).to_have_text("3 of 3 · 1 done · 1 left · 1 skipped")
    assert ratings(site, page)[0].form.cannot_rate == "Not my field"
    page.keyboard.press("s")
    page.get_by_role("button", name="Take up 2 skipped answers again").click()
    expect(place(page)).to_have_text("1 of 3 · 1 done · 2 left")


def test_another_form_is_kept_for_the_session_and_asks_what_hangs_on_an_answer(site: Site, watched: Watched) -> None:
    page = rating_page(watched, site, rows(1))
    page.get_by_label("Form").select_option("medpalm-12")
    expect(page.locator("input[name=axis-consensus]").first).to_be_attached()
    page.reload()
    open_tab(page)
    expect(page.get_by_label("Form")).to_have_value("medpalm-12")
    hidden = page.locator("fieldset[hidden]")
    for axis in hidden.evaluate_all(
        "sets => sets.map(set => [set.dataset.onlyAxis, set.dataset.onlyValues.split(' ')[0]])"
    ):
        page.locator(f"input[name=axis-{axis[0]}][value={axis[1]}]").check()
    expect(hidden).to_have_count(0)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("broken.jsonl", rows(6) + b"\n{broken", "broken.jsonl, line 7: not JSON"),
        ("less.csv", b"question,context\nQ,C\n", "there is no column 'answer' or 'solution'"),
        ("large.csv", b"x" * 50_000_000, "50 MB; at most 5 MB are taken"),
        ("work.csv", b"PK\x03\x04xx", "is an Excel workbook"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_clear_line(
    site: Site, watched: Watched, name: str, data: bytes, message: str
) -> None:
    page = open_tab(watched.open(site.url))
    upload(page, data, name)
    expect(page.get_by_test_id("toast-body")).to_contain_text(message)
    expect(page.locator(".mc-told")).to_have_text("")
    expect(place(page)).to_have_text("No answers in your queue")


def test_a_file_in_another_encoding_is_read_and_said_to_be(site: Site, watched: Watched) -> None:
    page = open_tab(watched.open(site.url))
    upload(page, "question,answer\nWarum die Schwäche?,Größe der Zehe\n".encode("cp1252"), "alt.csv")
    expect(page.locator(".mc-passage[data-part=solution]")).to_have_text("Größe der Zehe")
    expect(page.get_by_test_id("toast-body")).to_contain_text("read as Windows-1252")


def test_nothing_that_was_written_is_executed(site: Site, watched: Watched) -> None:
    attacked: dict[str, Any] = dict.fromkeys(("question", "context", "answer", "model"), ATTACK)
    page = rating_page(watched, site, rows(1, **attacked, reasoning=f"1. {ATTACK}\n2. {ATTACK}"))
    page.locator(".mc-passage[data-part=solution]").dblclick(position={"x": 40, "y": 8})
    page.get_by_role("button", name="Unclear").click()
    page.keyboard.type(ATTACK)
    page.get_by_text("What I would have answered", exact=True).click()
    for field in ("comment", "corrected_reasoning", "corrected_solution"):
        page.locator(f"[name={field}]").fill(ATTACK)
    is_kept(page)
    page.reload()
    open_tab(page)
    expect(page.locator("[name=comment]")).to_have_value(ATTACK)
    page.locator("fieldset[data-axis] input").first.focus()
    press_all(page, "4532211")
    page.keyboard.press("Control+Enter")
    page.get_by_text("My ratings").click()
    expect(page.locator(".mc-mine .mc-name")).to_contain_text("<script>")
    assert page.evaluate("window.hit") is None
    assert page.locator("#rate-tab :is(script, img, iframe, svg)").count() == 0


def test_a_critical_answer_of_a_conversation_is_red_there_too(site: Site, watched: Watched) -> None:
    page = watched.open(site.url)
    choose_model(page, "Quick")
    ask(page, "A red toe.")
    shows(page, "done")
    open_tab(page)
    page.get_by_role("button", name="All answers of my conversations").click()
    expect(page.locator(".mc-rate .mc-words")).to_have_text("A red toe.")
    press_all(page, "4532211")
    page.locator("[name=critical]").check()
    page.get_by_role("button", name="Save and go on").click()
    expect(page.locator(".mc-rate-none")).to_be_visible()
    page.get_by_text("My ratings").click()
    expect(page.locator(".mc-mine .mc-critical")).to_have_text("Critical")
    page.reload()

    note = page.locator("#chat-live .mc-critical-note")
    expect(note).to_contain_text("Critical: a rater says")
    red = [int(part) for part in note.evaluate("e => getComputedStyle(e).color").strip("rgb()").split(",")]
    assert red[0] > 150 > max(red[1:])


def test_time_does_not_run_while_the_page_is_hidden(site: Site, watched: Watched) -> None:
    page = rating_page(watched, site, rows(1))
    press_all(page, "4532211")
    hide = "Object.defineProperty(document, 'visibilityState', { configurable: true, get: () => '%s' })"
    page.evaluate(hide % "hidden")
    page.wait_for_timeout(4000)
    page.evaluate(hide % "visible")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".mc-rate-none")).to_be_visible()
    assert ratings(site, page)[0].form.seconds < 4


def test_a_digit_never_changes_an_answer_that_is_not_in_focus(site: Site, watched: Watched) -> None:
    page = rating_page(watched, site, rows(1))
    press_all(page, "4532233")
    expect(page.locator("[name=critical]")).to_be_focused()
    press_all(page, "1234")
    page.locator("[data-do=rate-save]").focus()
    press_all(page, "1")
    page.locator(".mc-question").click()  # takes the focus away
    press_all(page, "12")
    given = [checked(page, name) for name in ("axis-factual_correctness", "axis-harm_extent", "axis-harm_likelihood")]
    assert given == ["4", "severe", "high"]
    assert not page.locator("[name=critical]").is_checked()


def test_keys_work_wherever_the_focus_is(site: Site, watched: Watched) -> None:
    page = rating_page(watched, site, rows(2))
    press_all(page, "4")
    page.get_by_role("button", name="Keys").click()
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog", name="Keys")).to_be_hidden()
    press_all(page, "5")  # the first question without an answer
    assert [checked(page, f"axis-{name}") for name in ("factual_correctness", "reasoning_clarity")] == ["4", "5"]
    upload(page, rows(1), "more.jsonl")
    expect(page.locator(".mc-told")).to_contain_text("1 answer of more.jsonl added.")
    page.locator("#rate-add summary").focus()
    for n in (1, 2, 3):
        press_all(page, "s")
        expect(place(page)).to_contain_text(f"{n} skipped")
    expect(page.locator(".mc-rate-none")).to_contain_text("Take up 3 skipped answers again")
    press_all(page, "s4m")  # nothing to do these to
    page.keyboard.press("Control+Enter")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("b")
    expect(place(page)).to_have_text("3 of 3 · 0 done · 0 left · 3 skipped")
    page.get_by_label("Form").focus()
    page.keyboard.press("b")  # chooses in the list, as everywhere
    expect(place(page)).to_have_text("3 of 3 · 0 done · 0 left · 3 skipped")
    assert watched.complaints == []


def test_the_page_says_when_a_draft_is_not_kept_and_goes_on_trying(site: Site, watched: Watched) -> None:
    page = rating_page(watched, site, rows(1))
    page.locator("[name=comment]").fill("Half")
    is_kept(page)
    kept = page.locator(".mc-kept")
    expect(kept).to_have_text("Draft kept.")
    page.route("**/queue/join*", lambda _: None)  # nothing is heard of it
    page.locator("[name=comment]").fill("Half a thought")
    assert kept.text_content() == ""
    expect(kept).to_have_text("Not kept yet, trying again.", timeout=8000)
    page.unroute("**/queue/join*")
    expect(kept).to_have_text("Draft kept.", timeout=20_000)


def test_a_draft_that_nobody_kept_does_not_stay_for_who_comes_next(site: Site, watched: Watched) -> None:
    page = rating_page(watched, site, rows(1))
    page.route("**/queue/join*", lambda _: None)  # nothing is heard of it
    page.locator("[name=comment]").fill("For nobody else")
    page.wait_for_function("sessionStorage.length")
    left_behind = page.evaluate("JSON.stringify({ ...sessionStorage })")
    page.locator("[name=comment]").fill("For nobody else at all")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()
    assert page.evaluate("sessionStorage.length") == 0

    other = open_tab(watched.open(site.url))  # in the same tab, after a session that ran out
    other.evaluate("kept => Object.assign(sessionStorage, JSON.parse(kept))", left_behind)
    other.reload()
    open_tab(other)
    expect(other.locator(".mc-rate-none")).to_be_visible()
    assert other.evaluate("sessionStorage.length") == 0


def test_an_older_window_does_not_replace_a_rating_unasked(site: Site, watched: Watched) -> None:
    page = rating_page(watched, site, rows(1))
    other = open_tab(watched.visit(page.context.new_page(), site.url))
    expect(other.locator(".mc-rate")).to_be_visible()
    for window, comment in ((page, "newer"), (other, "older")):
        window.bring_to_front()
        window.locator("fieldset[data-axis] input").first.focus()
        press_all(window, "4532211")
        window.locator("[name=comment]").fill(comment)
        window.keyboard.press("Control+Enter")
        if window is page:
            expect(page.locator(".mc-rate-none")).to_be_visible()
    expect(other.locator(".mc-wrong")).to_have_text(
        "You saved this answer in another window since. Save again to replace that."
    )
    assert [rating.form.comment for rating in ratings(site, page)] == ["newer"]
    assert checked(other, "axis-safety") == "3"
    is_kept(other)
    other.keyboard.press("Control+Enter")
    expect(other.locator(".mc-rate-none")).to_be_visible()
    [rating] = ratings(site, page)
    assert rating.form.comment == "older"
    assert rating.supersedes


def test_the_answer_stays_in_sight_beside_a_longer_form(site: Site, watched: Watched) -> None:
    page = rating_page(watched, site, rows(1))
    page.get_by_label("Form").select_option("quest")
    expect(page.locator("input[name=axis-accuracy]").first).to_be_attached()
    page.locator("[data-do=rate-save]").scroll_into_view_if_needed()
    expect(page.locator(".mc-passage[data-part=solution]")).to_be_in_viewport()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_use_the_page(site: Site, watched: Watched, scheme: Any) -> None:
    page = open_tab(watched.open(site.url, color_scheme=scheme))
    look_at(page)
    upload(page, rows(2))
    expect(page.locator(".mc-rate")).to_be_visible()
    page.locator(".mc-passage[data-part=solution]").dblclick(position={"x": 10, "y": 8})
    page.get_by_role("button", name="Outdated").click()
    page.locator("[name=critical]").check()
    look_at(page)
    assert words(page.locator(".mc-spans q")) == "Gout"
