"""The watchdog: it ends a process in which something hangs, after it has written the stacks of all threads.

A hang is a call that does not end, or work at hand of which nothing gets done although no service is away. A process
that waits for Redis, Pub/Sub or BigQuery does not hang: its attempts end, however many of them fail. A hung thread
cannot be ended, so the process ends with EXIT_CODE; its supervisor starts it again, and Pub/Sub delivers again what was
not acknowledged.
"""

import faulthandler
import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from pipeline.runtime import liveness, undelivered
from pipeline.runtime.metrics import NO_PROGRESS, key
from pipeline.runtime.process_metrics import progress

EXIT_CODE = 13
TICKS = 20  # looks within the shortest limit
LONGEST_TICK_S = 5.0
LOG_TIMEOUT_S = 10.0  # for writing file and log
LONGEST_STEP_TICKS = 2  # a process that was stopped (SIGSTOP, a suspended machine) ages by so much only

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Limits:
    """Limits in seconds for a call, or for work without progress, and for the start. 0: for ever."""

    hang_s: float
    start_s: float

    @property
    def tick_s(self) -> float:
        """The time between two looks."""
        shortest = min(filter(None, (self.hang_s, self.start_s)), default=LONGEST_TICK_S * TICKS)
        return min(LONGEST_TICK_S, shortest / TICKS)


@dataclass
class Observations:
    """Calls and progress that the watchdog has seen so far, by a clock that passes with its looks."""

    limits: Limits
    now_s: float = 0.0
    seen_s: dict[tuple[int, liveness.Call], float] = field(
        default_factory=dict
    )  # when each call was first seen
    last_progress: tuple[int, int] = (0, 0)  # events counted, work at hand
    progress_s: float = 0.0

    def look(self, passed_s: float) -> str | None:
        """Look again after so much time. Return what hangs, or None."""
        self.now_s += min(passed_s, LONGEST_STEP_TICKS * self.limits.tick_s)
        calls, is_waiting = set(liveness.calls.copy().items()), any(+progress.waiting.copy())
        self.seen_s = {each: self.seen_s.get(each, self.now_s) for each in calls}
        if is_waiting:  # attempts fail and end; a start may take as long as that
            self.seen_s |= {each: self.now_s for each in calls if each[1].is_start}
        is_starting = any(each.is_start for _, each in calls)
        return self._hung_call() or self._stall(is_idle=is_starting or is_waiting)

    def _hung_call(self) -> str | None:
        for (_, each), began_s in self.seen_s.items():
            limit_s = self.limits.start_s if each.is_start else self.limits.hang_s
            if limit_s and self.now_s - began_s >= limit_s:
                return f"{each.description}: not ended after {self.now_s - began_s:.0f} s"
        return None

    def _stall(self, is_idle: bool) -> str | None:
        """Return how long nothing has got done although there is work at hand, once that is too long."""
        left = undelivered.total() + liveness.at_hand()
        done = (progress.counts["events"], left)
        if is_idle or not left or done != self.last_progress:
            self.last_progress, self.progress_s = done, self.now_s
        stalled_s = self.now_s - self.progress_s
        progress.gauges[key(NO_PROGRESS)] = stalled_s
        if self.limits.hang_s and stalled_s >= self.limits.hang_s:
            return (
                f"{left} batches or messages are at hand, and none of them got done within {stalled_s:.0f} s"
            )
        return None


_watching = threading.Lock()  # a process has one watchdog


@contextmanager
def watching(limits: Limits, folder: Path) -> Iterator[None]:
    """Watch this process for as long as the block lasts, unless somebody does already.

    Stacks are written into `folder` if it exists, and to stderr and the log.
    """
    if not (limits.hang_s or limits.start_s) or not _watching.acquire(blocking=False):
        yield
        return
    ended = threading.Event()
    thread = threading.Thread(
        target=_watch,
        args=(Observations(limits), ended, lambda reason: end(reason, folder)),
        name="watchdog",
        daemon=True,
    )
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        _watching.release()


def _watch(observations: Observations, ended: threading.Event, act: Callable[[str], None]) -> None:
    """Look until `ended`. Python code that keeps all threads from running is watched from outside of Python."""
    limits, before_s = observations.limits, time.monotonic()
    last_resort_s = 2 * max(limits.hang_s, limits.start_s)
    stderr = _real_stderr()
    observations.look(0.0)  # the gauge is told from the start on
    while not ended.wait(limits.tick_s):
        if stderr is not None:
            faulthandler.dump_traceback_later(last_resort_s, exit=True, file=stderr)
        now_s = time.monotonic()
        reason = observations.look(now_s - before_s)
        before_s = now_s
        if reason:
            act(reason)
    if stderr is not None:
        faulthandler.cancel_dump_traceback_later()


def _real_stderr() -> int | None:
    """Return the file descriptor of stderr, or None in a process that has closed it."""
    try:
        return sys.__stderr__.fileno() if sys.__stderr__ else None
    except (OSError, ValueError):
        return None


def end(reason: str, folder: Path) -> NoReturn:
    """Write the stacks of all threads and end the process at once."""
    if (stderr := _real_stderr()) is not None:  # what writes the log may hang, too
        faulthandler.dump_traceback_later(LOG_TIMEOUT_S, exit=True, file=stderr)
    text, file = stacks(), folder / f"stacks-{os.getpid()}.txt"
    where = "on stderr"
    try:
        if folder.is_dir():
            file.write_text(f"process {os.getpid()} hangs: {reason}\n\n{text}")
            where = f"in {file} and on stderr"
    except OSError as error:
        logger.warning("cannot write %s: %s", file, error)
    logger.critical(
        "hangs: %s. Ends with exit code %d; the stacks of all threads are %s", reason, EXIT_CODE, where
    )
    if sys.__stderr__:
        print(text, file=sys.__stderr__, flush=True)
    os._exit(EXIT_CODE)


def stacks() -> str:
    """Return the stacks of all threads of this process as text, those of waiting threads included."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    frames = sys._current_frames().items()
    return "\n".join(
        f"thread {names.get(ident, ident)}:\n{''.join(traceback.format_stack(frame))}"
        for ident, frame in frames
    )
