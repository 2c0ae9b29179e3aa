"""The first rows of a CSV, JSONL or Parquet file as columns of text, with how the file is written."""

import csv
import re
from collections import Counter
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.types as pt

from pipeline.files import BadFile

MAX_ROWS = 200_000  # enough to see rare values; more would take long and change little
LOOKED_AT_BYTES = 1_000_000  # to tell an encoding and a separator
SEPARATORS = (",", ";", "\t", "|")
TEXT, NUMBER, INTEGER, BOOLEAN, TIME, DATE = "text", "number", "integer", "boolean", "time", "date"
JSON_TEXT = "text of JSON"  # published as it stands, so no word of it stands for a number or a missing value
ARROW_TYPES = (
    (pt.is_boolean, BOOLEAN),
    (pt.is_integer, INTEGER),
    (pt.is_floating, NUMBER),
    (pt.is_decimal, NUMBER),
    (pt.is_timestamp, TIME),
    (pt.is_date, DATE),
    (pt.is_string, TEXT),
    (pt.is_large_string, TEXT),
)


@dataclass(frozen=True)
class Column:
    """One column: `values` has a stripped text for each row, "" where nothing is; `stored` is the type in the file."""

    name: str
    stored: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Sample:
    """The first rows of a file, at most MAX_ROWS."""

    path: Path
    columns: tuple[Column, ...]
    rows: int
    is_whole: bool  # False: the file has more rows
    separator: str = ","
    encoding: str = "utf-8"
    left_out: tuple[str, ...] = ()  # columns whose values are no single values

    @property
    def event_type(self) -> str:
        """The file's name as a name of an event type."""
        name = re.sub(r"\W+", "_", self.path.name.split(".")[0], flags=re.ASCII).strip("_").lower()
        return name if name[:1].isalpha() else f"event_{name}".strip("_")


def sample(path: Path) -> Sample:
    """Read the first rows of a file. Raises BadFile for a file that cannot be read or has no rows."""
    readers = {".csv": _csv, ".jsonl": _jsonl, ".ndjson": _jsonl, ".parquet": _parquet}
    if path.suffix.lower() not in readers:
        raise BadFile(f"{path}: found the ending {path.suffix!r}, expected one of {', '.join(readers)}")
    try:
        read = readers[path.suffix.lower()](path)
    except (OSError, UnicodeDecodeError, csv.Error, pa.ArrowException) as error:
        raise BadFile(f"{path}: cannot be read: {error}") from error
    if not read.rows or not read.columns:
        raise BadFile(f"{path}: found no row below the header; a draft needs some data")
    return read


def _csv(path: Path) -> Sample:
    encoding = _encoding(path)
    with path.open(encoding=encoding, newline="") as file:
        separator = _separator(file.read(LOOKED_AT_BYTES).splitlines()[:100])
        file.seek(0)
        rows = csv.reader(file, delimiter=separator)
        names = [name.strip() for name in next(filter(None, rows), [])]
        if repeated := [name for name, times in Counter(names).items() if times > 1 or not name]:
            raise BadFile(f"{path}: the header repeats or lacks a name: {', '.join(map(repr, repeated))}")
        content = [row for row in islice(rows, MAX_ROWS + 1) if len(row) == len(names)]
    kept = content[:MAX_ROWS]
    columns = tuple(Column(name, TEXT, tuple(row[i].strip() for row in kept)) for i, name in enumerate(names))
    return Sample(path, columns, len(kept), len(content) <= MAX_ROWS, separator, encoding)


def _encoding(path: Path) -> str:
    """UTF-8 with or without a BOM where the whole file is UTF-8, else the usual one of spreadsheets."""
    content = path.read_bytes()
    if content.startswith(b"\xef\xbb\xbf"):
        return "utf-8-sig"
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8"


def _separator(lines: list[str]) -> str:
    """The separator that cuts the header into most parts and most lines into as many."""
    if not lines:
        return ","

    def fit(separator: str) -> tuple[int, int]:
        widths = [len(row) for row in csv.reader(lines, delimiter=separator) if row]
        return (sum(width == widths[0] for width in widths), widths[0]) if widths[0] > 1 else (0, 0)

    return max(SEPARATORS, key=fit)


def _jsonl(path: Path) -> Sample:
    objects, is_whole = list[dict[str, object]](), True
    with path.open("rb") as file:
        for line, text in enumerate(file, 1):
            if len(objects) == MAX_ROWS:
                is_whole = False
                break
            if text.strip():
                objects.append(_object(path, line, text))
    names = dict.fromkeys(name for each in objects for name in each)
    values = {name: [each.get(name) for each in objects] for name in names}
    stored = {name: _json_type(column) for name, column in values.items()}
    columns = tuple(
        Column(name, stored[name], tuple(map(_text, values[name]))) for name in names if stored[name]
    )
    left_out = tuple(name for name in names if not stored[name])
    return Sample(path, columns, len(objects), is_whole, left_out=left_out)


def _object(path: Path, line: int, text: bytes) -> dict[str, object]:
    try:
        return msgspec.json.decode(text.removeprefix(b"\xef\xbb\xbf"), type=dict[str, object])
    except (ValueError, RecursionError) as error:
        raise BadFile(f"{path}: line {line}: expected one JSON object a line: {error}") from None


def _json_type(values: list[object]) -> str:
    """The one type of all values that are there; empty if there are several, or lists or objects."""
    types = {type(value) for value in values if value is not None}
    if types <= {str}:
        return JSON_TEXT
    if types == {bool}:
        return BOOLEAN
    if types == {int}:
        return INTEGER
    return NUMBER if types <= {int, float} else ""


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None or value != value else str(value).strip()


def _parquet(path: Path) -> Sample:
    file = pq.ParquetFile(path)
    batch = next(file.iter_batches(batch_size=MAX_ROWS), None)
    rows = batch.num_rows if batch is not None else 0
    columns, left_out = list[Column](), list[str]()
    for field in file.schema_arrow:
        plain = field.type.value_type if pt.is_dictionary(field.type) else field.type
        stored = next((name for is_type, name in ARROW_TYPES if is_type(plain)), "")
        if not stored or batch is None:
            left_out.append(field.name)
            continue
        array = batch.column(field.name)
        values = tuple(map(_text, array.to_pylist()))
        columns.append(Column(field.name, stored, values))
    return Sample(path, tuple(columns), rows, rows == file.metadata.num_rows, left_out=tuple(left_out))
