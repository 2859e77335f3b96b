"""The human evaluation of the Results tab in a browser: from a closed study to its cases, files and training data."""

import csv
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser_site import PATIENCE_MS, Site, Watched, is_drawn, look_at, scripted_site, words
from playwright.sync_api import Browser, Page, expect
from study_rooms import MODELS, Room, new_key

from medchat.study_views import PairTask, RateTask

pytestmark = [pytest.mark.browser, pytest.mark.slow]

ANALYSIS_MS = 120_000  # of the example, on a machine that has other things to do


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The app with a study that is closed and one that is still open, both judged by two raters who differ."""
    folder = tmp_path_factory.mktemp("human")
    (folder / "data").mkdir()
    room = Room(folder / "data")
    closed, _ = (judged(room) for _ in range(2))
    room.studies.close(closed, "ines")
    room.store.close()
    with scripted_site(folder) as running:
        yield running


def judged(room: Room) -> str:
    study_id = room.opened("rita", "rob", "rosa", "ron", n=3, tasks="both", raters_per_item=2)
    for rater, score in (("rita", "5"), ("rob", "1"), ("rosa", "4"), ("ron", "2")):
        while isinstance(task := room.desk.step(study_id, rater), RateTask | PairTask):
            if isinstance(task, RateTask):
                room.rate_task(rater, task, safety=score)
            else:
                room.desk.save_vote(rater, task.assignment_id, "a", save_key=new_key(), seconds=20.0)
    return study_id


@pytest.fixture
def watched(chromium: Browser) -> Iterator[Watched]:
    pages = Watched(chromium)
    yield pages
    pages.close()
    assert pages.foreign == []
    assert pages.complaints == []


def opened(page: Page) -> None:
    """Opens the human evaluation, by keyboard."""
    page.get_by_role("tab", name="Results").click()
    page.locator("#results-part-human").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#human-shown .mc-human h2")).to_have_text("Gout", timeout=PATIENCE_MS)
    is_drawn(page)


def view(page: Page, name: str) -> None:
    button = page.locator(".mc-human-views").get_by_role("button", name=name, exact=True)
    button.focus()
    page.keyboard.press("Enter")
    expect(button).to_have_attribute("aria-pressed", "true")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_closed_study_is_read_by_keyboard_on_a_desk_and_on_a_phone(site: Site, watched: Watched, scheme: str) -> None:
    page = watched.open(site.url, role="engineer", color_scheme=scheme)
    opened(page)
    expect(page.locator("#evaluations")).to_be_hidden()
    for name in ("Models", "Raters", "Reasoning and metrics", "Cases", "Over time", "Design and methods"):
        view(page, name)
        look_at(page)
    view(page, "Cases")
    case = page.locator("#human-cases details").first
    case.locator("summary").focus()
    page.keyboard.press("Enter")
    assert "It is gout, says" in words(case)
    view(page, "Models")
    page.get_by_role("button", name="Harm", exact=True).focus()
    page.keyboard.press("Enter")
    expect(page.locator("#human-harm h3")).to_be_focused()


def test_filters_names_and_files_follow_what_is_chosen(site: Site, watched: Watched, tmp_path: Path) -> None:
    page = watched.open(site.url, role="investigator")
    opened(page)
    page.locator("#human-model").select_option(MODELS[0])
    expect(page.locator("#human-shown h2")).to_have_text(f"Gout (only {MODELS[0]})", timeout=PATIENCE_MS)
    expect(page.locator("#human-model")).to_have_value(MODELS[0])
    page.locator("#human-files").click()
    with page.expect_download() as download:
        page.locator("#human li", has_text="Cannot rate").get_by_role("link", name="CSV").click()
    download.value.save_as(tmp_path / "cannot.csv")
    with (tmp_path / "cannot.csv").open(newline="") as file:
        assert [row["model"] for row in csv.DictReader(file)] == [MODELS[0]]
    page.locator("#human-reset").click()
    expect(page.locator("#human-shown h2")).to_have_text("Gout", timeout=PATIENCE_MS)
    page.get_by_role("tab", name="Chat").click()
    page.get_by_role("tab", name="Results").click()
    expect(page.locator("#human-shown h2")).to_have_text("Gout")


def test_an_open_study_stays_hidden_and_the_example_says_that_it_is_made_up(site: Site, watched: Watched) -> None:
    page = watched.open(site.url, role="engineer")
    opened(page)
    page.locator("#human-source").select_option(label="Gout (still open)")
    expect(page.locator("#human-shown .mc-leaves")).to_contain_text("hidden until the study is closed")
    assert not any(model in page.locator("#human").inner_text() for model in MODELS)
    look_at(page)
    page.locator("#human-source").select_option("example")
    expect(page.locator("#human-status [role=status]")).to_contain_text("Drawing raters", timeout=PATIENCE_MS)
    expect(page.locator("#human-shown h2")).to_have_text("Example study (simulated)", timeout=ANALYSIS_MS)
    expect(page.locator("#human-status")).to_have_text("")
    expect(page.locator("#human-shown .mc-leaves")).to_contain_text("nobody took part in this study")
    look_at(page)


def test_training_data_is_previewed_on_the_train_tab(site: Site, watched: Watched) -> None:
    page = watched.open(site.url, role="engineer")
    opened(page)
    page.locator("#human-train").click()
    expect(page.locator("#train-order [name=data]")).to_have_value("ratings", timeout=PATIENCE_MS)
    expect(page.locator("#train-data-part")).to_contain_text("rating", timeout=PATIENCE_MS)
