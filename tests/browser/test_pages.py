"""The three pages in a real browser, as the commands write them: they load nothing, fit and have their headings.

The pages are made of generated customers, with the features of the off-boarding use case, whose names are long.
"""

import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from training.report.page import SECTIONS

pytestmark = pytest.mark.browser
ROOT = Path(__file__).parents[2]
USE_CASE = str(ROOT / "usecases" / "offboarding.yaml")
WIDTHS = (1200, 800)  # a desk's screen, and half of one
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
HEADINGS = {
    "profile": ["What stands out", "Rows", "Labels", "Events: customer", "Events: transaction", "How it is measured"],
    "report": list(SECTIONS.values()),
    "scores": [
        "Segments", "Off-boarding recommended", "HIGH, not recommended", "What sets them apart", "The files",
        "How to read this page",
    ],
}  # fmt: skip


@pytest.fixture(scope="session")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """By name, the files of the three pages."""
    folder = tmp_path_factory.mktemp("pages")
    users, transactions, bundles = folder / "users.csv", folder / "transactions.csv", folder / "bundles"
    model = ("--use-case", USE_CASE, "--bundle", str(bundles))
    riskstream("generate", "--customers", "200", "--days", "40", "--seed", "5", "--out", str(folder))
    riskstream(
        "profile",
        str(users),
        str(transactions),
        "--use-case",
        USE_CASE,
        "--out",
        str(folder / "profile.html"),
    )
    riskstream("train", str(users), str(transactions), *model, "--even-without-signal")
    scores = ("--out", str(folder / "scores.csv"), "--report", str(folder / "scores.html"))
    riskstream("score", str(users), str(transactions), *model, *scores)
    (report,) = (bundles / "reports").glob("*/report.html")
    return {"profile": folder / "profile.html", "report": report, "scores": folder / "scores.html"}


def riskstream(*words: str) -> None:
    command = [sys.executable, "-m", "riskstream", *words]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


class Seen(NamedTuple):
    """What a page asked for and complained of while it was looked at."""

    requests: list[str]
    complaints: list[str]


def watched(page: Any) -> Seen:
    seen = Seen([], [])
    page.on("request", lambda request: seen.requests.append(request.url))
    page.on("pageerror", lambda error: seen.complaints.append(str(error)))
    page.on(
        "console", lambda message: seen.complaints.append(message.text) if message.type == "error" else None
    )
    return seen


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", HEADINGS)
def test_a_page_loads_nothing_fits_and_has_its_headings(
    browser: Any, pages: dict[str, Path], name: str, width: int
) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900})
    seen, file = watched(page), pages[name].as_uri()
    page.goto(file)
    for details in page.locator("details").all():  # also what is folded away, and the tables to browse in it
        details.evaluate("one => { one.open = true; one.scrollIntoView() }")
    page.wait_for_load_state("networkidle")
    assert [url for url in seen.requests if not url.startswith(("file:", "data:", "about:"))] == []
    assert [url for url in seen.requests if url.startswith("file:")] == [file]
    assert seen.complaints == []
    assert page.evaluate(OVERFLOW) <= 0
    assert page.locator("h2").all_inner_texts() == HEADINGS[name]
    assert page.locator("h1").count() == 1
    page.close()


@pytest.mark.parametrize("name", HEADINGS)
def test_links_lead_to_places_that_are_there(browser: Any, pages: dict[str, Path], name: str) -> None:
    page = browser.new_page()
    page.goto(pages[name].as_uri())
    links = [link.get_attribute("href") for link in page.locator("nav a").all()]
    assert len(links) >= len(HEADINGS[name]) > 0
    assert [link for link in links if page.locator(link).count() != 1] == []
    page.close()
