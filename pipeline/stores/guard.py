"""Notices within seconds that a store is not what it was, and lets nobody use it until it is whole again.

Three things are looked at. With every batch, in the same round trip, the state (pipeline.stores.integrity)
and, in a cluster,
each primary's witness: so nothing is assessed on a store that was emptied. At every new connection the server's
history: one that is not confirmed is not used, because it may lack the last writes. And once a second, in a thread,
everything: state, histories, evictions, a sample of the latest records, and the other writers.

A new history is confirmed when every writer that may have written before it began has found its latest records there.
A writer that has died and so cannot say makes the store damaged. Whoever waits goes on by itself.
"""

import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from redis.exceptions import RedisError

from features.errors import Unavailable
from features.usecase import UseCase
from pipeline.runtime.errors import StoreUnavailable
from pipeline.runtime.metrics import STORE_WHOLE, key
from pipeline.runtime.process_metrics import progress
from pipeline.stores.integrity import WHOLE, Integrity, Seen, State, Writer, described
from pipeline.stores.recent_writes import Latest
from pipeline.stores.redis_memory import RedisMemory
from pipeline.stores.redis_servers import Server
from pipeline.stores.redis_store import RedisStore
from pipeline.stores.store import StoreDamaged

LOOK_S = 1.0
SOON_S = 0.1  # while writers wait for each other
SAMPLE = 200  # records looked at each time
GRACE_S = 15.0  # for a writer to come back after a failover; to notice a lost connection takes it up to 5 s
DEAD_MS = 15_000  # a writer that was silent for so long is removed
CLOSE_S = 2.0
EMPTIED = "it was emptied: the state that lies beside its records is gone"
NOT_SEEN = "nobody has looked at the store yet"

logger = logging.getLogger(__name__)


class Unconfirmed(Unavailable, RedisError):
    """A new connection leads to another server, and nobody has checked yet that it has every record."""


