"""The Models tab in a browser: models are looked at, added, fetched and asked, against servers on loopback."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from browser_site import (
    Site,
    Watched,
    ask,
    bundled_site,
    field_of,
    is_drawn,
    scripted_site,
    shows,
    words,
)
from fake_hub import FakeHub
from openai_servers import FakeServer, Reply, answer, fake_server
from playwright.sync_api import Browser, Locator, Page, expect
from tiny_models import write_chain_model

pytestmark = [pytest.mark.browser, pytest.mark.slow]

REPO, FILE = "org/chain", "chain.gguf"
CHAIN = "\nGout.<|end|>"  # its prompts end in a new line
PACKET_S = 0.15  # each 20,000 bytes of its three million
NOBODY = "http://127.0.0.1:9"


@dataclass
class Place:
    """A running app, the Hub it fetches from, and its models folder."""

    site: Site
    hub: FakeHub

    @property
    def models_dir(self) -> Path:
        return self.site.settings.models_dir


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """`python app.py` with a Hub of its own."""
    folder = tmp_path_factory.mktemp("models")
    weights = write_chain_model(folder / FILE, [CHAIN]).read_bytes()
    with FakeHub({REPO: {FILE: weights}}) as hub, pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_ENDPOINT", hub.endpoint)
        with bundled_site(folder) as site:
            yield Place(site, hub)


@pytest.fixture
def watched(chromium: Browser) -> Iterator[Watched]:
    """Browsers of a test; no request of theirs may leave this machine."""
    pages = Watched(chromium)
    yield pages
    pages.close()
    assert pages.foreign == []
    assert pages.complaints == []


def open_models(watched: Watched, site: Site, **options: Any) -> Page:
    """A page of somebody new, on the Models tab."""
    page = watched.open(site.url, **options)
    page.get_by_role("tab", name="Models").click()
    expect(card(page, "demo")).to_be_visible()
    is_drawn(page)
    return page


def card(page: Page, model_id: str) -> Locator:
    return page.locator(f"article[data-model='{model_id}']")


def begin_adding(page: Page, kind: str) -> None:
    """Opens the form for this kind of model."""
    form = page.get_by_role("button", name="Add a model")
    if form.get_attribute("aria-expanded") != "true":
        form.click()
    page.get_by_role("radio", name=kind).check()


def type_into(page: Page, name: str, text: str) -> None:
    page.locator(f"#models-add-{name} :is(input, textarea)").fill(text)


def check_and_add(page: Page) -> None:
    page.get_by_role("button", name="Check and add").click()


def use(page: Page, model_id: str) -> None:
    """Presses Use in chat and waits for the Chat tab with this model."""
    card(page, model_id).get_by_role("button", name="Use in chat").click()
    expect(page.get_by_role("tab", name="Chat")).to_have_attribute("aria-selected", "true")
    name = page.locator("#chat-model input")
    expect(name).to_have_value(re.compile(re.escape(model_id), re.IGNORECASE))


def test_a_gguf_of_the_models_folder_is_picked_checked_added_and_asked(place: Place, watched: Watched) -> None:
    place.models_dir.mkdir(parents=True, exist_ok=True)
    write_chain_model(place.models_dir / "toe.gguf", [CHAIN])
    page = open_models(watched, place.site)
    begin_adding(page, "A GGUF file")
    page.locator("#models-add-found input").click()
    page.get_by_role("option", name="toe.gguf", exact=True).click()
    expect(page.locator("#models-add-path textarea, #models-add-path input")).to_have_value(re.compile(r"toe\.gguf$"))

    check_and_add(page)

    expect(page.locator("#models-status")).to_contain_text("toe was added.")
    expect(card(page, "toe")).to_be_focused()
    expect(card(page, "toe")).to_be_in_viewport()
    assert "llama.cpp" in words(card(page, "toe"))
    use(page, "toe")
    ask(page, "What is it?")
    assert words(shows(page, "done").locator(".mc-solution p")) == "Gout."

    page.get_by_role("tab", name="Models").click()
    card(page, "toe").get_by_role("button", name="Remove").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    expect(card(page, "toe")).to_have_count(0)
    assert (place.models_dir / "toe.gguf").is_file()


@pytest.mark.parametrize(
    ("path", "told"),
    [("/etc/passwd", "Only what lies in"), ("", "Give the path"), ("{models_dir}/none.gguf", "There is no file")],
)
def test_what_cannot_be_added_is_said_by_the_form_which_stays(
    path: str, told: str, place: Place, watched: Watched
) -> None:
    page = open_models(watched, place.site)
    begin_adding(page, "A GGUF file")
    typed = path.format(models_dir=place.models_dir)
    type_into(page, "path", typed)
    type_into(page, "name", "My own")

    check_and_add(page)

    expect(page.locator("#models-add-told [role=alert]")).to_contain_text(told)
    expect(page.locator("#models-add-path :is(input, textarea)")).to_have_value(typed)
    expect(page.locator("#models-add-name :is(input, textarea)")).to_have_value("My own")


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with fake_server() as fake:
        yield fake


def test_a_server_is_added_and_its_text_is_said_to_leave_the_machine(
    server: FakeServer, place: Place, watched: Watched
) -> None:
    listed = Reply(['{"data": [{"id": "reasoner"}]}'], content_type="application/json")
    server.reply(listed, answer("It is gout."))
    page = open_models(watched, place.site)
    begin_adding(page, "A server")
    type_into(page, "url", server.url.replace("127.0.0.1", "0.0.0.0"))  # an address not known as this machine's own
    type_into(page, "served", "reasoner")

    check_and_add(page)

    expect(card(page, "reasoner")).to_contain_text("Your text leaves this machine")
    assert "Servers" in words(page.locator("section:has(article[data-model=reasoner]) > h2"))
    use(page, "reasoner")
    expect(page.locator("#chat-leaves")).to_contain_text("This text leaves your machine")
    expect(page.get_by_role("button", name="Send to 0.0.0.0")).to_be_visible()
    ask(page, "What is it?")
    turn = shows(page, "done")
    assert words(turn.locator(".mc-solution p")) == "It is gout."
    assert "sent to 0.0.0.0" in words(turn.locator(".mc-print"))


def test_a_server_that_has_no_such_model_is_not_added(server: FakeServer, place: Place, watched: Watched) -> None:
    server.reply(Reply(['{"data": [{"id": "reasoner"}]}'], content_type="application/json"))
    page = open_models(watched, place.site)
    begin_adding(page, "A server")
    type_into(page, "url", server.url)
    type_into(page, "served", "other")

    check_and_add(page)

    expect(page.locator("#models-add-told [role=alert]")).to_contain_text("has no model 'other'; it has reasoner")
    expect(card(page, "other")).to_have_count(0)


def test_a_slow_download_shows_its_progress_is_cancelled_and_goes_on(place: Place, watched: Watched) -> None:
    place.hub.chunk_delay_s = PACKET_S
    page = open_models(watched, place.site)
    begin_adding(page, "From the Hugging Face Hub")
    type_into(page, "repo", REPO)
    type_into(page, "file", FILE)
    type_into(page, "name", "Fetched")
    check_and_add(page)
    expect(page.locator("#models-status")).to_contain_text("Download it next.")
    fetched = card(page, "fetched")

    fetched.get_by_role("button", name="Download").press("Enter")

    bar = fetched.get_by_role("progressbar")
    expect(bar).to_have_attribute("aria-valuenow", re.compile(r"^[1-9]\d?$"))
    expect(fetched.locator(".mc-download")).to_have_text(re.compile(r"\d\.\d MB of \d\.\d MB · \d\.\d MB/s"))
    expect(fetched.get_by_role("button", name="Cancel")).to_be_focused()
    use(page, "demo")
    ask(page, "What is gout?")  # while it goes on
    shows(page, "done")
    page.get_by_role("tab", name="Models").click()
    fetched.get_by_role("button", name="Cancel").click()
    expect(page.locator("#models-status")).to_contain_text("was cancelled; what was fetched is kept")
    expect(bar).to_have_count(0)

    place.hub.chunk_delay_s = 0
    fetched.get_by_role("button", name="Go on with the download").click()

    expect(page.locator("#models-status")).to_contain_text("Fetched is here")
    assert any(seen.range for seen in place.hub.asked_for(FILE))
    expect(fetched).to_contain_text("needs")  # it was looked at
    use(page, "fetched")
    ask(page, "What is it?")
    assert words(shows(page, "done").locator(".mc-solution p")) == "Gout."


def test_a_download_without_a_hub_fails_in_one_line_and_the_chat_goes_on(
    tmp_path: Path, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", NOBODY)
    with bundled_site(tmp_path) as site:
        page = open_models(watched, site)
        model = card(page, "gemma-3-1b-it-gguf")

        model.get_by_role("button", name="Download").click()

        expect(model.get_by_role("alert")).to_be_visible(timeout=60_000)
        assert len(words(model.get_by_role("alert"))) < 250
        expect(model.get_by_role("button", name="Try again")).to_be_visible()
        page.get_by_role("tab", name="Chat").click()
        ask(page, "What is gout?")
        shows(page, "done")


def test_filters_leave_what_was_looked_for_and_say_how_many(place: Place, watched: Watched) -> None:
    page = open_models(watched, place.site)
    shown = page.locator("article.mc-model:visible")
    everything = shown.count()

    page.get_by_label("Search models").fill("biogpt large")
    expect(shown).to_have_count(1)
    expect(page.locator("#models-count")).to_have_text(f"1 of {everything} models")
    expect(page.locator("section.mc-models:visible h2")).to_have_text(re.compile(r" 1 of \d+$"))
    page.get_by_label("Search models").fill("")
    expect(page.locator("section.mc-models:visible h2").first).to_have_text(re.compile(r"^On this machine \d+$"))
    page.get_by_label("Show").select_option("server")
    expect(page.locator("section.mc-models:visible")).to_have_count(1)
    page.get_by_label("Show").select_option("")
    page.get_by_label("Fits this machine").check()
    expect(page.locator("[data-group=large]")).to_be_hidden()


def test_what_folds_and_unfolds_begins_at_the_left(place: Place, watched: Watched) -> None:
    page = open_models(watched, place.site, viewport={"width": 340, "height": 900})
    begin_adding(page, "A GGUF file")
    title = page.get_by_role("button", name="How it is asked")
    lefts = title.evaluate("""button => {
      const range = document.createRange();
      range.selectNodeContents(button.firstElementChild);
      return [...range.getClientRects()].map(line => Math.round(line.left));
    }""")
    assert len(lefts) == 2  # lines
    assert len(set(lefts)) == 1


@pytest.mark.parametrize(("width", "most"), [(1280, 3200), (400, 8500)])
def test_all_models_stand_on_a_few_pages(width: int, most: int, place: Place, watched: Watched) -> None:
    page = open_models(watched, place.site, viewport={"width": width, "height": 900})
    assert page.evaluate("document.documentElement.scrollHeight") < most
    card(page, "gemma-3-1b-it-gguf").locator("summary").click()
    expect(card(page, "gemma-3-1b-it-gguf").get_by_text("Gemma Terms of Use", exact=True)).to_be_visible()


def test_where_others_can_come_in_models_are_only_shown(tmp_path: Path, chromium: Browser, watched: Watched) -> None:
    with scripted_site(tmp_path) as site:
        page = open_models(watched, site)

        expect(card(page, "gemma-3-1b-it-gguf")).to_contain_text("python -m medchat models fetch gemma-3-1b-it-gguf")
        expect(page.get_by_role("button", name=re.compile("^(Download|Remove|Add a model)"))).to_have_count(0)
        use(page, "quick")
        expect(field_of(page)).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_serious_for_axe_and_nothing_beyond_the_edge(scheme: str, place: Place, watched: Watched) -> None:
    page = open_models(watched, place.site, color_scheme=scheme)
    begin_adding(page, "From the Hugging Face Hub")
    page.get_by_role("button", name="How it is asked").click()
    card(page, "gemma-3-medical-grpo").locator("summary").last.click()
    expect(card(page, "gemma-3-medical-grpo").locator("pre")).to_contain_text("<start_reasoning>")
    for width in (1280, 400):
        page.set_viewport_size({"width": width, "height": 900})
        results = Axe().run(page, {"exclude": [[".toast-wrap"]]}, {"resultTypes": ["violations"]})
        serious = [found for found in results.response["violations"] if found["impact"] in ("serious", "critical")]
        places = [(found["id"], node["html"][:200]) for found in serious for node in found["nodes"]]
        assert not places, json.dumps(places, indent=1)
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
