"""Runs the kernel over batches as assess does: read, advance, remember, commit. The store is a dict.

Outcomes and status are made from the events alone, so that they do not depend on how batches were cut.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features import kernel, record
from features.kernel import Disposition
from features.kernel.plan import Arrivals, EntityPlan
from tests.features.histories import Case, arrivals, batches
from tests.features.oracle import Answer, Event

JUNK_SCORE, JUNK_OUTCOME = 9.0, 0x2A  # given to `remember` for events that were not applied


class Told(NamedTuple):
    """The kernel's results for a history, batches joined."""

    disposition: list[str]
    raw: NDArray[np.float64]
    seq: list[int]
    exact: list[bool]
    events: list[int]

    def answers(self) -> list[Answer]:
        rows = zip(self.disposition, self.raw.tolist(), self.seq, self.exact, self.events, strict=True)
        return [Answer(*row) for row in rows]


def score_of(event: Event) -> float:
    return float(np.float32(event.key % 1000 / 999))


def outcome_of(event: Event) -> int:
    return event.key % 128


class Driver:
    """A store of encoded records, and the batches that went into it."""

    def __init__(self, plan: EntityPlan, attribute_source: Sequence[int] = ()) -> None:
        self.plan, self.attribute_source = plan, attribute_source
        self.blobs: dict[str, bytes] = {}

    def advance(self, events: Sequence[Event], commit: bool = True) -> kernel.Advanced:
        """One batch. Without `commit` the work is lost, as in a crash."""
        batch = arrivals(self.plan, self.attribute_source, events)
        read = [self.blobs.get(entity) for entity in batch.ids]
        advanced = kernel.advance(self.plan, read, batch)
        applied = advanced.disposition == Disposition.APPLIED
        if self.plan.is_subject:
            self.judge(batch, advanced, np.flatnonzero(applied))
        score = np.where(applied, [score_of(e) for e in events], JUNK_SCORE).astype(np.float32)
        outcome = np.where(applied, [outcome_of(e) for e in events], JUNK_OUTCOME).astype(np.uint8)
        advanced.store_outcomes(score, outcome)
        self.check(read, advanced)
        if commit:
            self.blobs.update(zip(batch.ids, advanced.blobs(), strict=True))
        return advanced

    def judge(self, batch: Arrivals, advanced: kernel.Advanced, applied: NDArray[np.intp]) -> None:
        """Judge as the policy does: a status begins anew with the first event that its record counts."""
        for i in applied:
            status = advanced.status[batch.record[i] : batch.record[i] + 1]
            if advanced.events[i] == 1:
                status[:] = 0
            status["streak"] += 1
            status["since_us"] = np.maximum(status["since_us"], batch.time_us[i])

    def check(self, read: Sequence[bytes | None], advanced: kernel.Advanced) -> None:
        """Check what holds for every record of every batch."""
        for old, new, before, after in zip(
            read, advanced.blobs(), advanced.before, advanced.after, strict=True
        ):
            assert before == (record.seq_of(old) if old else 0)
            assert after == record.seq_of(new)
            assert len(new) % 8 == 0
            assert after > before or new == (old or new)

    def tell(self, events: Sequence[Event], sizes: Sequence[int] = (10**6,)) -> Told:
        return joined(self.advance(batch) for batch in batches(events, sizes))


def joined(batches: Iterable[kernel.Advanced]) -> Told:
    said = list(batches)
    return Told(
        [Disposition(d).name.lower() for a in said for d in a.disposition],
        np.concatenate([a.raw for a in said]),
        [int(s) for a in said for s in a.seq],
        [bool(x) for a in said for x in a.exact],
        [int(e) for a in said for e in a.events],
    )


def drive(case: Case, sizes: Sequence[int]) -> tuple[Driver, Told]:
    driver = Driver(case.plan, case.attribute_source)
    return driver, driver.tell(case.events, sizes)
