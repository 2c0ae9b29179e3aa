"""History out of files: the order of events, their dates, bad rows, and a bundle at the end of the command line."""

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from features.replay import replay
from features.usecase import load
from pipeline.files import BadFile
from training.data.files import batches, read_all
from training.generate import Dirt, generate

OFFBOARDING = load("usecases/offboarding.yaml")
NOW_US = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("history")
    generate(80, 40, 5, folder, dirt=Dirt(late_rows=0.2))
    return folder


@pytest.fixture(scope="module")
def files(folder: Path) -> list[Path]:
    return [folder / "transactions.csv", folder / "users.csv"]


def test_profiles_come_first_and_then_all_in_event_time_order(files: list[Path]) -> None:
    rows = read_all(OFFBOARDING, files, NOW_US)
    assert rows.bad == []
    assert rows.types == ["customer"] * 80 + ["transaction"] * (len(rows) - 80)
    assert (np.diff(rows.time_us) >= 0).all()
    assert rows.time_us[0] == rows.time_us[80]


def test_profiles_can_be_dated(files: list[Path]) -> None:
    middle_us = int(np.median(read_all(OFFBOARDING, files, NOW_US).time_us))
    rows = read_all(OFFBOARDING, files, NOW_US, dated_us=middle_us)
    assert {rows.time_us[i] for i, name in enumerate(rows.types) if name == "customer"} == {middle_us}
    assert rows.types.index("customer") > 0


def test_profiles_alone_are_dated_now(files: list[Path]) -> None:
    assert set(read_all(OFFBOARDING, files[1:], NOW_US).time_us.tolist()) == {NOW_US}


def test_bad_rows_are_told_by_file_and_line(files: list[Path], tmp_path: Path) -> None:
    lines = files[0].read_text().splitlines(keepends=True)
    lines[3] = lines[3].replace("EUR", "EUR,", 1)
    wrong = tmp_path / "transactions.csv"
    wrong.write_text("".join(lines))
    rows = read_all(OFFBOARDING, [wrong], NOW_US)
    assert [(path, row.line) for path, row in rows.bad] == [(wrong, 4)]
    assert len(rows) == len(lines) - 2


def test_every_row_is_replayed(files: list[Path]) -> None:
    rows = read_all(OFFBOARDING, files, NOW_US)
    found = list(replay(batches(OFFBOARDING, rows)))
    assert sum(len(each.seq) for each in found) == len(rows)
    assert all((each.batch.published_us == each.batch.time_us).all() for each in found)


def test_no_rows_are_no_batches(files: list[Path], tmp_path: Path) -> None:
    empty = tmp_path / "empty.csv"
    empty.write_text(files[0].read_text().splitlines()[0] + "\n")
    assert list(batches(OFFBOARDING, read_all(OFFBOARDING, [empty], NOW_US))) == []


def test_the_command_line_trains_and_promotes(tmp_path: Path, with_registry: Callable[[Path], Path]) -> None:
    """In a process of its own, from which no other test has spared it an import."""
    generate(40, 15, 5, tmp_path / "history", dirt=Dirt(late_rows=0.2))
    files = [tmp_path / "history" / name for name in ("transactions.csv", "users.csv")]
    words = ["train", "--allow-no-signal", *files, "--bundle", with_registry(tmp_path / "b"), "--json"]
    command = [sys.executable, "-m", "riskstream", *map(str, words)]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    manifest = json.loads(ended.stdout)
    assert manifest["fingerprint"] == OFFBOARDING.fingerprint
    assert manifest["recommendations"]["customers"] == manifest["training"]["customers"]
    assert any("CANNOT BE KNOWN" in warning for warning in manifest["warnings"]), "of 40 customers"
    assert (tmp_path / "b" / f"{manifest['use_case']}.current").read_text().strip() == manifest["id"]
    beside = {file.name for file in (tmp_path / "b" / "reports" / manifest["id"]).iterdir()}
    assert beside == {"report.html", "report.json", "scores.parquet"}
    assert "report.html\nheld-out scores: " in ended.stderr
    assert list((tmp_path / "b" / "mlruns").rglob("scores.parquet"))


def test_one_file_may_hold_events_of_two_types(tmp_path):
    use_case, file = load("usecases/card_fraud.yaml"), tmp_path / "cards.csv"
    file.write_text(
        "TRANSACTION_ID,TX_DATETIME,CUSTOMER_ID,TERMINAL_ID,TX_AMOUNT,TX_FRAUD\n"
        "0,2018-04-01 00:00:31,596,3156,57.16,0\n1,2018-04-09 00:02:10,4961,3412,81.51,1\n"
    )
    with pytest.raises(
        BadFile, match=r"payment and verdict fit its columns .*TYPE=FILE names one.* payment=\S+ verdict=\S+$"
    ):
        read_all(use_case, [file], NOW_US)
    rows = read_all(use_case, [f"payment={file}", f"verdict={file}"], NOW_US)
    assert rows.types == ["payment", "verdict", "payment", "verdict"]
    days = ((rows.time_us - rows.time_us[0]) // 86_400_000_000).tolist()
    assert days == [0, 7, 8, 15], "a verdict comes seven days after its payment"
