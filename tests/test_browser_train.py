"""The Train tab in a browser: from votes to a model that one can chat with, while pages and the app come and go."""

import re
from contextlib import closing
from pathlib import Path

import pytest
from browser_site import Site, Watched, ask, bundled_site, look_at, scripted_site, words
from playwright.sync_api import Locator, Page, expect

from medchat.jobs import Jobs
from medchat.store import ModelRecord, Store

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(1200)]

PATIENCE_MS = 240_000  # of what a run takes its time for, on a machine that does other things too
SIGNS = {
    "Gout": "a hot, red, swollen big toe",
    "Asthma": "wheeze and a cough at night",
    "Migraine": "a throbbing headache on one side with flickering lights",
    "Croup": "a barking cough, aged two",
    "Measles": "fever and white spots in the mouth",
    "Scabies": "an itch at night and burrows between the fingers",
}


def put_votes(site: Site, rater: str) -> None:
    """A vote of the rater on two answers to each question, as the Compare tab stores it."""
    with closing(Store(site.settings.db_url)) as store:
        store.add_model(ModelRecord("demo", "Demo"))
        for name, signs in SIGNS.items():
            question = f"A patient has {signs}. What is it?"
            sides = [
                store.finish_answer(
                    store.begin_free_answer(
                        rater, "", question, "demo", prompt=None, sampling=None, answer_format="gemma-grpo"
                    ).id,
                    "done", raw=solution, reasoning=f"1. {signs}.", solution=solution, complete=True,
                    finish_reason="stop",
                ).id
                for solution in (name, "Influenza")
            ]  # fmt: skip
            comparison = store.begin_comparison(
                rater, "", question, (sides[0], sides[1]), blinded=True, draw_seed=1, source={"kind": "typed"},
                save_key=f"c {name}",
            )  # fmt: skip
            store.add_preference(rater, comparison.id, "a", {}, "", {}, 3.0, f"v {name}")


def vote_by_hand(page: Page) -> None:
    """Puts a case to both models and votes for A."""
    page.get_by_role("tab", name="Compare").click()
    page.locator("#compare-question textarea").fill("A patient has tiredness and pale conjunctivae. What is it?")
    page.locator("#compare-ask").click()
    expect(page.locator("#compare-vote[data-state=open]")).to_be_visible(timeout=PATIENCE_MS)
    page.locator("#compare-vote [data-vote=a]").click()
    page.locator("#compare-vote [data-do=compare-save]").click()
    expect(page.locator("#compare-vote[data-state=open]")).to_have_count(0, timeout=PATIENCE_MS)


def open_train(page: Page) -> None:
    page.get_by_role("tab", name="Train").click()
    expect(page.locator("#train-order")).to_be_attached(timeout=PATIENCE_MS)


def setting(page: Page, key: str) -> Locator:
    return page.locator(f"[data-set='{key}']")


def status_of(page: Page, *statuses: str) -> Locator:
    """The run on the page, once it is in one of these states."""
    head = page.locator(", ".join(f".mc-job-head[data-status={status}]" for status in statuses))
    expect(head).to_be_visible(timeout=PATIENCE_MS)
    return head


def loss_curve(page: Page) -> Locator:
    return page.locator(".mc-curve").filter(has=page.get_by_text("Loss", exact=True)).locator("svg")


