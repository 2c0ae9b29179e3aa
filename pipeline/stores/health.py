"""Health of a store, for `riskstream status`: whole or not, since when, why, and who writes to it."""

from dataclasses import dataclass

from features.usecase import UseCase
from pipeline.stores.integrity import WHOLE, Integrity, described
from pipeline.stores.readiness import Readiness
from pipeline.stores.redis_store import RedisStore

EMPTY, EMPTIED, UNNOTED = "empty", "emptied", "unnoted"
WORDS = {
    EMPTY: "nothing has filled it yet",
    EMPTIED: "the state beside its records is gone: it was emptied. Run `riskstream repair`",
    UNNOTED: "filled by an older version; the next job to begin notes its state",
}


@dataclass(frozen=True)
class WriterReport:
    """A process that writes to the store, as it last reported."""

    name: str
    is_alive: bool
    is_paused: bool
    undelivered: int


@dataclass(frozen=True)
class StoreHealth:
    """`status` is whole, filling, repairing, damaged, empty, emptied or unnoted; `words` says what to do about it."""

    status: str
    since: str
    words: str
    writers: tuple[WriterReport, ...] = ()

    @property
    def is_sound(self) -> bool:
        """Tell whether nothing is lost: an empty store has not lost anything either."""
        return self.status in (WHOLE, EMPTY, UNNOTED)


def store_health(store: RedisStore, use_case: UseCase, prefix: str) -> StoreHealth:
    """Read the health of a store. Read the health of a store. Raises StoreUnavailable."""
    integrity = Integrity(store, prefix, use_case.name, use_case.fingerprint)
    state, now_ms = integrity.state(), integrity.now_ms()
    writers = tuple(
        WriterReport(writer.name, writer.is_alive(now_ms), writer.paused, writer.undelivered)
        for writer in sorted(integrity.writers().values(), key=lambda each: each.name)
    )
    if state:
        return StoreHealth(state.status, state.since, described(state), writers)
    if not integrity.is_untouched():
        return StoreHealth(EMPTIED, "", WORDS[EMPTIED], writers)
    is_filled = use_case.fingerprint in Readiness(store, prefix, use_case.name).markers()
    status = UNNOTED if is_filled else EMPTY
    return StoreHealth(status, "", WORDS[status], writers)
