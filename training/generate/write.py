"""Columns of numbers written as CSV files: identifiers, amounts and times as the real files spell them.

Files appear whole: they are written under a temporary name and renamed. Text is made in slices, to bound memory.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.random import Generator
from numpy.typing import NDArray
from pyarrow import csv

from training.generate.calendar import Times

Uuids = NDArray[np.uint8]  # (n, 16) bytes

UUID_CHARACTERS: Final = 36
UUID_DIGITS_AT: Final = np.array([i for i in range(UUID_CHARACTERS) if i not in (8, 13, 18, 23)])
HEX_PAIRS: Final = np.array([list(f"{byte:02x}".encode()) for byte in range(256)], np.uint8)
CENTS_TEXT: Final = pa.array(["", *(f".{cents:02d}".rstrip("0") for cents in range(1, 100))])
TIME_FORMAT: Final = "%Y-%m-%d %H:%M:%S"
REFERENCE_MIX: Final = np.uint64(0x9E3779B97F4A7C15)  # odd, so that no two references become one


def random_uuids(n: int, rng: Generator) -> Uuids:
    """Version 4 identifiers."""
    return _as_version_4(rng.integers(0, 256, (n, 16), np.uint8))


def reference_uuids(references: NDArray[np.uint64]) -> Uuids:
    """The identifier a reference number stands for; equal numbers give equal identifiers."""
    words = np.stack([references, references * REFERENCE_MIX], axis=1).astype(">u8")
    return _as_version_4(words.view(np.uint8))


def uuid_texts(uuids: Uuids) -> pa.Array:
    """The usual 8-4-4-4-12 spelling."""
    characters = np.full((len(uuids), UUID_CHARACTERS), ord("-"), np.uint8)
    characters[:, UUID_DIGITS_AT] = HEX_PAIRS[uuids].reshape(len(uuids), 32)
    offsets = np.arange(len(uuids) + 1, dtype=np.int32) * UUID_CHARACTERS
    return pa.StringArray.from_buffers(len(uuids), pa.py_buffer(offsets), pa.py_buffer(characters))


def time_texts(times: Times) -> pa.Array:
    """`2024-08-26 09:05:33.016947 UTC`, a last zero dropped, empty for time 0."""
    stamps = pa.array(times, pa.timestamp("us"), mask=times == 0)
    trimmed = pc.replace_substring_regex(pc.strftime(stamps, TIME_FORMAT), "0$", "")
    return pc.fill_null(pc.binary_join_element_wise(trimmed, "UTC", " "), "")


def amount_texts(cents: Times) -> pa.Array:
    """Euros without needless zeros: 12.5, 17, 0.99."""
    euros = pa.array(cents // 100).cast(pa.string())
    return pc.binary_join_element_wise(euros, CENTS_TEXT.take(pa.array(cents % 100)), "")


def choice_texts(codes: NDArray[np.integer], values: Sequence[str]) -> pa.Array:
    """Values by position."""
    return pa.array(values, pa.string()).take(pa.array(codes))


def write_csv(path: Path, columns: Sequence[str], slices: Iterable[Sequence[pa.Array]]) -> None:
    """A comma-separated UTF-8 file whose texts need no quotes, atomically."""
    partial = path.with_name(path.name + ".partial")
    options = csv.WriteOptions(include_header=False, quoting_style="none")
    with partial.open("wb") as sink:
        sink.write((",".join(columns) + "\n").encode())
        for arrays in slices:
            csv.write_csv(pa.table(list(arrays), names=list(columns)), sink, options)
    partial.replace(path)


def _as_version_4(raw: Uuids) -> Uuids:
    raw[:, 6] = raw[:, 6] & 0x0F | 0x40
    raw[:, 8] = raw[:, 8] & 0x3F | 0x80
    return raw
