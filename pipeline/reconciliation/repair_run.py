"""A repair from start to end: nobody else repairs, nobody writes, the records are mended, and writers go on.

    PREFIX:USE_CASE:FINGERPRINT:repair      LockHolder, as JSON: who repairs; it expires unless it is renewed

The store's state (pipeline/stores/integrity.py) makes every writer pause while the records are compared with the log.
It is whole again only if every record is. A repair that dies leaves the state as it is: writers wait, and another
repair begins anew.
"""

import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import Struct

from features.usecase import UseCase
from pipeline.batch.backfill_basis import NOTHING, Basis
from pipeline.bigquery.assessment_log import read_log
from pipeline.files.history import Progress, quiet
from pipeline.reconciliation.reconcile import engines, first_copies
from pipeline.reconciliation.repair import EntityReport, Repair
from pipeline.runtime.errors import CannotStart, StoreUnavailable
from pipeline.stores.integrity import FILLING, Integrity, State, Writer, this_process
from pipeline.stores.readiness import Readiness
from pipeline.stores.redis_store import RedisStore

HELD_MS = 30_000  # a repair that was killed is in nobody's way for longer
RENEW_S = 5.0
POLL_S = 0.2

RENEW = "return redis.call('GET', KEYS[1]) == ARGV[1] and redis.call('PEXPIRE', KEYS[1], ARGV[2]) or 0"
RELEASE = "return redis.call('GET', KEYS[1]) == ARGV[1] and redis.call('DEL', KEYS[1]) or 0"


class RepairRefused(CannotStart):
    """The store cannot be repaired now: another process repairs or fills it, or writers do not pause."""


class LockHolder(Struct, frozen=True):
    """The process that repairs."""

    token: str
    by: str
    since: str


@dataclass(frozen=True)
class RepairReport:
    """Result of a repair. `state` is the store's in the end, None if there is none."""

    use_case: str
    fingerprint: str
    events: int  # in the log, each once
    tallies: Mapping[str, EntityReport]  # by entity
    state: State | None
    seconds: float

    @property
    def is_whole(self) -> bool:
        """True if every record is right now."""
        return all(each.wrong == each.rebuilt for each in self.tallies.values())


@dataclass(frozen=True)
class RepairTarget:
    """The log, models and records to repair with, and what the records held before the log began."""

    use_case: UseCase
    project: str
    dataset: str
    bundle: str
    store: RedisStore
    prefix: str
    basis: Basis = NOTHING
    filled: Mapping[str, Any] = field(default_factory=dict)  # of the backfill, as Readiness.mark takes it

    @property
    def integrity(self) -> Integrity:
        return Integrity(self.store, self.prefix, self.use_case.name, self.use_case.fingerprint)


def check(place: RepairTarget, progress: Progress = quiet) -> RepairReport:
    """Report what a repair would rebuild. Writers go on: what they write meanwhile is ahead of the log.

    Raises StoreUnavailable, SinkRefused, GoogleAPICallError, BundleMismatch; BadEvent for a logged body.
    """
    began_s = time.monotonic()
    return _walked(place, progress, began_s, lambda: None, write=False)


def repair(
    place: RepairTarget, wait_s: float, best_effort: bool = False, progress: Progress = quiet
) -> RepairReport:
    """Rebuild what is wrong, with everybody else paused, and let writers go on if the store is then whole.

    Raises RepairRefused, and what `check` raises; then the state is what it was before.
    """
    began_s, integrity = time.monotonic(), place.integrity
    with _held(place) as is_held:
        seen = integrity.look()
        before = seen.state
        if before and before.status == FILLING:
            raise RepairRefused(
                f"{place.store.address}: found a backfill filling the store since {before.since} ({before.by}), "
                "expected none: wait for its end, or run the same `riskstream backfill` again if it was killed"
            )
        state = integrity.mark_repairing(_now(), before.why if before else "it was empty")
        with _put_back(integrity, before, state):
            _await_writers(integrity, wait_s, progress)
            done = _walked(place, progress, began_s, is_held, write=True, best_effort=best_effort)
        return _ended(place, done, state, seen.histories)


def _walked(
    place: RepairTarget,
    progress: Progress,
    began_s: float,
    is_held: Callable[[], None],
    write: bool,
    best_effort: bool = False,
) -> RepairReport:
    use_case = place.use_case
    progress("reading the log", 0, None)
    raw = read_log(place.project, place.dataset, use_case)
    log = raw.take(first_copies(raw)[0])
    now_us = int(_now().timestamp() * 1_000_000)
    walk = Repair(
        use_case,
        log,
        place.store,
        place.prefix,
        place.basis,
        now_us,
        progress=progress,
        before_writing=is_held,
        write=write,
        best_effort=best_effort,
    )
    tallies = walk.run(engines(use_case, place.bundle))
    return RepairReport(
        use_case.name,
        use_case.fingerprint,
        len(log),
        tallies,
        place.integrity.state(),
        time.monotonic() - began_s,
    )


