"""Retries while Redis, Pub/Sub or BigQuery is unavailable.

An action is tried until it works or the caller wants to stop; the pauses double from FIRST_PAUSE_S to
LONGEST_PAUSE_S (seconds) and vary at random, so that many workers do not come back in one wave.
The first failure and the recovery are logged, not every attempt.
"""

import logging
import random
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from pipeline.runtime import liveness

FIRST_PAUSE_S = 0.05  # a lost connection is usually back at once
LONGEST_PAUSE_S = 2.0  # how long a recovered service may go unnoticed
LONGEST_SLEEP_S = 0.25  # how long a wish to stop may go unnoticed

logger = logging.getLogger(__name__)
Result = TypeVar("Result")


def never() -> bool:
    """Never stop: the `should_stop` of a caller that waits for as long as it takes."""
    return False


def retrying(
    action: Callable[[], Result],
    errors: type[Exception] | tuple[type[Exception], ...],
    describe: str,
    should_stop: Callable[[], bool] = never,
    sleep: Callable[[float], None] = time.sleep,
) -> Result:
    """Repeat `action` while it raises one of `errors` and return its result; once stopped, raise its last error.

    `describe` says what is tried, for the log: "write assessments to BigQuery". The action must be safe
    to repeat.
    """
    for attempt, pause_s in enumerate(pauses_s()):
        try:
            with liveness.call(describe):
                result = action()
        except errors as error:
            if should_stop():
                raise
            if attempt == 0:
                logger.warning("cannot %s, trying until it works: %s", describe, error)
        else:
            if attempt and not should_stop():  # else it may have come back with nothing
                logger.warning("can %s again after %d failed attempts", describe, attempt)
            return result
        rest(pause_s, should_stop, sleep)
    raise AssertionError("the pauses never end")


def pauses_s() -> Iterator[float]:
    """Yield the pauses between attempts, in seconds: doubling to the longest, each cut by up to a half at random."""
    pause_s = FIRST_PAUSE_S
    while True:
        yield pause_s * random.uniform(0.5, 1.0)
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)


def rest(pause_s: float, should_stop: Callable[[], bool], sleep: Callable[[float], None]) -> None:
    """Sleep in slices, and end early when the caller wants to stop."""
    while pause_s > 0 and not should_stop():
        sleep(min(pause_s, LONGEST_SLEEP_S))
        pause_s -= LONGEST_SLEEP_S
