"""The bytes that every packed record begins with: the header, then the status of a subject's record.

Little endian. Stores and their scripts take magic, seq and level from here; nothing else of a record is read without
unpacking it.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from features.errors import Mismatch

MAGIC = b"RSR"
LAYOUT_VERSION = 1
HEADER = np.dtype(
    [
        ("magic", "S3"),
        ("layout_version", "u1"),
        ("fingerprint", "<u8"),  # of the features that the record holds
        ("seq", "<i8"),  # events applied; the version that compare-and-set looks at
        ("floor_us", "<i8"),  # time of the newest evicted event, or NO_FLOOR
        ("evicted", "<u4"),  # events that left the ring
        ("ring_length", "<u2"),  # events in the ring
        ("versions", "u1"),  # versions of the attributes
        ("flags", "u1"),  # VERSIONS_LOST and the forms that columns of the ring take
        ("tiles", "<u4"),
        ("wide_values", "<i8"),  # bit k: value column k holds float64, not hundredths
    ]
)
STATUS = np.dtype(
    [
        ("level", "u1"),
        ("recommendation", "u1"),
        ("override_level", "u1"),
        ("_pad", "u1"),
        ("streak", "<u4"),
        ("since_us", "<i8"),
        ("cooldown_until_us", "<i8"),
        ("override_until_us", "<i8"),
    ]
)
HEADER_BYTES, STATUS_BYTES = HEADER.itemsize, STATUS.itemsize
NO_FLOOR = np.iinfo(np.int64).min  # no event has been evicted
WIDE_TIMES, WIDE_SEQS, VERSIONS_LOST = 1, 2, 4  # flags


def _at(field: str) -> int:
    """Return the place of a header field in a record."""
    return int(HEADER.fields[field][1])  # type: ignore[index]


FINGERPRINT_AT, SEQ_AT, FLOOR_AT, EVICTED_AT, RING_LENGTH_AT, VERSIONS_AT, FLAGS_AT, TILES_AT, WIDE_VALUES_AT = map(
    _at, HEADER.names[2:]  # type: ignore[index]
)  # fmt: skip
STATUS_AT = LEVEL_AT = HEADER_BYTES  # the level is the first byte of the status
SEQ = slice(SEQ_AT, SEQ_AT + 8)
MAGIC_NUMBER = int.from_bytes(MAGIC + bytes([LAYOUT_VERSION]), "little")


class BadRecord(Mismatch):
    """A value in the store is not a record of this layout and fingerprint."""


def seq_of(blob: bytes) -> int:
    """Return the number of the latest event applied to a packed record; the version for compare-and-set."""
    return int.from_bytes(blob[SEQ], "little")


def seq_bytes(seq: int) -> bytes:
    """Return a seq as a record holds it, 8 bytes."""
    return int(seq).to_bytes(8, "little")


def statuses(blobs: Iterable[bytes]) -> NDArray[np.void]:
    """Return the status, STATUS [r], of each subject's packed record."""
    return np.frombuffer(b"".join(blob[STATUS_AT : STATUS_AT + STATUS_BYTES] for blob in blobs), STATUS)


def header_of(blob: bytes) -> np.void:
    """Return the header of a packed record, a HEADER scalar."""
    header: np.void = np.frombuffer(blob, HEADER, count=1)[0]
    return header
