"""Presence: counts of the events with a value in each field, and of different values, batch by batch.

Only fields of which features are made are counted, by the name event_type.field. Training keeps the counts, and files
to be scored are compared with them.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from msgspec import Struct

from features.events.batch import Batch
from features.events.structs import Event, known_codec
from features.usecase import Feature, UseCase

SAMPLE = 100_000  # known values of a field of which the most frequent is groups


class FieldUse(Struct, frozen=True):
    """Counts of one field in the events of its type."""

    events: int
    known: int  # events with a value
    varies: bool  # there are several values
    most_frequent: float  # share of the most frequent value among the first SAMPLE known ones; 0 without any

    @property
    def share(self) -> float:
        """Share of events with a value."""
        return self.known / self.events if self.events else 0.0


def fields_of(use_case: UseCase, feature: Feature) -> tuple[tuple[str, ...], ...]:
    """Return the fields that a feature is made of; a field of the scored event is that of each scored type with it."""
    groups = []
    for path in feature.fields:
        name, _, field_name = path.partition(".")
        types = [t.name for t in use_case.event_types.values() if t.scored] if name == "event" else [name]
        groups.append(
            tuple(f"{t}.{field_name}" for t in types if field_name in use_case.event_types[t].fields)
        )
    return tuple(each for each in groups if each)


@dataclass
class _Counted:
    get: Callable[[Event], Any]
    known: int = 0
    values: Counter[Any] = field(default_factory=Counter)
    varies: bool = False


@dataclass
class Presence:
    """Counts of the fields that a use case's features are made of."""

    use_case: UseCase
    events: dict[str, int] = field(default_factory=dict)  # by event type
    _fields: dict[str, dict[str, _Counted]] = field(default_factory=dict)  # by event type and field

    def __post_init__(self) -> None:
        paths = {
            path for each in self.use_case.table for parts in fields_of(self.use_case, each) for path in parts
        }
        for path in sorted(paths):
            event_type, _, name = path.partition(".")
            get = known_codec(self.use_case, event_type).getters[name]
            self._fields.setdefault(event_type, {})[name] = _Counted(get)

    def add(self, batch: Batch) -> None:
        """Count the events of a batch."""
        by_type: dict[str, list[Event]] = {}
        for name, event in zip(batch.types, batch.events, strict=True):
            by_type.setdefault(name, []).append(event)
        for name, events in by_type.items():
            self.events[name] = self.events.get(name, 0) + len(events)
            for counted in self._fields.get(name, {}).values():
                _count(
                    counted,
                    [value for value in map(counted.get, events) if value is not None and value != ""],
                )

    def fields(self) -> dict[str, FieldUse]:
        """Return the counts by event_type.field."""
        return {
            f"{name}.{each}": _use(self.events.get(name, 0), counted)
            for name, fields in self._fields.items()
            for each, counted in fields.items()
        }


def _count(counted: _Counted, values: list[Any]) -> None:
    counted.known += len(values)
    sampled = counted.values.total()
    counted.varies = counted.varies or len(set(values) | set(counted.values)) > 1
    if sampled < SAMPLE:
        counted.values.update(values[: SAMPLE - sampled])


def _use(events: int, counted: _Counted) -> FieldUse:
    largest = max(counted.values.values(), default=0)
    return FieldUse(events, counted.known, counted.varies, largest / max(counted.values.total(), 1))
