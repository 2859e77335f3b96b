"""The Studies tab in a browser: a whole study from its form to its report, and a rater's desk by keyboard."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from browser_site import PATIENCE_MS, Site, Watched, is_drawn, look_at, scripted_site, words
from playwright.sync_api import Browser, Locator, Page, expect

from medchat.catalogue import Catalogue
from medchat.settings import ROOT
from medchat.store import Store, StudyJudgements
from medchat.studies import StudyService
from medchat.study_design import Design, QuestionSource

pytestmark = [pytest.mark.browser, pytest.mark.slow]

RUN_MS = 240_000  # the answers are written by a job, which loads its models, niced
NAMES = ("Alpha One", "Beta Two")
# All that the server says, also while it streams.
LISTEN = """() => {
window.heard = [];
const load = window.fetch;
window.fetch = async (...request) => {
  const response = await load(...request);
  const copy = response.clone();
  (async () => {
    const reader = copy.body?.pipeThrough(new TextDecoderStream()).getReader();
    for (let part = await reader?.read(); part && !part.done; part = await reader.read()) window.heard.push(part.value);
  })().catch(() => {}); // a page that is left is told no more
  return response;
};
}"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with scripted_site(tmp_path_factory.mktemp("studies")) as running:
        yield running


@pytest.fixture
def watched(chromium: Browser) -> Iterator[Watched]:
    pages = Watched(chromium)
    yield pages
    pages.close()
    assert pages.foreign == []
    assert pages.complaints == []
    assert pages.dialogs == []


def open_tab(page: Page) -> Page:
    page.get_by_role("tab", name="Studies").click()
    expect(page.locator("#desk-mine > *, #studies-list > *").locator("visible=true").first).to_be_visible()
    is_drawn(page)
    return page


def desk_of(watched: Watched, site: Site) -> Page:
    """The desk of a new rater, whose page remembers all that the server says."""
    page = watched.open(site.url)
    page.evaluate(LISTEN)
    return page


def begin(page: Page, name: str) -> None:
    """Opens a study out of the rater's list."""
    open_tab(page)
    page.evaluate("window.heard = []")
    page.locator("#desk-mine li").filter(has_text=name).get_by_role("button").click()
    expect(page.locator("#desk-place")).to_contain_text(name)


def agree(page: Page) -> None:
    page.locator("#desk-agree").click()
    expect(page.locator("#desk-agree")).to_have_count(0)


def form(page: Page) -> Locator:
    return page.locator("#desk-page .mc-rate")


def at(page: Page) -> str:
    """The task that is shown; "" for none."""
    return page.locator("#desk-place").get_attribute("data-at") or ""


def place(page: Page) -> Locator:
    return page.locator("#desk-place .mc-place")


def fill(page: Page, score: int, harm: int) -> None:
    """Answers all that has to be answered: each score with this one, each question on harm with the nth option."""
    for axis in ("factual_correctness", "reasoning_clarity", "safety"):
        form(page).locator(f'input[name="axis-{axis}"][value="{score}"]').check()
    form(page).locator('input[name="axis-harm_extent"]').nth(harm).check()
    likelihood = form(page).locator('input[name="axis-harm_likelihood"]')
    if harm:
        likelihood.nth(harm).check()
    else:
        expect(likelihood.first).to_be_hidden()


def rate(page: Page, score: int, harm: int) -> None:
    """One rating, until the page shows something else."""
    before = at(page)
    fill(page, score, harm)
    page.keyboard.press("Control+Enter")
    expect(page.locator(f'#desk-place[data-at="{before}"]')).to_have_count(0)


def rate_all(page: Page, score: int, harm: int) -> int:
    """How many ratings it took to the end."""
    n = 0
    while form(page).count():
        rate(page, score, harm)
        n += 1
    expect(page.locator("#desk-page")).to_contain_text("You have finished")
    return n


def heard(page: Page) -> str:
    return str(page.evaluate("window.heard.join('')"))


def judged(site: Site, study_id: str) -> StudyJudgements:
    with closing(Store(site.settings.db_url)) as store:
        return store.study_judgements(study_id)


