"""Integrity of a store: its state, its servers' histories, and who writes to it.

    PREFIX:USE_CASE:FINGERPRINT:life        State, as JSON
    PREFIX:USE_CASE:FINGERPRINT:writers     a hash: writer id -> Writer, as JSON
    PREFIX:USE_CASE:FINGERPRINT:life{N}     the life's id once per part of a cluster, so that no primary can be emptied
                                            without losing its witness

No record can have such a key: a record's key has another colon behind the entity. Whoever empties the store empties
these too. A server's history is its replication id: Redis draws a new one at each start and each promotion, so an
id that is not in the state belongs to a server of which nobody has said yet that it has everything.
"""

import os
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache

import msgspec
from msgspec import Struct
from redis.crc import key_slot

from pipeline.stores.redis_servers import Server
from pipeline.stores.redis_store import RedisStore
from pipeline.stores.store import StoreDamaged

WHOLE, FILLING, REPAIRING, DAMAGED = "whole", "filling", "repairing", "damaged"
PARTS = (
    64  # of a cluster's slots, each with a witness; a primary with fewer than 1/64 of the slots may have none
)
SLOTS = 16_384
ALIVE_MS = 5_000  # a writer reports every second; a busy machine or a slow Redis may take longer

WORDS = {
    WHOLE: "its records are whole since {since}",
    FILLING: "a backfill is filling it since {since} ({by}); wait for it, or run `riskstream backfill` again",
    REPAIRING: "it is being repaired since {since} ({by}); wait",
    DAMAGED: "its records are damaged since {since}: {why} (noted by {by}). Run `riskstream repair`",
}

# Replaces a value only while it is what was read; an absent key reads as ''.
SWAP = """
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
return 1
"""


class State(Struct, frozen=True):
    """The state of the store. `since` is RFC 3339 in UTC; `by` names the process that noted it.

    `life` is drawn anew whenever the store is filled or repaired. `histories` are the servers whose content has been
    compared with what writers wrote.
    """

    life: str
    status: str  # whole, filling, repairing, damaged
    since: str
    why: str = ""  # of damage, for people
    by: str = ""
    histories: tuple[str, ...] = ()


class Writer(Struct, frozen=True):
    """A process that writes records, as it last reported. `at` is the server's clock in milliseconds since 1970."""

    at: int
    paused: bool  # it writes nothing until the state is whole
    undelivered: int  # batches that are committed and not in BigQuery yet
    verified: tuple[str, ...]  # histories in which this writer has found all that it wrote
    host: str
    pid: int
    kind: str  # job, service, backfill
    vouches: bool = False  # it wrote before these histories began, so that its word says something

    def is_alive(self, now_ms: int) -> bool:
        return now_ms - self.at <= ALIVE_MS

    @property
    def name(self) -> str:
        return f"{self.kind} {self.pid} on {self.host}"


@dataclass(frozen=True)
class Seen:
    """The store at one moment. `text` is the state as stored, None if there is none."""

    text: bytes | None
    writers: Mapping[str, Writer]
    servers: tuple[Server, ...]
    now_ms: int

    @property
    def state(self) -> State | None:
        return None if self.text is None else msgspec.json.decode(self.text, type=State)

    @property
    def histories(self) -> frozenset[str]:
        return frozenset(server.history for server in self.servers)


