"""Members: the workers that share the records of a use case, and which of them owns which records.

    PREFIX:USE_CASE:FINGERPRINT:owners1     a sorted set: member -> end of its lease, ms of the server's clock

The number is MESSAGES_VERSION: workers of two versions that cannot read each other's messages do not meet.

A record's owner is a function of its id and of the members, by rendezvous hashing: a member that comes or goes moves
few records. Not every member of many is an owner: fewer owners are fewer messages, and larger rounds at each.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import xxhash
from numpy.typing import NDArray

from pipeline.owners.messages import MESSAGES_VERSION
from pipeline.stores.redis_store import RedisStore

SLOTS = 1_024  # parts of the ids that move together; with 8 owners each has 128 of them
FEW = 8  # so many members all own records; of more, an eighth and no fewer than these
LEASE_MS = 5_000  # a member that is silent for so long is no longer one

# KEYS: the members. ARGV: this member, its lease in ms. Returns the members with a lease, this one included.
RENEW = """
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
redis.call('ZADD', KEYS[1], now + tonumber(ARGV[2]), ARGV[1])
return redis.call('ZRANGE', KEYS[1], 0, -1)
"""


class Membership:
    """The members of one use case's records. Every method raises StoreUnavailable."""

    def __init__(self, store: RedisStore, prefix: str, use_case: str, fingerprint: str) -> None:
        self._store = store
        self._key = f"{prefix}:{use_case}:{fingerprint}:owners{MESSAGES_VERSION}".encode()

    def renew(self, member: str) -> tuple[str, ...]:
        """Begin or renew the member's lease; return all members, in order."""
        return _names(self._store.call("EVAL", RENEW, 1, self._key, member, LEASE_MS))

    def leave(self, member: str) -> None:
        """End the member's lease."""
        self._store.call("ZREM", self._key, member)

    def members(self) -> tuple[str, ...]:
        """Return the members, in order, those included whose lease has ended a moment ago."""
        return _names(self._store.call("ZRANGE", self._key, 0, -1))


def _names(members: Sequence[bytes]) -> tuple[str, ...]:
    return tuple(sorted(member.decode() for member in members))


@lru_cache(maxsize=16)
def owner_of_slot(members: tuple[str, ...]) -> NDArray[np.intp]:
    """Return [SLOTS] the number of the member that owns each slot: the owner whose hash with it is the highest."""
    names = np.array([xxhash.xxh3_64_intdigest(name.encode()) for name in members], np.uint64)
    owners = np.sort(np.argsort(_mixed(names), kind="stable")[: max(FEW, len(names) // 8)])
    weights = _mixed(names[owners, None] ^ _mixed(np.arange(1, SLOTS + 1, dtype=np.uint64)))
    return np.asarray(owners[np.argmax(weights, axis=0)], np.intp)


def slots(entity: str, ids: Sequence[str]) -> NDArray[np.intp]:
    """Return [r] the slot of each id of an entity."""
    seed = xxhash.xxh3_64_intdigest(entity.encode())
    digest = xxhash.xxh3_64_intdigest
    return np.array([digest(id.encode(), seed) % SLOTS for id in ids], np.intp)


def _mixed(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the numbers with every bit spread over all others (the finalizer of splitmix64)."""
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return numbers ^ (numbers >> np.uint64(31))
