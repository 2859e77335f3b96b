"""What all tests share: browser tests and GPU tests run where there is a browser, or a GPU; Ctrl-C for commands."""

import shutil
import signal
from collections.abc import Iterator

import pytest


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
