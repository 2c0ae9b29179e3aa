"""The site of docs/ in a real browser, opened from the disk: pages and search need no server and no network."""

from pathlib import Path
from typing import Any

import pytest

from tests.docs.test_site import build

pytestmark = pytest.mark.browser


def test_a_page_from_the_disk_finds_where_a_window_is_evicted(browser: Any, tmp_path: Path) -> None:
    result = build(tmp_path)
    assert result.returncode == 0, result.stderr
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    asked: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto((tmp_path / "walks.html").as_uri())
    page.locator("input.md-search__input").click()
    page.locator("input.md-search__input").press_sequentially("evict")
    page.wait_for_selector(".md-search-result__item")
    assert "evict" in page.locator(".md-search-result__list").inner_text().lower()
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
    assert complaints == []
    pictures = Path("build/screenshots")
    pictures.mkdir(parents=True, exist_ok=True)
    page.goto((tmp_path / "architecture.html").as_uri())
    page.screenshot(path=pictures / "site-architecture.png", full_page=True)
    page.close()
