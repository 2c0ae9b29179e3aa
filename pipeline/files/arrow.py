"""Typed columns (Arrow, as Parquet and BigQuery give them): values keep the type they are stored with.

Null, NaN and, in texts, the declared missing tokens are missing. A timestamp without a zone is in the event
type's time zone; one with nanoseconds is cut to microseconds. Columns must fit their fields as a whole.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from features.rows import WHOLE_NUMBER
from features.schema import EventType, Field, Kind
from features.times import rfc3339
from features.usecase import UseCase
from pipeline.files import cells
from pipeline.files.source import BadFile, Place, Rows, columns_of, needed_columns

Convert = Callable[[pa.Array, EventType], list[Any]]
Converts = Mapping[str, tuple[str, Convert]]  # by field: its column and what makes values of it


def rows(event_type: EventType, converts: Converts, batches: Iterator[pa.RecordBatch]) -> Iterator[Rows]:
    """The rows of the batches, numbered from 1."""
    first = 1
    for batch in batches:
        values = {
            field: convert(batch.column(column), event_type) for field, (column, convert) in converts.items()
        }
        bodies, doubtful = cells.bodies(values)
        yield Rows(list(range(first, first + len(bodies))), bodies, doubtful, bodies.__getitem__, [])
        first += batch.num_rows


def converts(use_case: UseCase, event_type: EventType, place: Place, schema: pa.Schema) -> Converts:
    """Of each field that is there. Raises BadFile for columns that are missing or of another type."""
    lacking = [column for column in needed_columns(event_type) if column not in schema.names]
    if lacking:
        there = f"found {', '.join(schema.names)}; expected the fields of events.{event_type.name}"
        raise BadFile(f"{place}: it lacks the columns {', '.join(lacking)}; {there} of {use_case.file}")
    found = {}
    for name, f in event_type.fields.items():
        column, *others = columns_of(event_type, name)
        if others:
            raise BadFile(f"{place}: {name} is made of several columns; columns with types need it in one")
        if column in schema.names:
            found[name] = column, _convert(f, column, schema.field(column).type, place)
    return found


def _convert(f: Field, column: str, stored: pa.DataType, place: Place) -> Convert:
    plain = stored.value_type if pt.is_dictionary(stored) else stored
    numbered = f.kind is Kind.CATEGORY and any(map(WHOLE_NUMBER.fullmatch, f.values))
    for is_type, convert in (*_CONVERTS[f.kind], *(_NUMBERED if numbered else ())):
        if is_type(plain):
            return convert if plain is stored else partial(_unpacked, convert, plain)
    if pt.is_null(plain) and f.optional:
        return lambda array, _: [None] * len(array)
    raise BadFile(f"{place}: column {column} holds {stored}, expected {f.words}")


def _unpacked(convert: Convert, plain: pa.DataType, array: pa.Array, event_type: EventType) -> list[Any]:
    """Of a dictionary column."""
    return convert(array.cast(plain), event_type)


def _texts(array: pa.Array, event_type: EventType) -> list[Any]:
    return cells.present(array.to_pylist(), event_type.file)


def _whole_texts(array: pa.Array, _: EventType) -> list[Any]:
    """Identifiers and codes kept as whole numbers."""
    return list(array.cast(pa.string()).to_pylist())


def _values(array: pa.Array, _: EventType) -> list[Any]:
    return list(array.to_pylist())


def _numbers(array: pa.Array, _: EventType) -> list[Any]:
    return [_finite(value) for value in array.cast(pa.float64(), safe=False).to_pylist()]


def _finite(value: float | None) -> float | str | None:
    """Infinity becomes a text, which no number may be; JSON would make it null."""
    if value is None or math.isfinite(value):
        return value
    return None if math.isnan(value) else str(value)


def _whole_numbers(array: pa.Array, event_type: EventType) -> list[Any]:
    """Whole numbers that became floats because some are missing."""
    found = _numbers(array, event_type)
    return [int(value) if isinstance(value, float) and value.is_integer() else value for value in found]


def _whole_words(array: pa.Array, event_type: EventType) -> list[Any]:
    """Codes of a category that became floats because some are missing."""
    found = _whole_numbers(array, event_type)
    return [value if value is None else str(value) for value in found]


def _dates(array: pa.Array, _: EventType) -> list[Any]:
    return [value if value is None else _day(value) for value in array.to_pylist()]


def _day(value: date) -> str:
    """YYYY-MM-DD, of an instant only if it is midnight; any other is no date and shows as it is."""
    if isinstance(value, datetime) and value.time() == value.min.time():
        return value.date().isoformat()
    return value.isoformat()


def _times(array: pa.Array, event_type: EventType) -> list[Any]:
    if array.type.tz is None:
        place = partial(pc.assume_timezone, timezone=event_type.timezone)
        array = place(array, ambiguous="earliest", nonexistent="earliest")
    micros = array.cast(pa.timestamp("us", tz="UTC"), safe=False).cast(pa.int64()).to_pylist()
    return [None if value is None else rfc3339(value) for value in micros]


_NUMBERED = ((pt.is_integer, _whole_texts), (pt.is_floating, _whole_words))  # of a category such as 0, 1
_TEXT = ((pt.is_string, _texts), (pt.is_large_string, _texts))
_CONVERTS: Mapping[Kind, tuple[tuple[Callable[[pa.DataType], bool], Convert], ...]] = {
    Kind.STRING: (*_TEXT, (pt.is_integer, _whole_texts)),
    Kind.CATEGORY: _TEXT,
    Kind.NUMBER: tuple((is_type, _numbers) for is_type in (pt.is_integer, pt.is_floating, pt.is_decimal)),
    Kind.INTEGER: ((pt.is_integer, _values), (pt.is_floating, _whole_numbers)),
    Kind.BOOLEAN: ((pt.is_boolean, _values),),
    Kind.DATE: (*_TEXT, (pt.is_date, _dates), (pt.is_timestamp, _dates)),
    Kind.TIME: (*_TEXT, (pt.is_timestamp, _times)),
}
