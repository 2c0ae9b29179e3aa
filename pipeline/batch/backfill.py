"""Backfill: history goes into the store, so that the stream starts warm; records of former features are deleted.

A backfill is the stream's own `assess` with nothing published: vectors, scores and policy included, because a
record holds each event's outcome and a customer's level. So the records are byte by byte those that a stream
of the same events with the same model would have left, and levels are as warm as aggregates.

It may run beside the stream: records are written by compare-and-set, and an event that came both ways is
counted once, because its key comes from its content and time. But a record takes events that lie before its
`lateness` only while it remembers the time before them: history that comes after the stream has filled a record
is refused as too late. So fill the records of new features before a job uses them; those of the features in use
lie under other keys and are not touched.
"""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

import numpy as np
from redis import Redis, RedisCluster

from export.policy import Breaker
from features.events import Batch
from features.kernel import Disposition
from features.kernel.layout import RING_KEEP, RING_LIMIT
from pipeline.engine.assess import assess
from pipeline.engine.assessments import Assessments
from pipeline.engine.engine import Engine
from pipeline.files import BadRow, Place
from pipeline.files.history import History, Progress, quiet
from pipeline.stores.population import GLOB, connected
from pipeline.stores.readiness import Checkpoint, Readiness
from pipeline.stores.redis_client import Reach

BATCH = 16_000  # events, as the stream's: the more, the more share the reading and writing of a record
GROUP = 1_000  # keys deleted in one round trip


@dataclass(frozen=True)
class Backfilled:
    """Result of a backfill. Figures are of the whole history, `seconds` and `resumed_at` of this run.

    events = applied + duplicates + too_late. `bad_rows` are the first of the `bad`.
    """

    use_case: str
    fingerprint: str
    model: str
    events: int
    applied: int
    duplicates: int
    too_late: int
    bad: int
    bad_rows: tuple[tuple[Place, BadRow], ...]
    resumed_at: int  # events that an earlier run had done
    conflicts: int  # events done again because another worker had written first
    seconds: float

    @property
    def events_per_s(self) -> float:
        return (self.events - self.resumed_at) / self.seconds if self.seconds else 0.0


def backfill(
    engine: Engine,
    history: History,
    readiness: Readiness,
    now: datetime,
    progress: Progress = quiet,
    batch: int = BATCH,
) -> Backfilled:
    """Assess the history; ends with the mark that the store is warm.

    After each batch its place is noted in the store. A run that was killed is taken up there with the same history;
    a batch that was under way is then done twice and its events are duplicates. Another history begins at its
    start. Raises StoreUnavailable: run it again once the store is back; BadRecord: repair the record first.
    """
    fingerprint, began_s, conflicts = engine.use_case.fingerprint, time.monotonic(), 0
    noted = readiness.checkpoint(fingerprint)
    at = Checkpoint(history.digest, 0)
    if noted and noted.digest == history.digest:
        at, engine.breaker = noted, Breaker(noted.recommended_us)
    resumed_at = at.done
    for assessments in assessed(engine, history, batch, at.done):
        at, conflicts = _after(at, assessments, engine.breaker), conflicts + assessments.conflicts
        readiness.note(fingerprint, at)
        progress("filling", at.done, len(history))
    readiness.mark(fingerprint, "backfill", now, at.applied, history.digest, engine.model_version)
    readiness.finish(fingerprint)
    return Backfilled(
        use_case=engine.use_case.name,
        fingerprint=fingerprint,
        model=engine.model_version,
        events=len(history),
        applied=at.applied,
        duplicates=at.duplicates,
        too_late=at.too_late,
        bad=history.bad,
        bad_rows=history.bad_rows,
        resumed_at=resumed_at,
        conflicts=conflicts,
        seconds=time.monotonic() - began_s,
    )