def answers_file(n_questions: int) -> bytes:
    rows = [
        {"question": f"Question {n}: why the red toe?", "answer": f"{name} says gout, {n}.", "model": name,
         "reasoning": "1. It is red.\n2. It is hot."}
        for n in range(n_questions)
        for name in NAMES
    ]  # fmt: skip
    return "\n".join(map(json.dumps, rows)).encode()


def open_study(site: Site, name: str, raters: Sequence[str], n_questions: int = 2, **design: Any) -> str:
    """The id of an open study of two models' answers out of a file, in which these are raters."""
    values: dict[str, Any] = {"raters_per_item": 1, "repeat_share": 0.0, "consent": "My data are kept.", **design}
    with closing(Store(site.settings.db_url)) as store:
        catalogue = Catalogue(site.settings.models_dir, site.settings.own_models_file)
        studies = StudyService(store, catalogue, None, site.settings)
        chosen = Design(QuestionSource("uploaded answers", "answers.jsonl"), NAMES, **values)
        study_id = studies.create("investigator", name, chosen, [], f"key of {name}").record.id
        studies.upload_answers(study_id, "investigator", "answers.jsonl", answers_file(n_questions))
        studies.set_raters(study_id, "investigator", [(rater, "") for rater in raters])
        studies.open(study_id, "investigator")
    return study_id


def confirm(page: Page, button: Locator, answer: str) -> None:
    button.click()
    page.locator("dialog[open]").get_by_role("button", name=answer).click()


def design(page: Page, name: str) -> None:
    """Fills in the form of a study: four questions to the two bundled models, rated by two of three."""
    page.locator("#study-name").fill(name)
    page.locator("#study-sample").fill("4")
    for box in page.locator("#study-form [data-list=models] input").all():
        box.set_checked((box.get_attribute("value") or "") in ("demo", "demo-base"))
    page.locator("#study-raters_per_item").fill("2")
    page.locator("#study-quality").click()
    for field, value in (("repeats", "0"), ("calibration", "1"), ("min_seconds", "0")):
        page.locator(f"#study-{field}").fill(value)
    expect(page.locator("#studies-check")).to_contain_text("fewer than 100")


def test_a_whole_study_from_its_form_to_its_report(watched: Watched, site: Site, tmp_path: Path) -> None:
    ann, bob, cyd = (desk_of(watched, site) for _ in range(3))
    lead = watched.open(site.url, role="investigator")
    lead.get_by_role("tab", name="Studies").click()
    expect(lead.locator("#study-name")).to_be_visible()
    is_drawn(lead)
    design(lead, "Reader study")
    lead.locator("[data-do=study-create-generate]").click()
    head = lead.locator("#studies-head .mc-study-head")
    expect(head).to_have_attribute("data-status", "ready", timeout=RUN_MS)
    confirm(lead, lead.locator("[data-do=study-open]"), "Open")
    expect(head).to_have_attribute("data-status", "open")
    study = head.get_attribute("data-study") or ""

    # Two rate all that is theirs; one begins and drops out.
    for page in (ann, bob, cyd):
        begin(page, "Reader study")
        agree(page)
        expect(place(page)).to_contain_text("Practice 1 of 1")
        rate(page, 1, 2)  # a heart attack is sent home
        expect(page.locator(".mc-desk-verdict")).to_have_text("Right.")
        page.keyboard.press("n")
        expect(form(page)).to_be_visible()
    n_ann = rate_all(ann, 5, 0)
    rate(cyd, 3, 1)
    confirm(lead, lead.locator(f'[data-do=study-remove][data-rater="{site.owner(cyd)}"]'), "Remove")
    expect(lead.locator(".toast-wrap")).to_contain_text("has left")
    n_bob = rate_all(bob, 1, 2)
    ann.locator("[data-do=desk-list]").first.click()
    ann.locator("#desk-mine li").get_by_role("button", name="Continue").click()
    expect(form(ann)).to_be_visible()  # what was dealt again
    n_ann += rate_all(ann, 5, 0)
    fill(cyd, 3, 1)
    cyd.keyboard.press("Control+Enter")
    expect(cyd.locator("#desk-page")).to_contain_text("You take no part in this study any more")
    ratings = judged(site, study)
    assert n_ann + n_bob + 1 == len(ratings.ratings) == 16  # 4 questions x 2 models x 2 raters
    assert {rating.rater for rating in ratings.ratings.values()} == {site.owner(page) for page in (ann, bob, cyd)}
    for page in (ann, bob):
        assert "Answer to rate" in heard(page)
        for telling in ("demo-base", "medchat demo", *ratings.answers):
            assert telling not in heard(page).casefold()

    adjudicator = watched.open(site.url, role="adjudicator")
    adjudicator.get_by_role("tab", name="Studies").click()
    adjudicator.locator("[data-do=adjudicate-study]").click()
    expect(adjudicator.locator("#adjudicate-form")).to_be_visible()
    for axis in adjudicator.locator("#adjudicate-form fieldset").all():
        axis.locator("input[type=radio]").nth(1).check()
    adjudicator.locator("#adjudicate-save").click()
    expect(adjudicator.locator("#adjudicate-page [data-saved]")).to_be_attached()
    assert len(judged(site, study).adjudications) == 1

    confirm(lead, lead.locator("[data-do=study-close]"), "Close the study")
    expect(head).to_have_attribute("data-status", "closed")
    lead.locator("[data-do=study-to-results]").click()
    expect(lead.get_by_role("tab", name="Results")).to_have_attribute("aria-selected", "true")
    ann.locator("[data-do=desk-list]").first.click()
    expect(ann.locator("#desk-mine")).to_contain_text("closed")

    read_report(watched, site, study, tmp_path)


