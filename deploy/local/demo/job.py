"""The streaming job of the demo, in a separate process: `riskstream run` as a user would start it."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from deploy.local import processes
from deploy.local.demo.interrupts import uninterrupted
from pipeline.runtime import process_metrics
from pipeline.runtime.errors import CannotStart

START_TIMEOUT_S = 120.0  # Beam takes seconds to import, on a busy machine many times that
POLL_S = 0.2
PROCESS = "process.json"


class DemoFailed(CannotStart):
    """The demo cannot go on; the message says why."""


@dataclass(frozen=True)
class DemoJob:
    """A job that was started, and the folder of its state."""

    process: processes.Process
    folder: Path

    @property
    def log(self) -> Path:
        return self.folder / "job.log"

    def status(self) -> process_metrics.JobStatus:
        """Return the status that the job reports. Raises DemoFailed, with the end of the log, if it has ended."""
        if self.process.running() is None:
            raise DemoFailed(f"the job has ended. Its log, {self.log}:\n{processes.last_lines(self.log)}")
        status = process_metrics.read(self.folder)
        if status is None:
            raise DemoFailed(f"the job runs, but has written no {self.folder / process_metrics.FILE}")
        return status

    def is_up(self) -> bool:
        """Return whether the job has loaded its model and pulls. Raises DemoFailed if it has ended."""
        if self.process.running() is None:
            self.status()
        status = process_metrics.read(self.folder)
        return status is not None and status.model is not None


@contextmanager
def running(folder: Path, use_case: Path, bundles: Path, keep: bool) -> Iterator[DemoJob]:
    """Run the job for as long as the block lasts, or longer with `keep`. Raises DemoFailed if it does not start."""
    with ExitStack() as at_end:
        with uninterrupted():
            job = start(folder, use_case, bundles)
            if not keep:
                at_end.callback(stop, job)
        wait_until(job.is_up, START_TIMEOUT_S, f"the job has not started; its log is {job.log}")
        yield job


def start(folder: Path, use_case: Path, bundles: Path) -> DemoJob:
    """Start `riskstream run` and record its process."""
    folder.mkdir(parents=True, exist_ok=True)
    options = {"--use-case": use_case, "--bundle": bundles, "--state": folder}
    words = [str(word) for option, path in options.items() for word in (option, path.resolve())]
    command = processes.python_module("riskstream", "run", "--allow-empty-store", *words)
    job = DemoJob(processes.start(command, folder, folder / "job.log"), folder)
    (folder / PROCESS).write_bytes(msgspec.json.encode(job.process))
    return job


def stop(job: DemoJob) -> None:
    """Stop the job and wait for its end."""
    with uninterrupted():
        job.process.stop()


def stop_earlier(folder: Path) -> None:
    """Stop the job of an earlier demo that was kept running."""
    if (folder / PROCESS).exists():
        msgspec.json.decode((folder / PROCESS).read_bytes(), type=processes.Process).stop()


def wait_until(is_done: Callable[[], bool], timeout_s: float, otherwise: str) -> None:
    """Wait until `is_done` returns true. Raises DemoFailed with `otherwise` when that takes too long."""
    until_s = time.monotonic() + timeout_s
    while not is_done():
        if time.monotonic() > until_s:
            raise DemoFailed(f"after {timeout_s:g} s {otherwise}")
        time.sleep(POLL_S)
