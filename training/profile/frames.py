"""Rows as columns: one frame for each event type of a history.

Numbers are float64 with NaN for missing: dates as days and times as microseconds since 1970 UTC. Everything else
is codes, int64 with -1 for missing, and the words they stand for.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd  # type: ignore[import-untyped,unused-ignore]
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.events import Columns, event_ids, named_ids
from features.times import NOT_READ
from features.usecase import EventType, Field, Kind, UseCase
from training.data.files import EventRows, columns

MEASURED = frozenset(
    {Kind.NUMBER, Kind.INTEGER, Kind.DATE, Kind.TIME}
)  # kept as numbers, all others as codes


@dataclass(frozen=True)
class Texts:
    """n texts; code i stands for words[i]."""

    codes: NDArray[np.int64]
    words: list[str]


@dataclass(frozen=True)
class Frame:
    """The n rows of one event type in the order of the history."""

    event_type: EventType
    numbers: Mapping[str, NDArray[np.float64]]
    texts: Mapping[str, Texts]
    subject: Texts
    ids: Texts
    named: Texts | None  # the ids of the events that these rows are the labels of, if they are
    time_us: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.time_us)

    def missing(self, field: str) -> NDArray[np.bool_]:
        return np.isnan(self.numbers[field]) if field in self.numbers else self.texts[field].codes < 0

    def names(self, rows: NDArray[np.intp]) -> tuple[list[str], list[str]]:
        """The customers and the event ids of some rows."""
        subjects, ids = self.subject.codes[rows].tolist(), self.ids.codes[rows].tolist()
        return [self.subject.words[i] for i in subjects], [self.ids.words[i] for i in ids]

    def plain(self) -> pd.DataFrame:
        """Numbers and codes by field."""
        codes = {name: texts.codes for name, texts in self.texts.items()}
        return pd.DataFrame({name: {**self.numbers, **codes}[name] for name in self.event_type.fields})


def frames(use_case: UseCase, rows: EventRows) -> list[Frame]:
    """The event types that have rows, as the use case orders them."""
    there = set(rows.types)
    return [_frame(use_case, each, rows) for each in use_case.event_types.values() if each.name in there]


def _frame(use_case: UseCase, event_type: EventType, rows: EventRows) -> Frame:
    label = use_case.label
    names_events = label is not None and label.event_type == event_type.name and bool(label.event)
    parts = [_part(use_case, fields, names_events) for _, fields in columns(use_case, event_type.name, rows)]
    joined = {name: [part[name] for part in parts] for name in parts[0]}
    measured = {name for name, f in event_type.fields.items() if f.kind in MEASURED}
    return Frame(
        event_type,
        numbers={name: np.concatenate(joined[name]) for name in event_type.fields if name in measured},
        texts={name: _coded(joined[name]) for name in event_type.fields if name not in measured},
        subject=_coded(joined["@subject"]),
        ids=_coded(joined["@id"]),
        named=_coded(joined["@named"]) if names_events else None,
        time_us=np.concatenate(joined["@time"]),
    )


def _part(use_case: UseCase, fields: Columns, names_events: bool) -> dict[str, Any]:
    """Arrays by field, and what is made of the whole event under names that no field can have."""
    event_type = fields.codec.event_type
    arrays: dict[str, Any] = {name: _array(f, fields) for name, f in event_type.fields.items()}
    if names_events and (label := use_case.label):
        named_type = use_case.event_types[label.event]
        arrays["@named"] = pa.array(named_ids(fields.codec, fields.events, label.event_id, named_type))
    return arrays | {
        "@subject": pa.array(fields.texts(event_type.subject)),
        "@id": pa.array(event_ids(fields.codec, fields.events)),
        "@time": fields.time_us,
    }


def _array(f: Field, fields: Columns) -> Any:
    if f.kind is Kind.TIME:
        return _times(f, fields)
    if f.kind in MEASURED:
        return fields.numbers(f.name)
    if f.kind is Kind.BOOLEAN:
        return pa.array(fields.objects(f.name), pa.bool_()).cast(pa.string())
    return pa.array([text or None for text in fields.texts(f.name)], pa.string())


def _times(f: Field, fields: Columns) -> NDArray[np.float64]:
    clock, texts = fields.codec.clock, fields.texts(f.name)
    times_us = clock.read_all(texts)
    unusual = [(i, texts[i]) for i in np.flatnonzero(times_us == NOT_READ).tolist() if texts[i]]
    for i, text in unusual:
        times_us[i] = clock.read(text)
    return np.where(times_us == NOT_READ, np.nan, times_us.astype(np.float64))


def _coded(parts: list[pa.Array]) -> Texts:
    coded = pc.dictionary_encode(pa.concat_arrays(parts))
    return Texts(coded.indices.fill_null(-1).to_numpy().astype(np.int64), coded.dictionary.to_pylist())