def _ended(place: RepairTarget, done: RepairReport, state: State, histories: frozenset[str]) -> RepairReport:
    """Set the store's state after a repair, and the marker that a job asks for.

    `histories` are the servers' at its beginning.
    """
    integrity, now = place.integrity, _now()
    seen = integrity.look()
    if seen.histories != histories:
        integrity.mark_damaged("a server took over during a repair, and may lack what was rebuilt", now)
        raise RepairRefused(f"{place.store.address}: a server took over during the repair: run it again")
    if not done.is_whole:
        wrong = sum(each.wrong - each.rebuilt for each in done.tallies.values())
        integrity.mark_damaged(f"{wrong} records are not what the log implies and could not be rebuilt", now)
        return replace(done, state=integrity.state())
    readiness = Readiness(place.store, place.prefix, done.use_case)
    if done.fingerprint not in readiness.markers():
        readiness.mark(done.fingerprint, "repair", now, **place.filled)
    dead = [name for name, writer in seen.writers.items() if not writer.is_alive(seen.now_ms)]
    if dead:
        integrity.sign_off(*dead)
    integrity.mark_whole(now, over=state)
    return replace(done, state=integrity.state())


@contextmanager
def _put_back(integrity: Integrity, before: State | None, state: State) -> Iterator[None]:
    """Put the state back if anything ends the repair early, Ctrl-C included: writers must not wait for it for ever."""
    try:
        yield
    except BaseException:
        with suppress(StoreUnavailable):
            if before:
                integrity.put_back(before, over=state)
            else:
                integrity.mark_damaged("it was empty, and a repair did not end", _now())
        raise


def _await_writers(integrity: Integrity, wait_s: float, progress: Progress) -> None:
    """Return once every live writer has paused and delivered. Raises RepairRefused after `wait_s`."""
    since_ms, until_s = integrity.now_ms(), time.monotonic() + wait_s
    while True:
        seen_ms, writers = integrity.now_ms(), integrity.writers()
        alive = [writer for writer in writers.values() if writer.is_alive(seen_ms)]
        busy = [w for w in alive if not w.paused or w.undelivered or w.at < since_ms]
        progress("waiting for writers", len(alive) - len(busy), len(alive))
        if not busy:
            return
        if time.monotonic() > until_s:
            raise RepairRefused(
                f"not all writers have paused within {wait_s:g} s: {'; '.join(map(_words, busy))}. Look at what they "
                "wait for (`riskstream status`), stop them, or wait longer with --wait"
            )
        time.sleep(POLL_S)


def _words(writer: Writer) -> str:
    doing = f"{writer.undelivered} batches are not delivered" if writer.paused else "it has not paused"
    return f"{writer.name}: {doing}"


@contextmanager
def _held(place: RepairTarget) -> Iterator[Callable[[], None]]:
    """Hold the lock of repairs; yields a function that raises RepairRefused once the lock may be lost."""
    store, use_case = place.store, place.use_case
    key = f"{place.prefix}:{use_case.name}:{use_case.fingerprint}:repair"
    mine = msgspec.json.encode(
        LockHolder(secrets.token_hex(8), this_process(), _now().isoformat(timespec="seconds"))
    )
    if not store.call("SET", key, mine, "NX", "PX", HELD_MS):
        text = store.call("GET", key)
        holder = msgspec.json.decode(text, type=LockHolder) if text else None
        who = f"{holder.by} since {holder.since}" if holder else "another process until now"
        raise RepairRefused(
            f"{store.address}: found a repair under way ({who}), expected none: wait for its end"
        )
    ended, lost = threading.Event(), threading.Event()

    def renew() -> None:
        while not ended.wait(RENEW_S):
            with suppress(StoreUnavailable):  # the lock may outlive a pause
                if not store.call("EVAL", RENEW, 1, key, mine, HELD_MS):
                    lost.set()

    def is_held() -> None:
        if lost.is_set():
            raise RepairRefused(
                f"{store.address}: the lock of this repair was lost, so another may have begun: run it again"
            )

    thread = threading.Thread(target=renew, name="repair", daemon=True)
    thread.start()
    try:
        yield is_held
    finally:
        ended.set()
        thread.join()
        with suppress(StoreUnavailable):
            store.call("EVAL", RELEASE, 1, key, mine)


def _now() -> datetime:
    return datetime.now(UTC)
