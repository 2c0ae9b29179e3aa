"""The streaming job as a process, as an operator would start it: `riskstream run`, killed and started at will."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from features.errors import Refused, Unavailable
from pipeline.runtime import process_metrics

ROOT = Path(__file__).parents[2]  # where `python -m riskstream` finds the program, installed or not
PATIENCE_S = 240.0  # on a busy machine; what is waited for takes seconds
STOP_S = 30.0
POLL_S = 0.05
LOG_TAIL = 4_000  # characters of the log in a message
CANNOT_START = 8  # the exit code of a job that does not find what it needs


LIBC = ctypes.CDLL(None)
PR_SET_PDEATHSIG = 1


def _end_with_parent() -> None:
    """Let Linux kill this process when the one that started it dies, were it by kill -9: nobody else would end it."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class NotInTime(Unavailable):
    """Something that takes seconds has not happened within minutes."""


class JobEnded(Refused):
    """A job ended by itself, or not in good order; the message has the end of its log."""


def wait_for(condition: Callable[[], bool], what: str, patience_s: float = PATIENCE_S) -> None:
    """Return once the condition holds. Raises NotInTime."""
    until_s = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > until_s:
            raise NotInTime(f"{what}: not within {patience_s:g} s")
        time.sleep(POLL_S)


@dataclass
class JobProcess:
    """`riskstream run` with these flags, started and ended any number of times.

    `folder` has its log and its state. `beam` are Beam's flags; `environment` is the process's, by default this one's.
    """

    folder: Path
    flags: Sequence[str]
    beam: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)
    process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        return self.folder / "job.log"

    @property
    def state(self) -> Path:
        return self.folder / "state"

    def start(self) -> None:
        """Start a process; the one before must have ended."""
        words = ["--state", str(self.state), *self.flags, "--", *self.beam]
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "riskstream", "run", "--allow-empty-store", *words],
                cwd=ROOT, env=dict(self.environment), stdout=output, stderr=output, start_new_session=True,
                preexec_fn=_end_with_parent,
            )  # fmt: skip

    def wait_until_checked(self) -> None:
        """Wait until the process has found everything it needs, and builds its pipeline. Raises NotInTime, JobEnded."""
        wait_for(lambda: self.status() is not None, "the job starts")

    def wait_until_at_work(self) -> None:
        """Wait until the process has assessed something. Raises NotInTime, JobEnded."""
        wait_for(lambda: self.events() > 0, "the job works")

    def events(self) -> int:
        """Return how many messages this process has assessed. Raises JobEnded."""
        status = self.status()
        return status.events if status else 0

    def worker_statuses(self) -> list[process_metrics.JobStatus]:
        """Return the latest status of each worker process of a job with several."""
        statuses = [process_metrics.read(folder) for folder in sorted(self.state.glob("worker-*"))]
        return [status for status in statuses if status]

    def status(self) -> process_metrics.JobStatus | None:
        """Return the latest status of this very process. Raises JobEnded."""
        pid, status = self.running().pid, process_metrics.read(self.state)
        return status if status and status.pid == pid else None

    def has_refused(self) -> bool:
        """Tell whether the process has ended because it could not start: a supervisor would start it again."""
        return self.process is not None and self.process.poll() == CANNOT_START

    def running(self) -> subprocess.Popen[bytes]:
        """Return the process. Raises JobEnded, with the end of its log, if it has ended by itself."""
        if self.process is None or self.process.poll() is not None:
            raise JobEnded(f"the job ended by itself:\n{self.log.read_text()[-LOG_TAIL:]}")
        return self.process

    def kill(self) -> None:
        """End the process and its workers by kill -9: they can finish nothing. Raises JobEnded."""
        self.running()
        self.end()

    def stop(self) -> None:
        """Ask the process to end, which it must do in good order. Raises JobEnded."""
        process = self.running()
        process.send_signal(signal.SIGTERM)
        code = process.wait(STOP_S)
        if code:
            raise JobEnded(f"exit code {code}:\n{self.log.read_text()[-LOG_TAIL:]}")

    def end(self) -> None:
        """Kill the process and its workers, if they run: they are a group of processes."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
