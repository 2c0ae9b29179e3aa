"""Batches that this process has committed and not delivered yet; a repair waits until there are none."""

from typing import Protocol
from weakref import WeakSet


class Outlet(Protocol):
    """A step or a sink through which batches leave."""

    def undelivered(self) -> int: ...


_sources: WeakSet[Outlet] = WeakSet()


def register(source: Outlet) -> None:
    """Count what `source` holds from now on, for as long as it exists."""
    _sources.add(source)


def total() -> int:
    """Return the number of batches, or parts of them, that are committed and not delivered."""
    return sum(source.undelivered() for source in list(_sources))
