"""The page of the REST service's document in a real browser: it asks the service alone, and the service answers it."""

from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.serving.conftest import Served, broker, redis_server, served, serving, settings  # noqa: F401

pytestmark = pytest.mark.browser


def test_the_page_shows_every_route_and_asks_nobody_else(browser: Any, served: Served) -> None:  # noqa: F811
    page = browser.new_page()
    asked: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(f"{served.url}/docs")
    page.wait_for_selector(".opblock")
    assert page.locator(".opblock").count() == 6
    assert {urlsplit(url).netloc for url in asked if not url.startswith("data:")} == {
        urlsplit(served.url).netloc
    }
    assert complaints == []
    page.locator(".opblock-post", has_text="/v1/scores/payment").first.click()
    page.get_by_role("button", name="Try it out").click()
    page.get_by_role("button", name="Execute").click()
    page.wait_for_selector(".live-responses-table .response-col_status")
    status = page.locator(".live-responses-table tbody .response-col_status").first.inner_text()
    assert status.split()[0] in ("200", "409", "422"), "the page's own origin may send"
    page.close()
