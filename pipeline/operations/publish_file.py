"""Publishing of files as events, all of them together in event-time order, as fast as possible or at a pace.

Bad rows stop nothing: they are counted and reported at the end. One customer's events always go one after the other;
those of different customers may overtake each other by some requests. Times are int64 microseconds since 1970 UTC.
"""

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import xxhash
from numpy.typing import NDArray

from features.usecase import UseCase
from pipeline.files import BadRow, Chunk, Place, event_type_of, read
from pipeline.files.history import SHOWN_BAD_ROWS, History, Progress, history, quiet
from pipeline.files.source import Named
from pipeline.pubsub.client import Publication
from pipeline.pubsub.message import MAX_ID_BYTES, id_attribute
from pipeline.pubsub.ordered_publisher import Lanes
from pipeline.pubsub.topics import check_keeps_order, topic_path

SLICE_S = 0.01  # what is due within this time goes out together
LONGEST_SLEEP_S = 0.25  # how long a refusal or an interrupt may go unnoticed
LANES = 4  # requests in flight: hides the way to the service
PACED_LANES = 1  # enough up to FEW_PER_S, and a quarter of the requests
FEW_PER_S = 10_000.0
MICROSECOND = 1e-6


@dataclass(frozen=True)
class Published:
    """Result of publishing. `bad_rows` are the first of the `bad`; `seconds` are those of publishing."""

    rows: int
    published: int
    by_type: Mapping[str, int]  # events published
    bad: int
    bad_rows: tuple[tuple[Place, BadRow], ...]
    seconds: float

    @property
    def events_per_s(self) -> float:
        return self.published / self.seconds if self.seconds else 0.0


@dataclass(frozen=True)
class Pace:
    """Pace of publishing: events a second, or a multiple of history's pace, or (neither) as fast as possible."""

    rate: float | None = None
    speed: float | None = None

    def __post_init__(self) -> None:
        if self.rate is not None and self.speed is not None:
            raise ValueError("found both a rate and a speed, expected one of them")
        for name, value in (("rate", self.rate), ("speed", self.speed)):
            if value is not None and not 0 < value < float("inf"):
                raise ValueError(f"found the {name} {value:g}, expected a number above 0")

    def due_s(self, index: int, time_us: NDArray[np.int64], first_us: int) -> NDArray[np.float64]:
        """Return the seconds after the start at which events are due; the first of them is event `index` of all."""
        if self.rate is not None:
            return np.arange(index, index + len(time_us)) / self.rate
        if self.speed is not None:
            return (np.maximum.accumulate(time_us) - first_us) * (MICROSECOND / self.speed)
        return np.zeros(len(time_us))


class FilePart(NamedTuple):
    """Events on their way out: a chunk, the type of each event in it and when each happened."""

    types: Sequence[str]
    time_us: NDArray[np.int64]
    chunk: Chunk


@dataclass
class _PublishCount:
    """Bad rows so far, while files are published as they are read."""

    bad: int = 0
    bad_rows: list[tuple[Place, BadRow]] = field(default_factory=list)

    def note(self, place: Place, chunk: Chunk) -> None:
        self.bad += len(chunk.bad)
        self.bad_rows += [(place, row) for row in chunk.bad[: SHOWN_BAD_ROWS - len(self.bad_rows)]]


@dataclass(frozen=True)
class _Way:
    """Parameters of publishing that hold for all events."""

    lanes: Lanes
    pace: Pace
    ordered: bool
    progress: Progress


