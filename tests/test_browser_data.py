"""The Data tab in a browser: from a file to a data set that is searched and trained on; and what a rater sees of it."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser_site import Site, Watched, look_at, scripted_site, words
from playwright.sync_api import Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(900)]

PATIENCE_MS = 240_000  # of what a job takes its time for, on a machine that does other things too
SIGNS = (
    "a red toe",
    "a wheeze",
    "a stiff neck",
    "a barking cough",
    "an itch",
    "a swollen knee",
    "a rash",
    "hoarseness",
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with scripted_site(tmp_path_factory.mktemp("site")) as running:
        yield running


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of 32 rows, of which one has no question and one no answer."""
    found = [
        {"question": f"A patient of {age} has {sign}. What is to be done first?",
         "answer": f"Take the history of {sign} and examine the patient; at {age}, ask for the medicines too."}
        for sign in SIGNS
        for age in (21, 34, 47, 68)
    ]  # fmt: skip
    found[3]["question"] = "?"
    found[9]["answer"] = ""
    file = tmp_path_factory.mktemp("rows") / "cases.jsonl"
    file.write_text("".join(f"{json.dumps(row)}\n" for row in found))
    return file


def open_data(page: Page) -> None:
    page.get_by_role("tab", name="Data", exact=True).click()
    expect(page.locator("#data-parts nav")).to_be_attached()


def test_a_file_becomes_a_data_set_that_is_read_searched_and_trained_on(
    site: Site, rows: Path, watched: Watched
) -> None:
    page = watched.open(site.url, role="engineer")
    open_data(page)
    page.locator("#data-kind-search").fill("plain question")
    kind = page.locator("#data-kind-qca")
    expect(kind).to_be_visible()
    expect(page.locator("#data-kind-medquad")).to_be_hidden()
    kind.focus()
    page.keyboard.press("Enter")
    with page.expect_file_chooser() as chosen:
        page.locator("#data-upload-qca").press("Enter")
    chosen.value.set_files(rows)
    expect(page.locator("#data-chosen li")).to_contain_text("cases-")

    page.locator("#data-look-0").press("Enter")
    preview = page.locator("#data-preview .mc-preview")
    expect(page.locator("#data-preview-title")).to_be_focused(timeout=PATIENCE_MS)
    expect(preview).to_contain_text("All 32 rows of the source: 30 rows kept, 1 without an answer, 1 dropped.")
    expect(preview.locator("li").first).to_contain_text("As the file has it")
    look_at(page)

    page.locator("#data-form-prepare-name").fill("Cases")
    expect(page.locator("#data-check pre")).to_contain_text("prepared/cases")
    page.locator("#data-start-prepare").press("Enter")
    expect(page.locator("#data-run-title")).to_contain_text("Prepare: cases")
    page.locator("#data-to-set").click(timeout=PATIENCE_MS)
    expect(page.locator("#data-set-title")).to_be_focused()
    expect(page.locator("#data-shown .mc-tiles")).to_contain_text(re.compile(r"Rows in\s*32"))
    with page.expect_popup() as opened:
        page.locator("#data-report").click()
    expect(opened.value.locator("h1")).to_be_visible()
    opened.value.close()

    page.locator("#data-browse-now").press("Enter")
    expect(page.locator("#data-search-text")).to_be_focused()
    page.keyboard.type("barking 47")
    page.keyboard.press("Enter")
    expect(page.locator(".mc-rows > li")).to_have_count(1)
    expect(page.locator(".mc-rows")).to_contain_text("A patient of 47 has a barking cough.")
    page.locator("#data-refine-quality-now").press("Enter")
    expect(page.locator("#data-refine-title")).to_be_focused()
    look_at(page)

    page.locator("#data-train-now").click()
    expect(page.locator("#train-data")).to_be_visible()
    assert words(page.locator("#train-data option:checked")) == "Folder: prepared/cases"
    assert not watched.complaints
    assert not watched.foreign


def test_what_was_chosen_is_there_again_on_a_page_that_is_loaded_anew(site: Site, rows: Path, watched: Watched) -> None:
    page = watched.open(site.url, role="engineer")
    open_data(page)
    page.locator("#data-kind-qca").click()
    with page.expect_file_chooser() as chosen:
        page.locator("#data-upload-qca").click()
    chosen.value.set_files(rows)
    expect(page.locator("#data-chosen li")).to_have_count(1)
    page.locator("#data-f-prepare-seed").fill("7")
    expect(page.locator("#data-check pre")).to_contain_text("--seed 7")

    page.reload()

    expect(page.locator("#data-chosen li")).to_have_count(1)
    expect(page.locator("#data-f-prepare-seed")).to_have_value("7")
    page.locator("#data-path-qca").evaluate("field => field.closest('details').open = true")
    page.locator("#data-path-qca").fill("/etc/passwd")
    page.locator("#data-path-qca").press("Enter")
    fault = page.locator("#data-path-qca-fault")
    expect(fault).to_contain_text("may not read that path")
    expect(page.locator("#data-path-qca")).to_have_attribute("aria-invalid", "true")
    expect(page.locator("#data-path-qca")).to_be_focused()
    expect(page.locator("#data-chosen li")).to_have_count(1)
    page.locator("#data-path-qca").fill("")
    page.locator("#data-add-path-qca").click()
    expect(fault).to_have_text("Give the path of a file or folder first.")

    page.locator("#data-form-prepare-name").fill("Ward Three")
    page.reload()  # at once, before what was typed was sent

    expect(page.locator("#data-form-prepare-name")).to_have_value("Ward Three")
    expect(page.locator(".mc-called")).to_contain_text("It will be called ward-three.")


def test_a_rater_sees_the_review_alone(site: Site, watched: Watched) -> None:
    page = watched.open(site.url, role="rater")
    open_data(page)
    expect(page.locator("#data-review")).to_be_visible()
    for part in ("#data-make", "#data-sets"):
        expect(page.locator(part)).to_be_hidden()
    expect(page.locator("#data-parts button")).to_have_count(0)
    look_at(page)
