"""The review desk in a browser: a quality run's sample, reviewed by two people by keyboard, settled and applied."""

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from browser_site import Site, Watched, look_at, scripted_site
from playwright.sync_api import Browser, Locator, Page, expect

from medchat.records import Example
from medchat.store import Store
from train.quality import Options, check
from train.review import ReviewSet
from train.row_files import RowsWriter, write_report

pytestmark = [pytest.mark.browser, pytest.mark.slow]

COMMAND_MS = 120_000  # a command in a process of its own, on a slow machine
DOSE = Example(
    "What treats hypothyroidism, and how much of it?", "Levothyroxine 100 mg once a day.", "dose", source="medquad",
    licence="CC BY 4.0", split="train", rationale="The thyroid makes too little hormone, so it is replaced.",
)  # fmt: skip
PARENT = Example(
    "What helps against an acute attack of gout?", "Rest, and an NSAID.", "parent", source="medquad",
    licence="CC BY 4.0", split="train",
)  # fmt: skip
CHILD = Example(
    "What helps against an acute attack of podagra?", "Rest, and an NSAID.", "child", source="medquad",
    licence="CC BY 4.0", split="train", meta={"parent": "parent", "made": "synonyms"},
)  # fmt: skip
CHOICE = Example(
    "Which test confirms deep vein thrombosis?", "B", "choice", kind="mcq", source="medmcqa", licence="Apache-2.0",
    options={"A": "D-dimer", "B": "Compression ultrasound"}, split="validation",
)  # fmt: skip
ROWS = (DOSE, PARENT, CHILD, CHOICE)
ATTACK = "<img src=x onerror=\"window.hit = 'img'\"><script>window.hit = 'script'</script>"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with scripted_site(tmp_path_factory.mktemp("review")) as running:
        yield running


@pytest.fixture
def watched(chromium: Browser) -> Iterator[Watched]:
    pages = Watched(chromium)
    yield pages
    pages.close()
    assert pages.foreign == []
    assert pages.dialogs == []


def checked(site: Site, name: str, *rows: Example, reviewers: int = 1) -> Path:
    """A data set that was checked; all its rows are in the sample."""
    place = site.settings.data_dir / "prepared"
    raw = site.settings.data_dir.with_name("raw") / name
    with RowsWriter(raw) as files:
        for row in rows:
            files.write(row)
    write_report(raw, {"kind": "prepared", "rows": dict(files.n)})
    check(raw, place / name, Options(share=1.0, reviewers=reviewers))
    return place / name


def other(row: Example, name: str) -> Example:
    """A row like this one, of another test: decisions belong to what a row says, in whichever sample it is."""
    return replace(row, id=f"{name}-{row.id}")


def open_desk(page: Page, name: str) -> Page:
    """The desk with this sample, opened by keyboard."""
    page.get_by_role("tab", name="Data").click()
    expect(page.locator("#data-parts nav")).to_be_attached()
    if page.locator("#data-part-review").count():
        page.locator("#data-part-review").press("Enter")
    expect(page.locator("#review-title")).to_be_visible()
    if page.locator("#review-list-button").first.is_visible():
        page.locator("#review-list-button").first.press("Enter")
    page.locator(f"[data-do=review-open][data-folder='{name}']").press("Enter")
    expect(page.locator(f"#review-place[data-folder='{name}']")).to_be_visible()
    expect(page.locator("#review-row-title")).to_be_focused()
    return page


def row(page: Page, question: str) -> Locator:
    """The row that is shown, once it is this one and the keys are at work."""
    shown = page.locator(".mc-review").filter(has_text=question)
    expect(shown).to_be_visible()
    expect(page.locator("#review-row-title")).to_be_focused()
    return shown


def row_id(page: Page) -> str:
    return page.locator(".mc-review").get_attribute("data-row") or ""


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def decide(page: Page, *keys: str) -> None:
    """Decides by these keys and waits until something else is shown."""
    sha = row_id(page)
    press(page, *keys)
    expect(page.locator(f".mc-review[data-row='{sha}']")).to_have_count(0)
    expect(page.locator("#review-row-title")).to_be_focused()


def go_back(page: Page, title: str) -> None:
    """To the own decision before this one."""
    press(page, "p")
    expect(page.locator("#review-row-title")).to_contain_text(title)
    expect(page.locator("#review-row-title")).to_be_focused()


