"""Rows of files (all text) to events, with the dirtiness the use case declares; nothing else is forgiven."""

import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Any

import msgspec

from features.decoding import BadEvent, Codec, Event, dated, known_codec, wrong_field
from features.schema import Field, FileFormat, Kind
from features.usecase import UseCase

NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d{1,3})?", re.ASCII)
WHOLE_NUMBER = re.compile(r"[-+]?\d{1,18}", re.ASCII)


def from_row(
    use_case: UseCase, event_type: str, row: Mapping[str, str], published_us: int | None = None
) -> Event:
    """The event in one row of a file. Raises BadEvent with field, value and expectation.

    Columns nobody declared are ignored. A column that is not in the file counts as missing.
    """
    known = known_codec(use_case, event_type)
    t = known.event_type
    content: dict[str, Any] = {}
    for name, f in t.fields.items():
        text = _cell(row, name, t.file)
        if text is None:
            if not f.optional:
                raise BadEvent("invalid", f"{name}: missing, expected {f.words}")
        else:
            content[name] = _value(text, f, t.file)
    return dated(known, _converted(known, content), published_us, None)


def _converted(known: Codec, content: dict[str, Any]) -> Event:
    try:
        return msgspec.convert(content, known.struct)
    except ValueError as error:
        raise wrong_field(known, content, error) from None


def _cell(row: Mapping[str, str], name: str, file: FileFormat) -> str | None:
    """The field's text, stripped; None where missing."""
    columns = (file.columns or {}).get(name, (name,))
    texts = [(row.get(column) or "").strip() for column in columns]
    return None if any(text in file.missing or not text for text in texts) else " ".join(texts)


def _value(text: str, f: Field, file: FileFormat) -> Any:
    read = _READERS.get(f.kind, _text)
    try:
        return read(text, file)
    except ValueError as error:
        raise BadEvent("invalid", f"{f.name}: {text[:80]!r} is not {f.words}{error}") from None


def _text(text: str, _: FileFormat) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(" in Unicode; declare the file's encoding") from None
    return text


def _number(text: str, file: FileFormat) -> float:
    plain = text if file.decimal == "." else _decimal_point(text, file.decimal)
    if not NUMBER.fullmatch(plain):
        raise ValueError(f", written with {file.decimal!r} before the decimals")
    return float(plain)


def _decimal_point(text: str, decimal: str) -> str:
    if "." in text:
        raise ValueError(f", written with {decimal!r} before the decimals")
    return text.replace(decimal, ".", 1)


def _integer(text: str, _: FileFormat) -> int:
    if not WHOLE_NUMBER.fullmatch(text):
        raise ValueError("")
    return int(text)


def _boolean(text: str, file: FileFormat) -> bool:
    if text in file.true or text in file.false:
        return text in file.true
    raise ValueError(f", written {' or '.join((*file.true, *file.false))}")


def _date(text: str, file: FileFormat) -> str:
    for form in file.date_format:
        try:
            return (date.fromisoformat(text) if form == "%Y-%m-%d" else _day(text, form)).isoformat()
        except ValueError:
            continue
    raise ValueError(f", written as {' or '.join(file.date_format)}")


def _day(text: str, form: str) -> date:
    return datetime.strptime(text, form).date()


_READERS: dict[Kind, Callable[[str, FileFormat], Any]] = {
    Kind.NUMBER: _number,
    Kind.INTEGER: _integer,
    Kind.BOOLEAN: _boolean,
    Kind.DATE: _date,
}
