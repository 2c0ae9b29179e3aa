"""A real browser: the Chromium that the machine has, driven by Playwright."""

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
QUIET = ("--disable-quic", "--disable-background-networking", "--disable-component-update", "--disable-sync")
NONE = "found no Chromium: install it (apt-get install chromium), or name its program in CHROMIUM"


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A browser with a profile of its own, closed in the end."""
    program = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip(NONE)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        is_root = os.geteuid() == 0  # Chromium's sandbox refuses to work for root
        started = playwright.chromium.launch(
            executable_path=program, args=[*QUIET, *(["--no-sandbox"] if is_root else [])]
        )
        yield started
        started.close()