def at(page: Page, *rows: Example) -> Example:
    """Which of these rows is shown; each reviewer has an order of their own."""
    text = page.locator(".mc-review-reading").inner_text()
    return next(one for one in rows if text.count(one.question) and (one is not PARENT or CHILD.question not in text))


def test_two_reviewers_by_keyboard_settle_a_sample_which_is_applied_and_trained_on(
    site: Site, watched: Watched
) -> None:
    folder = checked(site, "mix", *ROWS, reviewers=2)
    ann, eve = watched.open(site.url), watched.open(site.url, "engineer")

    open_desk(ann, "mix")
    row(ann, DOSE.question)  # those about doses come first
    expect(ann.locator(".mc-review-why")).to_contain_text("dose out of range")
    expect(ann.locator(".mc-review mark.mc-flagged")).to_contain_text("Levothyroxine 100 mg")
    press(ann, "f")
    expect(ann.locator("[data-text=answer]")).to_be_focused()
    press(ann, "Control+a")
    ann.keyboard.type("Levothyroxine 100 mcg once a day.")
    press(ann, "Control+Enter")
    expect(ann.locator(".mc-wrong")).to_contain_text("Say why")
    press(ann, "2", "s")
    ann.keyboard.type("Label 7")
    decide(ann, "Enter")
    for _ in range(3):
        if at(ann, CHILD, PARENT, CHOICE) is CHILD:
            changed = ann.locator(".mc-review-parent mark.mc-changed")
            expect(changed).to_have_text(["gout", "podagra"])
        decide(ann, "k", "Enter")
    expect(ann.locator("#review-page")).to_contain_text("You decided on 4 rows: 3 kept, 1 fixed, 0 dropped")
    expect(ann.locator("#review-page")).to_contain_text("Others are not done: 4 rows still to be seen")
    expect(ann.locator("#review-finish details")).to_have_count(0)  # that is for who prepares the data

    open_desk(eve, "mix")
    row(eve, DOSE.question)
    expect(eve.locator(".mc-review-others")).to_have_count(0)  # nothing of what Ann decided
    assert not re.search("Levothyroxine 100 mcg|Label 7", eve.content())
    decide(eve, "d", "2", "Enter")
    for _ in range(3):
        decide(eve, "k", "Enter")
    go_back(eve, "Your decision 4 of 4")
    go_back(eve, "Your decision 3 of 4")
    eve.locator("#review-differ").press("Enter")
    expect(eve.locator(".mc-review-said")).to_have_count(2)
    expect(eve.locator(".mc-review-others")).to_contain_text("wrong dose or unit")
    expect(eve.locator(".mc-review-others")).to_contain_text("Checked against: Label 7")
    look_at(eve)
    eve.locator("[data-do=review-take]").press("Enter")
    expect(eve.locator("[data-text=answer]")).to_have_value("Levothyroxine 100 mcg once a day.")
    press(eve, "Escape", "2", "Enter")
    expect(eve.locator("#review-head")).to_contain_text("4 of 4 rows decided")

    eve.locator("#review-apply").press("Enter")
    expect(eve.locator("#review-done-title")).to_have_text(
        "The decisions are applied: mix-reviewed", timeout=COMMAND_MS
    )
    applied = folder.with_name("mix-reviewed")
    report = json.loads((applied / "report.json").read_text())
    assert report["decisions"] == {"keep": 3, "fix": 1, "drop": 0}
    taught = {one["id"]: one["answer"] for one in map(json.loads, (applied / "train.jsonl").read_text().splitlines())}
    assert taught == {"dose": "Levothyroxine 100 mcg once a day.", "parent": PARENT.answer, "child": CHILD.answer}
    look_at(eve)
    eve.locator("#review-freeze").press("Enter")
    expect(eve.locator("#review-done-title")).to_have_text("1 row of the validation is frozen", timeout=COMMAND_MS)

    eve.locator("#review-apply").press("Enter")
    expect(eve.locator("#review-done-title")).to_contain_text("mix-reviewed-2", timeout=COMMAND_MS)
    eve.locator("#review-train").press("Enter")
    chosen = eve.get_by_role("combobox", name="Data", exact=True).locator("option:checked")
    expect(chosen).to_have_text("Folder: prepared/mix-reviewed-2")
    with closing(Store(site.settings.db_url)) as store:
        history = store.review_history(ReviewSet(folder).items[0].content_sha)
    assert [(one.decision, one.checked_against) for one in history] == [("fix", "Label 7"), ("drop", ""), ("fix", "")]


