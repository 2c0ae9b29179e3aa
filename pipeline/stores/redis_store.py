"""Records in Redis: one node or a cluster, plain or TLS.

A batch is one round trip (pipeline.stores.round_trip). What is answered with a redirection or a missing script
is done again by
redis-py's client, which knows how.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import Any

import numpy as np
from redis import RedisCluster
from redis.backoff import NoBackoff
from redis.connection import Connection
from redis.exceptions import RedisClusterException, RedisError
from redis.retry import Retry

from pipeline.runtime.errors import StoreUnavailable
from pipeline.stores.population import GLOB
from pipeline.stores.redis_client import Client, Reach, address_in, client_of, renew
from pipeline.stores.redis_errors import explained
from pipeline.stores.redis_memory import RedisMemory, check_eviction, memory
from pipeline.stores.redis_scripts import COMMIT, COMMIT_SHA, EXPIRY_DIGITS, OTHER_TYPES, SEQS
from pipeline.stores.redis_servers import Server, introduced, servers
from pipeline.stores.round_trip import (
    AGAIN,
    Command,
    Rows,
    Unreplicated,
    confirm,
    pick,
    put,
    round_trip,
    routes,
)
from pipeline.stores.store import Expiry

SCANNED = 1_000  # keys looked at in one round trip
TIMEOUT_S = 5.0  # a frozen server is noticed after this time; a batch takes some milliseconds
READ_BYTES = 1 << 18  # the records of a group in one or two calls; each lets another thread in
CHECK_TIMEOUT_S = 1.0  # at start somebody is waiting for the answer

WRITTEN = ord("1")


class RedisStore:
    """Records under their keys. Connects when first used.

    `url` is redis://, rediss:// (TLS) or unix://, with user and password. Files are local or gs://: `ca_file` is the
    certificate authority to trust instead of the system's, `cert_file` and `key_file` are this client's own
    certificate and key. A commit returns once `replicas` have it. Safe for threads. Every method raises
    StoreUnavailable.
    """

    def __init__(
        self, url: str, ca_file: str | None = None, cluster: bool = False,
        cert_file: str | None = None, key_file: str | None = None, replicas: int = 0,
    ) -> None:  # fmt: skip
        self.reach = Reach(url, ca_file, cluster, cert_file, key_file)
        self.address, self.is_cluster = address_in(url), cluster
        self._replicas = replicas
        self._lock = Lock()
        self._client: Client | None = None
        self._lost = False  # a connection was lost: others may be, and a cluster may look different now
        self._owed: set[bytes] = set()  # keys of commits that replicas may not have
        self._admit: Callable[[Server], None] | None = None

    def __repr__(self) -> str:
        return f"RedisStore({self.address})"

    def twin(self) -> "RedisStore":
        """Return a store with the same settings and separate connections, which may lead to any server."""
        reach = self.reach
        return RedisStore(
            reach.url, reach.ca_file, reach.cluster, reach.cert_file, reach.key_file, self._replicas
        )

    def admit_only(self, admit: Callable[[Server], None]) -> None:
        """Show the server of every new connection to `admit`; it raises RedisError if it is not to be used."""
        self._admit = admit

    def check(self, allow_eviction: bool = False) -> None:
        """Check within about a second that records can be read and written here, and would be kept."""
        with explained(self.address):
            client = self._connect(CHECK_TIMEOUT_S)
            _call(client, ["EVAL", COMMIT, 0, b"", b""])
            server = client.info()
            client.close()
        if server.get("cluster_enabled") and not self.is_cluster:
            raise StoreUnavailable(f"Redis at {self.address} is a node of a cluster. Use cluster mode.")
        check_eviction(server, self.address, allow_eviction)

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Read the records, None where there is none. One round trip."""
        return self.exchange(keys, lambda rows: ["MGET", *pick(keys, rows)])

    def commit(
        self, keys: Sequence[bytes], before: Sequence[int], blobs: Sequence[bytes], expiry_ms: Expiry = None
    ) -> list[bool]:
        """Write blobs[i] if keys[i] still has seq before[i]; return which were written. One round trip.

        When the connection is lost on the way, nobody knows what was written: see RecordStore.commit.
        """
        expiry_ms = [0] * len(keys) if expiry_ms is None else expiry_ms
        if not len(keys) == len(before) == len(blobs) == len(expiry_ms):
            lengths = (
                f"{len(keys)} keys, {len(before)} seqs, {len(blobs)} records and {len(expiry_ms)} expiries"
            )
            raise ValueError(f"{lengths} are not as many")
        seqs, expiries = np.asarray(before, "<u8"), _expiries(expiry_ms)

        # WAIT asks for the writes of a connection, so a missing script must not be sent again over another one.
        script = ["EVAL", COMMIT] if self._replicas else ["EVALSHA", COMMIT_SHA]

        def command(rows: Rows) -> Command:
            named, new, expiry = pick(keys, rows), pick(blobs, rows), b"".join(pick(expiries, rows))
            return [*script, len(named), *named, expiry, seqs[rows].tobytes(), *new]

        return list(map(WRITTEN.__eq__, self.exchange(keys, command, self._replicas)))

    def seqs(self, keys: Sequence[bytes]) -> list[int]:
        """Read the seqs of the records, 0 where there is none, 2 ** 64 - 1 where the value is no record."""

        def command(rows: Rows) -> Command:
            named = pick(keys, rows)
            return ["EVAL", SEQS, len(named), *named]

        return [int.from_bytes(seq, "little") for seq in self.exchange(keys, command)]

    def holds_other(self, keys: Sequence[bytes]) -> list[bool]:
        """Tell which keys hold a value of another type: MGET answers as if there were none."""

        def command(rows: Rows) -> Command:
            named = pick(keys, rows)
            return ["EVAL", OTHER_TYPES, len(named), *named]

        return [bool(answer) for answer in self.exchange(keys, command)]

    def call(self, *words: bytes | str | int) -> Any:
        """Send one command and return its answer, for keys beside the records."""
        with explained(self.address), self._noticing_loss():
            return _call(self._ready(), list(words))

    def scan(self, stem: bytes) -> Iterator[bytes]:
        """Yield the keys that begin with `stem`, while others may write; a key may come twice."""
        with explained(self.address), self._noticing_loss():
            yield from self._ready().scan_iter(match=stem.decode().translate(GLOB) + "*", count=SCANNED)

    def servers(self) -> tuple[Server, ...]:
        """List all primaries as they are now."""
        with explained(self.address), self._noticing_loss():
            return servers(self._ready())

    def address_of(self, key: bytes) -> str:
        """Return the address of the primary that holds a key; empty if there is only one."""
        with explained(self.address), self._noticing_loss():
            client = self._ready()
            if not isinstance(client, RedisCluster):
                return ""
            return str(client.get_node_from_key(key).name)  # type: ignore[no-untyped-call]

    def memory(self) -> RedisMemory:
        """Return the memory of all primaries."""
        with explained(self.address), self._noticing_loss():
            return memory(self._ready())

    def close(self) -> None:
        """Close the connections; the store can be used again and then connects anew."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def exchange(
        self, keys: Sequence[bytes], command: Callable[[Rows], Command], replicas: int = 0
    ) -> list[Any]:
        """Send `command` of each group of keys, and return the answer for each key.

        With `replicas`, only once so many have what was written; until then nothing else is answered either.
        """
        answers: list[Any] = [None] * len(keys)
        with explained(self.address), self._noticing_loss():
            client = self._ready()
            self._confirm(client)
            with self._owing(keys if replicas else ()):
                for rows, answer in round_trip(routes(client, keys), command, replicas):
                    if isinstance(answer, AGAIN):
                        if replicas:
                            raise Unreplicated("slots are moving, and no replica can confirm a write")
                        answer = _again(client, command(rows))
                    put(answers, rows, answer)
        return answers

    def _confirm(self, client: Client) -> None:
        """Wait until replicas have what was committed and not confirmed; its events now answer as duplicates."""
        owed = list(self._owed)
        if owed:
            confirm(client, owed, self._replicas)
            self._owed.difference_update(owed)

    @contextmanager
    def _owing(self, keys: Sequence[bytes]) -> Iterator[None]:
        """Note that replicas may not have these keys if the block fails."""
        try:
            yield
        except (RedisError, RedisClusterException, OSError):
            self._owed.update(keys)
            raise

    @contextmanager
    def _noticing_loss(self) -> Iterator[None]:
        try:
            yield
        except (RedisError, RedisClusterException, OSError):
            self._lost = True
            raise

    def _ready(self) -> Client:
        """Return the client; after a loss with new connections, and a cluster's nodes as they are now."""
        with self._lock:
            if self._client is None:
                self._client = self._connect(TIMEOUT_S)
            elif self._lost:
                renew(self._client)
            self._lost = False
            return self._client

    def _connect(self, timeout_s: float) -> Client:
        return client_of(
            self.reach,
            timeout_s,
            protocol=2,  # no faster than 3, and no messages that nobody asked for
            socket_read_size=READ_BYTES,
            retry=Retry(NoBackoff(), 0),  # waiting is the caller's business
            redis_connect_func=self._introduce if self._admit else None,
        )

    def _introduce(self, connection: Connection) -> None:
        if not self.is_cluster:  # whose client has done so
            connection.on_connect()  # type: ignore[no-untyped-call]
        if self._admit:
            self._admit(introduced(connection))


def _expiries(expiry_ms: Sequence[int]) -> list[bytes]:
    """Return expiries as the script reads them: empty if no key of the batch expires."""
    texts = {ms: b"%0*d" % (EXPIRY_DIGITS, ms) for ms in set(expiry_ms)}
    return list(map(texts.__getitem__, expiry_ms)) if any(texts) else [b""] * len(expiry_ms)


def _again(client: Client, command: Command) -> Any:
    """Send the command once more, with the script's text, through redis-py, which follows redirections."""
    name, *rest = command
    if name == "EVALSHA":
        name, rest[0] = "EVAL", COMMIT
    return _call(client, [name, *rest])


def _call(client: Client, command: Command) -> Any:
    return client.execute_command(*command)  # type: ignore[no-untyped-call]
