"""Health of a store, for `riskstream status`: whole or not, since when, why, and who writes to it."""

from dataclasses import dataclass

from features.usecase import UseCase
from pipeline.stores.integrity import WHOLE, Vitality, described
from pipeline.stores.readiness import Warmth
from pipeline.stores.redis_store import RedisStore

EMPTY, EMPTIED, UNNOTED = "empty", "emptied", "unnoted"
WORDS = {
    EMPTY: "nothing has filled it yet",
    EMPTIED: "the state beside its records is gone: it was emptied. Run `riskstream repair`",
    UNNOTED: "filled by an older version; the next job to begin notes its state",
}


@dataclass(frozen=True)
class Reporting:
    """A process that writes to the store, as it last reported."""

    name: str
    is_alive: bool
    is_paused: bool
    undelivered: int


@dataclass(frozen=True)
class Condition:
    """`status` is whole, filling, repairing, damaged, empty, emptied or unnoted; `words` says what to do about it."""

    status: str
    since: str
    words: str
    writers: tuple[Reporting, ...] = ()

    @property
    def is_sound(self) -> bool:
        """Tell whether nothing is lost: an empty store has not lost anything either."""
        return self.status in (WHOLE, EMPTY, UNNOTED)


def condition(store: RedisStore, use_case: UseCase, prefix: str) -> Condition:
    """Read the health of a store. Read the health of a store. Raises StoreUnavailable."""
    vitality = Vitality(store, prefix, use_case.name, use_case.fingerprint)
    state, now_ms = vitality.state(), vitality.now_ms()
    writers = tuple(
        Reporting(writer.name, writer.is_alive(now_ms), writer.paused, writer.undelivered)
        for writer in sorted(vitality.writers().values(), key=lambda each: each.name)
    )
    if state:
        return Condition(state.status, state.since, described(state), writers)
    if not vitality.is_untouched():
        return Condition(EMPTIED, "", WORDS[EMPTIED], writers)
    is_filled = use_case.fingerprint in Warmth(store, prefix, use_case.name).markers()
    status = UNNOTED if is_filled else EMPTY
    return Condition(status, "", WORDS[status], writers)
