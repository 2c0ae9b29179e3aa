"""Typed columns (Arrow, as Parquet and BigQuery give them): values keep the type they are stored with.

Null, NaN and, in texts, the declared missing tokens are missing. Columns must fit their fields as a whole; a value
that its field cannot have is handed on as a text that shows it, and is refused with its row. A timestamp without a zone
is in the event type's time zone; one with nanoseconds is cut to microseconds.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt
from numpy.typing import NDArray

from features.events import ISO_DATE, WHOLE_NUMBER, Cell, columns_of, reader, refuse_broken
from features.times import DAY_US, FIRST_US, LAST_US, clock, rfc3339_all
from features.usecase import EventType, Field, Kind, UseCase
from pipeline.files import cells
from pipeline.files.source import BadFile, Place, Rows, needed_columns, repeated

Convert = Callable[[pa.Array, EventType], list[Any]]
Kinds = tuple[tuple[Callable[[pa.DataType], bool], Convert], ...]  # the first that fits a column's type
Converts = Mapping[str, tuple[str, Convert]]  # by field: its column and what makes values of it
MAX_WHOLE = 2**63  # JSON bodies hold 64 bits
A_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}


def rows(event_type: EventType, converts: Converts, batches: Iterator[pa.RecordBatch]) -> Iterator[Rows]:
    """Yield the rows of the batches, numbered from 1."""
    first = 1
    for batch in batches:
        values = {
            field: convert(batch.column(column), event_type) for field, (column, convert) in converts.items()
        }
        bodies, doubtful = cells.bodies(values)
        again = partial(_again, event_type, values, bodies)
        yield Rows(list(range(first, first + len(bodies))), bodies, doubtful, again, [])
        first += batch.num_rows


def _again(event_type: EventType, values: Mapping[str, list[Any]], bodies: list[bytes], row: int) -> bytes:
    """Return the body of a row. Raises BadEvent for a text that is not UTF-8."""
    for name, column in values.items():
        if isinstance(text := column[row], str):
            refuse_broken(text, event_type.fields[name])
    return bodies[row]


def converts(use_case: UseCase, event_type: EventType, place: Place, schema: pa.Schema) -> Converts:
    """Return the conversion of each field that the file has.

    Raises BadFile for columns that are missing, repeated or of another type.
    """
    lacking = [column for column in needed_columns(event_type) if column not in schema.names]
    twice = repeated(schema.names)
    if lacking or twice:
        wrong = f"it lacks the columns {', '.join(lacking)}" if lacking else f"it repeats {', '.join(twice)}"
        there = f"found {', '.join(schema.names)}; expected the fields of events.{event_type.name}"
        raise BadFile(f"{place}: {wrong}; {there} of {use_case.file}")
    converters = {}
    for name, f in event_type.fields.items():
        column, *others = columns_of(event_type.file, name)
        if others:
            raise BadFile(f"{place}: {name} is made of several columns; columns with types need it in one")
        if column in schema.names:
            converters[name] = column, _convert(f, event_type, column, schema.field(column).type, place)
    return converters


def _convert(f: Field, event_type: EventType, column: str, stored: pa.DataType, place: Place) -> Convert:
    plain = stored.value_type if pt.is_dictionary(stored) else stored
    for is_type, convert in (*_CONVERTS[f.kind], *_declared(f, event_type)):
        if is_type(plain):
            return convert if plain is stored else partial(_unpacked, convert, plain)
    if pt.is_null(plain) and f.optional:
        return lambda array, _: [None] * len(array)
    hint = "; a count needs epoch_s, epoch_ms, epoch_us or epoch_ns, a date %Y-%m-%d under time_format"
    raise BadFile(
        f"{place}: column {column} holds {stored}, expected {f.words}{hint if f.kind is Kind.TIME else ''}"
    )


def _declared(f: Field, event_type: EventType) -> Kinds:
    """Return the other types that a column may have, because the use case says so."""
    if f.kind is Kind.CATEGORY and any(map(WHOLE_NUMBER.fullmatch, f.values)):
        return _NUMBERED
    if f.kind is not Kind.TIME:
        return ()
    is_count = bool(clock(event_type.time_format, event_type.timezone).epoch)
    dates = ((pt.is_date, _dates),) if ISO_DATE in event_type.time_format else ()
    return (*dates, *(_NUMBERED if is_count else ()))


def _unpacked(convert: Convert, plain: pa.DataType, array: pa.Array, event_type: EventType) -> list[Any]:
    """Return the plain values of a dictionary column."""
    return convert(array.cast(plain), event_type)


def _texts(array: pa.Array, event_type: EventType) -> list[Any]:
    try:
        texts = array.to_pylist()
    except UnicodeDecodeError:  # Parquet does not look
        texts = [
            text and text.decode(errors="surrogateescape") for text in array.cast(pa.binary()).to_pylist()
        ]
    return cells.present(texts, event_type.file)


def _values(array: pa.Array, _: EventType) -> list[Any]:
    return list(array.to_pylist())


def _numbers(array: pa.Array, _: EventType) -> list[Any]:
    return [_finite(value) for value in array.cast(pa.float64(), safe=False).to_pylist()]


def _finite(value: float | None) -> float | str | None:
    """Infinity becomes a text, which no number may be; JSON would make it null."""
    if value is None or math.isfinite(value):
        return value
    return None if math.isnan(value) else str(value)


def _decimals(array: pa.Array, _: EventType) -> list[Any]:
    """Return the nearest float64, as for the same digits in a text; Arrow's own cast sometimes misses it."""
    return [None if text is None else float(text) for text in array.cast(pa.string()).to_pylist()]


