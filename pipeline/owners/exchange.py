"""The exchange of requests and answers between workers: lists in Redis, beside the records.

    PREFIX:USE_CASE:FINGERPRINT:alive{MEMBER}     there while the member takes requests
                               :inbox{MEMBER}     requests to the member
                               :replies{MEMBER}N  answers to its round N of requests
                               :woken{MEMBER}N    written once all of them are there

No record can have such a key: a record's key has another colon behind the entity. Every command touches the keys of one
member, so a cluster holds them on one node. All of it expires within seconds: nothing is lost with it but time.
"""

from collections.abc import Mapping, Sequence
from itertools import count
from typing import NamedTuple, Protocol

from pipeline.owners.membership import LEASE_MS
from pipeline.stores.redis_store import RedisStore
from pipeline.stores.round_trip import Command, Rows, pick

KEPT_MS = 10_000  # longer than anybody waits for an answer
MOST_WAITING = 1_000  # requests in an inbox: some 100 MB
DRAINED = 10_000  # more than lie in any list

# KEYS: alive and inbox of each member. ARGV: when inboxes expire (ms), the most requests in one, then the requests.
SEND = """
local answer = {}
for i = 1, #KEYS / 2 do
  local alive, inbox = KEYS[2 * i - 1], KEYS[2 * i]
  if redis.call('EXISTS', alive) == 1 and redis.call('LLEN', inbox) < tonumber(ARGV[2]) then
    redis.call('RPUSH', inbox, ARGV[i + 2])
    redis.call('PEXPIRE', inbox, ARGV[1])
    answer[i] = '1'
  else
    answer[i] = '0'
  end
end
return table.concat(answer)
"""

# KEYS: replies and woken of each answer. ARGV: when they expire (ms), then for each how many are expected, and itself.
REPLY = """
for i = 1, #KEYS / 2 do
  local replies, woken = KEYS[2 * i - 1], KEYS[2 * i]
  local there = redis.call('RPUSH', replies, ARGV[2 * i + 1])
  redis.call('PEXPIRE', replies, ARGV[1])
  if there >= tonumber(ARGV[2 * i]) then
    redis.call('RPUSH', woken, '1')
    redis.call('PEXPIRE', woken, ARGV[1])
  end
end
return string.rep('1', #KEYS / 2)
"""

TAKEN = ord("1")


class Reply(NamedTuple):
    """An answer on its way to the worker that has asked and waits for `expected` of them."""

    address: str
    expected: int
    body: bytes


class Exchange(Protocol):
    """Carrier of the requests and answers of one member. Every method raises StoreUnavailable."""

    def address(self) -> str:
        """Return a new address for the answers to one round of requests."""

    def send(self, requests: Mapping[str, bytes]) -> set[str]:
        """Send each member its request; return the members that took theirs."""

    def collect(self, address: str, expected: int, timeout_s: float) -> list[bytes]:
        """Wait until all expected answers have come, or for `timeout_s`; return those that have."""

    def take(self, timeout_s: float) -> list[bytes]:
        """Wait for a request to this member, or for `timeout_s`; return all that have come."""

    def reply(self, replies: Sequence[Reply]) -> None:
        """Send answers."""


class RedisExchange:
    """An exchange through Redis. Safe for threads."""

    def __init__(self, store: RedisStore, prefix: str, use_case: str, fingerprint: str, member: str) -> None:
        self._store, self._stem, self.member = store, f"{prefix}:{use_case}:{fingerprint}:", member
        self._numbers = count()

    def open(self) -> None:
        """Take requests for as long as a lease lasts."""
        self._store.call("SET", self._key("alive", self.member), "1", "PX", LEASE_MS)

    def close(self) -> None:
        """Take no more requests; those in the inbox can still be taken out."""
        self._store.call("DEL", self._key("alive", self.member))

    def address(self) -> str:
        return f"{{{self.member}}}{next(self._numbers)}"

    def send(self, requests: Mapping[str, bytes]) -> set[str]:
        members, bodies = list(requests), list(requests.values())

        def command(rows: Rows) -> Command:
            keys = [self._key(kind, member) for member in pick(members, rows) for kind in ("alive", "inbox")]
            return [
                "EVAL",
                SEND,
                len(keys),
                *keys,
                b"%d" % KEPT_MS,
                b"%d" % MOST_WAITING,
                *pick(bodies, rows),
            ]

        inboxes = [self._key("inbox", member) for member in members]
        answers = self._store.exchange(inboxes, command)
        return {member for member, answer in zip(members, answers, strict=True) if answer == TAKEN}

    def collect(self, address: str, expected: int, timeout_s: float) -> list[bytes]:
        if expected:
            self._store.call("BLPOP", f"{self._stem}woken{address}", f"{timeout_s:.3f}")
        return self._drain(f"{self._stem}replies{address}".encode()) if expected else []

    def take(self, timeout_s: float) -> list[bytes]:
        inbox = self._key("inbox", self.member)
        first = self._store.call("BLPOP", inbox, f"{timeout_s:.3f}") if timeout_s > 0 else None
        if timeout_s > 0 and first is None:
            return []
        return [*([first[1]] if first else []), *self._drain(inbox)]

    def reply(self, replies: Sequence[Reply]) -> None:
        def command(rows: Rows) -> Command:
            chosen = pick(replies, rows)
            kinds = ("replies", "woken")
            keys = [f"{self._stem}{kind}{each.address}".encode() for each in chosen for kind in kinds]
            bodies = [word for each in chosen for word in (b"%d" % each.expected, each.body)]
            return ["EVAL", REPLY, len(keys), *keys, b"%d" % KEPT_MS, *bodies]

        self._store.exchange([f"{self._stem}replies{each.address}".encode() for each in replies], command)

    def _drain(self, key: bytes) -> list[bytes]:
        bodies: list[bytes] | None = self._store.call("LPOP", key, DRAINED)
        return bodies or []

    def _key(self, kind: str, member: str) -> bytes:
        return f"{self._stem}{kind}{{{member}}}".encode()
