"""What all tests share: browser tests and GPU tests run where there is a browser, or a GPU; the browser; Ctrl-C."""

import shutil
import signal
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from browser_site import Watched
    from playwright.sync_api import Browser


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what this machine cannot run, and say why."""
    missing = {
        "browser": None if shutil.which("chromium") else "needs Debian's chromium",
        "gpu": None if shutil.which("nvidia-smi") else "needs an NVIDIA GPU",
    }
    for item in items:
        for mark, reason in missing.items():
            if reason and item.get_closest_marker(mark):
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Commands that Ctrl-C ends: a shell that runs the tests in the background has them ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="module")
def chromium() -> "Iterator[Browser]":
    """The browser of a module's tests."""
    from browser_site import launch
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright, launch(playwright) as browser:
        yield browser


@pytest.fixture
def watched(chromium: "Browser") -> "Iterator[Watched]":
    """Pages of a test; no request of theirs may leave this machine, and nothing may run that was only written."""
    from browser_site import Watched

    pages = Watched(chromium)
    yield pages
    pages.close()
    assert pages.foreign == []
    assert pages.dialogs == []
