"""Rows in temporary files, when memory has no room for them: Arrow IPC messages, read once.

The files have no name, so the system frees them however the process ends. Nothing is lost by that: the messages that
the rows follow from are not acknowledged.
"""

import logging
import os
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

FILE_BYTES = 64 << 20  # a file is freed when all of it has been read

logger = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class SpillFile:
    """A file, and how much of it has been written and not yet been read."""

    number: int  # of the open file
    end: int = 0  # offset of what comes next
    unread_bytes: int = 0


@dataclass(frozen=True, slots=True)
class SpillPlace:
    """The place of one table's rows in a file."""

    offset: int
    size_bytes: int
    schema: pa.Schema


@dataclass(slots=True, eq=False)
class SpilledRows:
    """Rows in a file, by table."""

    spill: "Spill"
    file: SpillFile
    places: dict[str, SpillPlace] = field(default_factory=dict)

    def take(self) -> Mapping[str, pa.RecordBatch]:
        """Read the rows and free their room."""
        rows = {}
        for table, place in self.places.items():
            message = os.pread(self.file.number, place.size_bytes, place.offset)
            rows[table] = pa.ipc.read_record_batch(pa.py_buffer(message), place.schema)
        self.spill.free(self)
        return rows

    @property
    def size_bytes(self) -> int:
        return sum(place.size_bytes for place in self.places.values())


class Spill:
    """Temporary files of rows. Safe for threads.

    `size_bytes` is what waits in them; `has_failed` while the disk takes no more.
    """

    def __init__(self, folder: Path) -> None:
        """Write into `folder` if it exists when it is needed, else where the system has temporary files."""
        self.size_bytes = 0
        self.has_failed = False
        self._folder = folder
        self._current: SpillFile | None = None
        self._files: set[SpillFile] = set()
        self._lock = threading.Lock()

    def store(self, rows: Mapping[str, pa.RecordBatch]) -> SpilledRows | None:
        """Write rows; None if the disk takes no more."""
        with self._lock:
            try:
                stored = SpilledRows(self, self._open())
                for table, batch in rows.items():
                    self._write(stored, table, batch)
            except OSError as error:
                logger.warning("rows cannot be written to a temporary file: %s", error)
                self.has_failed = True
                return None
            self.size_bytes += stored.size_bytes
            stored.file.unread_bytes += stored.size_bytes
        return stored

    def free(self, stored: SpilledRows) -> None:
        """Give up the room of rows that have been read."""
        with self._lock:
            self.size_bytes -= stored.size_bytes
            stored.file.unread_bytes -= stored.size_bytes
            if not stored.file.unread_bytes:
                self._drop(stored.file)
            self.has_failed = False

    def close(self) -> None:
        """Give up all rows."""
        with self._lock:
            for file in list(self._files):
                self._drop(file)
            self.size_bytes = 0

    def _open(self) -> SpillFile:
        if self._current is None or self._current.end >= FILE_BYTES:
            folder = self._folder if self._folder.is_dir() else None
            number, name = tempfile.mkstemp(prefix="rows-", dir=folder)
            os.unlink(name)
            self._current = SpillFile(number)
            self._files.add(self._current)
        return self._current

    def _write(self, stored: SpilledRows, table: str, batch: pa.RecordBatch) -> None:
        file, message = stored.file, memoryview(batch.serialize())
        begin = file.end
        while message:  # a call writes what the disk has room for
            written = os.pwrite(file.number, message, file.end)
            message, file.end = message[written:], file.end + written
        stored.places[table] = SpillPlace(begin, file.end - begin, batch.schema)

    def _drop(self, file: SpillFile) -> None:
        os.close(file.number)
        self._files.discard(file)
        if file is self._current:
            self._current = None
