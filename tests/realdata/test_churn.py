"""The churn file's own profile: dates that contradict each other, days read as months, monthly data.

`make realdata` runs it if the file is there (`RISKSTREAM_DATA` names the folder).
"""

import csv
import os
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from features.usecase import load
from tests.realdata.streaming import ROOT
from training.data.files import read_all
from training.profile import measure
from training.profile.findings import findings

pytestmark = [pytest.mark.realdata, pytest.mark.timeout(600)]
USE_CASE = Path(__file__).parent / "churn.yaml"
NOW_US = int(datetime(2026, 11, 22, tzinfo=UTC).timestamp()) * 1_000_000


@pytest.fixture
def file() -> Path:
    folder = Path(os.environ.get("RISKSTREAM_DATA", ROOT.parent / "shared" / "data"))
    found = folder / "better_collective" / "sample_data.csv"
    if not found.is_file():
        pytest.skip(f"{found} is not there: set RISKSTREAM_DATA to the folder that has it")
    return found


def after_its_month(file: Path, column: str) -> list[date]:
    """Dates of the column that lie after the month of their row, as a plain reader counts them."""
    with file.open(newline="") as opened:
        rows = [(row["activity_month"], row[column]) for row in csv.DictReader(opened) if row[column]]
    return [date.fromisoformat(day) for month, day in rows if day[:7] > month[:7]]


def test_contradicting_dates_and_months_are_found(file: Path) -> None:
    use_case = load(USE_CASE)
    facts = measure.profile(use_case, [file], read_all(use_case, [file], NOW_US))[0]
    (activity,) = facts.event_types
    assert activity.unit == "month" and len(activity.periods) == 21
    pairs = {(order.earlier, order.later): order for order in activity.date_orders}
    registered, deposit = (after_its_month(file, name) for name in ("reg_date", "ftd_date"))
    assert (len(registered), len(deposit)) == (1_827, 1_879)
    assert all(day.day <= 12 for day in registered), "each of them may be a month"
    first = pairs["registered", "month"]
    assert (first.contradicting, first.swapped, first.mended) == (1_827, "registered", 1_827)
    assert pairs["first_deposit", "month"].contradicting == 1_879
    assert (first.listing.shown, first.listing.total) == (100, 1_827)
    told = findings(facts)
    print("\n".join(f"{each.weight} {each.text}" for each in told))
    assert any(
        each.weight == "problem" and "day and month of registered swapped, all" in each.text for each in told
    )
    assert any("the data are monthly" in each.text for each in told)
