"""Signing in as people do it: the page, the header, the Admin tab, by keyboard, in light and dark."""

import json
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from browser_site import PATIENCE_MS, Site, Watched, free_port, is_drawn, running, scripted_site
from playwright.sync_api import Browser, Page, expect

from medchat.accounts import Accounts
from medchat.settings import Settings
from medchat.store import Store

pytestmark = pytest.mark.browser

PASSWORD = "correct horse"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """With the admin Ada and the rater Bob."""
    with scripted_site(tmp_path_factory.mktemp("site")) as running_site:
        with closing(Store(running_site.settings.db_url)) as store:
            accounts = Accounts(store, running_site.settings)
            accounts.add("terminal", "Ada", "admin", PASSWORD)
            accounts.add("terminal", "Bob", "rater", PASSWORD)
        yield running_site


@pytest.fixture
def watched(chromium: Browser) -> Iterator[Watched]:
    watched = Watched(chromium)
    yield watched
    watched.close()
    assert not watched.foreign


def arrive(chromium: Browser, url: str, **options: object) -> Page:
    """The sign-in page, in a browser that has no session."""
    context = chromium.new_context(**{"viewport": {"width": 1280, "height": 900}} | options)  # type: ignore[arg-type]
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    page.goto(url)
    return page


def sign_in(page: Page, name: str, password: str = PASSWORD) -> None:
    """By keyboard alone: the field for the name has the focus."""
    expect(page.get_by_label("Name")).to_be_focused()
    page.keyboard.type(name)
    page.keyboard.press("Tab")
    page.keyboard.type(password)
    page.keyboard.press("Enter")


def open_admin(page: Page) -> None:
    page.get_by_role("tab", name="Admin").click()
    expect(page.locator("#admin-users")).to_contain_text("may sign in")


def choose(page: Page, elem_id: str, option: str) -> None:
    page.locator(f"#{elem_id} input").click()
    page.get_by_role("option", name=option, exact=True).click()


@pytest.mark.slow
def test_one_signs_in_by_keyboard_sees_ones_name_and_signs_out(site: Site, chromium: Browser) -> None:
    page = arrive(chromium, f"{site.url}?conversation=none")
    expect(page).to_have_url(re.compile("/sign-in"))
    page.keyboard.type("Bob")
    page.keyboard.press("Tab")
    page.keyboard.type("not the password")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("do not fit together")
    expect(page.get_by_label("Name")).to_have_value("Bob")
    expect(page.get_by_label("Password")).to_be_focused()
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")

    expect(page.locator("#signed-in")).to_contain_text("Bob rater")
    expect(page.get_by_role("tab", name="Chat")).to_be_visible()
    expect(page.get_by_role("tab", name="Admin")).to_have_count(0)
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="MedChat")).to_be_visible()
    page.go_back()
    page.reload()
    expect(page.get_by_label("Password")).to_be_visible()
    page.context.close()


def test_it_works_without_scripts(site: Site, chromium: Browser) -> None:
    page = arrive(chromium, site.url, java_script_enabled=False)
    sign_in(page, "Bob", "not the password")
    expect(page.get_by_role("alert")).to_contain_text("do not fit together")
    page.context.close()


def test_a_page_whose_session_ended_says_so_and_leads_to_the_sign_in(site: Site, watched: Watched) -> None:
    page = watched.open(site.url)
    with closing(Store(site.settings.db_url)) as store:
        store.end_sign_ins_of(site.owner(page))
    page.locator("#chat-question textarea").fill("A red toe.")
    page.locator("#chat-question textarea").press("Enter")
    expect(page.get_by_test_id("toast-body")).to_contain_text("You are signed out.")
    page.reload()
    expect(page.get_by_label("Password")).to_be_visible()


