"""What the browser tests stand on: the app in a process of its own, Chromium, and what people do on the page."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
from axe_playwright_python.sync_playwright import Axe
from browser_app import SHARED_HOST
from playwright.sync_api import Browser, Dialog, Locator, Page, Playwright, expect

from medchat.accounts import COOKIE, Accounts
from medchat.settings import ROOT, Settings
from medchat.store import AnswerRecord, Store

PATIENCE_MS = 30_000
CHROMIUM = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", f"--host-resolver-rules=MAP {SHARED_HOST} 127.0.0.1",
)  # fmt: skip


@dataclass
class Site:
    """A running app. settings: as its process has them, as far as they tell who owns what."""

    process: "subprocess.Popen[str]"
    settings: Settings

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.settings.port}/"

    def wait_for(self, part: str, state: str) -> None:
        """Returns once /healthz says this of a part, so that no test has to wait for it."""
        for _ in range(600):
            with urllib.request.urlopen(f"{self.url}healthz", timeout=10) as answer:
                if json.load(answer)[part] == state:
                    return
            time.sleep(0.1)
        raise AssertionError(f"{part} is not {state} after a minute")

    @property
    def worker_pid(self) -> int:
        """The process in which llama.cpp runs."""
        children = psutil.Process(self.process.pid).children()
        return next(child.pid for child in children if "medchat.backends.engine" in child.cmdline())

    def owner(self, page: Page) -> str:
        """Whose page it is."""
        cookies = {cookie["name"]: cookie["value"] for cookie in page.context.cookies()}
        with closing(Store(self.settings.db_url)) as store:
            user = Accounts(store, self.settings).user_of(cookies)
        assert user
        return user.id

    def newcomer(self, role: str) -> str:
        """The session of a user whom nobody saw before; "" where nobody signs in."""
        with closing(Store(self.settings.db_url)) as store:
            accounts = Accounts(store, self.settings)
            if accounts.local_only:
                return ""
            record = store.add_user(f"{role.title()} {len(accounts.users()) + 1}", role, None)
            return accounts._begin(record, "")  # without a password: that would take time, and is tried elsewhere

    def answers(self, page: Page) -> list[AnswerRecord]:
        """What the store has of the conversation that this page's owner used last."""
        owner = self.owner(page)
        with closing(Store(self.settings.db_url)) as store:
            latest = store.latest_conversation(owner)
            return store.answers_of(owner, latest.id) if latest else []


SITES: dict[int, Site] = {}  # those that run, by port


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


@contextmanager
def running(command: list[str], settings: Settings) -> Iterator[Site]:
    """The app started by this command, which prints a line once it answers."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "GRADIO_ANALYTICS_ENABLED": "False", "MPLBACKEND": "agg"}
    with (settings.data_dir.with_suffix(".log")).open("w") as log:
        process = subprocess.Popen(
            [sys.executable, *command], cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=log, text=True
        )
        try:
            assert process.stdout is not None
            assert process.stdout.readline(), f"the app did not start: see {log.name}"
            site = SITES[settings.port] = Site(process, settings)
            site.wait_for("grounding", "ready")
            yield site
        finally:
            SITES.pop(settings.port, None)
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def bundled_site(folder: Path) -> Iterator[Site]:
    """`python app.py` as everybody starts it."""
    port = free_port()
    command = ["app.py", "--port", str(port), "--data-dir", str(folder / "data")]
    with running(command, Settings(folder / "data", port=port)) as site:
        site.wait_for("engine", "ready")
        yield site


@contextmanager
def scripted_site(folder: Path, port: int | None = None) -> Iterator[Site]:
    """The app with scripted answers, in which everybody signs in."""
    port = port or free_port()
    command = ["tests/browser_app.py", str(port), str(folder / "data")]
    with running(command, Settings(folder / "data", port=port, allowed_hosts=(SHARED_HOST,))) as site:
        yield site


@contextmanager
def slowed(pid: int) -> Iterator[None]:
    """Lets the process run only for moments, until the block ends or the process does."""
    over = threading.Event()

    def brake() -> None:
        try:
            while not over.is_set():
                os.kill(pid, signal.SIGSTOP)
                time.sleep(0.1)
                os.kill(pid, signal.SIGCONT)
                time.sleep(0.003)
        except ProcessLookupError:
            pass

    thread = threading.Thread(target=brake)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def launch(playwright: Playwright) -> Browser:
    return playwright.chromium.launch(executable_path="/usr/bin/chromium", args=list(CHROMIUM))


@dataclass
class Watched:
    """Pages of one browser, and what they did that nobody should see."""

    browser: Browser
    foreign: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)

    def open(self, url: str, role: str = "rater", **options: Any) -> Page:
        """A page of somebody new, who has signed in where one has to."""
        context = self.browser.new_context(**{"viewport": {"width": 1280, "height": 900}} | options)
        if token := SITES[urlsplit(url).port or 0].newcomer(role):
            context.add_cookies([{"name": COOKIE, "value": token, "url": url, "httpOnly": True, "sameSite": "Lax"}])
        context.set_default_timeout(PATIENCE_MS)
        return self.visit(context.new_page(), url)

    def visit(self, page: Page, url: str) -> Page:
        """The page, watched, at this address."""
        own = urlsplit(url).netloc
        page.on("request", lambda request: self._check(request.url, own))
        page.on("console", lambda message: self.complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("dialog", self._dismiss)
        page.goto(url)
        is_restored(page)
        return page

    def _dismiss(self, dialog: Dialog) -> None:
        self.dialogs.append(dialog.message)
        dialog.dismiss()

    def _check(self, url: str, own: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("data", "blob") and parts.netloc != own:
            self.foreign.append(url)

    def close(self) -> None:
        for context in self.browser.contexts:
            context.close()


def is_drawn(page: Page) -> None:
    """Waits for the next frame: Gradio sets a tab's fields once more before it first draws them."""
    page.evaluate("() => new Promise(requestAnimationFrame)")


