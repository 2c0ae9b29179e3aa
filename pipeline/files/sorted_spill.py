"""Events of a file on their way into event-time order: their texts wait in a temporary file, not in memory.

What stays in memory is some 32 bytes an event. Equal times keep the order of the file.
"""

import mmap
from collections.abc import Iterator
from tempfile import TemporaryFile
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from pipeline.files import Chunk

CHUNK_EVENTS = 4_000


class Spool:
    """Chunks in, in file order; chunks out, in event-time order. A context manager that frees the disk."""

    def __init__(self) -> None:
        self._file = TemporaryFile(prefix="riskstream-")  # noqa: SIM115 - closed by __exit__
        self._times: list[NDArray[np.int64]] = [np.empty(0, np.int64)]
        self._sizes: list[NDArray[np.int64]] = [np.empty((0, 3), np.int64)]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, chunk: Chunk) -> None:
        ids, subjects = ([text.encode() for text in column] for column in (chunk.ids, chunk.subjects))
        parts = [part for row in zip(chunk.bodies, ids, subjects, strict=True) for part in row]
        self._file.write(b"".join(parts))
        self._sizes.append(np.fromiter(map(len, parts), np.int64, len(parts)).reshape(-1, 3))
        self._times.append(chunk.time_us)

    def chunks(self, order: NDArray[np.intp] | None = None) -> Iterator[Chunk]:
        """All events in event-time order, or in the given order of those that were added."""
        times, sizes = np.concatenate(self._times), np.concatenate(self._sizes)
        if not len(times):
            return
        order = np.argsort(times, kind="stable") if order is None else order
        ends = np.cumsum(sizes).reshape(-1, 3)
        self._file.flush()
        with mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ) as texts:
            for first in range(0, len(order), CHUNK_EVENTS):
                rows = order[first : first + CHUNK_EVENTS]
                yield _chunk(texts, times[rows], ends[rows], ends[rows] - sizes[rows])


def _chunk(
    texts: mmap.mmap, times: NDArray[np.int64], ends: NDArray[np.int64], starts: NDArray[np.int64]
) -> Chunk:
    columns = (zip(starts[:, k].tolist(), ends[:, k].tolist(), strict=True) for k in range(3))
    bodies, ids, subjects = ([texts[start:end] for start, end in column] for column in columns)
    return Chunk(bodies, [text.decode() for text in ids], [text.decode() for text in subjects], times, [])