@pytest.mark.slow
def test_an_admin_adds_changes_and_closes_an_account_and_reads_it_in_the_audit(site: Site, chromium: Browser) -> None:
    page = arrive(chromium, site.url)
    sign_in(page, "Ada")
    expect(page.locator("#signed-in")).to_contain_text("Ada admin")
    open_admin(page)
    page.get_by_label("Name", exact=True).fill("Carol")
    page.locator("#admin-new-password input").fill("short")
    page.get_by_role("button", name="Add account").press("Enter")
    expect(page.get_by_test_id("toast-body")).to_contain_text("10 characters or more")
    page.locator("#admin-new-password input").fill(PASSWORD)
    page.locator("#admin-new-password input").press("Enter")
    expect(page.locator("#admin-status")).to_contain_text("Added Carol as rater.")
    expect(page.locator("#admin-new-password input")).to_have_value("")

    choose(page, "admin-user", "Carol")
    expect(page.locator("#admin-role input")).to_have_value("rater")
    choose(page, "admin-role", "engineer")
    page.get_by_role("button", name="Change role").click()
    expect(page.locator("#admin-status")).to_contain_text("Carol is engineer now.")
    page.locator("#admin-disable").click()
    dialog = page.get_by_role("dialog", name="Disable Carol?")
    dialog.get_by_role("button", name="Keep it").click()
    expect(page.locator("#admin-users tr", has_text="Carol")).to_contain_text("may sign in")
    page.locator("#admin-disable").click()
    dialog.get_by_role("button", name="Disable").click()
    expect(page.locator("#admin-users tr", has_text="Carol")).to_contain_text("disabled")
    expect(page.locator("#admin-status")).to_contain_text("Carol can no longer sign in")

    choose(page, "admin-what", "role changed")
    rows = page.locator("#admin-audit tbody tr")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("Ada")
    expect(rows).to_contain_text("name: Carol, from: rater, to: engineer")
    page.set_viewport_size({"width": 1280, "height": 480})
    page.mouse.wheel(0, -5000)
    page.locator("#admin-user input").click()
    expect(page.locator("#admin-user").get_by_role("option", name="Carol")).to_be_visible()
    places = page.locator("#admin-users"), page.locator("#admin-user [role=listbox]")
    table, choices = (place.bounding_box() for place in places)
    assert table
    assert choices
    assert choices["y"] >= table["y"] + table["height"]
    seen = "([x, y]) => Boolean(document.elementFromPoint(x, y).closest('[role=option]'))"
    assert page.evaluate(seen, [choices["x"] + 30, choices["y"] + 20])
    page.get_by_role("option", name="Ada", exact=True).click()
    expect(page.locator("#admin-role input")).to_have_value("admin")
    page.locator("#admin-disable").click()
    page.get_by_role("dialog", name="Disable Ada?").get_by_role("button", name="Disable").click()
    expect(page.get_by_test_id("toast-body").last).to_contain_text("last admin")
    expect(page.locator("#admin-status")).not_to_contain_text("Carol")
    page.set_viewport_size({"width": 400, "height": 900})
    cut = "parts => parts.filter(part => part.scrollWidth > part.clientWidth + 1).length"
    assert page.locator("#admin-page .mc-scroll").evaluate_all(cut) == 0
    page.context.close()


@pytest.mark.slow
def test_the_first_account_closes_the_machine_to_who_has_none(tmp_path: Path, watched: Watched) -> None:
    port = free_port()
    command = ["app.py", "--port", str(port), "--data-dir", str(tmp_path / "data")]
    with running(command, Settings(tmp_path / "data", port=port)) as site:
        page = watched.open(site.url)
        expect(page.locator("#signed-in")).not_to_contain_text("Sign out")
        page.get_by_role("tab", name="Admin").click()
        expect(page.locator("#admin-users")).to_contain_text("There is no account")
        is_drawn(page)
        page.get_by_label("Name", exact=True).fill("Ada")
        page.locator("#admin-new-password input").fill(PASSWORD)
        page.get_by_role("button", name="Add account").click()
        expect(page.get_by_test_id("toast-body")).to_contain_text("first account must be an admin")
        choose(page, "admin-new-role", "admin")
        page.get_by_role("button", name="Add account").click()
        expect(page).to_have_url(re.compile("/sign-in"))
        sign_in(page, "Ada")
        expect(page.locator("#signed-in")).to_contain_text("Ada admin")


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_serious_for_axe_and_nothing_beyond_the_edge(scheme: str, site: Site, chromium: Browser) -> None:
    page = arrive(chromium, site.url, color_scheme=scheme)
    for step in ("sign-in", "error", "admin"):
        if step == "error":
            sign_in(page, "Ada", "not the password")
            expect(page.get_by_role("alert")).to_be_visible()
        if step == "admin":
            page.set_viewport_size({"width": 1280, "height": 900})  # a narrow page has the last tabs in a menu
            page.keyboard.type(PASSWORD)
            page.keyboard.press("Enter")
            open_admin(page)
        for width in (1280, 400):
            page.set_viewport_size({"width": width, "height": 900})
            results = Axe().run(page, {"exclude": [[".toast-wrap"]]}, {"resultTypes": ["violations"]})
            serious = [found for found in results.response["violations"] if found["impact"] in ("serious", "critical")]
            places = [(found["id"], node["html"][:200]) for found in serious for node in found["nodes"]]
            assert not places, json.dumps(places, indent=1)
            assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    page.context.close()