class Integrity:
    """The state and the writers of one use case's records. Every method raises StoreUnavailable."""

    def __init__(self, store: RedisStore, prefix: str, use_case: str, fingerprint: str) -> None:
        self.store = store
        stem = f"{prefix}:{use_case}:{fingerprint}"
        self.state_key, self.writers_key = f"{stem}:life".encode(), f"{stem}:writers".encode()

    def look(self) -> Seen:
        """Read state, writers and servers at one moment."""
        servers = self.store.servers()
        text = self.store.call("GET", self.state_key)
        return Seen(text, self.writers(), servers, self.now_ms())

    def state(self) -> State | None:
        """None: nothing has filled the store, or it was emptied."""
        text = self.store.call("GET", self.state_key)
        return None if text is None else msgspec.json.decode(text, type=State)

    def writers(self) -> dict[str, Writer]:
        """Return the writers by id, without those that ended in good order."""
        answer = self.store.call("HGETALL", self.writers_key)
        pairs = answer.items() if isinstance(answer, dict) else zip(answer[::2], answer[1::2], strict=True)
        return {name.decode(): msgspec.json.decode(text, type=Writer) for name, text in pairs}

    def report(self, name: str, writer: Writer) -> None:
        """Note how a writer is doing."""
        self.store.call("HSET", self.writers_key, name, msgspec.json.encode(writer))

    def sign_off(self, *names: str) -> None:
        """Remove writers: they ended in good order, or long before whatever may be lost."""
        self.store.call("HDEL", self.writers_key, *names)

    def now_ms(self) -> int:
        """Read the server's clock, in milliseconds since 1970."""
        seconds, microseconds = self.store.call("TIME")
        return int(seconds) * 1_000 + int(microseconds) // 1_000

    def mark_whole(self, now: datetime, over: State | None = None) -> State:
        """Begin a new life: the store holds what it should. Returns the state.

        With `over`, only while the state is still that one. Raises StoreDamaged if it has changed.
        """
        return self._begin(WHOLE, now, over)

    def mark_filling(self, now: datetime) -> State:
        """Begin a new life that a backfill fills; `mark_whole` ends it."""
        return self._begin(FILLING, now, None)

    def mark_repairing(self, now: datetime, why: str = "") -> State:
        """Make all writers pause until `mark_whole`. Returns the state, which is what `mark_whole` wants as `over`."""
        before = self.state()
        state = State(before.life if before else _new_life(), REPAIRING, _rfc3339(now), why, this_process())
        self.store.call("SET", self.state_key, _encoded(state))
        return state

    def put_back(self, before: State, over: State) -> bool:
        """Note a former state again, unless the state is no longer `over`. Returns whether it was noted."""
        return self._swap(_encoded(over), _encoded(before))

    def mark_damaged(self, why: str, now: datetime) -> bool:
        """Note a loss, unless one is noted already: then the first one stays. Returns whether it was noted."""
        while True:
            text = self.store.call("GET", self.state_key)
            before = None if text is None else msgspec.json.decode(text, type=State)
            if before and before.status == DAMAGED:
                return False
            life = before.life if before else _new_life()
            histories = before.histories if before else ()
            state = State(life, DAMAGED, _rfc3339(now), why, this_process(), histories)
            if self._swap(text, _encoded(state)):
                return True

    def confirm(self, text: bytes, histories: frozenset[str]) -> bytes | None:
        """Note that these servers, and no others, hold everything, if the state is still `text`; the new text."""
        before = msgspec.json.decode(text, type=State)
        after = _encoded(msgspec.structs.replace(before, histories=tuple(sorted(histories))))
        return after if self._swap(text, after) else None

    def witnesses(self) -> dict[bytes, str]:
        """Return, for a cluster, the key of each primary's witness, by the primary's address."""
        keys: dict[str, bytes] = {}
        for key in self._witness_keys():
            keys.setdefault(self.store.address_of(key), key)
        return {key: address for address, key in keys.items()}

    def is_untouched(self) -> bool:
        """Tell whether no state was ever noted: the records are of an older version, or there are none."""
        keys = [self.state_key, self.writers_key, *self._witness_keys()]
        return not any(self.store.call("EXISTS", key) for key in keys)

    def forget(self) -> None:
        """Remove the state, the witnesses and the writers."""
        for key in (self.state_key, self.writers_key, *self._witness_keys()):
            self.store.call("DEL", key)

    def _begin(self, status: str, now: datetime, over: State | None) -> State:
        histories = tuple(sorted(server.history for server in self.store.servers()))
        state = State(_new_life(), status, _rfc3339(now), by=this_process(), histories=histories)
        if over is not None and self.state() != over:  # before the witnesses are touched
            raise StoreDamaged(_changed(self.store.address, over))
        for key in self._witness_keys():
            self.store.call("SET", key, state.life)
        if over is None:
            self.store.call("SET", self.state_key, _encoded(state))
        elif not self._swap(_encoded(over), _encoded(state)):
            raise StoreDamaged(_changed(self.store.address, over))
        return state

    def _witness_keys(self) -> list[bytes]:
        return [self.state_key + tag for tag in tags()] if self.store.is_cluster else []

    def _swap(self, before: bytes | None, after: bytes) -> bool:
        return bool(self.store.call("EVAL", SWAP, 1, self.state_key, before or b"", after))


@cache
def tags() -> tuple[bytes, ...]:
    """A hash tag for each of PARTS equal parts of a cluster's slots."""
    by_part: dict[int, bytes] = {}
    number = 0
    while len(by_part) < PARTS:
        by_part.setdefault(key_slot(b"%d" % number) * PARTS // SLOTS, b"{%d}" % number)
        number += 1
    return tuple(by_part[part] for part in range(PARTS))


def this_process() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"


def _changed(address: str, over: State) -> str:
    return f"Redis at {address}: the state is no longer {over.status} since {over.since}: begin again"


def _new_life() -> str:
    return secrets.token_hex(8)


def _encoded(state: State) -> bytes:
    return msgspec.json.encode(state)


def _rfc3339(now: datetime) -> str:
    return now.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def described(state: State) -> str:
    """A state that is not whole, for people: what has happened, and what to do."""
    return WORDS[state.status].format(why=state.why or "no reason is given", since=state.since, by=state.by)
