"""Packed records that cannot be unpacked are refused here, before compiled code reads them.

A record passes if its header and its tiles agree with its length. What else may be damaged gives other figures, but
leads no compiled function out of its memory; `codec.unpack` looks at the times and lanes of the ring.
"""

import numpy as np
from numpy.typing import NDArray

from features.kernel import header
from features.kernel import layout as at
from features.kernel.header import BadRecord
from features.kernel.jit import compiled
from features.kernel.packing import get_i64, get_u16, get_u32, pad
from features.kernel.sections import EVER_BYTES, tile_bytes

MOST_EVENTS = 1 << 62  # seqs still fit an int64 when more events come
LEVELS = 3  # LOW, MEDIUM, HIGH; so many recommendations, too: NONE, OPEN, HELD
UNSOUND = "damaged record: its ring has times out of order or out of range, or lanes that the use case does not have"


@compiled
def ring_length(buffer, offset):
    """Return the number of events in the ring of the packed record at `offset`."""
    return np.int64(get_u16(buffer, offset + header.RING_LENGTH_AT))


@compiled
def _fixed_size(p, buffer):
    """Return the bytes of a record before its tiles, by its header."""
    n, flags = ring_length(buffer, 0), np.int64(buffer[header.FLAGS_AT])
    wide_values = get_i64(buffer, header.WIDE_VALUES_AT)
    size = header.HEADER_BYTES + (header.STATUS_BYTES if p[at.IS_SUBJECT] else 0)
    size += buffer[header.VERSIONS_AT] * (8 + 8 * (p[at.ATTRIBUTES] + p[at.SOURCES]))
    size += 8 * n + 8 + pad(4 * n) + pad((4 if flags & header.WIDE_TIMES else 2) * n)
    size += pad((4 if flags & header.WIDE_SEQS else 2) * n)
    size += pad(((p[at.LANES] + 7) // 8 + p[at.DISTINCTS]) * n)
    for column in range(p[at.VALUES]):
        size += 8 * n if (wide_values >> column) & 1 else pad(4 * n)
    size += pad(n) + (pad(4 * n) if p[at.IS_SUBJECT] else 0)
    return size + (p[at.EVER_LANES] * EVER_BYTES if get_u32(buffer, header.EVICTED_AT) else 0)


@compiled
def expected_size(p, buffer):
    """Return the bytes of the record that `buffer` begins with, by its header and tiles; -1 if it cannot be one."""
    if len(buffer) < header.HEADER_BYTES or ring_length(buffer, 0) > at.RING_LIMIT:
        return -1
    if buffer[header.VERSIONS_AT] > at.VERSIONS_LIMIT:
        return -1
    offset, track, age = _fixed_size(p, buffer), -1, 0
    for _ in range(get_u32(buffer, header.TILES_AT)):
        if offset + 8 > len(buffer):
            return -1
        before, age_before = track, age
        track, age = get_u16(buffer, offset), get_u16(buffer, offset + 2)
        if not (before < track < p[at.TRACKS] or (track == before and age < age_before)):
            return -1
        if age >= p[p[at.TRACK_SPAN] + track]:
            return -1
        offset += tile_bytes(p[p[at.TRACK_NEEDS] + track])
    return offset


@compiled
def _is_possible(p, record):
    """Return whether seq and status are such as the program writes."""
    if not 0 <= get_i64(record, header.SEQ_AT) < MOST_EVENTS:
        return False
    if not p[at.IS_SUBJECT]:
        return True
    if len(record) < header.HEADER_BYTES + header.STATUS_BYTES:
        return False
    level, recommendation, override = record[header.STATUS_AT : header.STATUS_AT + 3]
    return level < LEVELS and recommendation < LEVELS and override < LEVELS


@compiled
def _first_bad(p, read, read_at):
    """Return the number of the first record that cannot be unpacked, or -1."""
    for r in range(len(read_at) - 1):
        record = read[read_at[r] : read_at[r + 1]]
        if len(record) == 0:
            continue
        if len(record) < header.HEADER_BYTES or get_u32(record, 0) != header.MAGIC_NUMBER:
            return r
        if get_i64(record, header.FINGERPRINT_AT) != p[at.FINGERPRINT]:
            return r
        if not _is_possible(p, record) or expected_size(p, record) != len(record):
            return r
    return -1


def _complaint(p: NDArray[np.int64], blob: bytes) -> str:
    """Return why a record is refused: what was found and what was expected."""
    if len(blob) < header.HEADER_BYTES or not blob.startswith(header.MAGIC):
        return f"not a record: {len(blob)} bytes that start with {blob[:4]!r}, expected {header.MAGIC!r} and a header"
    head = header.header_of(blob)
    if head["layout_version"] != header.LAYOUT_VERSION:
        return f"record of layout version {head['layout_version']}, this program reads version {header.LAYOUT_VERSION}"
    fingerprint, expected = int(head["fingerprint"]), int(p[at.FINGERPRINT].view(np.uint64))
    if fingerprint != expected:
        return (
            f"record of fingerprint {fingerprint:016x}, the use case has {expected:016x}; backfill a new one"
        )
    buffer = np.frombuffer(blob, np.uint8)
    if not _is_possible(p, buffer):
        return f"damaged record: {len(blob)} bytes, its seq or status cannot be"
    return f"damaged record: {len(blob)} bytes, its header says {expected_size(p, buffer)}"


def check(p: NDArray[np.int64], read: NDArray[np.uint8], read_at: NDArray[np.int64]) -> None:
    """Raise BadRecord unless every record in `read` (record i at read_at[i:i + 2]; empty: none) can be unpacked."""
    bad = _first_bad(p, read, read_at)
    if bad >= 0:
        raise BadRecord(_complaint(p, read[read_at[bad] : read_at[bad + 1]].tobytes()))
