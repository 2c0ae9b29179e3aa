"""The demo from start to end, small: it adds up, says so, and leaves nothing behind; a job that ends is told."""

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import psutil
import pytest
from rich.console import Console

from deploy.local import processes, stack
from deploy.local.demo import DemoFailed, DemoSettings, DemoSummary, data, job, play, report


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


REASONS = {"from_future", "invalid", "undecodable", "unknown_type"}


def processes_in(folder: Path) -> list[str]:
    """Processes that work somewhere in a folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if str(folder) in process.cwd():
                found.append(" ".join(process.cmdline()))
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
    return found


def states(folder: Path) -> set[str]:
    return {each.state for each in stack.status(folder)}


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[DemoSettings, DemoSummary, str]:
    """A small demo in an environment that names servers which it must not touch."""
    console = Console(file=io.StringIO(), width=200)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
        patch.setenv("PUBSUB_EMULATOR_HOST", "127.0.0.1:1")
        before = dict(os.environ)
        settings = DemoSettings(customers=60, events=2_000, folder=tmp_path_factory.mktemp("demo"))
        found = play(settings, console)
        assert dict(os.environ) == before
    return settings, found, console.file.getvalue()


def test_it_adds_up(played: tuple[DemoSettings, DemoSummary, str]) -> None:
    _, found, _ = played
    assert found.holds, [check for check in found.reconciliation.checks if not check.holds]
    assert found.assessments == found.reconciliation.events and found.customers == 60
    letters = sum(found.dead_letters.values())
    assert set(found.dead_letters) >= REASONS and letters >= len(REASONS)
    assert found.messages > found.assessments + letters, "duplicates are part of the stream"
    assert found.assessments > 2_000, "2,000 transaction rows, a few twice, and the profiles"
    assert found.alerts.get("OVERRIDDEN", 0) <= 1 and sum(found.alerts.values()) > 10
    assert found.alert_p50_ms is not None and 0 < found.alert_p50_ms <= (found.alert_p99_ms or 0)
    assert found.answers == 200 and 0 < (found.answer_p50_ms or 0) <= (found.answer_p99_ms or 0)
    assert 200 < (found.redis_bytes_per_customer or 0) < 5_000


def test_it_tells_what_it_does(played: tuple[DemoSettings, DemoSummary, str]) -> None:
    settings, found, shown = played
    for step in (
        "starting Redis",
        "compiling",
        "a model of",
        "riskstream run",
        "streaming 1,800",
        "riskstream serve",
        "reconciling",
    ):
        assert step in shown
    text = report(found, settings.folder, keep=False)
    assert "everything adds up" in text and "WRONG" not in text and "publish to alert" in text
    assert "next: riskstream alerts" in report(found, settings.folder, keep=True)


def test_the_verdict_is_green_on_a_terminal_and_ends_with_what_is_next(
    played: tuple[DemoSettings, DemoSummary, str],
) -> None:
    settings, summary, _ = played
    text = report(summary, settings.folder, keep=False)
    (span,) = text.spans
    assert span.style == "bold green"
    assert text.plain[span.start : span.end].startswith("everything adds up; ")
    assert text.plain.splitlines()[-1].startswith("next: riskstream ")
    for file, has_colours in ((io.StringIO(), False), (Terminal(), True)):
        Console(file=file, width=200).print(text)
        assert ("\x1b[" in file.getvalue()) is has_colours


def test_it_leaves_nothing_running(played: tuple[DemoSettings, DemoSummary, str]) -> None:
    folder = played[0].folder
    assert states(folder / "stack") == {"stopped"}
    assert processes_in(folder) == []
    assert (folder / "job" / "job.log").exists()


def test_when_ended_it_stops_what_it_started(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "riskstream", "demo", "--customers", "60", "--folder", str(tmp_path)]
    with subprocess.Popen(
        command, cwd=processes.ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as demo:
        until_s = time.monotonic() + 90
        while not (tmp_path / "stack" / stack.state.FILE).exists() and time.monotonic() < until_s:
            time.sleep(0.1)
        demo.send_signal(signal.SIGTERM)
        assert demo.wait(60) != 0
    assert processes_in(tmp_path) == []


def test_a_job_that_was_kept_is_stopped_by_the_next_demo(tmp_path: Path) -> None:
    kept = processes.start([sys.executable, "-c", "import time; time.sleep(60)"], tmp_path, tmp_path / "log")
    (tmp_path / job.PROCESS).write_bytes(msgspec.json.encode(kept))
    job.stop_earlier(tmp_path)
    assert kept.running() is None
    job.stop_earlier(tmp_path / "nothing")


def test_a_job_that_has_ended_is_told_with_its_log(tmp_path: Path) -> None:
    (tmp_path / "job.log").write_text("riskstream: no such topic\n")
    ended = processes.start([sys.executable, "-c", ""], tmp_path, tmp_path / "other.log")
    its = job.DemoJob(ended, tmp_path)
    while ended.running():
        time.sleep(0.05)
    for ask in (its.status, its.is_up):
        with pytest.raises(DemoFailed, match="no such topic"):
            ask()


def test_the_stream_is_cut_to_size_and_its_bad_messages_are_bad_for_every_reason(tmp_path: Path) -> None:
    stream = data.make_stream(tmp_path, customers=60, events=1_000)
    assert stream.rows == 900 == len(stream.transactions.read_text().splitlines()) - 1
    assert len(stream.asked.read_text().splitlines()) - 1 == 100
    again = data.make_stream(tmp_path / "again", customers=60, events=1_000)
    assert again.transactions.read_bytes() == stream.transactions.read_bytes()
    assert len({message.data for message in data.bad_messages(stream)}) == 12
