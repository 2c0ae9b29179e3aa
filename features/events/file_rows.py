"""Rows of files, all text, to events, with the dirt that the use case declares; nothing else is accepted.

`reader` reads one cell; `from_row` reads a row with it, and `pipeline.files` whole columns.
"""

import math
import re
from collections.abc import Callable, Mapping
from datetime import date
from functools import lru_cache
from typing import Any

from features.events.content import converted
from features.events.decoding import dated
from features.events.structs import BadEvent, Event, days, known_codec
from features.times import parsed
from features.usecase import Field, FileFormat, Kind, UseCase

NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?", re.ASCII)
WHOLE_NUMBER = re.compile(r"[-+]?\d+", re.ASCII)
MAX_DIGITS = 400  # float64 ends at 309; Python refuses thousands
ISO_DATE = "%Y-%m-%d"
REMEMBERED_DATES = 65_536  # dates repeat, strptime is slow

Cell = Callable[[str], Any]  # raises ValueError; its text follows the field's words in the message


def from_row(
    use_case: UseCase, event_type: str, row: Mapping[str, str], published_us: int | None = None
) -> Event:
    """Return the event in one row of a file. Raises BadEvent with field, value and expectation.

    Undeclared columns are ignored. A column that is not in the file counts as missing.
    """
    known = known_codec(use_case, event_type)
    t = known.event_type
    content: dict[str, Any] = {}
    for name, f in t.fields.items():
        text = _cell(row, f, t.file)
        if text is None:
            if not f.optional:
                raise BadEvent("invalid", f"{name}: missing, expected {f.words}")
        else:
            content[name] = _value(text, f, t.file)
    return dated(known, converted(known, content), published_us, None)


def columns_of(file: FileFormat, field: str) -> tuple[str, ...]:
    """Return the columns of a file that hold a field; several are joined by a blank."""
    return (file.columns or {}).get(field, (field,))


def _cell(row: Mapping[str, str], f: Field, file: FileFormat) -> str | None:
    """Return the field's text, stripped; None if missing. Raises BadEvent if a part of it is missing."""
    columns = columns_of(file, f.name)
    texts = [(row.get(column) or "").strip() for column in columns]
    empty = [
        column for column, text in zip(columns, texts, strict=True) if text in file.missing_values or not text
    ]
    if not empty:
        return " ".join(texts)
    if len(empty) < len(columns):
        expected = f"expected {f.words} of the columns {', '.join(columns)} together, or all of them empty"
        raise BadEvent("invalid", f"{f.name}: {', '.join(empty)} is empty; {expected}")
    return None


def refuse_broken(text: str, f: Field) -> None:
    """Raise BadEvent for a text with bytes that the file's encoding does not have."""
    try:
        text.encode()
    except UnicodeEncodeError:
        problem = f"{text[:80]!r} is not {f.words} in Unicode"
        raise BadEvent("undecodable", f"{f.name}: {problem}; declare the file's encoding") from None


def _value(text: str, f: Field, file: FileFormat) -> Any:
    refuse_broken(text, f)
    try:
        return reader(f.kind, file)(text)
    except ValueError as error:
        raise BadEvent("invalid", f"{f.name}: {text[:80]!r} is not {f.words}{error}") from None


def reader(kind: Kind, file: FileFormat) -> Cell:
    """Return the reader of cells with such a field."""
    return _READERS[kind](file) if kind in _READERS else str


def _number(file: FileFormat) -> Cell:
    def read(text: str) -> float:
        if not NUMBER.fullmatch(text):
            raise ValueError(f", written with {file.decimal!r} before the decimals")
        value = float(text)
        if not math.isfinite(value):
            raise ValueError(" that a float64 holds")
        return (
            value if value else abs(value) if WHOLE_NUMBER.fullmatch(text) else value
        )  # -0 is a whole number

    return _with_point(read, file)


def _with_point(read: Cell, file: FileFormat) -> Cell:
    """Return a reader of numbers with the declared decimal sign; `read` reads those with a point."""

    def read_replaced(text: str) -> Any:
        if "." in text:
            raise ValueError(f", written with {file.decimal!r} before the decimals")
        return read(text.replace(file.decimal, ".", 1))

    return read if file.decimal == "." else read_replaced


def _integer(file: FileFormat) -> Cell:
    def read(text: str) -> int:
        is_whole = WHOLE_NUMBER.fullmatch(text) and len(text) <= MAX_DIGITS
        value = int(text) if is_whole else float(text) if NUMBER.fullmatch(text) else math.nan
        if value != value // 1 or abs(value) >= 2**63:  # nan is no number at all; JSON ends at 64 bits
            raise ValueError("")
        return int(value)

    return _with_point(read, file)


def _boolean(file: FileFormat) -> Cell:
    words = dict.fromkeys(file.false_values, False) | dict.fromkeys(file.true_values, True)

    def read(text: str) -> bool:
        if text not in words:
            raise ValueError(f", written {' or '.join((*file.true_values, *file.false_values))}")
        return words[text]

    return read


@lru_cache(maxsize=64)
def _dates(formats: tuple[str, ...]) -> Cell:
    @lru_cache(maxsize=REMEMBERED_DATES)
    def read(text: str) -> str:
        for form in formats:
            try:
                return _day(text, form).isoformat()
            except ValueError:
                continue
        raise ValueError(f", written as {' or '.join(formats)}")

    return read


def _day(text: str, form: str) -> date:
    if form != ISO_DATE:
        return parsed(text, form).date()
    days(text)
    return date.fromisoformat(text)


_READERS: Mapping[Kind, Callable[[FileFormat], Cell]] = {
    Kind.NUMBER: _number,
    Kind.INTEGER: _integer,
    Kind.BOOLEAN: _boolean,
    Kind.DATE: lambda file: _dates(file.date_format),
}
