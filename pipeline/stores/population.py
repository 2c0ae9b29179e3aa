"""Population of a store: how many customers it has, on which level, and how large their records are.

Of each record one byte is read, the level. Above MOST_CUSTOMERS that many are looked at and no more: Redis scans
in an order that has nothing to do with what records hold.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import islice

from export.policy import Level
from features.record import LEVEL_AT
from pipeline.stores.redis_client import Client, Reach, address_in, client_of
from pipeline.stores.redis_errors import explained
from pipeline.stores.redis_memory import memory

MOST_CUSTOMERS = 100_000  # some seconds
WEIGHED = 1_000  # records whose size is asked for
GROUP = 1_000  # keys a round trip
TIMEOUT_S = 5.0
GLOB = str.maketrans({character: f"\\{character}" for character in "*?[]\\"})


@dataclass(frozen=True)
class Population:
    """Levels and sizes of `looked_at` customers; `complete` says whether these are all of them.

    `bytes_per_customer` is what Redis itself needs for a record, the mean of up to WEIGHED; None without any.
    """

    looked_at: int
    complete: bool
    levels: Mapping[str, int]
    bytes_per_customer: float | None
    redis_bytes: int  # of all that is in Redis
    redis_limit_bytes: int  # 0: none


def population(reach: Reach, stem: str) -> Population:
    """Count the records whose keys begin with `stem`. Raises StoreUnavailable."""
    with connected(reach) as client:
        return _looked_at(client, stem)


@contextmanager
def connected(reach: Reach) -> Iterator[Client]:
    """Yield a client for work on many keys; its errors become StoreUnavailable."""
    with explained(address_in(reach.url)), closing(client_of(reach, TIMEOUT_S)) as client:
        yield client


def _looked_at(client: Client, stem: str) -> Population:
    keys = _keys(client, stem)
    levels: Counter[str] = Counter({level.name: 0 for level in Level})
    sizes: list[int] = []
    while group := list(islice(keys, min(GROUP, MOST_CUSTOMERS - levels.total()))):
        levels.update(_levels(client, group))
        sizes += _sizes(client, group[: WEIGHED - len(sizes)])
    of_server = memory(client)
    return Population(
        looked_at=levels.total(),
        complete=next(keys, None) is None,
        levels=dict(levels),
        bytes_per_customer=round(sum(sizes) / len(sizes), 1) if sizes else None,
        redis_bytes=of_server.used_bytes,
        redis_limit_bytes=of_server.limit_bytes,
    )


def _keys(client: Client, stem: str) -> Iterator[bytes]:
    """Yield each key once, for as many as are asked for: a scan may repeat itself."""
    seen: set[bytes] = set()
    for key in client.scan_iter(match=stem.translate(GLOB) + "*", count=GROUP):
        if key not in seen:
            seen.add(key)
            yield key


def _levels(client: Client, keys: list[bytes]) -> list[str]:
    """Read the levels of records, without those that have expired meanwhile."""
    pipe = client.pipeline(transaction=False)
    for key in keys:
        pipe.getrange(key, LEVEL_AT, LEVEL_AT)
    return [Level(level[0]).name for level in pipe.execute() if level]


def _sizes(client: Client, keys: list[bytes]) -> list[int]:
    pipe = client.pipeline(transaction=False)
    for key in keys:
        pipe.memory_usage(key)
    return [size for size in pipe.execute() if size]
