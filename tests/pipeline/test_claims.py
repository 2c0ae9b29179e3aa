"""A folder is one process's at a time, whatever becomes of that process."""

import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from deploy.local.demo import DemoSettings, play
from pipeline.job.job import Job
from pipeline.job.run import run
from pipeline.runtime.folder_lock import FolderInUse, claimed
from tests.commands import Run
from tests.pipeline.market import MARKET

HOLD = """
import sys, time
from pathlib import Path
from pipeline.runtime.folder_lock import claimed
with claimed(Path(sys.argv[1]), "job", "wait"):
    print("held", flush=True)
    time.sleep(600)
"""


def holder(folder: Path) -> subprocess.Popen[str]:
    """A process that has claimed the folder and keeps it."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, folder], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


def test_the_second_is_told_who_is_there_and_a_killed_process_lets_go(tmp_path: Path) -> None:
    process = holder(tmp_path)
    try:
        with (
            pytest.raises(
                FolderInUse, match=rf"{tmp_path}: found process {process.pid} at work there.*use another"
            ),
            claimed(tmp_path, "job", "use another"),
        ):
            raise AssertionError
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    with claimed(tmp_path, "job", "use another"):
        assert (tmp_path / "job.lock").read_text() == f"process {os.getpid()}\n"
        with claimed(tmp_path, "demo", "use another"), claimed(tmp_path / "worker-0", "job", "use another"):
            pass


def test_whoever_may_wait_gets_it_once_it_is_free(tmp_path: Path) -> None:
    process = holder(tmp_path)
    subprocess.Popen(["sh", "-c", f"sleep 0.5; kill {process.pid}"])
    with claimed(tmp_path, "job", "use another", wait_s=60):
        assert process.wait() == -signal.SIGTERM


def test_a_folder_that_cannot_be_written_ends_no_job(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    with caplog.at_level(logging.WARNING), claimed(tmp_path / "file" / "folder", "job", "use another"):
        assert "cannot make sure that nobody else works in" in caplog.text


def test_a_second_job_on_one_state_folder_is_refused_at_once(tmp_path: Path, run_command: Run) -> None:
    """Before anything else is looked at: none of these servers exist."""
    nowhere = {"bundle": str(tmp_path), "redis_url": "redis://127.0.0.1:1", "project": "nowhere"}
    job = Job.load(MARKET, state=str(tmp_path / "state"), **nowhere)
    with claimed(tmp_path / "state", "job", "use another"):
        with pytest.raises(FolderInUse, match=rf"process {os.getpid()}.*a folder of its own with --state"):
            run(job)
        ended = run_command(
            "run",
            "--state",
            job.state,
            "--use-case",
            MARKET,
            "--redis-url",
            job.redis_url,
            "--project",
            "nowhere",
        )
    assert ended.code == 8 and "riskstream: " in ended.err and str(os.getpid()) in ended.err


@pytest.fixture
def run_command(request: pytest.FixtureRequest) -> Run:
    return request.getfixturevalue("run")


def test_a_second_demo_leaves_the_first_alone(tmp_path: Path) -> None:
    (tmp_path / "stack").mkdir()
    with claimed(tmp_path, "demo", "use another"):
        with pytest.raises(FolderInUse, match="another --folder"):
            play(DemoSettings(folder=tmp_path), Console(quiet=True))
        assert (tmp_path / "stack").exists()
