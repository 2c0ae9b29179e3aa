"""Progress of the job in this process: counted by its steps, written once a second as `job.json`.

Beam's own counters are read where its runner shows them; this is the same for a job on one's own machine and for
Prometheus. Also here is the one wish that a process has: to stop.
"""

import logging
import os
import threading
import time
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import msgspec

from pipeline.runtime.metrics import (
    OWNERS,
    PULLING_PAUSED,
    REJECTS,
    ROWS_SPILLED,
    ROWS_WAITING,
    UNACKNOWLEDGED,
    Metric,
    key,
)
from pipeline.runtime.retry import retrying

FILE = "job.json"
WRITE_S = 1.0
RATE_S = 10  # events_per_s is the mean over this time

logger = logging.getLogger(__name__)
Result = TypeVar("Result")
stop = threading.Event()  # set: finish what is at hand, acknowledge it, end


class LastBatch(msgspec.Struct, frozen=True):
    """The latest batch."""

    at: str  # when it was counted
    events: int
    lag_ms: int  # since its oldest message was published
    event_lag_ms: int | None  # since its latest event happened
    stages_us: Mapping[str, int]


class JobStatus(msgspec.Struct, frozen=True):
    """The content of `job.json`."""

    pid: int
    started_at: str
    written_at: str
    use_case: str
    model: str | None
    waiting_for: str | None  # redis, pubsub, bigquery
    events: int  # messages done with, whatever came of them
    events_per_s: float
    lag_ms: int | None  # of the latest batch; old when nothing comes
    duplicates: int
    conflicts: int  # events assessed again because another worker had written first
    alerts: int
    level_changes: int
    recommendations: int
    rejects: Mapping[str, int]  # by reason
    models_refused: int
    sent_us: int | None  # what the latest batch to leave was waited for
    last_batch: LastBatch | None
    challenger: str | None = None  # the model in shadow
    owners: int = 0  # workers that share the records of merchants, devices ...; 0: nothing is shared
    unacknowledged: int = 0  # messages that are taken and not acknowledged
    rows_waiting_bytes: int = 0  # in memory, not in BigQuery yet
    rows_spilled_bytes: int = 0  # in temporary files
    pulling_paused: bool = False  # because so much waits