def test_a_third_settles_what_two_differ_on_and_sees_both_reasons(site: Site, watched: Watched) -> None:
    checked(site, "gout", other(PARENT, "gout"), reviewers=2)
    ann, bob, eve = (open_desk(watched.open(site.url), "gout") for _ in range(3))
    decide(ann, "k", "Enter")
    decide(bob, "d", "5", "Enter")

    eve.reload()
    open_desk(eve, "gout")
    row(eve, PARENT.question)
    expect(eve.locator(".mc-review-state")).to_have_text("Two reviewers differ on this row: your decision settles it.")
    expect(eve.locator(".mc-review-said")).to_have_text(["Reviewer 1 Keep", "Reviewer 2 Drop: unclear"])
    look_at(eve)
    decide(eve, "k", "Enter")
    expect(eve.locator("#review-head")).to_contain_text("1 of 1 row decided")


def test_what_was_typed_survives_a_reload_and_can_be_amended_later(site: Site, watched: Watched) -> None:
    checked(site, "drafts", *(other(row, "drafts") for row in (PARENT, CHOICE)))
    ann = open_desk(watched.open(site.url), "drafts")
    first = row_id(ann)
    press(ann, "d", "1", "s")
    ann.keyboard.type(ATTACK)
    expect(ann.locator(".mc-kept")).to_have_text("Draft kept.")

    ann.reload()
    tab = ann.get_by_role("tab", name="Data")
    tab.click()
    expect(ann.locator(f".mc-review[data-row='{first}']")).to_be_visible()
    expect(ann.locator("[name=checked]")).to_have_value(ATTACK)
    expect(ann.locator("[name=decision][value=drop]")).to_be_checked()
    expect(ann.locator("[name=reason-drop][value=wrong]")).to_be_checked()
    tab.focus()  # where a click on it leaves the focus: letters work there as well
    press(ann, "k")
    expect(ann.locator("[name=decision][value=keep]")).to_be_focused()
    press(ann, "d")
    ann.locator("#review-row-title").focus()
    decide(ann, "Enter")
    press(ann, "s")
    expect(ann.locator("[name=checked]")).to_have_value(ATTACK)  # that of the row before
    decide(ann, "Escape", "k", "Enter")
    expect(ann.locator("#review-page")).to_contain_text("1 kept, 0 fixed, 1 dropped")

    go_back(ann, "Your decision 2 of 2")
    go_back(ann, "Your decision 1 of 2")
    assert row_id(ann) == first
    expect(ann.locator("[name=checked]")).to_have_value(ATTACK)
    decide(ann, "k", "Enter")
    expect(ann.locator("#review-page")).to_contain_text("2 kept, 0 fixed, 0 dropped")
    assert ann.evaluate("window.hit") is None
    press(ann, "?")
    expect(ann.locator("#review-help")).to_be_visible()
    look_at(ann)


def test_the_list_comes_by_itself_when_the_data_set_is_deleted(site: Site, watched: Watched) -> None:
    folder = checked(site, "short", other(PARENT, "short"))
    ann = open_desk(watched.open(site.url), "short")
    shutil.rmtree(folder)
    press(ann, "k", "Enter")
    expect(ann.locator("#review-list [role=alert]")).to_have_text(
        "The data set short is not there any more; your decision could not be saved."
    )
    expect(ann.locator("#review-title")).to_be_focused()
    expect(ann.locator(".mc-review")).to_have_count(0)


@pytest.mark.parametrize("lost", ["join", "data"])  # the request, or the answer to it
def test_a_decision_that_the_network_lost_is_sent_again_and_saved_once(site: Site, watched: Watched, lost: str) -> None:
    folder = checked(site, lost, *(other(row, lost) for row in (PARENT, CHOICE)))
    ann = open_desk(watched.open(site.url), lost)
    press(ann, "d", "1")
    ann.route(f"**/queue/{lost}*", lambda route: route.abort(), times=1)
    with ann.expect_event("load"):  # the page comes back by itself
        press(ann, "Enter")

    ann.get_by_role("tab", name="Data").click()
    expect(ann.locator("#review-head")).to_contain_text("1 decided by you")
    with closing(Store(site.settings.db_url)) as store:
        [saved] = ReviewSet(folder).reviews(store)
    assert (saved.decision, saved.reason, saved.supersedes) == ("drop", "wrong", None)
