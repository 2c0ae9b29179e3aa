"""CSV as the use case's `file` section says: separator, encoding, decimals, missing tokens.

A BOM and empty lines are skipped. A text in quotes may go over several lines; a row counts as its first line.
"""

import csv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from features.events import MAX_EVENT_BYTES, from_row, to_json
from features.usecase import EventType, UseCase
from pipeline.files import cells
from pipeline.files.source import CHUNK_ROWS, BadFile, BadRow, Rows, needed_columns, parted_columns, repeated

WITH_BOM = {"utf-8": "utf-8-sig"}  # reads both, with and without
csv.field_size_limit(MAX_EVENT_BYTES)  # of the process: by itself a text ends at 131,072 characters
Reader = Any  # csv.reader's type has no name


class Header(NamedTuple):
    """The names of the columns, and the line they are in."""

    line: int
    names: list[str]


class Cut(NamedTuple):
    """A piece of a file: rows with their first lines, and what stood between them that is no row."""

    lines: list[int]
    rows: list[list[str]]
    broken: list[BadRow]


def columns(use_case: UseCase, path: Path) -> list[str]:
    """Read the header with the separator that splits it best of those the use case declares."""
    formats = dict.fromkeys((t.file.encoding, t.file.separator) for t in use_case.event_types.values())
    headers, wrong = [], []
    for encoding, separator in formats:
        try:
            headers.append(_header(path, encoding, separator).names)
        except BadFile as error:  # quoted names and another separator
            wrong.append(error)
    if not headers:
        raise wrong[0]
    return max(headers, key=len)


def rows(use_case: UseCase, event_type: EventType, path: Path) -> Iterator[Rows]:
    """Yield the rows below the header. Raises BadFile for a header that does not fit."""
    file = event_type.file
    header = _header(path, file.encoding, file.separator)
    _check_header(use_case, event_type, path, header)
    with _open(path, file.encoding) as text:
        reader = csv.reader(text, delimiter=file.separator, strict=True)
        _first_row(reader)
        while (cut := _cut(reader, len(header.names))).lines or cut.broken:
            yield _converted(use_case, event_type, header.names, cut)


def _open(path: Path, encoding: str) -> TextIO:
    """Open the file. Bytes outside the encoding become surrogates: only the rows that have them are bad."""
    return path.open(encoding=WITH_BOM.get(encoding, encoding), errors="surrogateescape", newline="")


def _header(path: Path, encoding: str, separator: str) -> Header:
    with _open(path, encoding) as text:
        reader = csv.reader(text, delimiter=separator, strict=True)
        try:
            names = [name.strip() for name in _first_row(reader)]
        except csv.Error as error:
            raise BadFile(f"{path}: line {reader.line_num}: not a header of columns: {error}") from error
        return Header(max(reader.line_num, 1), names)


def _first_row(reader: Reader) -> list[str]:
    """Return the first row that is not an empty line; empty if there is none."""
    return next(filter(None, reader), [])


def _check_header(use_case: UseCase, event_type: EventType, path: Path, header: Header) -> None:
    names = header.names
    lacking = [column for column in needed_columns(event_type) if column not in names]
    twice = repeated(names)
    parted = parted_columns(event_type, names)
    wrong = f"lacks {', '.join(lacking or parted)}" if lacking or parted else ""
    wrong = wrong or (f"repeats {', '.join(twice)}" if twice else "")
    if wrong:
        found = f"found {', '.join(names) or 'nothing'}, separator {event_type.file.separator!r}"
        where = f"events.{event_type.name} of {use_case.file}"
        raise BadFile(
            f"{path}: line {header.line}: the header {wrong}; {found}; expected the fields of {where}"
        )


def _cut(reader: Reader, width: int) -> Cut:
    """Return the next rows, as many as a chunk has; none at the end of the file."""
    lines: list[int] = []
    rows: list[list[str]] = []
    broken: list[BadRow] = []
    while len(lines) + len(broken) < CHUNK_ROWS:
        line = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            detail = f"no CSV from here to the end of line {reader.line_num}: {error}"
            broken.append(BadRow(line, "undecodable", detail))
            continue
        if len(row) == width:
            lines.append(line)
            rows.append(row)
        elif row:
            detail = f"{len(row)} columns, expected {width} as in the header"
            broken.append(BadRow(line, "undecodable", detail))
    return Cut(lines, rows, broken)


def _converted(use_case: UseCase, event_type: EventType, names: list[str], cut: Cut) -> Rows:
    texts = dict(zip(names, map(list, zip(*cut.rows, strict=True)), strict=True)) if cut.rows else {}
    values, doubtful = cells.values(event_type, texts)
    bodies, strange = cells.bodies(values)
    return Rows(
        cut.lines, bodies, doubtful | strange, _again(use_case, event_type, names, cut.rows), cut.broken
    )


def _again(
    use_case: UseCase, event_type: EventType, names: list[str], good: list[list[str]]
) -> Callable[[int], bytes]:
    """One row by the use case's own reader, which says what is wrong."""
    return lambda i: to_json(from_row(use_case, event_type.name, dict(zip(names, good[i], strict=True))))