class Tally:
    """The values of a distribution so far; bucket i holds those above `bounds[i - 1]` up to `bounds[i]`."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds, self.counts, self.total = bounds, [0] * (len(bounds) + 1), 0.0
        self._lock = threading.Lock()

    def add(self, value: float) -> None:
        """Count a value. Safe for threads."""
        bucket = bisect_left(self.bounds, value)
        with self._lock:
            self.counts[bucket] += 1
            self.total += value


@dataclass
class Progress:
    """Counts since this process started; its steps count here, under the keys of `metrics`."""

    model: str | None = None
    counts: Counter[str] = field(default_factory=Counter)
    waiting: Counter[str] = field(default_factory=Counter)  # threads that wait, by what for
    models_refused: int = 0
    looks_failed: int = 0
    store_damages: int = 0  # noticed first by this process
    owners_asked: int = 0  # events of other entities whose fold a member was asked for
    owners_unanswered: int = 0  # of these, folded here because no answer came
    sent_us: int | None = None
    last_batch: LastBatch | None = None
    challenger: str | None = None
    seen: dict[str, Tally] = field(default_factory=dict)  # distributions
    gauges: dict[str, float] = field(default_factory=dict)


progress = Progress()


def tally(metric: Metric, value: float, of: str = "") -> None:
    """Count one value of a distribution; `label_value` is that of its label."""
    progress.seen.setdefault(key(metric, of), Tally(metric.bounds)).add(value)


def attempt_for(part: str, action: Callable[[], Result], errors: type[Exception]) -> Callable[[], Result]:
    """Return the action; while its last attempt has failed, `waiting_for` shows `part`."""
    failed = False

    def attempt() -> Result:
        nonlocal failed
        try:
            result = action()
        except errors:
            progress.waiting[part] += not failed
            failed = True
            raise
        progress.waiting[part] -= failed
        failed = False
        return result

    return attempt


def waiting_out(part: str, action: Callable[[], Result], errors: type[Exception], describe: str) -> Result:
    """Try `action` until it works and return its result; raise its last error when the process is to stop."""
    return retrying(attempt_for(part, action, errors), errors, describe, stop.is_set)


@contextmanager
def reporting(folder: Path, use_case: str) -> Iterator[None]:
    """Write `job.json` in the folder once a second, and a last time at the end."""
    report = _Report(use_case)
    ended = threading.Event()

    def write_until_ended() -> None:
        while not ended.wait(WRITE_S):
            write(folder, report.status())

    writer = threading.Thread(target=write_until_ended, name="status", daemon=True)
    write(folder, report.status())
    writer.start()
    try:
        yield
    finally:
        ended.set()
        writer.join()
        write(folder, report.status())


class _Report:
    """Builds each status, with the rate of events over the last reports."""

    def __init__(self, use_case: str) -> None:
        self.use_case = use_case
        self.started_at = now()
        self.earlier: deque[tuple[float, int]] = deque(maxlen=RATE_S + 1)  # when, events

    def status(self) -> JobStatus:
        counts, last = progress.counts.copy(), progress.last_batch
        self.earlier.append((time.monotonic(), counts["events"]))
        (from_s, before), (to_s, after) = self.earlier[0], self.earlier[-1]
        return JobStatus(
            pid=os.getpid(),
            started_at=self.started_at,
            written_at=now(),
            use_case=self.use_case,
            model=progress.model,
            waiting_for=next(
                (part for part, threads in progress.waiting.copy().items() if threads > 0), None
            ),
            events=after,
            events_per_s=round((after - before) / (to_s - from_s), 1) if to_s > from_s else 0.0,
            lag_ms=last.lag_ms if last else None,
            duplicates=counts["duplicates"],
            conflicts=counts["conflicts"],
            alerts=counts["alerts"],
            level_changes=counts["level-changes"],
            recommendations=counts["recommendations"],
            rejects={reason: n for reason, n in labelled(counts, key(REJECTS)) if n},
            models_refused=progress.models_refused,
            sent_us=progress.sent_us,
            last_batch=last,
            challenger=progress.challenger,
            owners=int(progress.gauges.get(key(OWNERS), 0)),
            unacknowledged=int(progress.gauges.get(key(UNACKNOWLEDGED), 0)),
            rows_waiting_bytes=int(progress.gauges.get(key(ROWS_WAITING), 0)),
            rows_spilled_bytes=int(progress.gauges.get(key(ROWS_SPILLED), 0)),
            pulling_paused=progress.gauges.get(key(PULLING_PAUSED), 0) > 0,
        )


def labelled(counts: Mapping[str, Result], stem: str) -> Iterator[tuple[str, Result]]:
    """Yield the series of a metric by the value of its label."""
    return ((name.removeprefix(stem), n) for name, n in counts.items() if name.startswith(stem))


def write(folder: Path, status: JobStatus) -> None:
    """Replace the status file atomically. A full disk is logged: it must not end the job."""
    temporary = folder / f".{FILE}.{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(msgspec.json.format(msgspec.json.encode(status), indent=2))
        temporary.replace(folder / FILE)
    except OSError as error:
        logger.warning("cannot write %s: %s", folder / FILE, error)


def read(folder: Path) -> JobStatus | None:
    """Read the status that was written last; None without one."""
    file = folder / FILE
    return msgspec.json.decode(file.read_bytes(), type=JobStatus) if file.exists() else None


def now() -> str:
    return written(time.time_ns() // 1_000)


def written(time_us: int) -> str:
    """Return a time as files and tables of status show it."""
    at = datetime.fromtimestamp(time_us / 1e6, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