def test_from_votes_to_a_model_in_the_chat_while_pages_and_the_app_come_and_go(
    watched: Watched, tmp_path: Path
) -> None:
    with bundled_site(tmp_path) as site:
        page = watched.open(site.url)
        put_votes(site, site.owner(page))
        vote_by_hand(page)
        open_train(page)
        expect(page.locator("#train-runs")).to_contain_text("No model was trained here yet")
        page.locator("#train-recipe").select_option("demo-dpo")
        start = page.locator("#train-start")
        expect(start).to_have_attribute("aria-disabled", "true", timeout=PATIENCE_MS)
        start.press("Enter")
        expect(page.locator("#train-preview-button")).to_be_focused()

        page.keyboard.press("Enter")
        preview = page.locator("#train-data-part .mc-preview")
        expect(preview).to_contain_text("3 of the pairs", timeout=PATIENCE_MS)
        pairs = preview.get_by_role("row").filter(has_text="Pairs, chosen and rejected")
        expect(pairs.get_by_role("cell")).to_have_text([str(len(SIGNS) + 1), "0"])
        expect(start).not_to_have_attribute("aria-disabled", "true", timeout=PATIENCE_MS)
        page.locator("[data-key=train-settings] > summary").click()
        page.locator("[data-key='train-section-held_out.rows'] > summary").click()
        setting(page, "stages.0.max_steps").fill("oops")
        fault = page.locator("#train-check-part .mc-fault")
        expect(fault).to_contain_text("stages.0.max_steps", timeout=PATIENCE_MS)
        expect(setting(page, "stages.0.max_steps")).to_have_attribute("aria-invalid", "true")
        for key, value in (("stages.0.max_steps", "24"), ("stages.0.eval_steps", "12"), ("held_out.rows", "4")):
            setting(page, key).fill(value)
        command = page.locator("#train-check-part .mc-code")
        expect(command).to_contain_text("--set held_out.rows=4", timeout=PATIENCE_MS)
        expect(page.locator("#train-changed")).to_have_text("3 changes")
        look_at(page)
        page.set_viewport_size({"width": 1280, "height": 900})
        start.click()

        status_of(page, "running")
        expect(loss_curve(page)).to_be_visible(timeout=PATIENCE_MS)
        before = loss_curve(page).get_attribute("aria-label") or ""
        expect(loss_curve(page)).not_to_have_attribute("aria-label", before, timeout=PATIENCE_MS)
        run_id = page.locator(".mc-job-head").get_attribute("data-run") or ""
        page.close()  # and then the app is closed as well
    assert Jobs(site.settings.runs_dir, lambda *_: None, lambda _: None).view(run_id).state.status == "running"

    with bundled_site(tmp_path) as site:
        page = watched.open(site.url)
        open_train(page)
        expect(page.locator(f".mc-job-head[data-run={run_id}]")).to_be_visible(timeout=PATIENCE_MS)
        status_of(page, "done")
        expect(page.locator("#train-chat-with")).to_be_visible(timeout=PATIENCE_MS)
        expect(page.locator("#train-run-facts")).to_contain_text("Exact answer")
        look_at(page)
        page.set_viewport_size({"width": 1280, "height": 900})
        page.locator("#train-pair-with").click()
        expect(page.locator("#compare-model-1 input")).to_have_value(re.compile("demo-dpo"), timeout=PATIENCE_MS)
        expect(page.locator("#compare-model-2 input")).to_have_value(re.compile("^MedChat Demo ·"))
        page.get_by_role("tab", name="Train").click()
        page.locator("#train-chat-with").click()
        expect(page.locator("#chat-model input")).to_have_value(re.compile("demo-dpo"), timeout=PATIENCE_MS)
        ask(page, "A 54-year-old man woke at night with a hot, red, very painful big toe. What is it?")
        expect(page.locator("#chat-live .mc-turn[data-phase=done]")).to_contain_text("out", timeout=PATIENCE_MS)


def test_a_run_is_stopped_resumed_cloned_and_deleted_on_the_page(watched: Watched, tmp_path: Path) -> None:
    with bundled_site(tmp_path) as site:
        page = watched.open(site.url, color_scheme="dark")
        open_train(page)
        page.locator("[data-key=train-settings] > summary").click()
        page.locator("[data-key='train-section-held_out.rows'] > summary").click()
        for key, value in (("stages.0.max_steps", "400"), ("stages.0.save_steps", "2"), ("held_out.rows", "0")):
            setting(page, key).fill(value)
        page.locator("#train-name").fill("A long one")
        expect(page.locator("#train-check-part .mc-code")).to_contain_text("max_steps=400", timeout=PATIENCE_MS)
        page.locator("#train-start").click()
        status_of(page, "running")
        expect(loss_curve(page)).to_be_visible(timeout=PATIENCE_MS)
        page.locator("[data-do=train-stop]").click()
        head = status_of(page, "stopped")
        expect(head).to_contain_text("Resume the run to go on")
        look_at(page)
        page.set_viewport_size({"width": 1280, "height": 900})
        stopped_at = int(re.findall(r"at step (\d+)", words(head))[0])

        page.locator("[data-do=train-resume]").click()
        status_of(page, "running")
        expect(loss_curve(page)).to_have_attribute(
            "aria-label",
            re.compile(rf"from [\d.]+ at step 1 to [\d.]+ at step (?!{stopped_at}\b)"),
            timeout=PATIENCE_MS,
        )
        page.locator("[data-do=train-clone]").click()
        expect(page.locator("#train-name")).to_have_value("A long one (again)", timeout=PATIENCE_MS)
        expect(setting(page, "stages.0.max_steps")).to_have_value("400")
        expect(page.locator("#train-check-part")).to_contain_text("1 run before it in line", timeout=PATIENCE_MS)
        page.locator("#train-start").click()
        status_of(page, "queued")
        page.locator("[data-do=train-delete]").click()
        page.get_by_role("button", name="Delete", exact=True).last.click()
        expect(page.locator("#train-runs li")).to_have_count(1, timeout=PATIENCE_MS)
        page.locator("[data-do=train-watch]").click()
        page.locator("[data-do=train-stop]").click()
        status_of(page, "stopped")


