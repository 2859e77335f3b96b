"""How the page opens: beside a full store, and on a phone with all its tabs."""

import re
import statistics
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from browser_site import Site, Watched, ask, bundled_site, is_restored, scripted_site
from playwright.sync_api import Browser, Page, expect
from stores import fill

from medchat.store import ModelRecord, Store

pytestmark = [pytest.mark.browser, pytest.mark.slow]

ROUNDS = 9


@pytest.fixture
def watched(chromium: Browser) -> Iterator[Watched]:
    pages = Watched(chromium)
    yield pages
    pages.close()
    assert pages.foreign == []


def opened_ms(page: Page, url: str, in_list: str) -> float:
    """How long the page took from nothing until it shows what the server remembers."""
    page.goto("about:blank")
    began = time.perf_counter()
    page.goto(url)
    is_restored(page)
    expect(page.locator("#chat-list")).to_contain_text(in_list)
    return (time.perf_counter() - began) * 1000


@pytest.mark.slow
def test_beside_200_conversations_of_20_turns_the_page_opens_nearly_as_fast(tmp_path: Path, watched: Watched) -> None:
    folders = [tmp_path / name for name in ("empty", "full")]
    for folder in folders:
        folder.mkdir()
    with bundled_site(folders[0]) as empty, bundled_site(folders[1]) as full:
        blank, filled = watched.open(empty.url), watched.open(full.url)
        with closing(Store(full.settings.db_url)) as store:
            store.add_model(ModelRecord("demo", "Demo"))
            fill(store, conversations=200, turns=20, owner=full.owner(filled))
        times: dict[str, list[float]] = {"empty": [], "full": []}
        for _ in range(ROUNDS):
            times["empty"].append(opened_ms(blank, empty.url, "No conversations yet."))
            times["full"].append(opened_ms(filled, full.url, "Talk 199"))

        expect(filled.locator("#chat-list .mc-open")).to_have_count(50)
    medians = {name: statistics.median(took) for name, took in times.items()}
    print(medians)
    assert medians["full"] < 1.5 * medians["empty"], times


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with scripted_site(tmp_path_factory.mktemp("site")) as running:
        yield running


@pytest.mark.parametrize(
    ("role", "names", "rows"),
    [
        ("rater", ("Compare", "Rate", "Studies", "Models", "Data", "Chat"), 1),
        ("admin", ("Compare", "Rate", "Studies", "Results", "Train", "Data", "Models", "Admin", "Chat"), 2),
    ],
)
def test_on_a_phone_every_tab_is_one_tap_away(
    role: str, names: tuple[str, ...], rows: int, site: Site, watched: Watched
) -> None:
    page = watched.open(site.url, role=role, viewport={"width": 400, "height": 900}, has_touch=True)
    for name in names:
        tab = page.get_by_role("tab", name=name, exact=True)
        expect(tab).to_be_in_viewport(ratio=1)
        tab.tap()
        expect(tab).to_have_attribute("aria-selected", "true")
    tops = page.locator("#tabs > .tab-wrapper [role=tab]:visible").evaluate_all(
        "tabs => tabs.map(tab => tab.getBoundingClientRect().top)"
    )
    assert len(tops) == len(names)
    assert len(set(tops)) == rows


@pytest.mark.parametrize(
    ("name", "shows"),
    [("Compare", "#compare-question textarea"), ("Rate", "#rate-head .mc-place"), ("Admin", "#admin-add")],
)
def test_a_page_that_is_loaded_again_shows_the_tab_it_was_left_on(
    name: str, shows: str, site: Site, watched: Watched
) -> None:
    page = watched.open(site.url, role="admin")
    ask(page, "A red toe.")
    begun = re.compile(r"\?conversation=[\w-]{36}$")
    expect(page).to_have_url(begun)
    page.get_by_role("tab", name=name, exact=True).click()
    here = re.compile(rf"\?conversation=[\w-]{{36}}&tab={name.lower()}$")
    expect(page).to_have_url(here)

    page.reload()

    expect(page.locator(shows)).to_be_visible()
    expect(page.get_by_role("tab", name=name, exact=True)).to_have_attribute("aria-selected", "true")
    expect(page).to_have_url(here)
    page.get_by_role("tab", name="Chat").click()
    expect(page.locator("#chat-live .mc-turn")).to_be_visible()
    expect(page).to_have_url(begun)


@pytest.mark.parametrize("field", ["#chat-search-field", "#models-search"])
def test_a_placeholder_does_not_look_like_typed_text(field: str, site: Site, watched: Watched) -> None:
    page = watched.open(site.url)
    page.get_by_role("tab", name="Models").click()
    colours = "field => [getComputedStyle(field, '::placeholder').color, getComputedStyle(field).color]"
    placeholder, typed = page.locator(field).evaluate(colours)
    question = page.locator("#chat-question textarea").evaluate(colours)
    assert placeholder == question[0] != typed