def typed_at_once(page: Page, box: str, field: str) -> str:
    """What a field says two frames after "7" was typed into it, in the moment in which its accordion was opened."""
    typing = """async ([box, field]) => {
      const there = () => document.querySelector(`${field} :is(input, textarea)`);
      document.querySelector(`${box} > .label-wrap`).click();
      if (!there()) await new Promise(come => new MutationObserver((_, seen) => {
        if (there()) come(seen.disconnect());
      }).observe(document.body, { subtree: true, childList: true }));
      there().value = "7";
      there().dispatchEvent(new Event("input", { bubbles: true }));
      for (let frame = 0; frame < 2; frame++) await new Promise(requestAnimationFrame);
      return there().value;
    }"""
    value: str = page.evaluate(typing, [box, field])
    return value


def is_restored(page: Page) -> None:
    """Waits until the page shows what the server remembers of its owner."""
    expect(page.locator("#chat-status [role=status]")).not_to_be_empty(timeout=PATIENCE_MS)


def field_of(page: Page) -> Locator:
    return page.locator("#chat-question textarea")


def ask(page: Page, question: str) -> None:
    """Sends the question and waits until it stands in the transcript."""
    last = page.locator("#chat-live .mc-turn")
    before = last.get_attribute("data-answer") if last.count() else ""
    field_of(page).fill(question)
    field_of(page).press("Enter")
    expect(page.locator(f"#chat-live .mc-turn:not([data-answer='{before}'])")).to_be_attached(timeout=PATIENCE_MS)


def begin_anew(page: Page) -> None:
    """Leaves the conversation for a new one."""
    page.locator("#chat-new").click()
    expect(page.locator("#chat-transcript .mc-turn")).to_have_count(0, timeout=PATIENCE_MS)


def shows(page: Page, phase: str) -> Locator:
    """The last answer, once it is in this phase (or in one of several, separated by |)."""
    wanted = ", ".join(f"#chat-live .mc-turn[data-phase={one}]" for one in phase.split("|"))
    turn = page.locator(wanted)
    expect(turn).to_be_visible(timeout=PATIENCE_MS)
    return turn


def has_steps(page: Page, at_least: int) -> None:
    """Waits until so many steps of the reasoning are written."""
    step = page.locator("#chat-live .mc-steps li").nth(at_least - 1)
    expect(step).to_be_attached(timeout=PATIENCE_MS)


def choose_model(page: Page, name: str) -> None:
    """Picks a model and waits until the page says what it is."""
    about = page.locator("#chat-about p")
    before = about.inner_text()
    page.locator("#chat-model input").click()
    page.get_by_role("option", name=re.compile(rf"^{re.escape(name)} ·")).click()
    expect(about).not_to_have_text(before)


def open_conversation(page: Page, title: str) -> None:
    """Opens a conversation of the list and waits until the page shows it."""
    row = page.locator("#chat-list .mc-open").filter(has_text=title)
    row.click()
    expect(row).to_have_attribute("aria-current", "true")


def look_at(page: Page) -> None:
    """What axe-core and the width of the page say of it, on a desk and on a phone."""
    for width in (1280, 400):
        page.set_viewport_size({"width": width, "height": 900})
        results = Axe().run(page, {"exclude": [[".toast-wrap"]]}, {"resultTypes": ["violations"]})
        serious = [found for found in results.response["violations"] if found["impact"] in ("serious", "critical")]
        places = [(found["id"], node["html"][:200]) for found in serious for node in found["nodes"]]
        assert not places, json.dumps(places, indent=1)
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


def words(element: Locator) -> str:
    """The text of an element as people see it, in one line."""
    text: str = element.evaluate(
        "element => { const copy = element.cloneNode(true);"
        " copy.querySelectorAll('.mc-vh').forEach(hidden => hidden.remove()); return copy.textContent; }"
    )
    return re.sub(r"\s+", " ", text).strip()
