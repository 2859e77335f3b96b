"""What all tests share: browser tests and GPU tests run where there is a browser, or a GPU."""

import shutil

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