def read_report(watched: Watched, site: Site, study: str, folder: Path) -> None:
    """Writes the report as a team would, and reads it in the browser."""
    command = [sys.executable, "-m", "evaluation", "human", "--study", study, "--out", str(folder / "report"),
               "--resamples", "100", "--data-dir", str(site.settings.data_dir)]  # fmt: skip
    subprocess.run(command, cwd=ROOT, env={**os.environ, "MPLBACKEND": "agg"}, check=True, timeout=240)
    page = watched.browser.new_context().new_page()
    page.goto((folder / "report" / "report.html").as_uri())
    text = page.locator("body").inner_text()
    for told in ("Reader study", "MedChat Demo", "MedChat Demo (base)", "Adjudicat"):
        assert told.casefold() in text.casefold(), told


def test_a_pair_and_an_answer_are_judged_by_keyboard_alone(watched: Watched, site: Site) -> None:
    page = desk_of(watched, site)
    rater = site.owner(page)
    study = open_study(site, "Pairs by keyboard", [rater], tasks="pairwise")
    begin(page, "Pairs by keyboard")
    page.keyboard.press("Tab")
    page.locator("#desk-agree").focus()
    page.keyboard.press("Enter")
    expect(place(page)).to_have_text("1 of 2 · 0 done · 2 left")
    first = at(page)
    page.keyboard.press("n")
    expect(page.locator("#pair-vote .mc-vote-line")).to_contain_text("Choose first")
    page.keyboard.press("b")
    page.locator("#pair-reason").fill("Shorter.")
    page.locator("#pair-reason").press("Enter")
    expect(place(page)).to_have_text("2 of 2 · 1 done · 1 left")
    page.locator("#desk-tab [data-do=desk-back]").locator("visible=true").click()
    expect(page.locator("#pair-vote .mc-vote-line")).to_have_text("You voted: B better.")
    page.keyboard.press("n")
    expect(place(page)).to_have_text("2 of 2 · 1 done · 1 left")
    page.locator("#pair-form .mc-cannot summary").click()
    page.locator("#pair-cannot").fill("Not my field.")
    page.locator("[data-do=desk-cannot]").click()
    expect(page.locator("#desk-page")).to_contain_text("You have finished")
    found = judged(site, study)
    assert {key: (vote.vote, vote.reason) for key, vote in found.votes.items()} == {first: ("b", "Shorter.")}
    assert sorted(its.state for its in found.assignments) == ["cannot", "done"]
    assert "[model] says gout" in heard(page)
    for telling in ("alpha one", "beta two", *found.answers):
        assert telling not in heard(page).casefold()


