"""The customers that a model has learned from: a sorted set of 64-bit hashes of their ids, 8 bytes each.

The hash is XXH3 (xxhash 0.8); the same one deals customers to the share that is set apart
(training.data.splits). Two ids
share a hash with a chance of 5e-20, so of a million customers asked about a set of a million about 5e-8 are mistaken.
The hash hides ids from the eye only: whoever has an id can ask whether it is in the set.
"""

from collections.abc import Iterable

import numpy as np
import xxhash
from numpy.typing import NDArray

from export.manifest import BundleMismatch

HASHES = 2.0**64
STORED = np.dtype("<u8")

Hashes = NDArray[np.uint64]


def hashes(ids: Iterable[str]) -> Hashes:
    """uint64 [n] of n ids."""
    return np.array([xxhash.xxh3_64_intdigest(id.encode()) for id in ids], np.uint64)


def is_set_apart(asked: Hashes, share: float) -> NDArray[np.bool_]:
    """[n] About that share of all customers; a smaller share is a part of a larger one."""
    return np.asarray(asked.astype(np.float64) < share * HASHES)


def encode(ids: Iterable[str]) -> bytes:
    """The file of a bundle."""
    return np.unique(hashes(ids)).astype(STORED).tobytes()


def decode(data: bytes) -> Hashes:
    """The sorted hashes of a bundle's file. Raises BundleMismatch if it is none."""
    if len(data) % STORED.itemsize:
        raise BundleMismatch(
            f"found {len(data)} bytes of customers learned from, expected 8 each; train again"
        )
    return np.frombuffer(data, STORED).astype(np.uint64)


def contains(learned: Hashes, asked: Hashes) -> NDArray[np.bool_]:
    """[n] Whether each of `asked` [n] is among the sorted `learned`."""
    if not len(learned):
        return np.zeros(len(asked), np.bool_)
    place = np.minimum(np.searchsorted(learned, asked), len(learned) - 1)
    return np.asarray(learned[place] == asked)
