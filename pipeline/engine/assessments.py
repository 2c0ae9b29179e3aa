"""Assessments: everything known about the events of a batch once they are stored, in arrays of one row per event."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from features.events import Batch
from features.kernel import Disposition
from pipeline.engine.challenger import Shadow
from pipeline.engine.unreadable import UnreadableRecord

Mask = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class AssessedEvents:
    """The n events of a batch, in their order, with what the records and the model gave for each.

    Events with disposition TOO_LATE are rejects: they were counted nowhere. So are those of `unreadable`, an entity of
    which has a record that cannot be read; their disposition is ABSENT. A row of `vectors` is NaN unless the event
    `has_vector`.
    """

    batch: Batch
    vectors: NDArray[np.float32]  # [n, F]
    score: NDArray[np.float32]  # [n] NaN: not scored
    outcome: NDArray[np.uint8]  # [n] bits as in export.policy.outcome
    seq: NDArray[np.int64]  # [n] the event's number in the subject's record; 0: rejected
    other_seqs: Mapping[str, NDArray[np.int64]]  # by entity; 0: the event has none, or it is forgotten
    disposition: NDArray[np.uint8]  # [n] Disposition in the subject's record
    exact: Mask  # [n] the vector can be rebuilt from the log
    unreadable: dict[int, UnreadableRecord]  # by event: the record that cannot be read

    @property
    def is_new(self) -> Mask:
        """[n] Events that were applied just now."""
        applied: Mask = self.disposition == Disposition.APPLIED
        return applied

    @property
    def accepted(self) -> Mask:
        """[n] Events that were counted, now or before."""
        is_accepted: Mask = (self.disposition != Disposition.TOO_LATE) & (
            self.disposition != Disposition.ABSENT
        )
        return is_accepted


@dataclass(frozen=True, kw_only=True)
class Assessments(AssessedEvents):
    """The n assessed events of a batch, all of which are stored."""

    has_vector: (
        Mask  # [n] the features are known: scored, not refused and, for a duplicate, still as they were
    )
    score_level: NDArray[np.uint8]  # [n] level that the score reaches alone, by the model's thresholds
    conflicts: int  # events assessed again because another worker had written first
    model_version: str
    fingerprint: str
    seconds: Mapping[str, float]  # spent in each stage
    shadow: Shadow | None = None  # the challenger's scores, if there is one


@dataclass(frozen=True, kw_only=True)
class Attempt(AssessedEvents):
    """The events after one read and one commit; those that are not `settled` must be assessed again."""

    settled: Mask  # [n] the event's records are written, or need not be

    @property
    def has_vector(self) -> Mask:
        """[n] Events that are scored and not refused; duplicates only if their features are still as they were."""
        is_refused: Mask = self.disposition == Disposition.TOO_LATE
        return self.batch.scored & (self.exact | self.is_new) & ~is_refused

    @classmethod
    def set_aside(cls, batch: Batch, unreadable: dict[int, UnreadableRecord]) -> Self:
        """Return an attempt that settles the events with unreadable records and leaves all others open."""
        n, others = len(batch), (entity for entity in batch.arrivals if entity != batch.use_case.subject)
        attempt = cls(
            batch=batch,
            vectors=np.full((n, len(batch.use_case.features)), np.nan, np.float32),
            score=np.full(n, np.nan, np.float32),
            outcome=np.zeros(n, np.uint8),
            seq=np.zeros(n, np.int64),
            other_seqs={entity: np.zeros(n, np.int64) for entity in others},
            disposition=np.zeros(n, np.uint8),
            exact=np.zeros(n, np.bool_),
            unreadable=unreadable,
            settled=np.zeros(n, np.bool_),
        )
        attempt.clear_unreadable()
        return attempt

    def copy_rows(self, rows: NDArray[np.intp], source: "Attempt", source_rows: NDArray[np.intp]) -> None:
        """Overwrite `rows` with `source_rows` of another attempt, or of this one."""
        for name in ("vectors", "score", "outcome", "seq", "disposition", "exact", "settled"):
            getattr(self, name)[rows] = getattr(source, name)[source_rows]
        for entity, seqs in self.other_seqs.items():
            seqs[rows] = source.other_seqs[entity][source_rows]
        if source.unreadable:
            places = zip(rows.tolist(), source_rows.tolist(), strict=True)
            self.unreadable.update({to: source.unreadable[i] for to, i in places if i in source.unreadable})

    def clear_unreadable(self) -> None:
        """Settle the events with unreadable records and clear everything about them."""
        rows = list(self.unreadable)
        if not rows:
            return
        self.vectors[rows] = self.score[rows] = np.nan
        self.outcome[rows] = self.seq[rows] = 0
        self.disposition[rows] = Disposition.ABSENT
        self.exact[rows], self.settled[rows] = False, True
        for seqs in self.other_seqs.values():
            seqs[rows] = 0
