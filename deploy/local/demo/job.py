"""The streaming job of the demo, in a process of its own: `riskstream run` as anybody would start it."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from deploy.local import processes
from deploy.local.demo.interrupts import uninterrupted
from pipeline.runtime import process_metrics

START_TIMEOUT_S = 120.0  # Beam takes seconds to import, on a busy machine many times that
POLL_S = 0.2
PROCESS = "process.json"


class DemoFailed(Exception):
    """The demo cannot go on; says why."""


@dataclass(frozen=True)
class Job:
    """A job that runs."""

    process: processes.Process
    folder: Path

    @property
    def log(self) -> Path:
        return self.folder / "job.log"

    def status(self) -> process_metrics.Status:
        """Raises DemoFailed, with the end of the log, if it has ended."""
        if self.process.found() is None:
            raise DemoFailed(f"the job has ended. Its log, {self.log}:\n{processes.last_lines(self.log)}")
        found = process_metrics.read(self.folder)
        if found is None:
            raise DemoFailed(f"the job runs, but has written no {self.folder / process_metrics.FILE}")
        return found

    def is_up(self) -> bool:
        """It has loaded its model and pulls."""
        if self.process.found() is None:
            self.status()
        found = process_metrics.read(self.folder)
        return found is not None and found.model is not None


@contextmanager
def running(folder: Path, use_case: Path, bundles: Path, keep: bool) -> Iterator[Job]:
    """The job for as long as the block lasts, or longer; it works when the block begins. Raises DemoFailed."""
    with ExitStack() as at_end:
        with uninterrupted():
            job = start(folder, use_case, bundles)
            if not keep:
                at_end.callback(stop, job)
        wait_until(job.is_up, START_TIMEOUT_S, f"the job has not started; its log is {job.log}")
        yield job


def start(folder: Path, use_case: Path, bundles: Path) -> Job:
    folder.mkdir(parents=True, exist_ok=True)
    options = {"--use-case": use_case, "--bundle": bundles, "--state": folder}
    words = [str(word) for option, path in options.items() for word in (option, path.resolve())]
    command = processes.python_module("riskstream", "run", "--allow-empty-store", *words)
    job = Job(processes.start(command, folder, folder / "job.log"), folder)
    (folder / PROCESS).write_bytes(msgspec.json.encode(job.process))
    return job


def stop(job: Job) -> None:
    with uninterrupted():
        job.process.stop()


def stop_earlier(folder: Path) -> None:
    """Stops the job of an earlier demo that was kept."""
    if (folder / PROCESS).exists():
        msgspec.json.decode((folder / PROCESS).read_bytes(), type=processes.Process).stop()


def wait_until(is_done: Callable[[], bool], timeout_s: float, otherwise: str) -> None:
    """Raises DemoFailed when it takes too long."""
    until_s = time.monotonic() + timeout_s
    while not is_done():
        if time.monotonic() > until_s:
            raise DemoFailed(f"after {timeout_s:g} s {otherwise}")
        time.sleep(POLL_S)
