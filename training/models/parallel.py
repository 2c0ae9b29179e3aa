"""Fits that run in parallel, each in one thread.

Threads within a fit wait for each other in busy loops: with anything else on the machine, histogram gradient boosting
took 60 s in two threads and 9 s in one (200,000 rows of 60 features, 2 cores). One thread also gives the same bits
whatever the number of cores.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from threadpoolctl import threadpool_limits  # type: ignore[import-untyped,unused-ignore]

MOST_AT_ONCE = 4  # each has a copy of its rows: half a gigabyte for a million of 60 features

Result = TypeVar("Result")


def run_in_parallel(tasks: Sequence[Callable[[], Result]]) -> Iterator[Result]:
    """Yield results in the order of the tasks; they are the same on one core and on many."""
    workers = max(min(len(tasks), MOST_AT_ONCE, os.cpu_count() or 1), 1)
    with threadpool_limits(1), ThreadPoolExecutor(workers, "fit", _one_thread) as pool:
        yield from pool.map(lambda task: task(), tasks)


def _one_thread() -> None:
    threadpool_limits(1, "openmp")  # which each thread has a number of its own for
