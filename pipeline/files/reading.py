"""One way for all formats: rows to bodies, bodies through the stream's own decoder, good and bad apart."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.events import (
    MAX_EVENT_BYTES,
    BadEvent,
    Codec,
    Event,
    decode,
    decode_all,
    event_ids,
    event_time_us,
    known_codec,
    too_large,
)
from features.times import rfc3339
from features.usecase import UseCase
from pipeline.files import csvfile, jsonl, parquet
from pipeline.files.source import BadFile, BadRow, Named, Place, Rows, WarehouseTable, needed_columns

FORMATS: dict[str, ModuleType] = {
    ".csv": csvfile,
    ".tsv": csvfile,
    ".txt": csvfile,
    ".jsonl": jsonl,
    ".ndjson": jsonl,
    ".parquet": parquet,
}
UNREADABLE = (OSError, UnicodeError, pa.ArrowException)


@dataclass(frozen=True)
class Chunk:
    """n good rows in file order: what is published of them; and the bad rows that stood among them."""

    bodies: list[bytes]
    ids: list[str]
    subjects: list[str]
    time_us: NDArray[np.int64]
    bad: list[BadRow]

    def __len__(self) -> int:
        return len(self.bodies)


@dataclass(frozen=True)
class Reader:
    """The use case and event type of one file. `event_time` dates events that have no time of their own."""

    use_case: UseCase
    codec: Codec
    now_us: int
    event_time: str


def read(
    use_case: UseCase, event_type: str, place: Place, now_us: int, published_us: int | None = None
) -> Iterator[Chunk]:
    """Read a file or table in chunks. Raises BadFile.

    Events without a time of their own are dated `published_us` (default: now); events that lie too far after
    `now_us` are bad.
    """
    event_time = rfc3339(now_us if published_us is None else published_us)
    reader = Reader(use_case, known_codec(use_case, event_type), now_us, event_time)
    where = place.place if isinstance(place, Named) else place
    module = _format(where)
    try:
        for rows in module.rows(use_case, reader.codec.event_type, where):
            yield _chunk(reader, rows)
    except UNREADABLE as error:
        raise BadFile(f"{place}: cannot be read: {error}") from error


def event_type_of(use_case: UseCase, place: Place, named: str | None = None) -> str:
    """Return the event type named, or the only one whose required fields the file has. Raises BadFile."""
    types = use_case.event_types
    if isinstance(place, Named):
        named, place = place.event_type, place.place
    if named is not None:
        if named not in types:
            raise BadFile(f"event type {named!r} is not one of {', '.join(types)} ({use_case.file})")
        return named
    try:
        columns = _format(place).columns(use_case, place)
    except UNREADABLE as error:
        raise BadFile(f"{place}: cannot be read: {error}") from error
    fitting = [name for name, t in types.items() if set(needed_columns(t)) <= set(columns)]
    if len(fitting) != 1:
        fit = f"{' and '.join(fitting)} fit" if fitting else "no event type fits"
        expected = (
            f"expected those of one of {', '.join(types)} (TYPE=FILE names one; so does `publish --type`)"
        )
        several = f"; for all of them: {' '.join(f'{name}={place}' for name in fitting)}" if fitting else ""
        raise BadFile(f"{place}: {fit} its columns ({', '.join(columns)}); {expected}{several}")
    return fitting[0]


def _format(place: Path | WarehouseTable) -> Any:
    """Return the module that reads the place."""
    if isinstance(place, WarehouseTable):
        from pipeline.files import warehouse  # BigQuery's clients take a second to import

        return warehouse
    reader = FORMATS.get(place.suffix.lower())
    if reader is None:
        raise BadFile(f"{place}: found the ending {place.suffix!r}, expected one of {', '.join(FORMATS)}")
    return reader


def _chunk(reader: Reader, rows: Rows) -> Chunk:
    events, bodies = _events(reader, rows)
    wrong = _wrong(events)
    bad = [*rows.broken, *(BadRow(rows.lines[i], events[i].reason, events[i].detail) for i in wrong)]
    if wrong:
        good = sorted(set(range(len(events))).difference(wrong))
        bodies, events = [bodies[i] for i in good], [events[i] for i in good]
    subjects = map(reader.codec.getters[reader.codec.event_type.subject], events)
    return Chunk(
        bodies=bodies,
        ids=event_ids(reader.codec, events),
        subjects=list(map(str, subjects)),
        time_us=np.fromiter(map(event_time_us, events), np.int64, len(events)),
        bad=sorted(bad, key=lambda row: row.line),
    )


def _wrong(events: list[Any]) -> list[int]:
    """Return the texts that are no event times."""
    if BadEvent not in set(map(type, events)):
        return []
    return [i for i, event in enumerate(events) if isinstance(event, BadEvent)]


def _events(reader: Reader, rows: Rows) -> tuple[list[Any], list[bytes]]:
    """Yield each row's event or BadEvent, and its body."""
    n, name, bodies = len(rows.bodies), reader.codec.event_type.name, list(rows.bodies)
    found: list[Event | BadEvent] = decode_all(
        reader.use_case, [name] * n, bodies, [reader.now_us] * n, [reader.event_time] * n
    )
    for i in rows.doubtful.union(_wrong(found)):
        found[i], bodies[i] = _again(reader, rows, i)
    if max(map(len, bodies), default=0) > MAX_EVENT_BYTES:
        found = [_sized(event, body) for event, body in zip(found, bodies, strict=True)]
    return found, bodies


def _sized(event: Event | BadEvent, body: bytes) -> Event | BadEvent:
    """Return the event, or a BadEvent if the job would refuse its message."""
    return event if len(body) <= MAX_EVENT_BYTES else too_large(len(body))


def _again(reader: Reader, rows: Rows, i: int) -> tuple[Event | BadEvent, bytes]:
    try:
        body = rows.again(i)
        name = reader.codec.event_type.name
        return decode(reader.use_case, name, body, reader.now_us, reader.event_time), body
    except BadEvent as error:
        return error, b""
