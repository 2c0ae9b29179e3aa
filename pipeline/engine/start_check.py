"""Checks of the store before a job or the service begins, and the note that a job has begun.

A supervisor starts a job again with the same arguments. So --allow-empty-store means: nothing has filled these
records yet. If the log says otherwise, the store was emptied, and nobody begins again in silence.
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from features.usecase import UseCase
from pipeline.runtime.errors import ColdStore
from pipeline.stores.guard import Guard
from pipeline.stores.guarded_store import GuardedStore
from pipeline.stores.integrity import DAMAGED, FILLING, REPAIRING, WHOLE, Integrity, described
from pipeline.stores.readiness import COLD, Readiness
from pipeline.stores.redis_store import RedisStore
from pipeline.stores.store import StoreDamaged, record_keys

if TYPE_CHECKING:
    from pipeline.bigquery.log_end import LogEnd  # the service does without BigQuery

EMPTIED = (
    "{address}: found no records of {use_case} with fingerprint {fingerprint}, but {n:,} assessments of these features "
    "in {dataset}: the store was emptied. Bring the records back with `riskstream repair`. To begin anew all the same, "
    "name another --dataset: in this one the numbers of the events are taken"
)


def check_store(
    store: RedisStore,
    use_case: UseCase,
    prefix: str,
    allow_empty_store: bool,
    log_end: "LogEnd | None" = None,
) -> None:
    """Raises ColdStore or StoreDamaged unless records can be relied on, or are to begin with nothing.

    `allow_empty_store` is refused where the log, if its end is given, has assessments of these features already.
    Raises StoreUnavailable, SinkUnavailable.
    """
    readiness = Readiness(store, prefix, use_case.name)
    integrity = Integrity(store, prefix, use_case.name, use_case.fingerprint)
    state = integrity.state()
    if state and state.status in (DAMAGED, REPAIRING):
        raise StoreDamaged(f"Redis at {store.address}: {described(state)}")
    if use_case.fingerprint in readiness.markers():
        if state is None and not integrity.is_untouched():
            raise StoreDamaged(f"Redis at {store.address}: its state is gone. Run `riskstream repair`")
        return
    if not allow_empty_store:
        readiness.demand(use_case.fingerprint)
    if state and state.status == FILLING:
        raise ColdStore(f"Redis at {store.address}: {described(state)}")
    assessments = log_end.count() if log_end else 0
    if log_end and assessments:
        raise ColdStore(
            EMPTIED.format(address=store.address, use_case=use_case.name, fingerprint=use_case.fingerprint,
                           n=assessments, dataset=f"{log_end.project}.{log_end.dataset}")
        )  # fmt: skip


@contextmanager
def filling(store: RedisStore, use_case: UseCase, prefix: str) -> Iterator[GuardedStore]:
    """The store to fill from history; it is whole when the block has ended without an error.

    Until then no job begins on it, and a server that loses a part of it ends the block with StoreDamaged. A store that
    is whole already stays so. Raises StoreDamaged, StoreUnavailable.
    """
    integrity = Integrity(store, prefix, use_case.name, use_case.fingerprint)
    state = integrity.state()
    if state and state.status in (DAMAGED, REPAIRING):
        raise StoreDamaged(f"Redis at {store.address}: {described(state)}")
    if state is None:
        is_filled = (
            use_case.fingerprint in Readiness(store, prefix, use_case.name).markers()
        )  # by an older version
        begun = integrity.mark_whole if is_filled else integrity.mark_filling
        begun(datetime.now(UTC))
    twin = store.twin()
    guard = Guard(twin, use_case, prefix, "backfill", accepts=(WHOLE, FILLING))
    with closing(GuardedStore(twin, guard)) as guarded:
        yield guarded
    state = integrity.state()
    if state and state.status == FILLING:
        integrity.mark_whole(datetime.now(UTC), over=state)


def begin(store: RedisStore, use_case: UseCase, prefix: str, log_end: "LogEnd") -> None:
    """Note that a job begins: it may later begin again with --allow-empty-store, because by then there are records.

    Servers that nobody has confirmed are compared with the log, if no writer is there that could do it. Raises
    StoreDamaged if they lack something, StoreUnavailable, SinkUnavailable.
    """
    readiness = Readiness(store, prefix, use_case.name)
    integrity = Integrity(store, prefix, use_case.name, use_case.fingerprint)
    if integrity.state() is None:  # of an older version, or new
        _compare(integrity, use_case, prefix, log_end)
        integrity.mark_whole(datetime.now(UTC))
    if use_case.fingerprint not in readiness.markers():
        readiness.mark(use_case.fingerprint, COLD, datetime.now(UTC))
    seen = integrity.look()
    state = seen.state
    is_confirmed = state is None or seen.histories <= set(state.histories)
    if is_confirmed or any(writer.is_alive(seen.now_ms) for writer in seen.writers.values()):
        return
    _compare(integrity, use_case, prefix, log_end)
    integrity.confirm(seen.text or b"", seen.histories)
    if seen.writers:  # dead: what they wrote and is not in the log comes again
        integrity.sign_off(*seen.writers)


def _compare(integrity: Integrity, use_case: UseCase, prefix: str, log_end: "LogEnd") -> None:
    """Raises StoreDamaged if a record is behind the latest rows of the log."""
    numbers = log_end.numbers(datetime.now(UTC))
    keys = record_keys(prefix, use_case.name, use_case.fingerprint, use_case.subject, list(numbers))
    seqs = integrity.store.seqs(keys)
    behind = sum(seq < number for seq, number in zip(seqs, numbers.values(), strict=True))
    if behind:
        why = f"{behind:,} of the {len(numbers):,} customers of the log's latest rows are missing or behind"
        integrity.mark_damaged(why, datetime.now(UTC))
        raise StoreDamaged(f"Redis at {integrity.store.address}: {why}. Run `riskstream repair`")