def test_a_base_that_is_not_here_is_estimated_and_one_press_from_being_fetched(
    watched: Watched, tmp_path: Path
) -> None:
    with bundled_site(tmp_path) as site:
        page = watched.open(site.url)
        open_train(page)
        page.locator("#train-recipe").select_option("medgemma-27b-lora")
        check = page.locator("#train-check-part")
        expect(check).to_contain_text("is not on this machine", timeout=PATIENCE_MS)
        check.locator("#train-machine").select_option("T4")
        expect(check.locator(".mc-estimate")).to_contain_text("Does not fit", timeout=PATIENCE_MS)
        check.locator("#train-machine").select_option("H200")
        expect(check.locator(".mc-estimate")).not_to_contain_text("Does not fit", timeout=PATIENCE_MS)
        expect(check.locator(".mc-estimate")).to_contain_text("its shape is a guess")
        page.locator("#train-start").press("Enter")
        to_models = page.locator("#train-to-models")
        expect(to_models).to_be_focused()
        look_at(page)
        page.set_viewport_size({"width": 1280, "height": 900})
        to_models.click()
        expect(page.locator("#models-search")).to_have_value("medgemma-27b-text-it", timeout=PATIENCE_MS)
        expect(page.locator("#models-list .mc-model:visible")).to_have_count(1)


def test_options_of_rewards_are_set_in_the_form_and_used_by_the_laboratory(watched: Watched, tmp_path: Path) -> None:
    with bundled_site(tmp_path) as site:
        page = watched.open(site.url)
        open_train(page)
        page.locator("#train-recipe").select_option("demo-grpo")
        page.locator("[data-key=train-settings] > summary").click()
        page.locator("[data-key=train-section-1] > summary").click()
        changes, check = page.locator("#train-changed"), page.locator("#train-check-part")
        rewards = page.locator("[data-rewards]")
        judge, brevity = (rewards.locator(f"[data-reward={name}]") for name in ("judge", "brevity"))
        expect(changes).to_have_text("as the recipe has them")
        expect(brevity.get_by_label("Brevity: most")).to_be_hidden()

        brevity.get_by_role("checkbox").check()
        brevity.get_by_label("Brevity: most").fill("2")
        judge.get_by_role("checkbox").check()
        expect(check.locator(".mc-fault")).to_contain_text("needs the option 'model'", timeout=PATIENCE_MS)
        expect(rewards).to_have_attribute("aria-invalid", "true")
        judge.get_by_label("A model as judge: model").select_option("demo")
        judge.get_by_label("A model as judge: most_calls").fill("4")
        command = check.locator(".mc-code")
        expect(command).to_contain_text('"options": {"model": "demo", "most_calls": 4}', timeout=PATIENCE_MS)
        expect(command).to_contain_text('{"name": "brevity", "weight": 1, "options": {"most": 2}}')
        expect(changes).to_have_text("1 change")
        look_at(page)
        page.set_viewport_size({"width": 1280, "height": 900})

        page.locator("#train-lab > .label-wrap").click()
        page.locator("[data-lab=question]").fill("A hot, red, swollen big toe. What is it?")
        page.locator("[data-lab=completion]").first.fill("It may be gout")
        page.locator("#lab-score").click()
        scores = page.locator("#train-lab-scores")
        row = scores.get_by_role("row").filter(has=page.get_by_role("rowheader", name="Brevity"))
        expect(row).to_contain_text("Set: most 2.", timeout=PATIENCE_MS)
        expect(row.get_by_role("cell").first).to_have_text("0.5")  # 2 of 4 words
        expect(scores).to_contain_text("computed by a job: A model as judge")

        for name in ("judge", "brevity"):
            rewards.locator(f"[data-reward={name}]").get_by_role("checkbox").uncheck()
        expect(changes).to_have_text("as the recipe has them")


def test_only_who_may_train_sees_the_tab(watched: Watched, tmp_path: Path) -> None:
    with scripted_site(tmp_path) as site:
        rater = watched.open(site.url, role="rater")
        expect(rater.get_by_role("tab", name="Rate")).to_be_visible()
        expect(rater.get_by_role("tab", name="Train")).to_have_count(0)
        engineer = watched.open(site.url, role="engineer")
        expect(engineer.get_by_role("tab", name="Train")).to_be_visible()