class Guard:
    """Guard of one store for one process. `kind` says what the process is: job, service or backfill.

    `accepts` are the statuses in which it may write. `undelivered` tells how many batches are committed and not yet
    in BigQuery.
    """

    def __init__(
        self, store: RedisStore, use_case: UseCase, prefix: str, kind: str,
        accepts: Collection[str] = (WHOLE,), undelivered: Callable[[], int] = lambda: 0,
    ) -> None:  # fmt: skip
        self._store = store.twin()
        self._integrity = Integrity(self._store, prefix, use_case.name, use_case.fingerprint)
        self._kind, self._accepts, self._undelivered = kind, accepts, undelivered
        self.latest = Latest(use_case, prefix)
        self.name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        self.signs: tuple[tuple[bytes, ...], list[bytes | None]] = ((), [])  # keys, and what must be there
        self._problem = NOT_SEEN
        self._life = ""
        self._confirmed: frozenset[str] = frozenset()
        self._verified: frozenset[str] = frozenset()
        self._vouches = False
        self._unconfirmed_since_s = 0.0
        self._evicted: dict[str, int] = {}  # by history, when first seen
        self._lock, self._writing = threading.Lock(), 0
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._wake, self._ended = threading.Event(), threading.Event()

    def demand(self) -> None:
        """Demand a whole store. Raises StoreDamaged while it is not, StoreUnavailable if it cannot be checked."""
        if self._thread is None:
            self._start()
        if self._problem:
            raise StoreDamaged(self._problem)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Finish the writes of the block before this process reports that it has paused. Raises StoreDamaged."""
        self.demand()
        with self._lock:
            if self._problem:  # since a moment ago
                raise StoreDamaged(self._problem)
            self._writing += 1
        try:
            yield
        finally:
            with self._lock:
                self._writing -= 1

    def admit(self, server: Server) -> None:
        """Admit a new connection only to a server that is known to have everything. Raises Unconfirmed."""
        if server.history not in self._confirmed:
            self._wake.set()
            raise Unconfirmed("another server answers than before; its records are being compared")

    def startled(self, found: list[bytes | None]) -> StoreDamaged:
        """Return the error for signs that differ from what they must be, and make the thread check at once."""
        self._wake.set()
        what = EMPTIED if None in found else "its state has changed"
        return StoreDamaged(f"Redis at {self._store.address}: {what}")

    def memory(self) -> RedisMemory:
        """Return the memory of whatever server is there. Raises StoreUnavailable."""
        return self._store.memory()

    def close(self) -> None:
        """End the thread, and sign off unless there is still something to say."""
        self._ended.set()
        self._wake.set()
        thread, self._thread = self._thread, None
        if thread is None:
            return
        thread.join(CLOSE_S)
        if not self._problem:
            try:
                self._integrity.sign_off(self.name)
            except StoreUnavailable as error:
                logger.info("cannot sign off: %s", error)
        self._store.close()

    def look(self) -> None:
        """Check everything once. Raises StoreUnavailable."""
        seen = self._integrity.look()
        problem = self._judge(seen)
        self._settle(problem)
        self._report(seen)

    def _start(self) -> None:
        with self._starting:
            if self._thread is None:
                self.look()
                self._ended.clear()
                self._thread = threading.Thread(target=self._run, name="guard", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while not self._ended.is_set():
            self._wake.wait(SOON_S if self._verified - self._confirmed else LOOK_S)
            self._wake.clear()
            try:
                if not self._ended.is_set():
                    self.look()
            except StoreUnavailable as error:
                logger.info("cannot look at the store: %s", error)

    def _judge(self, seen: Seen) -> str:
        """Return the reason why the store may not be used; empty if it may."""
        state = seen.state
        if state is None:
            return self._damage(EMPTIED) if self._life else self._words("nothing has filled it yet")
        if state.status not in self._accepts:
            return self._words(described(state))
        if state.life != self._life:
            self._begin(state, seen)
        loss = self._loss(seen)
        if loss:
            return self._damage(loss)
        unconfirmed = seen.histories - set(state.histories)
        if unconfirmed:
            return self._compared(seen, unconfirmed)
        sample = self.latest.sample(SAMPLE)
        behind = self.latest.behind(self._store, sample)
        if behind:
            return self._damage(
                f"{len(behind):,} of {len(sample):,} records are missing or older than written"
            )
        self._trust(seen, seen.text)
        self._remove_dead(seen)
        return ""

    def _begin(self, state: State, seen: Seen) -> None:
        """Begin a new life of the store: writes of the former one do not count any more."""
        self.latest.clear()
        self._life = state.life
        self._verified, self._vouches = frozenset(), False
        self._evicted = {server.history: server.evicted_keys for server in seen.servers}

    def _loss(self, seen: Seen) -> str:
        """Describe what was evicted or emptied; empty if nothing was."""
        for server in seen.servers:
            evicted = server.evicted_keys - self._evicted.setdefault(server.history, server.evicted_keys)
            if evicted > 0:
                return f"Redis has evicted {evicted:,} keys: its memory is full"
        witnesses = self._integrity.witnesses()
        for address, life in zip(witnesses.values(), self._store.read(list(witnesses)), strict=True):
            if life != self._life.encode():
                return f"its primary {address} was emptied: the witness that lies beside the records is gone"
        return ""

    def _compared(self, seen: Seen, unconfirmed: frozenset[str]) -> str:
        """Compare the latest records once with those of unconfirmed servers, then ask the other writers."""
        if self._verified != unconfirmed:
            records = self.latest.records()
            behind = self.latest.behind(self._store, records)
            if behind:
                return self._damage(
                    f"a server took over without the last writes: {len(behind):,} of the latest {len(records):,} "
                    "records are missing or older than written"
                )
            self._vouches = bool(records) or self.name in seen.writers
            self._verified, self._unconfirmed_since_s = unconfirmed, time.monotonic()
        silent = [
            w for name, w in seen.writers.items() if name != self.name and not unconfirmed <= {*w.verified}
        ]
        if silent:
            return self._without(silent, seen.now_ms)
        if not self._vouches and not any(w.vouches for w in seen.writers.values()):
            return self._without([], seen.now_ms)
        text = self._integrity.confirm(seen.text or b"", seen.histories)
        if text is None:
            return self._words("another process has changed its state")
        self._trust(seen, text)
        return ""

    def _without(self, silent: list[Writer], now_ms: int) -> str:
        """Return the writers that have not yet reported on their records; dead ones are not waited for for ever."""
        names = ", ".join(sorted(writer.name for writer in silent)) or "whoever wrote before"
        is_patient = time.monotonic() - self._unconfirmed_since_s < GRACE_S
        if is_patient or any(writer.is_alive(now_ms) for writer in silent):
            return self._words(
                f"another server answers than before; waits for {names} to compare its records"
            )
        return self._damage(f"a server took over, and {names} cannot say whether its last writes are there")

    def _trust(self, seen: Seen, text: bytes | None) -> None:
        """Take the store for whole: its signs are these from now on."""
        witnesses = self._integrity.witnesses()
        life: list[bytes | None] = [self._life.encode()] * len(witnesses)
        self._confirmed, self._verified = seen.histories, frozenset()
        self.signs = ((self._integrity.state_key, *witnesses), [text, *life])

    def _remove_dead(self, seen: Seen) -> None:
        """Their writes are safe: this removal comes after them, on the same server and on its replicas."""
        dead = [
            name
            for name, writer in seen.writers.items()
            if name != self.name and (seen.now_ms - writer.at > DEAD_MS or self._is_gone(writer))
        ]
        if dead:
            self._integrity.sign_off(*dead)

    def _is_gone(self, writer: Writer) -> bool:
        """Tell whether the writer's process on this machine has ended; in a cluster that would prove nothing."""
        if self._store.is_cluster or writer.host != socket.gethostname():
            return False
        try:
            os.kill(writer.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        return False

    def _damage(self, why: str) -> str:
        progress.store_damages += self._integrity.mark_damaged(why, datetime.now(UTC))
        state = self._integrity.state()
        return self._words(described(state) if state else why)

    def _words(self, what: str) -> str:
        return f"Redis at {self._store.address}: {what}"

    def _settle(self, problem: str) -> None:
        """Nothing is written from now on if there is a problem."""
        with self._lock:
            before, self._problem = self._problem, problem
        progress.gauges[key(STORE_WHOLE)] = float(not problem)
        if problem and problem != before:
            logger.error("nothing is assessed or acknowledged: %s", problem)
        elif before and before != NOT_SEEN and not problem:
            logger.warning("the store is whole, going on")

    def _report(self, seen: Seen) -> None:
        with self._lock:
            is_paused = bool(self._problem) and not self._writing
        histories = self._verified | (frozenset() if self._problem else self._confirmed)
        writer = Writer(
            at=self._integrity.now_ms(), paused=is_paused, undelivered=self._undelivered(),
            verified=tuple(sorted(histories)), host=socket.gethostname(), pid=os.getpid(), kind=self._kind,
            vouches=self._vouches or not self._problem,
        )  # fmt: skip
        self._integrity.report(self.name, writer)
