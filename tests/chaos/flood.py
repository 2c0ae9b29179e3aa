"""`python -m tests.chaos.flood PROJECT COUNT`: events of the benchmark's use case, as fast as the job takes them.

Time runs a thousand times faster than the clock or more: the first tenth fills the longest window of all records.
"""

import sys
import time
from collections.abc import Iterator

import numpy as np

from pipeline.operations.status import backlog
from pipeline.pubsub.client import Publication
from pipeline.pubsub.ordered_publisher import Lanes
from pipeline.pubsub.topics import Names

USE_CASE = "sixteen"
START_US = 1_735_689_600_000_000  # 2025-01-01
SPAN_US = 300 * 86_400_000_000
CUSTOMERS = 1_000
GROUP = 2_000
MOST_WAITING = 40_000  # some seconds of work
PAUSE_S = 0.05
BODY = (
    '{"id":"%s","customer":"customer-%d","time":"%sZ","amount":%.2f,"currency":"EUR","direction":"OUT",'
    '"channel":"CARD","merchant":"merchant-%d","reference":"card payment of the day, no. %d, thank you"}'
)


def groups(count: int) -> Iterator[list[Publication]]:
    """Events 0 to count in order of time, the same every time."""
    rng = np.random.default_rng(1)
    for first in range(0, count, GROUP):
        numbers = np.arange(first, min(first + GROUP, count))
        times = np.datetime_as_string((START_US + numbers * (SPAN_US // count)).astype("M8[us]")).tolist()
        customers = rng.integers(CUSTOMERS, size=len(numbers)).tolist()
        amounts = rng.lognormal(3, 1, len(numbers)).tolist()
        rows = zip(numbers.tolist(), customers, times, amounts, strict=True)
        yield [
            Publication(
                (BODY % (number, customer, at, amount, number % 997, number)).encode(),
                {"event_type": "transaction", "event_id": str(number), "event_time": f"{at}Z"},
            )
            for number, customer, at, amount in rows
        ]


def flood(project: str, count: int) -> None:
    names = Names(project, USE_CASE)
    with Lanes(names.events, 1) as lanes:
        for group in groups(count):
            while waiting(project, names) > MOST_WAITING:
                time.sleep(PAUSE_S)
            lanes.put(0, group)
        lanes.finish()


def waiting(project: str, names: Names) -> int:
    reader = names.reader(names.events)
    return next(one.messages for one in backlog(project, USE_CASE) if reader.endswith(one.subscription))


if __name__ == "__main__":
    flood(sys.argv[1], int(sys.argv[2]))
