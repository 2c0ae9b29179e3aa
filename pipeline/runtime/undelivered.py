"""What is committed in this process and has not left it yet: a repair reads the log only when there is none of it."""

from typing import Protocol
from weakref import WeakSet


class Source(Protocol):
    """A step or a sink through which batches leave."""

    def undelivered(self) -> int: ...


_sources: WeakSet[Source] = WeakSet()


def register(source: Source) -> None:
    """From now on count what `source` holds, for as long as it exists."""
    _sources.add(source)


def total() -> int:
    """Batches, or parts of them, that are committed and under way."""
    return sum(source.undelivered() for source in list(_sources))
