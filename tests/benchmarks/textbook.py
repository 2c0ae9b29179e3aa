"""The same work the textbook way: a sorted set of payments for each customer, read whole for every event.

Commands of 100 events are pipelined; features are computed with numpy from what comes back. Windows are exact
to the event here. Nothing is kept but the payments: no level, no outcome of a repeated event.
"""

import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from redis import Redis

from export import bundle as bundles
from export.onnx import Scorer
from features.events import known_codec
from features.times import clock
from features.usecase import load
from tests.benchmarks import workloads
from tests.benchmarks.assessing import server
from tests.benchmarks.report import Row

BATCH = 100
WARM_EVENTS = 200_000  # 30 days, the longest window
HOUR_US = 3_600_000_000
WINDOWS_US = (HOUR_US, 24 * HOUR_US, 7 * 24 * HOUR_US, 30 * 24 * HOUR_US)


class Answer(msgspec.Struct):
    """The answer to an event."""

    event_id: str
    customer: str
    score: float
    vector: list[float]


def textbook(events: int) -> list[Row]:
    use_case = load(workloads.SIXTEEN)
    history = workloads.sixteen(use_case, workloads.payments(WARM_EVENTS + events))
    decoder = known_codec(use_case, "transaction").decoder
    with tempfile.TemporaryDirectory() as folder, server(Path(folder)) as redis:
        workloads.train(history[:100_000], f"{folder}/bundles")
        scorer = Scorer(bundles.load_in_use(f"{folder}/bundles", use_case.name).model)
        client, read = redis.client, clock((), "UTC").read
        print("textbook: filling sorted sets", flush=True)
        fill(client, [decoder.decode(body) for body in history.bodies[:WARM_EVENTS]], read)
        print("textbook: measuring", flush=True)
        members, began_s = 0, time.perf_counter()
        for first in range(WARM_EVENTS, len(history), BATCH):
            members += assess(client, scorer, decoder, read, history.bodies[first : first + BATCH])
        spent_s = time.perf_counter() - began_s
    setting = (
        f"sorted set a customer, pipelined in batches of {BATCH}, the same model, JSON out; {events:,} events in "
        f"{spent_s:.1f} s, {members / events:.0f} members read an event"
    )
    return [Row("textbook_zset_events_per_s", events / spent_s, "events/s", setting)]


def fill(client: Redis, events: list[Any], read: Any) -> None:
    """The history before the first measured event."""
    rest = iter(events)
    while some := list(islice(rest, 5_000)):
        with client.pipeline(transaction=False) as pipe:
            for event in some:
                pipe.zadd(*_added(event, read(event.time)))
            pipe.execute()


def _added(event: Any, time_us: int) -> tuple[str, dict[str, int]]:
    """Key and member: all that the features need, so that scores need not be read."""
    return event.customer, {f"{time_us}:{event.amount}:{event.id}": time_us}


def assess(client: Redis, scorer: Scorer, decoder: Any, read: Any, bodies: list[bytes]) -> int:
    """One batch, JSON in, JSON out; how many members were read."""
    events = [decoder.decode(body) for body in bodies]
    times_us = [read(event.time) for event in events]
    with client.pipeline(transaction=False) as pipe:
        for event, time_us in zip(events, times_us, strict=True):
            pipe.zadd(*_added(event, time_us))
            pipe.zremrangebyscore(event.customer, "-inf", time_us - WINDOWS_US[-1])
            pipe.zrange(event.customer, 0, -1)
        found = pipe.execute()[2::3]
    vectors = np.array([features(*pair) for pair in zip(found, times_us, strict=True)], np.float32)
    scores = scorer.score(vectors).tolist()
    for event, score, vector in zip(events, scores, vectors.tolist(), strict=True):
        msgspec.json.encode(Answer(event.id, event.customer, score, vector))
    return sum(map(len, found))


def features(members: list[bytes], now_us: int) -> list[float]:
    """Count, sum, mean and max of the amounts in each window."""
    found = np.array([member.split(b":")[:2] for member in members]).astype(np.float64)
    times, amounts = found[:, 0], found[:, 1]
    counted = [_statistics(amounts[times > now_us - window_us]) for window_us in WINDOWS_US]
    return [window[k] for k in range(4) for window in counted]


def _statistics(amounts: NDArray[np.float64]) -> tuple[float, float, float, float]:
    if not len(amounts):
        return 0.0, 0.0, np.nan, np.nan
    total = float(amounts.sum())
    return len(amounts), total, total / len(amounts), float(amounts.max())
