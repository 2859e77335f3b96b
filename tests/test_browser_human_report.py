"""The report of the example study, opened from disk in a browser."""

from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from evaluation.example_study import example_study
from evaluation.human import analyse
from evaluation.human_report import write_report

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = example_study()
    return write_report(analyse(data, resamples=200), data, tmp_path_factory.mktemp("human"))[0]


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

    assert page.locator("h1").inner_text() == "Human evaluation: Example study (simulated)"
    assert page.evaluate("document.documentElement.scrollWidth") == width  # tables scroll, the page does not
    results = Axe().run(page)
    assert results.violations_count == 0, results.generate_report()
    assert asked == [report.as_uri()]
    assert complaints == []
    page.close()


def test_a_disputed_case_is_opened_by_keyboard(chromium: Browser, report: Path) -> None:
    page = chromium.new_page(viewport={"width": 1280, "height": 900})
    page.goto(report.as_uri())
    case = page.locator("#cases details").first

    assert not case.locator(".passage").first.is_visible()
    case.locator("summary").press("Enter")

    assert case.locator(".passage").first.is_visible()
    assert case.locator("table").is_visible()
    page.close()


@pytest.mark.parametrize("name", ["ranking", "axes", "harm-1", "trend"])
def test_a_plot_opens_by_itself_with_all_of_its_texts_inside(chromium: Browser, report: Path, name: str) -> None:
    page = chromium.new_page(viewport={"width": 1000, "height": 900})
    page.goto((report.parent / "plots" / f"{name}.svg").as_uri())

    outside = page.evaluate(
        """() => {
            const all = document.documentElement.getBoundingClientRect();
            return [...document.querySelectorAll("text")].filter((text) => {
                const box = text.getBoundingClientRect();
                return box.right > all.right + 1 || box.bottom > all.bottom + 1 || box.left < all.left - 1;
            }).map((text) => text.textContent);
        }"""
    )
    assert outside == []
    page.close()
