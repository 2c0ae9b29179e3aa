"""The pages in a real browser, as the commands write them: they load nothing, fit and have their headings.

The pages are made of generated customers, with the features of the off-boarding use case, whose names are long.
"""

import subprocess
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from commands.retrain import CODES
from training.report.page import SECTIONS

pytestmark = pytest.mark.browser
ROOT = Path(__file__).parents[2]
USE_CASE = str(ROOT / "usecases" / "offboarding.yaml")
WIDTHS = (1200, 800)  # a desk's screen, and half of one
SCREENSHOTS = (
    ROOT / "build" / "screenshots"
)  # what the pages looked like, for a person to read: NAME-WIDTH.png
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
HEADINGS = {
    "profile": ["What stands out", "Rows", "Labels", "Events: customer", "Events: transaction", "How it is measured"],
    "report": [title for name, title in SECTIONS.items() if name != "comparison"],
    "retrained": list(SECTIONS.values()),
    "scores": [
        "Segments", "Off-boarding recommended", "HIGH, not recommended", "What sets them apart", "The files",
        "How to read this page",
    ],
}  # fmt: skip


@pytest.fixture(scope="session")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the files of the pages by name."""
    folder = tmp_path_factory.mktemp("pages")
    files = (str(folder / "users.csv"), str(folder / "transactions.csv"))
    bundles, profile, scores = folder / "bundles", folder / "profile.html", folder / "scores.html"
    model = ("--use-case", USE_CASE, "--bundle", str(bundles))
    riskstream("generate", "--customers", "400", "--days", "60", "--seed", "5", "--out", str(folder))
    riskstream("profile", *files, "--use-case", USE_CASE, "--out", str(profile))
    riskstream("train", *files, *model, "--allow-no-signal")
    (report,) = (bundles / "reports").glob("*/report.html")
    riskstream("score", *files, *model, "--out", str(folder / "scores.csv"), "--report", str(scores))
    riskstream("retrain", *files, *model, "--seed", "2", codes=CODES.values())
    (retrained,) = set((bundles / "reports").glob("*/report.html")) - {report}
    return {"profile": profile, "report": report, "retrained": retrained, "scores": scores}


def riskstream(*words: str, codes: Collection[int] = (0,)) -> None:
    command = [sys.executable, "-m", "riskstream", *words]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode in codes, ended.stderr


class Seen(NamedTuple):
    """Requests and complaints of a page while it was open."""

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
    page.screenshot(path=SCREENSHOTS / f"{name}-{width}.png", full_page=True)
    page.close()


@pytest.mark.parametrize("name", HEADINGS)
def test_links_lead_to_places_that_are_there(browser: Any, pages: dict[str, Path], name: str) -> None:
    page = browser.new_page()
    page.goto(pages[name].as_uri())
    links = [link.get_attribute("href") for link in page.locator("nav a").all()]
    assert len(links) >= len(HEADINGS[name]) > 0
    assert [link for link in links if page.locator(link).count() != 1] == []
    page.close()
