"""Histories from files and tables: their rows in event-time order, as batches for replay.

All rows are held in memory; bad rows are kept apart. Times are int64 microseconds since 1970 UTC.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.events import BadEvent, Batch, Columns, Event, decode_all, known_codec, make_batch
from features.usecase import UseCase
from pipeline.files import BadRow, Place, event_type_of, in_event_time, place, read
from training.arrays import Indices

BATCH_EVENTS = 100_000  # of 20,000 each, replay takes half as long again: records are packed more often


@dataclass(frozen=True)
class EventRows:
    """Good rows of files in event-time order, those of equal time as the files give them, and the bad rows."""

    types: list[str]
    bodies: list[bytes]
    time_us: NDArray[np.int64]
    bad: list[tuple[Place, BadRow]]

    def __len__(self) -> int:
        return len(self.bodies)


def read_all(
    use_case: UseCase, places: Sequence[str | Place], now_us: int, dated_us: int | None = None
) -> EventRows:
    """Read the rows of files and of tables (bq://PROJECT.DATASET.TABLE), whose columns decide the event type.

    Events without a time are dated `dated_us`, or by default with the earliest time of the others, so that they come
    first, as they are published first. Raises BadFile.
    """
    types: list[str] = []
    bodies: list[bytes] = []
    times: list[NDArray[np.int64]] = []
    bad: list[tuple[Place, BadRow]] = []
    for source in map(place, places):
        name = event_type_of(use_case, source)
        for chunk in read(use_case, name, source, now_us):
            types += [name] * len(chunk)
            bodies += chunk.bodies
            times.append(chunk.time_us)
            bad += [(source, row) for row in chunk.bad]
    time_us = np.concatenate([np.empty(0, np.int64), *times])
    timeless = np.array([not use_case.event_types[name].time for name in types], np.bool_)
    order, time_us = in_event_time(time_us, timeless, now_us, dated_us)
    return EventRows([types[i] for i in order], [bodies[i] for i in order], time_us, bad)


def batches(use_case: UseCase, rows: EventRows) -> Iterator[Batch]:
    """Yield the rows as batches; each event counts as published when it happened."""
    for start in range(0, len(rows), BATCH_EVENTS):
        part = slice(start, start + BATCH_EVENTS)
        events = decoded(use_case, rows.types[part], rows.bodies[part], rows.time_us[part])
        yield make_batch(use_case, list(zip(rows.types[part], events, strict=True)), rows.time_us[part])


def columns(use_case: UseCase, event_type: str, rows: EventRows) -> Iterator[tuple[Indices, Columns]]:
    """Yield the rows of one type in parts: their places among all rows, and their fields."""
    places = np.flatnonzero(np.array(rows.types, np.str_) == event_type)
    for start in range(0, len(places), BATCH_EVENTS):
        part = places[start : start + BATCH_EVENTS]
        bodies, time_us = [rows.bodies[i] for i in part.tolist()], rows.time_us[part]
        events = decoded(use_case, [event_type] * len(part), bodies, time_us)
        yield part, Columns(known_codec(use_case, event_type), events, time_us)


def decoded(
    use_case: UseCase, types: list[str], bodies: list[bytes], published_us: NDArray[np.int64]
) -> list[Event]:
    """Decode the events of good rows."""
    decoded_events = decode_all(use_case, types, bodies, published_us.tolist())
    events = [event for event in decoded_events if not isinstance(event, BadEvent)]
    assert len(events) == len(types)  # `read` has kept bad rows apart
    return events
