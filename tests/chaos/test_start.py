"""A job that cannot run says so within seconds, through the command line, before anything of it runs."""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import pipeline.job.run  # noqa: F401 - or the first test would be charged for importing Beam
import riskstream
from pipeline.runtime import process_metrics
from tests.chaos.job import Place
from tests.chaos.stream import forgiving

SECONDS = 15.0  # on a busy machine; alone it takes one
WRONG_FLAG, CANNOT_START = 2, 8
DAYS = 60  # as in other tests here, which then share a model
OTHER_WINDOWS = ("windows: [1h, 24h, 7d, 30d]", "windows: [1h, 24h, 7d, 90d]")

FAULTS = {
    "wrong flag": (["--batches", "10"], WRONG_FLAG, "No such option: --batches"),
    "wrong value": (["--batch", "0"], WRONG_FLAG, "Invalid value for '--batch'"),
    "Redis": (["--redis-url", "redis://127.0.0.1:1"], CANNOT_START, "Redis: Redis at 127.0.0.1:1: "),
    "topic": (["--alerts-topic", "nowhere"], CANNOT_START, "topics/nowhere: NOT_FOUND"),
    "subscription": (["--subscription", "nowhere"], CANNOT_START, "subscriptions/nowhere: NOT_FOUND"),
    "table": (["--dataset", "nowhere"], CANNOT_START, "nowhere.assessments: run `riskstream tables`"),
    "bundle": (["--bundle", "nowhere"], CANNOT_START, "/nowhere: found no offboarding.current"),
    "cold store": ([], CANNOT_START, "Fill them with `riskstream backfill`"),
    "fingerprint": (["--use-case", "other.yaml"], CANNOT_START, "train a new bundle"),
}
COLD: dict[str, list[str]] = {"cold store": []}  # all others are told to start with nothing


@pytest.fixture
def furnished(place: Callable[..., Place], tmp_path: Path) -> Place:
    return place(forgiving(tmp_path, DAYS))


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_missing_is_said_before_anything_runs(
    furnished: Place,
    fault: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    flags, code, expected = FAULTS[fault]
    (tmp_path / "other.yaml").write_text(furnished.use_case.text.replace(*OTHER_WINDOWS))
    monkeypatch.chdir(tmp_path)
    own = [
        "--project",
        furnished.project,
        "--bundle",
        furnished.bundles,
        "--use-case",
        furnished.use_case.file,
    ]
    state = ["--state", str(tmp_path / "state")]
    monkeypatch.setattr(
        sys, "argv", ["riskstream", "run", *own, *state, *COLD.get(fault, ["--allow-empty-store"]), *flags]
    )
    began_s = time.monotonic()
    with pytest.raises(SystemExit) as ended:
        riskstream.main()
    assert time.monotonic() - began_s < SECONDS
    assert ended.value.code == code
    said = capsys.readouterr().err.splitlines()
    assert sum(expected in line for line in said) == 1, said
    assert code == WRONG_FLAG or len(said) == 1, "nothing else is wrong"
    assert not (tmp_path / "state" / process_metrics.FILE).exists(), "no pipeline was built"