def _whole_numbers(array: pa.Array, event_type: EventType) -> list[Any]:
    """Whole numbers that became floats because some are missing."""
    return [_whole(value) for value in _numbers(array, event_type)]


def _whole(value: float | str | None) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < MAX_WHOLE else value


def _whole_decimals(array: pa.Array, _: EventType) -> list[Any]:
    """Whole numbers; what has a fraction, or more than 64 bits, stays a float and is refused."""
    decimals = array.to_pylist()
    return [
        value if value is None else int(value) if _is_whole(value) else float(value) for value in decimals
    ]


def _is_whole(value: Decimal) -> bool:
    return abs(value) < MAX_WHOLE and value == value.to_integral_value()


def _words(of: Convert) -> Convert:
    """Return identifiers, codes and counts that are stored as whole numbers; anything else stays and is refused."""
    return lambda array, event_type: [
        str(value) if isinstance(value, int) else value for value in of(array, event_type)
    ]


def _texts_of_dates(array: pa.Array, event_type: EventType) -> list[Any]:
    """Return dates as the files write them; a value that is no date stays and is refused."""
    read = reader(Kind.DATE, event_type.file)
    return [_date_or_text(read, text) for text in _texts(array, event_type)]


def _date_or_text(read: Cell, text: str | None) -> str | None:
    try:
        return text if text is None else str(read(text))
    except ValueError:
        return text


def _dates(array: pa.Array, _: EventType) -> list[Any]:
    """YYYY-MM-DD; days outside the years 1 to 9999 have more letters and are refused."""
    array = array.cast(pa.date32())
    days = np.datetime_as_string(_stored(array.cast(pa.int32())).astype("M8[D]"))
    return _with_nulls(array, days.tolist())


def _dates_of_times(array: pa.Array, _: EventType) -> list[Any]:
    """YYYY-MM-DD, of an instant only if it is midnight in its own zone; any other shows as it is and is refused."""
    unit = array.type.unit
    local = array if array.type.tz is None else pc.local_timestamp(array)
    stored = _stored(local.cast(pa.int64()))
    days, rest = np.divmod(stored, 86_400 * A_SECOND[unit])
    texts = np.datetime_as_string(days.astype("M8[D]")).tolist()
    for i in np.flatnonzero(rest).tolist():
        texts[i] = str(np.datetime64(int(stored[i]), unit))
    return _with_nulls(array, texts)


def _times(array: pa.Array, event_type: EventType) -> list[Any]:
    """RFC 3339; instants outside the years 1900 to 2261 show as they are and are refused."""
    unit, stored = array.type.unit, _stored(array.cast(pa.int64()))
    a_second = A_SECOND[unit]
    readable = (stored >= (FIRST_US - DAY_US) // 1_000_000 * a_second) & (
        stored < (LAST_US + DAY_US) // 1_000_000 * a_second
    )
    safe = np.where(readable, stored, 0)
    micros = safe * (1_000_000 // a_second) if a_second <= 1_000_000 else safe // (a_second // 1_000_000)
    if array.type.tz is None:
        micros = clock(event_type.time_format, event_type.timezone).instants(micros)
    texts = rfc3339_all(micros)
    for i in np.flatnonzero(~readable).tolist():
        texts[i] = f"{np.datetime64(int(stored[i]), unit)}Z"
    return _with_nulls(array, texts)


def _stored(integers: pa.Array) -> NDArray[np.int64]:
    """Return the stored numbers, 0 for null."""
    return np.asarray(integers.fill_null(0).to_numpy(zero_copy_only=False), dtype=np.int64)


def _with_nulls(array: pa.Array, texts: list[str]) -> list[Any]:
    if not array.null_count:
        return texts
    return [
        text if is_there else None for text, is_there in zip(texts, array.is_valid().to_pylist(), strict=True)
    ]


_WHOLE_TEXT: Kinds = (
    (pt.is_integer, _words(_values)),
    (pt.is_decimal, _words(_whole_decimals)),
)
_NUMBERED: Kinds = (
    *_WHOLE_TEXT,
    (pt.is_floating, _words(_whole_numbers)),
)  # of a category such as 0, 1; or a count
_TEXT: Kinds = tuple((is_type, _texts) for is_type in (pt.is_string, pt.is_large_string, pt.is_string_view))
_CONVERTS: Mapping[Kind, Kinds] = {
    Kind.STRING: (*_TEXT, *_WHOLE_TEXT),
    Kind.CATEGORY: _TEXT,
    Kind.NUMBER: ((pt.is_integer, _numbers), (pt.is_floating, _numbers), (pt.is_decimal, _decimals)),
    Kind.INTEGER: (
        (pt.is_integer, _values),
        (pt.is_floating, _whole_numbers),
        (pt.is_decimal, _whole_decimals),
    ),
    Kind.BOOLEAN: ((pt.is_boolean, _values),),
    Kind.DATE: (
        *((is_type, _texts_of_dates) for is_type, _ in _TEXT),
        (pt.is_date, _dates),
        (pt.is_timestamp, _dates_of_times),
    ),
    Kind.TIME: (*_TEXT, (pt.is_timestamp, _times)),
}
