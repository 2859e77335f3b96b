"""The report, opened from disk in a browser."""

from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser
from stored_predictions import multiple_choice, own_questions, vignettes, write_run

from evaluation.report import write_report

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    lines = [
        row
        for model, skill in (("a model with quite a long name", 0.4), ("b", 0.6), ("c", 0.8))
        for row in (*vignettes(model, skill, 60), *multiple_choice(model, skill, n=80), *own_questions(model, skill))
    ]
    return write_report([write_run(folder / "run", lines)], folder / "report.html", baseline="b")[0]


@pytest.mark.parametrize("width", [400, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_report_opens_from_disk_and_can_be_read_by_all(
    chromium: Browser, report: Path, width: int, scheme: str
) -> None:
    page = chromium.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]
    asked: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.goto(report.as_uri())

    assert page.locator("h1").inner_text() == "Evaluation report"
    assert page.locator("svg[role=img]").count() >= 8
    assert page.evaluate("document.documentElement.scrollWidth") == width  # tables scroll, the page does not
    background = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert (background == "rgb(255, 255, 255)") == (scheme == "light")
    results = Axe().run(page)
    assert results.violations_count == 0, results.generate_report()
    assert asked == [report.as_uri()]
    assert complaints == []
    page.close()


def test_nothing_of_a_table_is_hidden_at_the_side_of_a_narrow_page(chromium: Browser, report: Path) -> None:
    page = chromium.new_page(viewport={"width": 400, "height": 900})
    page.goto(report.as_uri())
    ends = "Array.from(document.querySelectorAll('td, tbody th'), it => it.getBoundingClientRect().right)"

    assert page.evaluate(f"Math.max(...{ends})") <= 400
    page.close()


def test_what_is_hidden_at_the_side_of_a_table_is_reached_by_keyboard(chromium: Browser, report: Path) -> None:
    page = chromium.new_page(viewport={"width": 700, "height": 900})
    page.goto(report.as_uri())
    table = page.get_by_role("group", name="Every metric").first
    table.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function("document.activeElement.scrollLeft > 0")
    page.close()
