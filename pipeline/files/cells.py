"""Columns of a file to JSON bodies, a few thousand rows at once: the short way of `features.events.file_rows.from_row`.

Each cell is read by the same reader. A row with any cell that is not plainly right is not decided here: its
position is returned, and `from_row` says what it is.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from features.events import Cell, columns_of, reader
from features.usecase import EventType, FileFormat


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
    """Read columns of text, by their names in the file, into values by field; return also the doubtful rows."""
    file, doubtful = event_type.file, set[int]()
    by_field: dict[str, list[Any]] = {}
    for name, f in event_type.fields.items():
        columns = columns_of(file, name)
        if set(columns) <= set(texts):
            texts_joined = _joined([present(texts[column], file) for column in columns], doubtful)
            read = reader(f.kind, file)
            by_field[name] = texts_joined if read is str else read_all(read, texts_joined, doubtful)
    return by_field, doubtful


def present(texts: Sequence[str | None], file: FileFormat) -> list[str | None]:
    """Stripped texts, None where missing."""
    missing = {*file.missing_values, "", None}
    stripped: list[str | None]
    try:
        stripped = list(map(str.strip, texts))  # type: ignore[arg-type]
    except TypeError:  # nulls of Parquet
        stripped = [text and text.strip() for text in texts]
    if missing.isdisjoint(stripped):
        return stripped
    return [None if text in missing else text for text in stripped]


def _joined(columns: list[list[str | None]], doubtful: set[int]) -> list[str | None]:
    """Join columns by a blank; rows that have only some of them are doubtful."""
    if len(columns) == 1:
        return columns[0]
    joined: list[str | None] = []
    for i, row in enumerate(zip(*columns, strict=True)):
        there = [text for text in row if text is not None]
        joined.append(" ".join(there) if len(there) == len(row) else None)
        if 0 < len(there) < len(row):
            doubtful.add(i)
    return joined


def read_all(read: Cell, texts: list[str | None], doubtful: set[int]) -> list[Any]:
    """Read cells; None where there is none, or where one is wrong, which makes its row doubtful."""
    try:
        return [text if text is None else read(text) for text in texts]
    except ValueError:
        return [_read(read, text, i, doubtful) for i, text in enumerate(texts)]


def _read(read: Cell, text: str | None, row: int, doubtful: set[int]) -> Any:
    try:
        return text if text is None else read(text)
    except ValueError:
        doubtful.add(row)
        return None
