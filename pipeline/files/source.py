"""Places of history, chunks of their rows, and faults of files and rows, whatever the format."""

import re
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from features.errors import BadInput
from features.events import columns_of
from features.usecase import EventType

CHUNK_ROWS = 4_000  # some megabytes of text; larger is no faster
TABLE = "bq://"


class BadFile(BadInput):
    """A whole file or table cannot be read as the use case says; the message says what was expected."""


@dataclass(frozen=True)
class WarehouseTable:
    """A table of BigQuery, shown as bq://PROJECT.DATASET.TABLE."""

    project: str
    dataset: str
    name: str

    def __str__(self) -> str:
        return f"{TABLE}{self.project}.{self.dataset}.{self.name}"

    @property
    def path(self) -> str:
        """The name of the table in the API."""
        return f"projects/{self.project}/datasets/{self.dataset}/tables/{self.name}"


@dataclass(frozen=True)
class Named:
    """A file or table whose event type is told and not found by its columns, shown as TYPE=PLACE."""

    event_type: str
    place: Path | WarehouseTable

    def __str__(self) -> str:
        return f"{self.event_type}={self.place}"


Place = Path | WarehouseTable | Named  # where rows are


def place(text: str | Place) -> Place:
    """Return the file or table meant, with TYPE= before it or not. Raises BadFile for a table without three names."""
    if not isinstance(text, str):
        return text
    named = re.fullmatch(r"([A-Za-z]\w*)=(.+)", text)
    if named and not Path(text).exists():
        return Named(named[1], _unnamed(named[2]))
    return _unnamed(text)


def _unnamed(text: str) -> Path | WarehouseTable:
    if not text.startswith(TABLE):
        return Path(text)
    match = re.fullmatch(
        r"([\w.:-]+)\.(\w+)\.([\w$-]+)", text.removeprefix(TABLE)
    )  # example.com:project is one
    if not match:
        raise BadFile(f"{text}: expected {TABLE}PROJECT.DATASET.TABLE")
    return WarehouseTable(*match.groups())


@dataclass(frozen=True)
class BadRow:
    """`reason` is the dead letter's that it would have become: undecodable, invalid, from_future."""

    line: int
    reason: str
    detail: str


@dataclass(frozen=True)
class Rows:
    """Rows as JSON bodies, not yet decoded; `broken` are the rows between them that are no rows at all.

    The bodies of `doubtful` rows are not to be used: `again` gives the body by a slower, surer way or raises
    BadEvent.
    """

    lines: list[int]
    bodies: list[bytes]
    doubtful: set[int]
    again: Callable[[int], bytes]
    broken: list[BadRow]


def needed_columns(event_type: EventType) -> list[str]:
    """Return the columns that a file of such events must have."""
    needed = [name for name, f in event_type.fields.items() if not f.optional]
    return [column for name in needed for column in columns_of(event_type.file, name)]


def parted_columns(event_type: EventType, columns: Collection[str]) -> list[str]:
    """Yield the faults of fields made of several columns of which the file has only some."""
    wrong = []
    for name in event_type.fields:
        parts = columns_of(event_type.file, name)
        lacking = [part for part in parts if part not in columns]
        if 0 < len(lacking) < len(parts):
            wrong.append(f"{', '.join(lacking)}, without which {name} has only a part of {', '.join(parts)}")
    return wrong


def repeated(columns: Sequence[str]) -> list[str]:
    """Return names that several columns have: nobody can tell which of them is meant."""
    return sorted(name for name, times in Counter(columns).items() if times > 1)
