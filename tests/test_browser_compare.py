"""The Compare tab in a browser: comparisons by keyboard, after reloads, on a phone, and what is sent of them."""

import json
import os
import re
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from browser_site import (
    Site,
    Watched,
    is_drawn,
    is_restored,
    look_at,
    scripted_site,
    typed_at_once,
    words,
)
from playwright.sync_api import Browser, Locator, Page, expect

from medchat.store import ComparisonRecord, PreferenceRecord, Store

pytestmark = [pytest.mark.browser, pytest.mark.slow]

NAMES = ("sprinter", "slow", "boaster", "quick")
# All that the server says, also while it streams.
LISTEN = """
window.heard = [];
const load = window.fetch;
window.fetch = async (...request) => {
  const response = await load(...request);
  const copy = response.clone();
  (async () => {
    const reader = copy.body?.pipeThrough(new TextDecoderStream()).getReader();
    for (let part = await reader?.read(); part && !part.done; part = await reader.read()) window.heard.push(part.value);
  })();
  return response;
};
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The app with scripted answers; draws are even and odd in turn."""
    with scripted_site(tmp_path_factory.mktemp("compare")) as running:
        yield running


def open_compare(watched: Watched, site: Site) -> Page:
    """A page of a new rater, on the Compare tab."""
    page = watched.open(site.url)
    page.get_by_role("tab", name="Compare").click()
    expect(page.locator("#compare-question textarea")).to_be_visible()
    is_drawn(page)
    return page


def come_back(page: Page) -> None:
    """The page loaded again, on the Compare tab."""
    page.reload()
    is_restored(page)
    expect(page.get_by_role("tab", name="Compare")).to_have_attribute("aria-selected", "true")


def pick(page: Page, number: int, name: str) -> None:
    """Chooses one of the two models and waits until the page has its settings."""
    field = page.locator(f"#compare-model-{number} input")
    if field.input_value().startswith(f"{name} ·"):
        return
    with page.expect_response(lambda response: "/queue/join" in response.url):
        field.click()
        page.get_by_role("option", name=re.compile(rf"^{name} ·")).locator("visible=true").click()
    expect(field).to_have_value(re.compile(rf"^{name} ·"))
    expect(page.get_by_role("option")).to_have_count(0)


def ask(page: Page, first: str, second: str, question: str = "A red toe.") -> None:
    """Puts the question to both models."""
    pick(page, 1, first)
    pick(page, 2, second)
    page.locator("#compare-question textarea").fill(question)
    page.locator("#compare-ask").click()
    expect(side(page, "a")).to_be_visible()


def side(page: Page, name: str) -> Locator:
    return page.locator(f"#compare-{name} .mc-side")


def has_state(page: Page, state: str) -> None:
    expect(page.locator(f"#compare-vote[data-state={state}]")).to_be_visible(timeout=40_000)


def tab_to(page: Page, place: Locator) -> None:
    """Presses Tab until the place has the focus."""
    for _ in range(60):
        if place.evaluate("element => element === document.activeElement"):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"the keyboard does not come to {place}")


def saved(page: Page, site: Site) -> tuple[ComparisonRecord, PreferenceRecord | None]:
    """The newest comparison of the page's rater, and the vote on it."""
    rater = site.owner(page)
    with closing(Store(site.settings.db_url)) as store:
        comparison = store.comparisons_of(rater, limit=1)[0]
        return comparison, store.preference_of(rater, comparison.id)


def wait_for_draft(page: Page, site: Site, reason: str) -> None:
    """Returns once the server has this reason, without a vote being saved."""
    rater = site.owner(page)
    with closing(Store(site.settings.db_url)) as store:
        key = f"compare:{store.comparisons_of(rater, limit=1)[0].id}"
        for _ in range(100):
            if (store.draft(rater, key) or {}).get("reason") == reason:
                return
            page.wait_for_timeout(100)
    raise AssertionError("the draft was not saved within ten seconds")


