"""A batch of events as arrays: what the kernel, the vector and the tables need, in arrival order.

Times are int64 microseconds since 1970 UTC. An event without an entity has record -1 for it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import xxhash
from numpy.typing import NDArray

from features.events.columns import Columns, lanes
from features.events.decoding import event_ids
from features.events.structs import UNKNOWN_TIME_US, BadEvent, Codec, Event, known_codec
from features.kernel.plan import Arrivals
from features.times import clock, rfc3339
from features.usecase import LEVELS, Raw, UseCase

SPREAD = np.uint64(0x9E3779B97F4A7C15)  # odd, so that no two keys fall together
NO_LEVEL = 255  # in Batch.override: the event is no override
RowIndex = slice | NDArray[np.intp]


@dataclass(frozen=True)
class Batch:
    """n events in arrival order, all of one use case."""

    use_case: UseCase
    types: tuple[str, ...]  # [n]
    events: list[Event]
    event_id: list[str]
    time_us: NDArray[np.int64]
    published_us: NDArray[np.int64]
    scored: NDArray[np.bool_]
    subject: list[str]
    arrivals: Mapping[str, Arrivals]  # by entity, subject last
    override: tuple[NDArray[np.uint8], NDArray[np.int64]] | None  # level (NO_LEVEL: none), until_us
    event_values: Mapping[str, NDArray[np.float64]]  # values that formulas take from the event itself

    def __len__(self) -> int:
        return len(self.events)

    def take(self, rows: NDArray[np.intp]) -> "Batch":
        """Return the batch of the events at `rows`; its records are numbered anew."""
        events = [(self.types[i], self.events[i]) for i in rows.tolist()]
        return make_batch(self.use_case, events, self.published_us[rows])


@dataclass(frozen=True)
class _TypeRows:
    """The events of one type, and their rows in the batch."""

    columns: Columns
    rows: RowIndex
    ids: list[str]

    @property
    def codec(self) -> Codec:
        return self.columns.codec


def make_batch(
    use_case: UseCase, events: Sequence[tuple[str, Event]], published_us: Sequence[int] | NDArray[np.int64]
) -> Batch:
    """Return the arrays of `events`, which are (event type, event) in arrival order.

    `published_us` dates events that carry no time of their own. Raises BadEvent where an event is later than
    its publish time allows; `decode` with the publish time has already refused those.
    """
    n = len(events)
    types = tuple([name for name, _ in events])
    plain = [event for _, event in events]
    published = np.asarray(published_us, dtype=np.int64)
    time_us = np.array([event._time_us for event in plain], dtype=np.int64)  # type: ignore[attr-defined]
    time_us = np.where(time_us == UNKNOWN_TIME_US, published, time_us)
    _refuse_future(use_case, time_us, published)
    parts = [_part(use_case, name, rows, plain, time_us) for name, rows in _groups(types)]
    scored = np.empty(n, dtype=np.bool_)
    for part in parts:
        scored[part.rows] = part.codec.event_type.scored
    return Batch(
        use_case=use_case,
        types=types,
        events=plain,
        event_id=_scattered(((p.rows, p.ids) for p in parts), n),
        time_us=time_us,
        published_us=published,
        scored=scored,
        subject=_entity_ids(use_case.subject, parts, n),
        arrivals=_all_arrivals(use_case, parts, time_us, scored),
        override=_overrides(parts, n),
        event_values={name: _event_value(name, parts, n) for name in _event_fields(use_case)},
    )


def _refuse_future(use_case: UseCase, time_us: NDArray[np.int64], published: NDArray[np.int64]) -> None:
    late = time_us > published + use_case.max_clock_skew_us
    if late.any():
        i = int(np.argmax(late))
        dated = f"event {i} of the batch is dated {rfc3339(int(time_us[i]))}"
        raise BadEvent("from_future", f"{dated}, published {rfc3339(int(published[i]))}")


def _groups(types: tuple[str, ...]) -> list[tuple[str, RowIndex]]:
    """Return the event types of the batch with their rows; one slice if there is only one type."""
    names = list(dict.fromkeys(types))
    if len(names) == 1:
        return [(names[0], slice(None))]
    array = np.array(types)
    return [(name, np.flatnonzero(array == name)) for name in names]


def _part(
    use_case: UseCase, name: str, rows: RowIndex, events: list[Event], time_us: NDArray[np.int64]
) -> _TypeRows:
    known = known_codec(use_case, name)
    typed = events if isinstance(rows, slice) else [events[i] for i in rows]
    return _TypeRows(Columns(known, typed, time_us[rows]), rows, event_ids(known, typed))


def _scattered(columns: Iterable[tuple[RowIndex, list[str]]], n: int) -> list[str]:
    """Return texts [n] with those of the parts in their rows, "" elsewhere."""
    scattered = [""] * n
    for rows, texts in columns:
        if isinstance(rows, slice):
            return texts
        for i, text in zip(rows.tolist(), texts, strict=True):
            scattered[i] = text
    return scattered


def _entity_ids(entity: str, parts: list[_TypeRows], n: int) -> list[str]:
    having = [p for p in parts if entity in p.codec.event_type.entities]
    return _scattered(((p.rows, p.columns.texts(p.codec.event_type.entities[entity])) for p in having), n)


def _all_arrivals(
    use_case: UseCase, parts: list[_TypeRows], time_us: NDArray[np.int64], scored: NDArray[np.bool_]
) -> dict[str, Arrivals]:
    key = np.empty(len(time_us), dtype=np.uint64)
    for part in parts:
        seed = xxhash.xxh3_64_intdigest(part.codec.event_type.name.encode())
        digest = xxhash.xxh3_64_intdigest
        key[part.rows] = np.array([digest(text.encode(), seed) for text in part.ids], dtype=np.uint64)
    subject = _arrivals(use_case, use_case.subject, parts, key, time_us, scored)
    others = [entity for entity in use_case.entities if entity != use_case.subject]
    key_of_others = _with_subject(key, subject) if others else key
    arrivals = {e: _arrivals(use_case, e, parts, key_of_others, time_us, scored) for e in others}
    return arrivals | {use_case.subject: subject}


def _with_subject(key: NDArray[np.uint64], subject: Arrivals) -> NDArray[np.uint64]:
    """Return the keys of the events in records that several subjects share.

    Ids are unique within a subject: the two legs of a transfer have one id, and count as two events of a device.
    """
    hashes = [xxhash.xxh3_64_intdigest(id.encode()) for id in subject.ids]
    return key * SPREAD + np.array(hashes, np.uint64)[subject.record]


def _arrivals(
    use_case: UseCase,
    entity: str,
    parts: list[_TypeRows],
    key: NDArray[np.uint64],
    time_us: NDArray[np.int64],
    scored: NDArray[np.bool_],
) -> Arrivals:
    n, plan, declared = len(key), use_case.plans[entity], use_case.by_entity[entity]
    record, ids = _records(_entity_ids(entity, parts, n))
    lane_bits = np.zeros(n, dtype=np.uint64)
    values = np.full((n, plan.values), np.nan)
    slots = np.zeros((n, plan.distincts), dtype=np.uint8)
    for part in parts:
        aggregates = tuple(a for a in declared.aggregates if a.event_type == part.codec.event_type.name)
        lane_bits[part.rows] = lanes(part.columns, aggregates)
        for column, name in {a.value_column: a.value for a in aggregates if a.value}.items():
            values[part.rows, column] = part.columns.numbers(name)
        for watch in (w for w in declared.watches if w.event_type == part.codec.event_type.name):
            lane_bits[part.rows] |= np.uint64(1 << watch.lane)
            values[part.rows, watch.value_column] = part.columns.digests(watch.fields)
        for column, name in {a.slot_column: a.distinct for a in aggregates if a.distinct}.items():
            slots[part.rows, column] = part.columns.slots(name)
    lane_bits[record < 0] = 0
    source, row, attributes, owner = _attributes(use_case, entity, parts, record)
    return Arrivals(
        record, key, time_us, lane_bits, values, slots, scored, source, row, attributes, owner, ids
    )


def _records(texts: list[str]) -> tuple[NDArray[np.int32], tuple[str, ...]]:
    """Return record numbers in order of first appearance, -1 for no id, and the ids."""
    ids = tuple(text for text in dict.fromkeys(texts) if text)
    number = {"": -1} | {text: i for i, text in enumerate(ids)}
    return np.array([number[text] for text in texts], dtype=np.int32), ids


def _attributes(
    use_case: UseCase, entity: str, parts: list[_TypeRows], record: NDArray[np.int32]
) -> tuple[NDArray[np.int8], NDArray[np.int32], NDArray[np.float64], NDArray[np.int8]]:
    """Return source [n], attribute_row [n], attributes [m, k] and attribute_source [k]."""
    declared, n = use_case.by_entity[entity], len(record)
    owner = np.zeros(declared.attributes, dtype=np.int8)
    source, row = np.full(n, -1, dtype=np.int8), np.full(n, -1, dtype=np.int32)
    by_type = {part.codec.event_type.name: part for part in parts}
    for s in declared.sources:
        owner[list(s.columns)] = s.index
        if s.event_type in by_type:
            source[by_type[s.event_type].rows] = s.index
    source[record < 0] = -1
    setting = np.flatnonzero(source >= 0)
    row[setting] = np.arange(len(setting), dtype=np.int32)
    wide = np.full((n if len(setting) else 0, declared.attributes), np.nan)
    for s in declared.sources:
        if s.event_type in by_type and len(setting):
            part = by_type[s.event_type]
            for column, name in zip(s.columns, s.fields, strict=True):
                wide[part.rows, column] = part.columns.numbers(name)
    return source, row, wide[setting] if len(setting) else wide, owner


def _overrides(parts: list[_TypeRows], n: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]] | None:
    overriding = [p for p in parts if p.codec.event_type.override is not None]
    if not overriding:
        return None
    level, until_us = np.full(n, NO_LEVEL, dtype=np.uint8), np.zeros(n, dtype=np.int64)
    for part in overriding:
        t = part.codec.event_type
        assert t.override is not None
        read = clock(t.time_format, t.timezone).read
        level[part.rows] = [LEVELS.index(text) for text in part.columns.objects(t.override.level)]
        until_us[part.rows] = [read(text) for text in part.columns.objects(t.override.until)]
    return level, until_us


@lru_cache(maxsize=64)
def _event_fields(use_case: UseCase) -> tuple[str, ...]:
    """Return the fields that formulas take from the event itself."""
    raws = (raw for f in use_case.table for raw in vars(f.formula).values() if isinstance(raw, Raw))
    return tuple(dict.fromkeys(raw.field for raw in raws if raw.column == -1))


def _event_value(name: str, parts: list[_TypeRows], n: int) -> NDArray[np.float64]:
    values = np.full(n, np.nan)
    for part in parts:
        if name in part.codec.event_type.fields or name in ("hour", "weekday"):
            values[part.rows] = part.columns.numbers(name)
    return values