def publish(
    use_case: UseCase,
    places: Sequence[Place],
    topic: str,
    project: str,
    *,
    event_type: str | None = None,
    rate: float | None = None,
    speed: float | None = None,
    dated_us: int | None = None,
    in_file_order: bool = False,
    ordered: bool = False,
    progress: Progress = quiet,
) -> Published:
    """Publish the good rows of all files: JSON bodies with the attributes event_type, event_id, event_time.

    The event type of a file is named by its place, else by `event_type`, else found by its columns. `rate` is in
    events a second, `speed` in multiples of history's pace. Events without a time of their own are dated `dated_us`,
    or else with the earliest of the others (now, if there are no others), and come first. The files are read as a
    whole and sorted together first (some 100 bytes of memory an event, the rest on disk), unless `in_file_order`:
    then they are published as they are read, one file after the other, and dated `dated_us` or now. `ordered` gives
    every event its customer as ordering key. Raises BadFile, PubSubUnavailable, PubSubRefused, ValueError for an
    impossible pace.
    """
    pace, now_us = Pace(rate, speed), time.time_ns() // 1_000
    named = [_named(use_case, place, event_type) for place in places]
    if ordered:
        check_keeps_order(project, topic)
    with Lanes(topic_path(project, topic), _lanes(pace)) as lanes:
        way = _Way(lanes, pace, ordered, progress)
        if in_file_order:
            tally = _PublishCount()
            sent, seconds = _send(_as_read(use_case, named, now_us, dated_us, tally), way, None)
            bad, bad_rows = tally.bad, tuple(tally.bad_rows)
        else:
            with history(use_case, named, now_us, dated_us, progress) as events:
                sent, seconds = _send(_in_order(events), way, len(events))
                bad, bad_rows = events.bad, events.bad_rows
        return Published(
            rows=sent.total() + bad,
            published=lanes.published,
            by_type=dict(sent),
            bad=bad,
            bad_rows=tuple(
                (place.place if isinstance(place, Named) else place, row) for place, row in bad_rows
            ),
            seconds=seconds,
        )


def _named(use_case: UseCase, place: Place, event_type: str | None) -> Named:
    """Return the place with its event type. Raises BadFile."""
    if isinstance(place, Named):
        event_type_of(use_case, place)
        return place
    return Named(event_type_of(use_case, place, event_type), place)


def _lanes(pace: Pace) -> int:
    return PACED_LANES if pace.rate is not None and pace.rate <= FEW_PER_S else LANES


def _in_order(events: History) -> Iterator[FilePart]:
    """Yield all events of all files in event-time order."""
    at = 0
    for chunk in events.spool.chunks(events.order):
        rows = slice(at, at + len(chunk))
        yield FilePart(events.types[rows].tolist(), events.time_us[rows], chunk)
        at += len(chunk)


def _as_read(
    use_case: UseCase, places: Sequence[Named], now_us: int, dated_us: int | None, tally: _PublishCount
) -> Iterator[FilePart]:
    """Yield the events of one file after the other, each file in its order."""
    for place in places:
        for chunk in read(use_case, place.event_type, place, now_us, dated_us):
            tally.note(place, chunk)
            yield FilePart([place.event_type] * len(chunk), chunk.time_us, chunk)


def _send(parts: Iterator[FilePart], way: _Way, total: int | None) -> tuple[Counter[str], float]:
    """Publish part by part, each event when it is due. Returns the number of events by type and the seconds spent."""
    first_us, sent, started_s = None, Counter[str](), time.monotonic()
    for part in parts:
        first_us = int(part.time_us[0]) if first_us is None and len(part.chunk) else first_us
        due_s = way.pace.due_s(sent.total(), part.time_us, first_us or 0)
        messages = _publications(part, way.ordered)
        lane = [xxhash.xxh32_intdigest(subject.encode()) % len(way.lanes) for subject in part.chunk.subjects]
        for rows in _when_due(due_s, started_s):
            _put(way.lanes, messages[rows], lane[rows])
            way.progress("publishing", way.lanes.published, total)
        sent.update(part.types)
    way.lanes.finish()
    way.progress("publishing", way.lanes.published, total)
    return sent, time.monotonic() - started_s


def _when_due(due_s: NDArray[np.float64], started_s: float) -> Iterator[slice]:
    """Yield events in parts, each when it is due; late ones at once."""
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
    """Put messages into their lanes. A customer's events always go into the same one."""
    for k in set(lane):
        lanes.put(k, [message for message, wanted in zip(messages, lane, strict=True) if wanted == k])


def _publications(part: FilePart, ordered: bool) -> list[Publication]:
    times = np.datetime_as_string(part.time_us.astype("M8[us]"), timezone="UTC").tolist()
    ids = part.chunk.ids
    if max(map(len, ids), default=0) > MAX_ID_BYTES // 4:
        ids = list(map(id_attribute, ids))
    attributes = [
        {"event_type": event_type, "event_id": event_id, "event_time": at}
        for event_type, event_id, at in zip(part.types, ids, times, strict=True)
    ]
    keys = map(id_attribute, part.chunk.subjects) if ordered else [""] * len(ids)
    return list(map(Publication, part.chunk.bodies, attributes, keys))