def assessed(engine: Engine, history: History, size: int = BATCH, done: int = 0) -> Iterator[Assessments]:
    """Assess batch after batch, without the first `done` events; the next batch is decoded meanwhile."""
    batches = (part for batch in history.batches(size, done) for part in recoverable(batch))
    with ThreadPoolExecutor(1, "assess") as thread:
        waiting = next(batches, None)
        while waiting is not None:
            under_way = thread.submit(assess, engine, waiting, strict=True)
            waiting = next(batches, None)
            yield under_way.result()  # before the next is begun: the engine's breaker is that after this one


def recoverable(batch: Batch) -> Iterator[Batch]:
    """Cut a batch into parts, each of which can be done again after a crash in its middle.

    Other entities are written before the subject. If that is as far as it comes, their rings must still hold all
    events of the part, or they would count them twice. A stream's batch lies within seconds; history's may span
    days, so it is cut where an entity has more events than a ring surely holds, or may be forgotten in between.
    """
    use_case = batch.use_case
    others = {
        entity: arrivals.record.tolist()
        for entity, arrivals in batch.arrivals.items()
        if entity != use_case.subject
    }
    forget_us = [use_case.plans[entity].forget_us for entity in others]
    start = 0
    for end in (
        _cuts(list(others.values()), forget_us, batch.time_us.tolist(), use_case.lateness_us)
        if others
        else ()
    ):
        yield batch.take(np.arange(start, end))
        start = end
    yield batch.take(np.arange(start, len(batch))) if start else batch


def _cuts(
    others: Sequence[Sequence[int]], forget_us: Sequence[int], time_us: Sequence[int], lateness_us: int
) -> Iterator[int]:
    """Yield the rows at which a new part begins. Times never fall."""
    began: list[dict[int, tuple[int, int]]] = [
        {} for _ in others
    ]  # by record: events so far, time of the first
    for row, at_us in enumerate(time_us):
        records = [entity[row] for entity in others]
        states = [first.get(r, (0, at_us)) for first, r in zip(began, records, strict=True)]
        if any(
            _is_full(n, at_us - first_us, lateness_us, kept_us)
            for (n, first_us), kept_us in zip(states, forget_us, strict=True)
        ):
            yield row
            began = [{} for _ in others]
            states = [(0, at_us) for _ in others]
        for first, record, (n, first_us) in zip(began, records, states, strict=True):
            if record >= 0:
                first[record] = (n + 1, first_us)


def _is_full(events: int, span_us: int, lateness_us: int, forget_us: int) -> bool:
    """Return True if a ring might not hold one more event beside so many."""
    return events >= (RING_KEEP if span_us > lateness_us else RING_LIMIT) or 0 < forget_us < span_us


def _after(at: Checkpoint, assessments: Assessments, breaker: Breaker) -> Checkpoint:
    counts = Counter(assessments.disposition.tolist())
    late = counts[Disposition.TOO_LATE]
    repeated = counts[Disposition.DUPLICATE]
    n = len(assessments.batch)
    return Checkpoint(
        digest=at.digest,
        done=at.done + n,
        applied=at.applied + n - late - repeated,
        duplicates=at.duplicates + repeated,
        too_late=at.too_late + late,
        recommended_us=breaker.recent_us,
    )


def drop(reach: Reach, readiness: Readiness, fingerprint: str, progress: Progress = quiet) -> int:
    """Delete the records of one fingerprint and its mark and return their number. Raises StoreUnavailable.

    Redis frees their memory beside its other work. SCAN finds the keys; it passes over all keys in Redis, those of
    others included.
    """
    readiness.forget(fingerprint)  # first: what is half deleted is not warm
    deleted = 0
    with connected(reach) as client:
        keys = client.scan_iter(match=readiness.stem_of(fingerprint).translate(GLOB) + "*", count=GROUP)
        while group := list(islice(keys, GROUP)):
            deleted += _unlink(client, group)
            progress("dropping", deleted, None)
    return deleted


def _unlink(client: Redis | RedisCluster, keys: list[bytes]) -> int:
    pipe = client.pipeline(transaction=False)
    for key in keys:  # each by itself: in a cluster they lie on different nodes
        pipe.unlink(key)
    return sum(pipe.execute())
