"""The fraud challenge's own file: read with all its dirt, and found to hold nothing that tells fraud.

`make realdata` runs it if the file is there (`RISKSTREAM_DATA` names the folder).
"""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from export.registry.versions import Registry
from features.replay import replay
from features.usecase import load
from tests.realdata.streaming import ROOT
from training.data.files import batches, read_all
from training.profile import measure
from training.profile.findings import findings
from training.steps import TrainingOptions
from training.train import train

pytestmark = [pytest.mark.realdata, pytest.mark.timeout(600)]
USE_CASE = Path(__file__).parent / "purchases.yaml"
WHEN = datetime(2026, 11, 22, tzinfo=UTC)
ROWS, FRAUDS = 26_975, 810  # as a spreadsheet counts them


@pytest.fixture
def file() -> Path:
    folder = Path(os.environ.get("RISKSTREAM_DATA", ROOT.parent / "shared" / "data"))
    found = folder / "rappi_fraud" / "DS_Challenge.csv"
    if not found.is_file():
        pytest.skip(f"{found} is not there: set RISKSTREAM_DATA to the folder that has it")
    return found


def test_every_row_is_read_and_the_report_says_that_there_is_no_signal(file: Path, tmp_path: Path) -> None:
    use_case = load(USE_CASE)
    rows = read_all(use_case, [file], int(WHEN.timestamp()) * 1_000_000)
    assert (len(rows), rows.bad) == (ROWS, [])
    registry = Registry(str(tmp_path), use_case.name)
    options = TrainingOptions(seed=1, created_at=WHEN, progress=print)
    _, (run, files) = train(use_case, replay(batches(use_case, rows)), registry, options)
    print(run.evaluation.words)
    assert run.training["positive_rows"] == FRAUDS
    assert not run.evaluation.has_signal and run.verdict == "rejected"
    assert b"No signal" in files["report.html"]
    assert not list(tmp_path.glob("*.current")), "nothing is promoted"
    (version,) = registry.versions()
    assert version.status == "rejected"


def test_the_profile_counts_positives_by_value_and_no_value_stands_out(file: Path) -> None:
    use_case = load(USE_CASE)
    facts = measure.profile(use_case, [file], read_all(use_case, [file], int(WHEN.timestamp()) * 1_000_000))[
        0
    ]
    (purchase,) = facts.event_types
    card = next(column.rates for column in purchase.columns if column.field == "card")
    assert [(rate.known, rate.positive) for rate in card] == [(18_903, 579), (8_072, 231)]
    assert not any(rate.stands_out for column in purchase.columns for rate in column.rates)
    assert any("no field differs between the labels" in each.text for each in findings(facts))
