"""The rows of a history replayed on all cores: the same vectors, bit for bit, as on one.

The records of a batch are shared among threads, and the next batch is decoded in the meantime.
"""

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from features.kernel import Cores
from features.replay import Replayed, replay
from features.usecase import UseCase
from training.data.files import EventRows, batches

T = TypeVar("T")


def usable_cores() -> int:
    """Return the number of cores that this process may use: `taskset` and containers may allow fewer."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def replay_rows(use_case: UseCase, rows: EventRows, cores: int | None = None) -> Iterator[Replayed]:
    """Replay the rows in their order on so many `cores`; by default on all that this process may use."""
    number = cores or usable_cores()
    if number == 1:
        yield from replay(batches(use_case, rows))
        return
    with ThreadPoolExecutor(number, "replay") as folding, ThreadPoolExecutor(1, "decode") as decoding:
        yield from replay(_one_ahead(batches(use_case, rows), decoding), cores=Cores(number, folding.map))


def _one_ahead(items: Iterable[T], thread: ThreadPoolExecutor) -> Iterator[T]:
    """Yield the items; each one is made in `thread` while its predecessor is worked on."""
    rest, end = iter(items), object()
    coming = thread.submit(next, rest, end)
    while (item := coming.result()) is not end:
        coming = thread.submit(next, rest, end)
        yield item  # type: ignore[misc]  # it is not `end`
