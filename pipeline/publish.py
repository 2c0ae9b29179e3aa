"""A file published as events, in event-time order, as fast as may be or at a pace.

Bad rows stop nothing: they are counted and told at the end. One customer's events always go one after the other;
those of different customers may overtake each other by some requests. Times are int64 microseconds since 1970 UTC.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import xxhash
from numpy.typing import NDArray

from features.usecase import UseCase
from pipeline.files import BadRow, Chunk, event_type_of, read
from pipeline.lanes import Lanes
from pipeline.message import MAX_ID_BYTES, id_attribute
from pipeline.pubsub import Publication
from pipeline.spool import Spool
from pipeline.topics import topic_path

SLICE_S = 0.01  # what is due within this time goes out together
LONGEST_SLEEP_S = 0.25  # how long a refusal or an interrupt may go unnoticed
SHOWN_BAD_ROWS = 100
LANES = 4  # requests in flight: hides the way to the service
PACED_LANES = 1  # enough up to FEW_PER_S, and a quarter of the requests
FEW_PER_S = 10_000.0
MICROSECOND = 1e-6

Progress = Callable[[str, int, int | None], None]  # what is done, events so far, events in all if known


@dataclass(frozen=True)
class Published:
    """What became of a file. `bad_rows` are the first of the `bad`; `seconds` are those of publishing."""

    event_type: str
    rows: int
    published: int
    bad: int
    bad_rows: tuple[BadRow, ...]
    seconds: float

    @property
    def events_per_s(self) -> float:
        return self.published / self.seconds if self.seconds else 0.0


@dataclass(frozen=True)
class Pace:
    """How fast: events a second, or times the pace of history, or (neither) as fast as may be."""

    rate: float | None = None
    speed: float | None = None

    def __post_init__(self) -> None:
        if self.rate is not None and self.speed is not None:
            raise ValueError("found both a rate and a speed, expected one of them")
        for name, value in (("rate", self.rate), ("speed", self.speed)):
            if value is not None and not 0 < value < float("inf"):
                raise ValueError(f"found the {name} {value:g}, expected a number above 0")

    def due_s(self, index: int, time_us: NDArray[np.int64], first_us: int) -> NDArray[np.float64]:
        """Seconds after the start at which events are due, the first of them being event `index` in all."""
        if self.rate is not None:
            return np.arange(index, index + len(time_us)) / self.rate
        if self.speed is not None:
            return (np.maximum.accumulate(time_us) - first_us) * (MICROSECOND / self.speed)
        return np.zeros(len(time_us))


@dataclass
class Tally:
    """What is known of the rows read so far."""

    good: int = 0
    bad: int = 0
    bad_rows: list[BadRow] = field(default_factory=list)

    def noted(self, chunks: Iterable[Chunk]) -> Iterator[Chunk]:
        for chunk in chunks:
            self.good += len(chunk)
            self.bad += len(chunk.bad)
            self.bad_rows += chunk.bad[: SHOWN_BAD_ROWS - len(self.bad_rows)]
            yield chunk


def quiet(stage: str, done: int, total: int | None) -> None:
    """Progress that nobody looks at."""


def publish(
    use_case: UseCase,
    path: Path,
    topic: str,
    project: str,
    *,
    event_type: str | None = None,
    rate: float | None = None,
    speed: float | None = None,
    published_us: int | None = None,
    in_file_order: bool = False,
    progress: Progress = quiet,
) -> Published:
    """Publishes the good rows of a file: JSON bodies with the attributes event_type, event_id, event_time.

    `event_type` is told by the file's columns when not given. `rate` is in events a second, `speed` in multiples
    of history's pace. Events without a time of their own are dated `published_us` (default: now). The file is
    read as a whole and sorted by event time first (some 32 bytes of memory an event, the rest on disk), unless
    `in_file_order`. Raises BadFile, PubSubUnavailable, PubSubRefused, ValueError for an impossible pace.
    """
    pace, tally = Pace(rate, speed), Tally()
    name = event_type_of(use_case, path, event_type)
    now_us = time.time_ns() // 1_000
    with Lanes(topic_path(project, topic), _lanes(pace)) as lanes, Spool() as spool:
        chunks = tally.noted(read(use_case, name, path, now_us, published_us))
        if not in_file_order:
            chunks = _sorted(spool, chunks, tally, progress)
        seconds = _send(name, chunks, lanes, pace, lambda: None if in_file_order else tally.good, progress)
        return Published(
            event_type=name,
            rows=tally.good + tally.bad,
            published=lanes.published,
            bad=tally.bad,
            bad_rows=tuple(tally.bad_rows),
            seconds=seconds,
        )


def _lanes(pace: Pace) -> int:
    return PACED_LANES if pace.rate is not None and pace.rate <= FEW_PER_S else LANES


def _sorted(spool: Spool, chunks: Iterator[Chunk], tally: Tally, progress: Progress) -> Iterator[Chunk]:
    for chunk in chunks:
        spool.add(chunk)
        progress("reading", tally.good + tally.bad, None)
    return spool.chunks()


def _send(
    event_type: str,
    chunks: Iterator[Chunk],
    lanes: Lanes,
    pace: Pace,
    total: Callable[[], int | None],
    progress: Progress,
) -> float:
    """Publishes chunk by chunk, each event when it is due. Returns the seconds that took."""
    first_us, sent, started_s = None, 0, time.monotonic()
    for chunk in chunks:
        first_us = int(chunk.time_us[0]) if first_us is None and len(chunk) else first_us
        due_s = pace.due_s(sent, chunk.time_us, first_us or 0)
        messages = _publications(event_type, chunk)
        lane = [xxhash.xxh32_intdigest(subject.encode()) % len(lanes) for subject in chunk.subjects]
        for part in _when_due(due_s, started_s):
            _put(lanes, messages[part], lane[part])
            progress("publishing", lanes.published, total())
        sent += len(chunk)
    lanes.finish()
    progress("publishing", lanes.published, total())
    return time.monotonic() - started_s


def _when_due(due_s: NDArray[np.float64], started_s: float) -> Iterator[slice]:
    """Parts of what is due, each when its time has come; what is late goes at once."""
    at = 0
    while at < len(due_s):
        now_s = time.monotonic() - started_s
        end = int(np.searchsorted(due_s, now_s, "right"))
        if end > at:
            yield slice(at, end)
            at = end
        else:
            time.sleep(min(max(due_s[at] - now_s, SLICE_S), LONGEST_SLEEP_S))


def _put(lanes: Lanes, messages: list[Publication], lane: list[int]) -> None:
    """A customer's events always go into the same lane."""
    for k in set(lane):
        own = [message for message, wanted in zip(messages, lane, strict=True) if wanted == k]
        lanes.put(k, own)


def _publications(event_type: str, chunk: Chunk) -> list[Publication]:
    times = np.datetime_as_string(chunk.time_us.astype("M8[us]"), timezone="UTC").tolist()
    ids = chunk.ids
    if max(map(len, ids), default=0) > MAX_ID_BYTES // 4:
        ids = list(map(id_attribute, ids))
    attributes = [
        {"event_type": event_type, "event_id": event_id, "event_time": at}
        for event_id, at in zip(ids, times, strict=True)
    ]
    return list(map(Publication, chunk.bodies, attributes))