def test_a_blinded_comparison_from_case_to_reveal_by_keyboard_alone(watched: Watched, site: Site) -> None:
    page = watched.open(site.url)
    tab_to(page, page.get_by_role("tab", name="Chat"))
    tab_to(page, page.get_by_role("tab", name="Compare"))
    page.keyboard.press("Enter")
    expect(page.locator("#compare-question textarea")).to_be_visible()
    page.keyboard.press("n")
    page.keyboard.press("Enter")  # before the case is there
    has_state(page, "waiting")
    expect(page.locator("#compare-case")).to_contain_text("retired roofer")
    expect(page.locator("#compare-legend")).to_be_hidden()
    page.keyboard.press("a")  # too early
    has_state(page, "open")
    expect(page.locator("[data-vote][aria-pressed=true]")).to_have_count(0)
    page.keyboard.press("b")
    expect(page.locator("[data-vote=b]")).to_have_attribute("aria-pressed", "true")
    tab_to(page, page.locator("#compare-say"))
    page.keyboard.press("Enter")
    tab_to(page, page.locator("[data-axis=consensus]:checked"))
    page.keyboard.press("ArrowRight")  # from "No answer" round to A
    page.keyboard.press("ArrowRight")
    tab_to(page, page.locator("#compare-reason"))
    page.keyboard.type("a better next test")
    tab_to(page, page.locator("[data-flag=a]"))
    page.keyboard.press("Space")
    page.keyboard.press("Enter")

    has_state(page, "saved")
    expect(page.locator("#compare-status")).to_contain_text(re.compile("A was (Slow|Turns), B was (Slow|Turns)"))
    comparison, vote = saved(page, site)
    assert vote
    assert (vote.vote, vote.axes, vote.reason) == ("b", {"consensus": "b"}, "a better next test")
    assert vote.flags == {"a": True, "b": False}
    assert 1 < vote.seconds < 60
    assert comparison.blinded
    assert comparison.source == {"kind": "bundled", "id": "known-01"}
    assert "tokens/s" in words(side(page, "a"))
    page.keyboard.press("n")
    expect(page.locator("#compare-place")).to_contain_text("Case 2 of")
    expect(page.locator("#compare-ask")).to_be_focused()
    assert watched.complaints == []


def test_what_is_typed_as_soon_as_a_box_is_opened_stays(watched: Watched, site: Site) -> None:
    page = open_compare(watched, site)
    assert typed_at_once(page, "#compare-1-settings", "#compare-1-setting-temperature") == "7"
    assert typed_at_once(page, "#compare-context-box", "#compare-context") == "7"


def test_nothing_that_is_sent_before_the_vote_tells_the_draw(watched: Watched, site: Site) -> None:
    page = open_compare(watched, site)
    page.add_init_script(LISTEN)
    come_back(page)
    pages, seeds = [], []
    for _ in range(2):
        pick(page, 1, "Slow")
        pick(page, 2, "Sprinter")
        page.evaluate("window.heard.length = 0")
        ask(page, "Slow", "Sprinter")
        has_state(page, "open")
        comparison, _vote = saved(page, site)
        heard = page.evaluate("window.heard.join('\\n')")
        stored = page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])")
        shown = page.locator("#compare-page").evaluate(
            "page => [...page.querySelectorAll('#compare-case, #compare-notice, #compare-sides, #compare-bar, "
            "#compare-form, #compare-diff, #compare-status')].map(part => part.innerHTML).join('')"
        )
        assert "So it is gout." in heard, "the stream was not heard"
        for text in (heard, stored, shown):
            for telling in (*NAMES, *comparison.answer_ids, str(comparison.draw_seed).zfill(9)):
                assert telling not in text.casefold()
        seeds.append(comparison.draw_seed % 2)
        pages.append(re.sub(r"html-\w+", "", shown.replace(comparison.id, "ID")))
        page.locator("#compare-vote [data-do=compare-next]").click()
        expect(side(page, "a")).to_have_count(0)

    assert sorted(seeds) == [0, 1]
    assert pages[0] == pages[1]


