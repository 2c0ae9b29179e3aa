"""Calls that are under way in this process, and work at hand: what the watchdog looks at.

A call is one attempt, not its repetition: while a service is away, attempts end and others begin. Nothing here reads
a clock, because a step passes through for every batch.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import NamedTuple, Protocol
from weakref import WeakSet

START = -1  # the number of the start, of which a process has one at a time


class Call(NamedTuple):
    """A call that has begun and not ended."""

    description: str  # "append rows to BigQuery"
    is_start: bool  # part of the start of the process, which may take longer


class Holder(Protocol):
    """A part of the job that holds batches or messages."""

    def at_hand(self) -> int: ...


calls: dict[int, Call] = {}
_numbers = count()
_holders: WeakSet[Holder] = WeakSet()


@contextmanager
def call(description: str, is_start: bool = False) -> Iterator[None]:
    """Note a call for as long as the block lasts."""
    number = next(_numbers)
    calls[number] = Call(description, is_start)
    try:
        yield
    finally:
        del calls[number]


def starting(description: str) -> None:
    """Note that the process starts, until `started` is called."""
    calls[START] = Call(description, is_start=True)


def started() -> None:
    """Note that the start is over. Idempotent."""
    calls.pop(START, None)


def register(holder: Holder) -> None:
    """Count what `holder` has from now on, for as long as it exists."""
    _holders.add(holder)


def at_hand() -> int:
    """Return the number of batches and messages that were taken and are not done with."""
    return sum(holder.at_hand() for holder in list(_holders))
