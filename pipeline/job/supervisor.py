"""The supervisor of several worker processes on one subscription, which is how one machine uses its cores.

Workers share nothing but Redis, where compare-and-set keeps them apart. A worker that ends by itself ends the job; a
worker whose supervisor is gone ends as if it had been asked to.
"""

import logging
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from multiprocessing.process import BaseProcess
from pathlib import Path

from pipeline.job.job import Job
from pipeline.runtime import logging_setup, process_metrics, watchdog
from pipeline.runtime.folder_lock import claimed
from pipeline.runtime.process_metrics import JobStatus, LastBatch, stop

STOP_TIMEOUT_S = 30.0  # a batch under way takes some seconds at worst
POLL_S = 0.2  # between two looks at the workers
EARLIER = "a worker of an earlier job has not ended: look at what it waits for, or end it"

logger = logging.getLogger(__name__)
RunOne = Callable[[Job, Sequence[str]], None]


def run_all(job: Job, beam_args: Sequence[str], run_one: RunOne) -> int:
    """Run `job.workers` processes until the job is to stop.

    Returns 0; if one of them ended by itself, 1, or the watchdog's exit code if that one hung.
    """
    folder = Path(job.state)
    jobs = [replace(job, workers=1, state=str(folder / f"worker-{i}")) for i in range(job.workers)]
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_work, args=(one, beam_args, run_one), daemon=True) for one in jobs]
    for process in workers:
        process.start()
    began_at = process_metrics.now()
    while not stop.is_set() and all(process.is_alive() for process in workers):
        _write_status(folder, jobs, began_at)
        time.sleep(POLL_S)
    failed = [process for process in workers if not process.is_alive()]
    for process in failed:
        logger.error("worker process %d ended by itself with code %s", process.pid, process.exitcode)
    _end(workers)
    _write_status(folder, jobs, began_at)
    if not failed or stop.is_set():
        return 0
    return watchdog.EXIT_CODE if any(each.exitcode == watchdog.EXIT_CODE for each in failed) else 1


def _write_status(folder: Path, jobs: Sequence[Job], began_at: str) -> None:
    process_metrics.write(folder, sum_up([process_metrics.read(Path(job.state)) for job in jobs], began_at))


def _work(job: Job, beam_args: Sequence[str], run_one: RunOne) -> None:
    """Run the job in a worker process."""
    logging_setup.configure()
    parent = multiprocessing.parent_process()
    assert parent is not None

    def stop_without_supervisor() -> None:
        parent.join()
        stop.set()

    threading.Thread(target=stop_without_supervisor, daemon=True).start()
    # A worker of an earlier job that was killed may be about to end.
    with claimed(Path(job.state), "job", EARLIER, STOP_TIMEOUT_S):
        run_one(job, beam_args)


def _end(workers: Sequence[BaseProcess]) -> None:
    for process in workers:
        process.terminate()
    until_s = time.monotonic() + STOP_TIMEOUT_S
    for process in workers:
        process.join(max(0.0, until_s - time.monotonic()))
        if process.is_alive():
            logger.error("worker process %d does not end and is killed", process.pid)
            process.kill()


def sum_up(of_workers: Sequence[JobStatus | None], started_at: str) -> JobStatus:
    """Sum up the statuses of the workers, as far as they have written one."""
    statuses = [status for status in of_workers if status is not None]
    reasons = sorted({reason for status in statuses for reason in status.rejects})
    waiting = [status.waiting_for for status in statuses if status.waiting_for]
    latest: list[LastBatch] = [status.last_batch for status in statuses if status.last_batch]
    summed = (
        "events",
        "duplicates",
        "conflicts",
        "alerts",
        "level_changes",
        "recommendations",
        "models_refused",
        "unacknowledged",
        "rows_waiting_bytes",
        "rows_spilled_bytes",
    )
    return JobStatus(
        pid=os.getpid(),
        started_at=started_at,
        written_at=process_metrics.now(),
        use_case=statuses[0].use_case if statuses else "",
        model=statuses[0].model if statuses else None,
        waiting_for=waiting[0] if waiting else None,
        events_per_s=round(sum(status.events_per_s for status in statuses), 1),
        lag_ms=max((status.lag_ms for status in statuses if status.lag_ms is not None), default=None),
        rejects={reason: sum(status.rejects.get(reason, 0) for status in statuses) for reason in reasons},
        sent_us=max((status.sent_us for status in statuses if status.sent_us is not None), default=None),
        last_batch=max(latest, key=lambda batch: batch.at, default=None),
        owners=max((status.owners for status in statuses), default=0),
        **{name: sum(getattr(status, name) for status in statuses) for name in summed},
    )
