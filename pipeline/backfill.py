"""History into the store, so that the stream starts warm; and the records of former features out of it.

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
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path

from redis import Redis, RedisCluster

from features.kernel import Disposition
from pipeline.assess import Assessments, Engine, assess
from pipeline.files import BadRow
from pipeline.history import History, Progress, quiet
from pipeline.population import GLOB, connected
from pipeline.warmth import Checkpoint, Warmth

BATCH = 16_000  # events, as the stream's: the more, the more share the reading and writing of a record
GROUP = 1_000  # keys deleted in one round trip


@dataclass(frozen=True)
class Backfilled:
    """What became of a history. Figures are of the whole of it, `seconds` and `resumed_at` of this run.

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
    bad_rows: tuple[tuple[Path, BadRow], ...]
    resumed_at: int  # events that an earlier run had done
    conflicts: int  # events done again because another worker had written first
    seconds: float

    @property
    def events_per_s(self) -> float:
        return (self.events - self.resumed_at) / self.seconds if self.seconds else 0.0


def backfill(
    engine: Engine,
    history: History,
    warmth: Warmth,
    now: datetime,
    progress: Progress = quiet,
    batch: int = BATCH,
) -> Backfilled:
    """Assess the history; ends with the mark that the store is warm.

    After each batch its place is noted in the store. Whoever is killed begins there again with the same history;
    a batch that was under way is then done twice and its events are duplicates. Another history begins at its
    start. Raises StoreUnavailable: run it again once the store is back.
    """
    fingerprint, began_s, conflicts = engine.use_case.fingerprint, time.monotonic(), 0
    noted = warmth.checkpoint(fingerprint)
    at = noted if noted and noted.digest == history.digest else Checkpoint(history.digest, 0)
    resumed_at = at.done
    for said in _assessed(engine, history, batch, at.done):
        at, conflicts = _after(at, said), conflicts + said.conflicts
        warmth.note(fingerprint, at)
        progress("filling", at.done, len(history))
    warmth.mark(fingerprint, "backfill", now, at.applied)
    warmth.finish(fingerprint)
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


def _assessed(engine: Engine, history: History, size: int, done: int) -> Iterator[Assessments]:
    """Batch after batch, in order; the next is decoded while one is assessed."""
    batches = history.batches(size, done)
    with ThreadPoolExecutor(1, "assess") as thread:
        waiting = next(batches, None)
        while waiting is not None:
            under_way = thread.submit(assess, engine, waiting)
            waiting = next(batches, None)
            yield under_way.result()


def _after(at: Checkpoint, said: Assessments) -> Checkpoint:
    counts = Counter(said.disposition.tolist())
    late = counts[Disposition.TOO_LATE]
    repeated = counts[Disposition.DUPLICATE]
    n = len(said.batch)
    return Checkpoint(
        digest=at.digest,
        done=at.done + n,
        applied=at.applied + n - late - repeated,
        duplicates=at.duplicates + repeated,
        too_late=at.too_late + late,
    )


def drop(
    url: str,
    ca_file: str | None,
    cluster: bool,
    stem: str,
    progress: Progress = quiet,
) -> int:
    """Delete all records whose keys begin with `stem`; returns how many. Raises StoreUnavailable.

    Redis frees their memory beside its other work. Keys are looked for with SCAN, which takes as long as there
    are keys in Redis, whosever they are.
    """
    deleted = 0
    with connected(url, ca_file, cluster) as client:
        keys = client.scan_iter(match=stem.translate(GLOB) + "*", count=GROUP)
        while group := list(islice(keys, GROUP)):
            deleted += _unlink(client, group)
            progress("dropping", deleted, None)
    return deleted


def _unlink(client: Redis | RedisCluster, keys: list[bytes]) -> int:
    pipe = client.pipeline(transaction=False)
    for key in keys:  # each by itself: in a cluster they lie on different nodes
        pipe.unlink(key)
    return sum(pipe.execute())