def test_a_name_that_a_model_writes_is_hidden_until_the_vote(watched: Watched, site: Site) -> None:
    page = open_compare(watched, site)
    ask(page, "Boaster", "Sprinter")
    has_state(page, "open")
    told = words(page.locator("#compare-sides"))
    assert "I, [model], beat [model] and [model]." in told

    page.locator("#compare-say").click()
    page.keyboard.press("t")
    page.keyboard.press("Enter")  # saves, whatever had the focus

    has_state(page, "saved")
    expect(page.locator("#compare-sides")).to_contain_text("I, Boaster, beat Sprinter and Slow.")


def test_a_reload_while_both_are_written_and_one_before_the_vote_lose_nothing(watched: Watched, site: Site) -> None:
    page = open_compare(watched, site)
    ask(page, "Slow", "Sprinter", "A reloaded toe.")
    expect(side(page, "a").locator(".mc-steps li").nth(2)).to_be_attached()
    come_back(page)
    expect(page.locator("#compare-case")).to_contain_text("A reloaded toe.")
    has_state(page, "waiting")
    has_state(page, "open")

    page.keyboard.press("x")
    page.locator("#compare-say").click()
    page.locator("[data-axis=recall][value=tie]").check()
    page.locator("#compare-reason").fill("Half a thought")
    wait_for_draft(page, site, "Half a thought")
    come_back(page)

    has_state(page, "open")
    expect(page.locator("[data-vote=both_bad]")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("[data-axis=recall][value=tie]")).to_be_checked()
    expect(page.locator("#compare-reason")).to_have_value("Half a thought")
    page.keyboard.press("Enter")
    has_state(page, "saved")
    _, vote = saved(page, site)
    assert vote
    assert (vote.vote, vote.axes, vote.reason) == ("both_bad", {"recall": "tie"}, "Half a thought")
    come_back(page)
    has_state(page, "saved")
    expect(side(page, "a")).to_contain_text(re.compile("Slow|Sprinter"))
    page.keyboard.press("n")
    expect(page.locator("#compare-question textarea")).to_have_value(re.compile("retired roofer"))
    expect(page.locator("#compare-model-1 input")).to_have_value(re.compile("^Slow"))
    expect(page.locator("#compare-model-2 input")).to_have_value(re.compile("^Sprinter"))


def open_mine(page: Page, question: str) -> None:
    """Opens one of the comparisons in the list."""
    page.get_by_text("My comparisons").click()
    page.locator("#compare-mine li", has_text=question).get_by_role("button", name="Open").click()
    expect(page.locator("#compare-case")).to_contain_text(question)


def test_n_without_a_vote_warns_once_and_what_was_left_is_voted_on_later(watched: Watched, site: Site) -> None:
    page = open_compare(watched, site)
    ask(page, "Quick", "Hostile", "A forgotten toe.")
    has_state(page, "open")
    page.locator("#compare-say").click()
    page.locator("#compare-reason").fill("Half a thought")
    page.locator("#compare-say").focus()
    page.keyboard.press("n")
    expect(page.locator(".mc-vote-line")).to_have_text("Not voted yet: press n again to leave it.")
    page.keyboard.press("n")
    expect(side(page, "a")).to_have_count(0)

    open_mine(page, "A forgotten toe.")
    has_state(page, "open")
    expect(page.locator("#compare-reason")).to_have_value("Half a thought")
    look_at(page)
    page.keyboard.press("a")
    page.keyboard.press("Enter")
    has_state(page, "saved")
    _, vote = saved(page, site)
    assert vote
    assert (vote.vote, vote.reason) == ("a", "Half a thought")
    page.get_by_text("My comparisons").click()
    expect(page.locator("#compare-mine li")).to_contain_text("voted: A better · A ")
    assert watched.complaints == []


