"""Several members of the market use case in one process, on one Redis: each has an engine, threads and a share."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from features.usecase import UseCase
from pipeline.engine.engine import Engine
from pipeline.owners.member import Member
from pipeline.stores.redis_store import RedisStore
from pipeline.stores.store import RecordStore
from tests.pipeline.models import engine
from tests.pipeline.servers import wait_for

PREFIX = "riskstream"


@contextmanager
def members(use_case: UseCase, store: RedisStore, number: int, besides: int = 0) -> Iterator[list[Member]]:
    """Start that many members; each knows of all others, and of those `besides`, before the block begins."""
    crew = [Member(store, store.twin(), use_case, PREFIX) for _ in range(number)]
    for member in crew:
        member.start()
    try:
        wait_for(lambda: all(len(member.members()) == number + besides for member in crew))
        yield crew
    finally:
        for member in crew:
            member.close()


def owned(use_case: UseCase, store: RecordStore, member: Member) -> Engine:
    """Return the engine of a member."""
    return replace(engine(use_case, store), owners=member.owners)
