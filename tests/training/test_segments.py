"""The page of scored customers: numbers that are in the table, everybody to part with, nothing from elsewhere."""

import html
import re
from pathlib import Path

import numpy as np
import pytest

from export.levels import Level, Recommendation
from pipeline.history import history
from pipeline.scoring import Scored, score
from tests.pipeline.market import market
from tests.pipeline.models import trained
from tests.pipeline.test_backfill import NOW_US, sorted_events, written
from training import segments

USE_CASE = market()


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Scored:
    file = written(sorted_events(2_000, 14), tmp_path_factory.mktemp("history"))
    with history(USE_CASE, [file], NOW_US) as events:
        return score(USE_CASE, trained(USE_CASE), events)


def text_of(page: str) -> str:
    plain = re.sub(r"<(svg|style).*?</\1>", " ", page, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", plain)).split())


def test_everybody_to_part_with_is_there_with_reasons(found: Scored) -> None:
    text = text_of(segments.page(found))
    parted = np.flatnonzero(found.status["recommendation"] == Recommendation.OPEN).tolist()
    assert parted, "the test needs some"
    listed = text.partition("To part with ")[2].partition("To part with ")[2]
    for row in parted:
        assert f"{found.customers[row]} {found.highest[row]:.3f}" in listed
        assert all(" ".join(str(reason).split()) in listed for reason in found.reasons[row])


def test_segments_are_everybody(found: Scored) -> None:
    rows = segments.segments(found)
    assert [row["name"] for row in rows] == ["Low", "Medium", "High"]
    assert sum(int(str(row["customers"])) for row in rows) == len(found)
    for level, row in zip(Level, rows, strict=True):
        own = found.status["level"] == level
        assert row["customers"] == own.sum() and row["share"] == pytest.approx(own.mean())


def test_the_page_is_whole_and_the_same_again(found: Scored, tmp_path: Path) -> None:
    segments.write(found, tmp_path / "a" / "page.html")
    page = (tmp_path / "a" / "page.html").read_text()
    assert page == segments.page(found)
    assert "<svg" in page and "</html>" in page
    links = re.findall(r'(?:src|href)="(?!#)([^"]+)"', page)
    assert links == [], "nothing is fetched"
    assert [file.name for file in (tmp_path / "a").iterdir()] == ["page.html"]


def test_names_of_customers_are_text_and_no_markup(found: Scored) -> None:
    row = int(np.nanargmax(found.highest))
    before = found.customers[row]
    found.customers[row] = "<script>alert(1)</script>"
    page = segments.page(found)
    found.customers[row] = before
    assert "<script" not in page and "&lt;script&gt;" in page


def test_a_column_that_files_lack_is_told(tmp_path: Path) -> None:
    """Nobody has a profile, so its attributes are unknown here; in training they were not."""
    file = written(sorted_events(1_000, 15), tmp_path)
    with history(USE_CASE, [file], NOW_US) as events:
        alone = score(USE_CASE, trained(USE_CASE), events)
    assert any(name.startswith("vip") for name in alone.flat)
    assert "Not as in training" in segments.page(alone)
    assert "amount" not in alone.flat