def test_a_vote_that_a_killed_server_never_heard_is_saved_once_it_is_back(chromium: Browser, tmp_path: Path) -> None:
    pages = Watched(chromium)
    with scripted_site(tmp_path) as site:
        page = open_compare(pages, site)
        ask(page, "Quick", "Hostile", "A killed toe.")
        has_state(page, "open")
        page.locator("#compare-say").click()
        page.locator("#compare-reason").fill("Half a thought")
        wait_for_draft(page, site, "Half a thought")
        os.kill(site.process.pid, signal.SIGKILL)
        site.process.wait()
        page.locator("#compare-reason").fill("A whole thought")  # nobody hears this
        page.locator("[data-vote=b]").click()
        page.locator("[data-do=compare-save]").click()
        page.wait_for_timeout(1000)
    with scripted_site(tmp_path, site.settings.port) as again:
        come_back(page)
        has_state(page, "saved")
        _, vote = saved(page, again)
        assert vote
        assert (vote.vote, vote.reason, vote.supersedes) == ("b", "A whole thought", None)
        assert page.evaluate("sessionStorage.getItem('medchat-ballot-compare')") is None

        page.get_by_role("button", name="Change vote").click()
        has_state(page, "open")
        os.kill(again.process.pid, signal.SIGKILL)
        again.process.wait()
        page.locator("[data-vote=tie]").click()  # neither saved nor heard
        page.wait_for_timeout(1000)
        kept = page.evaluate("sessionStorage.getItem('medchat-ballot-compare')")
    with scripted_site(tmp_path, site.settings.port) as third:
        stranger = open_compare(pages, third)
        ask(stranger, "Quick", "Hostile", "Another toe.")
        stranger.evaluate("kept => sessionStorage.setItem('medchat-ballot-compare', kept)", kept)
        come_back(stranger)
        has_state(stranger, "open")
        assert "A whole thought" not in stranger.content()
        expect(stranger.locator("[data-vote][aria-pressed=true]")).to_have_count(0)
        assert stranger.evaluate("sessionStorage.getItem('medchat-ballot-compare')") is None

        come_back(page)
        has_state(page, "open")
        expect(page.locator("[data-vote=tie]")).to_have_attribute("aria-pressed", "true")
        expect(page.locator("#compare-reason")).to_have_value("A whole thought")
        page.keyboard.press("Enter")
        has_state(page, "saved")
        _, changed = saved(page, third)
        assert changed
        assert (changed.vote, changed.supersedes) == ("tie", vote.id)
    pages.close()


def test_a_list_of_cases_outlives_a_killed_server(chromium: Browser, tmp_path: Path) -> None:
    pages, cases = Watched(chromium), tmp_path / "mine.csv"
    cases.write_text("question\nWhy me?\nWhy now?\n")
    field, choice = "#compare-question textarea", "#compare-source input"
    with scripted_site(tmp_path) as site:
        page = open_compare(pages, site)
        page.locator("#compare-file").set_input_files(cases)
        expect(page.locator(field)).to_have_value("Why me?")
        os.kill(site.process.pid, signal.SIGKILL)
        site.process.wait()
    with scripted_site(tmp_path, site.settings.port):
        come_back(page)
        expect(page.locator(choice)).to_have_value("mine.csv (2 cases)")
        page.locator("#compare-next").click()
        expect(page.locator(field)).to_have_value("Why now?")
    pages.close()


def test_a_vote_is_changed_and_both_answers_go_to_the_rate_tab(watched: Watched, site: Site) -> None:
    page = open_compare(watched, site)
    ask(page, "Quick", "Hostile")
    has_state(page, "open")
    page.locator("[data-vote=a]").click()
    page.keyboard.press("Enter")  # the button that was pressed has the focus
    has_state(page, "saved")
    _, first = saved(page, site)

    page.get_by_role("button", name="Change vote").click()
    has_state(page, "open")
    expect(page.locator("[data-vote=a]")).to_have_attribute("aria-pressed", "true")
    page.locator("[data-vote=b]").click()
    page.locator("[data-do=compare-save]").click()

    has_state(page, "saved")
    expect(page.locator(".mc-vote-line")).to_have_text("You voted: B better.")
    _, second = saved(page, site)
    assert first
    assert second
    assert (second.vote, second.supersedes) == ("b", first.id)
    page.get_by_role("button", name="Send both to Rate").click()
    expect(page.get_by_test_id("toast-body")).to_contain_text("2 answers added to your queue")
    assert page.evaluate("window.hit") is None
    assert watched.complaints == []


