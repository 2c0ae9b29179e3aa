"""The page of scored customers: numbers that are in the table, the whole off-boarding list, nothing from elsewhere."""

import html
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from export.distributions.coverage import Coverage
from export.distributions.reference import Usual
from export.policy import Level, Recommendation
from pipeline.batch.differences import sentences
from pipeline.batch.score import Scored, score
from pipeline.batch.summary import summary
from pipeline.files.history import history
from tests.pipeline.market import market
from tests.pipeline.models import trained
from tests.pipeline.test_backfill import NOW_US, sorted_events, written
from training.pages import segments_page

USE_CASE = market()


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Scored:
    file = written(sorted_events(2_000, 14), tmp_path_factory.mktemp("history"))
    with history(USE_CASE, [file], NOW_US) as events:
        return score(USE_CASE, trained(USE_CASE), events)


def page_of(found: Scored) -> str:
    facts = summary(found)
    return segments_page.page(found, facts, sentences(facts["differences"]))


def text_of(page: str) -> str:
    plain = re.sub(r"<(svg|style).*?</\1>", " ", page, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", plain)).split())


def section(page: str, name: str) -> str:
    """The text below a heading."""
    return text_of(re.split(r"<h2 id=", page.partition(f'<h2 id="{name}">')[2])[0])


def test_the_off_boarding_list_is_whole_and_has_reasons(found: Scored) -> None:
    page = page_of(found)
    recommended = np.flatnonzero(found.status["recommendation"] == Recommendation.OPEN).tolist()
    assert recommended, "the test needs some"
    listed = section(page, "off-boarding")
    assert f"Off-boarding is recommended for {len(recommended)} of {len(found)} scored customers." in text_of(
        page
    )
    for row in recommended:
        assert f"{found.customers[row]} {found.customer_score[row]:.3f}" in listed
        assert all(" ".join(str(reason).split()) in listed for reason in found.reasons[row])
    for row in np.flatnonzero(found.status["recommendation"] != Recommendation.OPEN).tolist():
        assert f"{found.customers[row]} " not in listed


def test_held_recommendations_are_told_among_those_who_are_high(found: Scored) -> None:
    row = int(np.flatnonzero(found.status["recommendation"] == Recommendation.OPEN)[0])
    status = found.status.copy()
    status["recommendation"][row] = Recommendation.HELD
    page = page_of(replace(found, status=status))
    assert f"{found.customers[row]} " not in section(page, "off-boarding")
    high = section(page, "high")
    assert f"{found.customers[row]} {found.customer_score[row]:.3f}" in high and " held " in high


def test_what_sets_them_apart_is_told_in_units(found: Scored) -> None:
    age, vip = (next(f for f in USE_CASE.table if f.name == name) for name in ("any_since_last_ever", "vip"))
    values = np.array([3_600 * 30, 3_600 * 30, np.nan], np.float32)
    assert segments_page.usual(age, values) == "30 hours"
    assert segments_page.usual(vip, np.array([1, 0, 0, np.nan], np.float32)) == "33.3%"
    assert segments_page.usual(age, values[2:]) == "-"
    known = replace(
        found, usual={"vip": Usual(0.0, 0.0, 0.5, 0.0, 0.25), age.name: Usual(0.0, 5.0, 60.0, 0.0, 7_200.0)}
    )
    assert (segments_page.in_training(known, vip), segments_page.in_training(known, age)) == (
        "25.0%",
        "2 hours",
    )
    assert segments_page.in_training(replace(found, usual={}), vip) == "-", "a bundle from before it was kept"
    assert any(row["levels"] for row in segments_page.characteristics(found))


def test_segments_and_those_not_scored_add_up_to_the_files(found: Scored) -> None:
    """Two customers lose their scores: they are on no level, though their records say LOW or anything else."""
    counts = found.scored.copy()
    counts[[0, 3]] = 0
    partly = replace(found, scored=counts)
    rows = segments_page.segments(partly)
    assert [row["name"] for row in rows] == ["LOW", "MEDIUM", "HIGH", "not scored"]
    for column, total in (("customers", len(found)), ("ever", len(found)), ("share", 1.0)):
        assert sum(row[column] for row in rows) == pytest.approx(total)
    for level, row in zip(Level, rows[:3], strict=True):
        assert row["customers"] == (found.status["level"][counts > 0] == level).sum()
        assert row["ever"] == (found.highest_level[counts > 0] == level).sum()
    assert (rows[3]["customers"], rows[3]["score"]) == (
        2,
        pytest.approx(np.median(found.customer_score[[0, 3]])),
    )
    text = text_of(page_of(partly))
    assert f"The files have {len(found)} customers: {len(found) - 2} are scored, and 2 are not" in text
    assert f"rows in the files {sum(found.rows.values()):,}" in section(page_of(partly), "files")


def test_customers_that_the_model_has_learned_from_are_marked(found: Scored) -> None:
    row = int(np.flatnonzero(found.status["recommendation"] == Recommendation.OPEN)[0])
    learned, by_stand_in = np.zeros(len(found), np.bool_), np.zeros(len(found), np.bool_)
    learned[row] = True
    page = text_of(page_of(replace(found, learned_from=learned, by_stand_in=by_stand_in)))
    assert "The model has learned from 1 of the scored customers." in page
    assert f"{found.customers[row]} the model has learned from this customer: its score is flattering" in page
    by_stand_in[row] = True
    page = text_of(page_of(replace(found, learned_from=learned, by_stand_in=by_stand_in)))
    assert f"{found.customers[row]} scored by the stand-in" in page and "flattering" not in page
    assert "it is not known whether some are in these files" in text_of(page_of(found)), "an older bundle"


def test_the_page_is_whole_and_the_same_again(found: Scored, tmp_path: Path) -> None:
    facts = summary(found)
    segments_page.write(found, facts, sentences(facts["differences"]), tmp_path / "a" / "page.html")
    page = (tmp_path / "a" / "page.html").read_text()
    assert page == page_of(found)
    assert "<svg" in page and "</html>" in page
    links = re.findall(r'(?:src|href)="(?!#)([^"]+)"', page)
    assert links == [], "nothing is fetched"
    assert [file.name for file in (tmp_path / "a").iterdir()] == ["page.html"]


def test_names_of_customers_are_text_and_no_markup(found: Scored) -> None:
    row = int(np.nanargmax(found.highest))
    before = found.customers[row]
    found.customers[row] = "<script>alert(1)</script>"
    page = page_of(found)
    found.customers[row] = before
    assert "<script" not in page and "&lt;script&gt;" in page


def test_a_column_that_files_lack_is_told_on_top_and_in_full_below(found: Scored) -> None:
    lacking = Coverage(missing={"profile.born": 0.9}, silent=("age_years",))
    page = page_of(replace(found, coverage=lacking))
    assert "These files are not like the training data." in text_of(page)
    files = section(page, "files")
    assert "No event in the files has a value of profile.born; in training 90% of them had one." in files
    assert (
        f"1 of {len(USE_CASE.features)} features says nothing in these files and is no reason: age_years."
        in files
    )
    alike = page_of(replace(found, coverage=Coverage()))
    assert "not like the training data" not in text_of(alike)
    assert "Every column that the model has learned from has values here" in section(alike, "files")
