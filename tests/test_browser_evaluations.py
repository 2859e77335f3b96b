"""The Results tab in a browser: from the start of an evaluation to a comparison, to single answers, and to Rate."""

import re
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from browser_site import (
    PATIENCE_MS,
    Site,
    Watched,
    bundled_site,
    is_drawn,
    is_restored,
    look_at,
    scripted_site,
    words,
)
from playwright.sync_api import Browser, Page, expect
from stored_predictions import line, write_run

from evaluation.stats import estimate
from medchat.settings import ASSETS
from medchat.store import EvaluationRecord, RunRecord, Store

pytestmark = pytest.mark.browser

RUN_MS = 180_000  # a run loads its models in a process of its own, niced
N_OWN = 6
WHEN = datetime(2026, 5, 4, 9, 7, tzinfo=UTC)


@pytest.fixture(scope="module")
def bundled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """`python app.py` with a suite of somebody's own questions."""
    folder = tmp_path_factory.mktemp("evaluations")
    (folder / "data" / "suites").mkdir(parents=True)
    cases = (ASSETS / "suites" / "handwritten.jsonl").read_text(encoding="utf-8").splitlines()[: N_OWN + 4]
    (folder / "data" / "suites" / "forum.jsonl").write_text("\n".join(cases) + "\n", encoding="utf-8")
    with bundled_site(folder) as site:
        yield site


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The app in which everybody signs in, with the results of two models."""
    with scripted_site(tmp_path_factory.mktemp("results")) as site:
        store_results(site)
        yield site


@pytest.fixture
def watched(chromium: Browser) -> Iterator[Watched]:
    pages = Watched(chromium)
    yield pages
    pages.close()
    assert pages.foreign == []
    assert pages.complaints == []


def store_results(site: Site) -> None:
    """An evaluation of the models old and new on 30 questions, as a run leaves it."""
    groups = [{"sex": "female" if number % 2 else "male"} for number in range(30)]
    rows: list[dict[str, Any]] = []
    for model, right in (("old", 8), ("new", 26)):
        for number in range(30):
            is_right = number < right
            answer = {
                "reference": "Gout of the first toe, no fever.", "reasoning": "1. The toe is red.\n2. So it is gout.",
                "solution": "Gout, no fever." if is_right else "Fever with a rash.", "groups": groups[number],
                "scores": {"exact": float(is_right), "key_term_f1": 0.8 if is_right else None, "answer_words": 3.0},
            }  # fmt: skip
            rows.append(line(number, model, "forum", **answer))
    folder = write_run(site.settings.runs_dir / "r1", rows)
    run = RunRecord("r1", "evaluate", "r1", "terminal", "", "", "", {}, "done", WHEN, WHEN, {}, str(folder))
    with closing(Store(site.settings.db_url)) as store:
        store.add_run(
            run, [record(model, [row for row in rows if row["model"] == model], folder) for model in ("old", "new")]
        )


def record(model: str, rows: Sequence[dict[str, Any]], folder: Path) -> EvaluationRecord:
    found = {name: estimate([row["scores"][name] for row in rows]) for name in rows[0]["scores"]}
    summary = {
        name: {field: getattr(its, field) for field in ("value", "n", "n_unscored", "low", "high", "method")}
        for name, its in found.items()
    }
    return EvaluationRecord(
        f"r1-{model}", "r1", model, "", "", "", "forum", "digest", {"seed": 0}, len(rows), summary, WHEN, str(folder)
    )


def open_results(page: Page) -> None:
    page.get_by_role("tab", name="Results").click()
    expect(page.locator("#evaluations-results :is(.mc-none-yet, .mc-family)")).to_be_visible(timeout=PATIENCE_MS)
    is_drawn(page)


def choose(page: Page, box: str, *names: str) -> None:
    """Picks options of a list by the beginning of their labels."""
    page.locator(f"#evaluations-{box} input").click()
    for name in names:
        page.get_by_role("option", name=re.compile(rf"^{re.escape(name)} ·")).click()
    page.keyboard.press("Escape")


def compare_all(page: Page) -> None:
    """Chooses every evaluation and opens the comparison."""
    for box in page.locator(".mc-choose").all():
        box.check()
    page.locator("#results-compare").click()
    expect(page.locator(".mc-verdicts")).to_be_visible(timeout=PATIENCE_MS)


def read(page: Page, number: int) -> None:
    """Opens a question of the list of answers."""
    page.locator(f"#item-row-{number}").click()
    expect(page.locator("#item .mc-answer").first).to_be_visible(timeout=PATIENCE_MS)


@pytest.mark.slow
def test_results_are_compared_and_read_by_keyboard_on_a_desk_and_on_a_phone(signed: Site, watched: Watched) -> None:
    page = watched.open(signed.url, role="engineer")
    open_results(page)
    expect(page.locator("#results-compare")).to_be_disabled()
    look_at(page)
    for model in ("new", "old"):
        page.get_by_role("checkbox", name=re.compile(f"^Choose {model} on forum")).focus()
        page.keyboard.press("Space")
    page.locator("#results-compare").focus()
    page.keyboard.press("Enter")
    expect(page.locator(".mc-verdicts")).to_contain_text("worse in Exact answer, −60.0 points", timeout=PATIENCE_MS)
    expect(page.locator(".mc-panel-title")).to_be_focused()
    expect(page.locator("#evaluations-lists")).to_be_hidden()
    look_at(page)
    page.locator("#compare-first").select_option(label="old")
    expect(page.locator(".mc-verdicts")).to_contain_text("new against old, on 30 questions: better in Exact answer")
    page.locator("#compare-items").click()
    expect(page.locator(".mc-items-list [role=status]")).to_have_text("1 to 18 of 18 questions")  # 26 less 8
    read(page, 1)
    assert page.locator("#item mark.mc-matched").count() > 0
    assert page.locator("#item mark.mc-contradicted").count() > 0
    look_at(page)
    page.locator("#item-next").click()
    expect(page.locator("#item-row-2")).to_have_attribute("aria-current", "true")
    page.reload()
    is_restored(page)
    open_panel = page.locator("#item-row-2[aria-current=true]")
    page.get_by_role("tab", name="Results").click()
    expect(open_panel).to_be_visible(timeout=PATIENCE_MS)
    page.locator("#panel-close").click()
    expect(page.locator("#evaluations-lists")).to_be_visible()
    page.locator("#results-search").fill("old")
    expect(page.locator("#results-count")).to_have_text("1 of 2 evaluations")


@pytest.mark.slow
def test_from_start_to_a_comparison_to_an_answer_and_to_rate(bundled: Site, watched: Watched) -> None:
    page = watched.open(bundled.url)
    open_results(page)
    expect(page.locator(".mc-none-yet")).to_contain_text("There are no results yet.")
    look_at(page)
    choose(page, "models", "MedChat Demo", "MedChat Demo (base)")
    choose(page, "suites", "forum")
    page.locator("#evaluations-limit input").fill(str(N_OWN))
    expect(page.locator("#evaluations-told")).to_contain_text(
        f"{2 * N_OWN} answers to be had. How long that takes is not"
    )
    look_at(page)
    page.locator("#evaluations-start").click()
    run = page.locator(".mc-ev-run")
    expect(run).to_contain_text("MedChat Demo and MedChat Demo (base) on forum", timeout=PATIENCE_MS)
    page.reload()
    is_restored(page)
    open_results(page)
    expect(run).to_be_visible()
    expect(page.locator("#evaluations-limit input")).to_have_value(str(N_OWN))  # the form as it was left
    expect(run).to_have_attribute("data-status", "done", timeout=RUN_MS)
    expect(page.locator(".mc-choose")).to_have_count(2, timeout=PATIENCE_MS)
    expect(page.locator("[data-family=own]")).to_contain_text("Reported apart")
    assert page.locator(".mc-suite .mc-badge", has_text="demo model").count() == 2
    look_at(page)

    compare_all(page)
    assert "MedChat Demo (base)" in words(page.locator(".mc-verdicts"))
    assert page.locator("#evaluations-panel svg[role=img]").count() >= 2
    report = page.get_by_role("link", name="Open the report").get_attribute("href")
    answer = page.request.get(f"{bundled.url.rstrip('/')}{report}")
    assert answer.status == 200
    assert "Evaluation report" in answer.text()
    look_at(page)

    page.locator("#compare-items").click()
    page.locator("#items-which").select_option("all")
    expect(page.locator(".mc-items-list [role=status]")).to_have_text(f"1 to {N_OWN} of {N_OWN} questions")
    read(page, 2)
    expect(page.locator("#item .mc-answer")).to_have_count(2)
    expect(page.locator("#item .mc-solution").first).to_be_visible()
    look_at(page)

    page.locator("#items-metric").select_option("exact")  # the base writes its reasoning into the solution
    expect(page.locator("#items-which")).to_contain_text("wrong for at least one", timeout=PATIENCE_MS)
    page.get_by_text("Send the failures to Rate").click()
    page.locator("#rate-most").fill("3")
    page.locator("#rate-send").click()
    expect(page.locator("#evaluations-status")).to_contain_text("3 answers sent to my own queue.", timeout=PATIENCE_MS)
    page.get_by_role("tab", name="Rate").click()
    expect(page.locator("#rate-head")).to_contain_text("3 left", timeout=PATIENCE_MS)
    assert "demo" not in words(page.locator("#rate-tab")).lower()


@pytest.mark.slow
def test_results_can_be_read_in_the_dark(signed: Site, watched: Watched) -> None:
    page = watched.open(f"{signed.url}?__theme=dark", role="engineer")
    open_results(page)
    look_at(page)
    compare_all(page)
    look_at(page)
    page.locator("#compare-items").click()
    read(page, 1)
    look_at(page)


@pytest.mark.slow
def test_a_rater_has_no_such_tab_and_no_report(signed: Site, watched: Watched) -> None:
    page = watched.open(signed.url, role="rater")
    expect(page.get_by_role("tab", name="Rate")).to_be_visible()
    expect(page.get_by_role("tab", name="Results")).to_have_count(0)
    answer = page.request.get(f"{signed.url}evaluations/report.html?id=r1-old")
    assert answer.status == 403
    assert "does not allow this" in answer.text()
    assert "old" not in answer.text()


@pytest.mark.slow
def test_a_report_that_cannot_be_made_is_one_clear_line(signed: Site, watched: Watched) -> None:
    page = watched.open(signed.url, role="engineer")
    for query, status in (("", 404), ("?id=gone", 404), ("?" + "&".join(["id=r1-old"] * 30), 400)):
        answer = page.request.get(f"{signed.url}evaluations/report.html{query}")
        assert answer.status == status
        assert answer.text().count("\n") == 1
