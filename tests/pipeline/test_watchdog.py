"""The watchdog: a real hang ends the process and leaves its stacks; a service that is away ends nothing."""

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from weakref import WeakSet

import pytest

from commands.errors import EXITS
from pipeline.runtime import liveness, undelivered
from pipeline.runtime.process_metrics import attempt_for, progress
from pipeline.runtime.watchdog import EXIT_CODE, Limits, Observations, stacks

ROOT = Path(__file__).parents[2]
HANG_S, START_S = 100.0, 300.0
LIMITS = Limits(HANG_S, START_S)
PATIENCE_S = 60.0
PROGRAM = """
import logging, sys
from pathlib import Path
from weakref import WeakSet
from pipeline.runtime import liveness, watchdog
from pipeline.runtime.retry import retrying

logging.basicConfig()
with watchdog.watching(watchdog.Limits(0.5, 0.5), Path(sys.argv[1])):
"""


class Holder:
    """A part of the job that holds some messages."""

    def __init__(self, number: int) -> None:
        self.number = number

    def at_hand(self) -> int:
        return self.number


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Iterator[Observations]:
    """A watch that has looked once, in a process in which nothing is under way."""
    monkeypatch.setattr(liveness, "_holders", WeakSet())  # other tests may have left some
    monkeypatch.setattr(undelivered, "_sources", WeakSet())
    liveness.calls.clear()
    progress.waiting.clear()
    watch = Observations(LIMITS)
    assert watch.look(0.0) is None
    yield watch
    progress.waiting.clear()


def looks(watch: Observations, seconds: float) -> str | None:
    """Look for so long, every tick. Return what hangs."""
    for _ in range(round(seconds / LIMITS.tick_s)):
        if reason := watch.look(LIMITS.tick_s):
            return reason
    return None


def test_a_call_that_does_not_end_is_a_hang(watch: Observations) -> None:
    with liveness.call("read the moon"):
        assert looks(watch, HANG_S) is None
        reason = looks(watch, 2 * LIMITS.tick_s)
    assert reason == "read the moon: not ended after 100 s"
    assert looks(watch, 3 * HANG_S) is None, "it has ended after all"


def test_attempts_that_end_are_no_hang(watch: Observations) -> None:
    """A service that is away for hours: each attempt fails, and the next one begins."""
    holder = Holder(7)
    liveness.register(holder)

    def fail() -> None:
        raise OSError

    attempt = attempt_for("redis", fail, OSError)
    for _ in range(200):
        with pytest.raises(OSError), liveness.call("assess events"):
            attempt()
        with liveness.call("assess events"):
            assert looks(watch, HANG_S / 2) is None
    assert progress.waiting["redis"] == 1


def test_work_at_hand_of_which_nothing_gets_done_is_a_hang(watch: Observations) -> None:
    """No call is under way: threads wait for each other."""
    holder = Holder(7)
    liveness.register(holder)
    for _ in range(5):
        assert looks(watch, HANG_S / 2) is None
        progress.counts["events"] += 1
    reason = looks(watch, HANG_S + 2 * LIMITS.tick_s)
    assert reason == "7 batches or messages are at hand, and none of them got done within 100 s"
    holder.number = 0
    assert looks(watch, 10 * HANG_S) is None, "an idle job has nothing to do"


def test_a_start_may_take_longer_than_a_batch(watch: Observations) -> None:
    holder = Holder(7)
    liveness.register(holder)
    liveness.starting("start the pipeline")
    assert looks(watch, 2 * HANG_S) is None
    assert looks(watch, HANG_S + 2 * LIMITS.tick_s) == "start the pipeline: not ended after 300 s"
    liveness.started()
    liveness.started()
    assert looks(watch, HANG_S / 2) is None


def test_a_process_that_was_stopped_is_not_taken_for_one_that_hangs(watch: Observations) -> None:
    with liveness.call("append rows to BigQuery"):
        assert watch.look(10_000.0) is None
        assert watch.look(LIMITS.tick_s) is None


def test_without_limits_nothing_is_a_hang() -> None:
    watch = Observations(Limits(0.0, 0.0))
    with liveness.call("read the moon"):
        assert all(watch.look(1_000.0) is None for _ in range(1_000))


def test_stacks_name_threads_and_the_lines_they_are_at() -> None:
    may_end = threading.Event()
    thread = threading.Thread(target=may_end.wait, name="waits for the end")
    thread.start()
    text = stacks()
    may_end.set()
    thread.join()
    assert "thread waits for the end:" in text and "test_stacks_name_threads" in text


def watched(folder: Path, block: str) -> subprocess.CompletedProcess[str]:
    """Run a program with the watchdog in which the block hangs."""
    program = PROGRAM + "".join(f"    {line}\n" for line in block.strip().splitlines())
    return subprocess.run(
        [sys.executable, "-c", program, str(folder)],
        cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip


def hung(folder: Path, block: str) -> tuple[str, str]:
    """Run a program in which the block hangs. Return its stderr, and the file with the stacks."""
    ended = watched(folder, block)
    assert ended.returncode == EXIT_CODE, ended.stderr
    (file,) = folder.glob("stacks-*.txt")
    return ended.stderr, file.read_text()


def test_a_client_without_a_timeout_whose_server_never_answers(tmp_path: Path) -> None:
    """The server accepts the connection and says nothing, for ever."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        block = f"""
from redis import Redis
client = Redis(port={server.getsockname()[1]}, socket_timeout=None)
retrying(lambda: client.get("key"), OSError, "read a record")
"""
        stderr, text = hung(tmp_path, block)
    assert "hangs: read a record: not ended after" in text
    assert "in read_response" in text and "in read_response" in stderr, "the line that waits"
    assert "Ends with exit code 13" in stderr and "stacks-" in stderr


def test_a_start_whose_threads_wait_for_each_other(tmp_path: Path) -> None:
    block = """
import threading
first, second = threading.Lock(), threading.Lock()
met = threading.Barrier(2)
def cross(one, other):
    with one:
        met.wait()
        with other:
            pass
threads = [
    threading.Thread(target=cross, args=locks, name=f"loads {n}")
    for n, locks in enumerate([(first, second), (second, first)])
]
with liveness.call("load the model", is_start=True):
    for each in threads:
        each.start()
    for each in threads:
        each.join()
"""
    _, text = hung(tmp_path, block)
    assert "hangs: load the model" in text
    assert "thread loads 0:" in text and "thread loads 1:" in text and "in cross" in text


def test_a_library_that_keeps_every_thread_from_running(tmp_path: Path) -> None:
    """The watchdog's own thread cannot run; the interpreter's timer writes the stacks, without an exit code of ours."""
    block = """
import ctypes, time
time.sleep(0.3)
ctypes.PyDLL(None).sleep(600)
"""
    ended = watched(tmp_path, block)
    assert ended.returncode == 1 and "Timeout (0:00:01)!" in ended.stderr
    assert 'File "<string>"' in ended.stderr


def test_the_exit_code_is_in_the_table() -> None:
    (meaning,) = (each.meaning for each in EXITS if each.code == EXIT_CODE)
    assert "hung" in meaning