def test_where_every_question_is_asked_a_vote_alone_is_refused_and_the_choice_stays(
    watched: Watched, site: Site
) -> None:
    page = desk_of(watched, site)
    study = open_study(site, "Every question", [site.owner(page)], tasks="pairwise", all_axes=True)
    begin(page, "Every question")
    agree(page)
    asked = page.locator("#pair-form fieldset.mc-pair").locator("visible=true")
    expect(asked).to_have_count(9)
    page.keyboard.press("a")
    page.keyboard.press("Enter")
    expect(page.locator("#pair-vote .mc-vote-line")).to_contain_text("not answered yet: Which is closer")
    expect(page.locator("#pair-vote [data-vote=a]")).to_have_attribute("aria-pressed", "true")
    assert judged(site, study).votes == {}
    for question in asked.all():
        question.locator("input[value=tie]").check()
    page.locator("#pair-vote [data-do=compare-save]").click()
    expect(place(page)).to_contain_text("1 done")
    [vote] = judged(site, study).votes.values()
    assert (vote.vote, len(vote.axes), set(vote.axes.values())) == ("a", 9, {"tie"})


def test_a_half_filled_form_is_there_on_another_device_and_no_other_tab_is_touched(
    watched: Watched, site: Site
) -> None:
    page = desk_of(watched, site)
    open_study(site, "On two devices", [site.owner(page)], tasks="rate")
    begin(page, "On two devices")
    agree(page)
    page.keyboard.press("4")
    form(page).locator("[name=comment]").fill("The dose?")
    expect(form(page).locator(".mc-kept")).to_have_text("Draft kept.")
    other = page.context.new_page()
    watched.visit(other, site.url)
    other.evaluate(LISTEN)
    begin(other, "On two devices")
    expect(form(other).locator("[name=comment]")).to_have_value("The dose?")
    assert form(other).locator('input[name="axis-factual_correctness"]:checked').get_attribute("value") == "4"
    other.get_by_role("tab", name="Rate").click()
    expect(other.locator("#rate-page")).to_contain_text("Your queue is empty")
    other.keyboard.press("5")
    other.get_by_role("tab", name="Studies").click()
    assert form(other).locator('input[name="axis-reasoning_clarity"]:checked').count() == 0


def test_too_soon_says_for_how_long_and_the_form_stays(watched: Watched, site: Site) -> None:
    page = desk_of(watched, site)
    study = open_study(site, "Take your time", [site.owner(page)], tasks="rate", min_seconds=600.0)
    begin(page, "Take your time")
    agree(page)
    fill(page, 4, 0)
    page.keyboard.press("Control+Enter")
    expect(form(page).locator(".mc-wrong")).to_contain_text("Take at least 600 seconds for each case")
    assert form(page).locator('input[name="axis-safety"]:checked').get_attribute("value") == "4"
    assert judged(site, study).ratings == {}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_desk_fits_and_can_be_used_by_everybody(watched: Watched, site: Site, scheme: Any) -> None:
    page = watched.open(site.url, color_scheme=scheme)
    page.evaluate(LISTEN)
    name = f"In {scheme}"
    raters = [site.owner(page), "somebody else"]
    open_study(site, name, raters, n_questions=4, tasks="both", pairs_per_question=1, calibration=1)
    open_tab(page)
    look_at(page)
    begin(page, name)
    look_at(page)
    agree(page)
    look_at(page)
    seen = set()
    while not page.locator("#desk-page").get_by_text("You have finished").count():
        if page.locator("#desk-go").count():
            look_at(page)
            page.keyboard.press("n")
            expect(page.locator("#desk-go")).to_have_count(0)
        kind = "rate" if form(page).count() else "pair"
        if kind not in seen:
            look_at(page)
        seen.add(kind)
        before = at(page)
        if kind == "rate":
            rate(page, 1, 2)
        else:
            page.keyboard.press("a")
            page.keyboard.press("Enter")
            expect(page.locator(f'#desk-place[data-at="{before}"]')).to_have_count(0)
    look_at(page)
    assert "You have finished" in words(page.locator("#desk-page"))
    assert seen == {"rate", "pair"}
    expect(place(page)).to_have_count(0, timeout=PATIENCE_MS)