def test_one_side_breaks_off_another_is_stopped_and_each_leaves_the_other(watched: Watched, site: Site) -> None:
    page = open_compare(watched, site)
    ask(page, "Broken", "Slow")
    has_state(page, "open")
    ends = sorted(words(side(page, name).locator(".mc-state, .mc-solution").last) for name in "ab")
    assert ends == ["Failed This side broke off before its end.", "SolutionGout, which came first."]

    page.locator("#compare-vote [data-do=compare-next]").click()
    ask(page, "Slow", "Sprinter")
    expect(side(page, "a").locator(".mc-steps li").nth(2)).to_be_attached()
    page.locator("#compare-stop-b").press("Enter")
    expect(side(page, "b")).to_contain_text("Stopped")
    has_state(page, "open")
    expect(side(page, "a")).to_contain_text("So it is gout.")
    expect(side(page, "b")).not_to_contain_text("So it is gout.")


def test_in_open_mode_names_come_at_once_and_the_differences_at_the_end(watched: Watched, site: Site) -> None:
    page = open_compare(watched, site)
    page.get_by_label("Hide the names until I have voted").uncheck()
    ask(page, "Boaster", "Sprinter")
    expect(side(page, "a").locator(".mc-name")).to_have_text("Boaster")
    expect(side(page, "b").locator(".mc-name")).to_have_text("Sprinter")
    has_state(page, "open")
    page.locator("#compare-diff-reasonings").click()
    expect(page.locator(".mc-diff del")).to_contain_text("I, Boaster, beat Sprinter and Slow")
    expect(page.locator(".mc-diff ins")).to_contain_text("So it is gout")


def test_a_file_of_cases_is_taken_and_a_broken_or_huge_one_is_refused_in_one_line(
    watched: Watched, site: Site, tmp_path: Path
) -> None:
    page = open_compare(watched, site)
    field, toast = page.locator("#compare-question textarea"), page.get_by_test_id("toast-body")
    lines = [json.dumps({"question": f"Case {n}: <b>why</b>?", "context": "Aged 9." if n == 1 else ""}) for n in (1, 2)]
    good, bad, huge = (tmp_path / name for name in ("good.jsonl", "bad.jsonl", "huge.csv"))
    good.write_text("\n".join(lines))
    bad.write_text("\n".join([*lines, *lines]))
    huge.write_bytes(b"question\n" + b"x" * 50_000_000)

    page.locator("#compare-file").set_input_files(good)
    expect(field).to_have_value("Case 1: <b>why</b>?")
    expect(page.locator("#compare-context textarea")).to_have_value("Aged 9.")
    page.locator("#compare-next").click()
    expect(field).to_have_value("Case 2: <b>why</b>?")
    page.locator("#compare-file").set_input_files(bad)
    expect(toast).to_contain_text("line 3: the same id or case is already in line 1.")
    toast.get_by_role("button").last.click()
    page.locator("#compare-file").set_input_files(huge)
    expect(toast.last).to_contain_text("The file has 50 MB; at most 5 MB are taken: split it.")
    expect(field).to_have_value("Case 2: <b>why</b>?")


def test_a_second_rater_sees_nothing_of_the_first(watched: Watched, site: Site) -> None:
    page = open_compare(watched, site)
    ask(page, "Quick", "Hostile", "A secret toe.")
    has_state(page, "open")
    other = open_compare(watched, site)
    other.wait_for_timeout(500)
    expect(side(other, "a")).to_have_count(0)
    assert "secret" not in other.content()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_desk_and_on_a_phone_the_vote_stays_in_sight(watched: Watched, site: Site, scheme: str) -> None:
    page = open_compare(watched, site)
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    come_back(page)
    look_at(page)
    ask(page, "Sprinter", "Quick")
    has_state(page, "open")
    page.locator("#compare-say").click()
    look_at(page)
    page.set_viewport_size({"width": 400, "height": 800})
    page.evaluate("window.scrollTo(0, 300)")
    expect(page.locator("#compare-vote")).to_be_in_viewport(ratio=1)
    a, b = (side(page, name).bounding_box() for name in "ab")
    assert a
    assert b
    assert a["y"] + a["height"] <= b["y"]
    page.locator("[data-vote=tie]").click()
    page.locator("[data-do=compare-save]").click()
    has_state(page, "saved")
    page.locator("#compare-diff-solutions").click()
    look_at(page)
