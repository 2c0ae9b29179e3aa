"""Files of audit records that wait for BigQuery: a JSON object a line, locked by the process that owns the file."""

import fcntl
import logging
import os
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import msgspec

ENDING = ".jsonl"
UNREADABLE = ".unreadable"

logger = logging.getLogger(__name__)


class AuditRecord(msgspec.Struct, omit_defaults=True):
    """One row of the table `audit`; `answered_at` is int64 microseconds since 1970 UTC."""

    id: str
    answered_at: int
    use_case: str
    action: str
    status: int
    caller: str | None = None
    role: str | None = None
    customer: str | None = None
    event_type: str | None = None
    event_id: str | None = None
    author: str | None = None
    address: str | None = None
    trace_id: str | None = None


DECODER = msgspec.json.Decoder(AuditRecord)


@dataclass
class AuditFile:
    """One file of audit records."""

    path: Path
    descriptor: int
    size_bytes: int = 0
    records: int = 0
    oldest_us: int = 0

    @classmethod
    def new(cls, folder: Path) -> Self:
        """Create an empty file. Raises OSError."""
        path = folder / f"{time.time_ns()}-{uuid.uuid4().hex}{ENDING}"
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_APPEND, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return cls(path, descriptor)

    def add(self, line: bytes, answered_us: int) -> None:
        """Append one record. Raises OSError, and leaves the file as it was."""
        written = os.write(self.descriptor, line)
        if written < len(line):
            os.ftruncate(self.descriptor, self.size_bytes)
            raise OSError("the disk is full")
        self.size_bytes += len(line)
        self.records += 1
        self.oldest_us = self.oldest_us or answered_us

    def read(self) -> list[AuditRecord]:
        """Return the records. Bytes after the last line break belong to a request that was never answered."""
        text = os.pread(self.descriptor, self.size_bytes, 0)
        return DECODER.decode_lines(text[: text.rfind(b"\n") + 1])

    def close(self, drop: bool) -> None:
        """Unlock the file for another process, or delete it if `drop`."""
        if drop:
            self.path.unlink(missing_ok=True)
        os.close(self.descriptor)


def left_behind(folder: Path) -> Iterator[AuditFile]:
    """Yield the files of ended processes, the oldest first, locked for this process. Raises OSError."""
    for path in sorted(folder.glob(f"*{ENDING}")):
        segment = _taken(path)
        if segment is None:
            continue
        try:
            records = segment.read()
        except msgspec.MsgspecError as error:
            path.rename(path.with_suffix(UNREADABLE))
            segment.close(drop=False)
            logger.warning("%s is no file of audit records, and is set aside: %s", path, error)
            continue
        segment.records = len(records)
        segment.oldest_us = records[0].answered_at if records else 0
        yield segment


def _taken(path: Path) -> AuditFile | None:
    """Open and lock a file; None while its process lives, or if another process was faster."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return AuditFile(path, descriptor, os.fstat(descriptor).st_size)
