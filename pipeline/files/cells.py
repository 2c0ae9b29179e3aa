"""Columns of a file to JSON bodies, a few thousand rows at once: the short way of `features.rows.from_row`.

Cells are read as `from_row` reads them. A row with any cell that is not plainly right is not decided here:
its position is returned, and `from_row` says what it is.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from functools import lru_cache
from typing import Any

import msgspec

from features.rows import NUMBER, WHOLE_NUMBER
from features.schema import EventType, FileFormat, Kind
from pipeline.files.source import columns_of

Read = Callable[[str], Any]  # raises ValueError or KeyError
REMEMBERED_DATES = 65_536  # dates repeat, strptime is slow


def bodies(columns: Mapping[str, Sequence[Any]]) -> tuple[list[bytes], set[int]]:
    """One JSON object a row of the values in `columns` (by field, None is missing), and the doubtful rows."""
    if not columns:
        return [], set()
    plain = _plain(tuple(columns))
    encode = msgspec.json.Encoder().encode
    try:
        return list(map(encode, map(plain, *columns.values()))), set()
    except UnicodeEncodeError:  # a byte that is not in the declared encoding
        pass
    found, doubtful = [], set()
    for i, row in enumerate(zip(*columns.values(), strict=True)):
        try:
            found.append(encode(plain(*row)))
        except UnicodeEncodeError:
            found.append(b"")
            doubtful.add(i)
    return found, doubtful


@lru_cache(maxsize=64)
def _plain(fields: tuple[str, ...]) -> type[msgspec.Struct]:
    """A struct of untyped values whose JSON leaves out what is missing."""
    members = [(f"_{i}", Any, None) for i in range(len(fields))]
    names = {f"_{i}": name for i, name in enumerate(fields)}
    return msgspec.defstruct("Plain", members, rename=names, omit_defaults=True, gc=False)


def values(event_type: EventType, texts: Mapping[str, list[str]]) -> tuple[dict[str, list[Any]], set[int]]:
    """Values by field from columns of text by their name in the file, and the doubtful rows."""
    file, doubtful = event_type.file, set[int]()
    found: dict[str, list[Any]] = {}
    for name, f in event_type.fields.items():
        columns = columns_of(event_type, name)
        if not set(columns) <= set(texts):
            continue
        whole = _joined([present(texts[column], file) for column in columns])
        reader = _READERS.get(f.kind)
        found[name] = _read_all(reader(file), whole, doubtful) if reader else whole
    return found, doubtful


def present(texts: Sequence[str | None], file: FileFormat) -> list[str | None]:
    """Stripped texts, None where missing."""
    missing = {*file.missing, "", None}
    stripped: list[str | None]
    try:
        stripped = list(map(str.strip, texts))  # type: ignore[arg-type]
    except TypeError:  # nulls of Parquet
        stripped = [text and text.strip() for text in texts]
    if missing.isdisjoint(stripped):
        return stripped
    return [None if text in missing else text for text in stripped]


def _joined(columns: list[list[str | None]]) -> list[str | None]:
    if len(columns) == 1:
        return columns[0]
    return [None if None in row else " ".join(map(str, row)) for row in zip(*columns, strict=True)]


def _read_all(read: Read, texts: list[str | None], doubtful: set[int]) -> list[Any]:
    try:
        return [text if text is None else read(text) for text in texts]
    except (ValueError, KeyError):
        return [_read(read, text, i, doubtful) for i, text in enumerate(texts)]


def _read(read: Read, text: str | None, row: int, doubtful: set[int]) -> Any:
    try:
        return text if text is None else read(text)
    except (ValueError, KeyError):
        doubtful.add(row)
        return None


def _number(file: FileFormat) -> Read:
    def read(text: str) -> float:
        if not NUMBER.fullmatch(text):
            raise ValueError
        return float(text)

    def read_replaced(text: str) -> float:
        if "." in text:
            raise ValueError
        return read(text.replace(file.decimal, ".", 1))

    return read if file.decimal == "." else read_replaced


def _integer(_: FileFormat) -> Read:
    def read(text: str) -> int:
        if not WHOLE_NUMBER.fullmatch(text):
            raise ValueError
        return int(text)

    return read


def _boolean(file: FileFormat) -> Read:
    return (dict.fromkeys(file.false, False) | dict.fromkeys(file.true, True)).__getitem__


@lru_cache(maxsize=64)
def _date(formats: tuple[str, ...]) -> Read:
    @lru_cache(maxsize=REMEMBERED_DATES)
    def read(text: str) -> str:
        for form in formats:
            try:
                iso = form == "%Y-%m-%d"
                return (date.fromisoformat(text) if iso else datetime.strptime(text, form).date()).isoformat()
            except ValueError:
                continue
        raise ValueError

    return read


_READERS: Mapping[Kind, Callable[[FileFormat], Read]] = {
    Kind.NUMBER: _number,
    Kind.INTEGER: _integer,
    Kind.BOOLEAN: _boolean,
    Kind.DATE: lambda file: _date(file.date_format),
}
