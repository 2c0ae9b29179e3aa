"""Answers of owners: how the records of an entity beside the subject counted the events of a batch."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from features.kernel import Advanced, Disposition
from features.kernel.plan import EntityPlan

Mask = NDArray[np.bool_]
COLUMNS = ("raw", "seq", "disposition", "exact")


@dataclass(frozen=True)
class OwnerAnswers:
    """The answers to n events; an event without an answer is ABSENT. Names and meanings are those of `Advanced`."""

    raw: NDArray[np.float64]  # [n, plan.raw_columns]
    seq: NDArray[np.int64]  # [n]
    disposition: NDArray[np.uint8]  # [n]
    exact: Mask  # [n]
    is_answered: Mask  # [n]

    @classmethod
    def none(cls, plan: EntityPlan, events: int) -> Self:
        """Return the answers before anybody was asked."""
        return cls(
            raw=np.full((events, plan.raw_columns), np.nan),
            seq=np.zeros(events, np.int64),
            disposition=np.zeros(events, np.uint8),
            exact=np.ones(events, np.bool_),
            is_answered=np.zeros(events, np.bool_),
        )

    @property
    def is_duplicate(self) -> Mask:
        """[n] Events that the record knew already."""
        duplicate: Mask = self.disposition == Disposition.DUPLICATE
        return duplicate

    def again(self, rows: NDArray[np.intp], known: Mask | None = None) -> "OwnerAnswers":
        """Return what the records would answer if they were asked about the events `rows` once more.

        An event that was applied is a duplicate by now, with the same vector and number. One that no record holds has
        no answer, as it may now be new, unless it is `known` [n] to its subject.
        """
        disposition = self.disposition[rows]
        is_absent = disposition == Disposition.ABSENT
        is_held = self.is_answered[rows] & ~(is_absent if known is None else is_absent & ~known[rows])
        disposition[disposition == Disposition.APPLIED] = Disposition.DUPLICATE
        return OwnerAnswers(self.raw[rows], self.seq[rows], disposition, self.exact[rows], is_held)

    def without(self, rows: Mask) -> "OwnerAnswers":
        """Return these answers without those to `rows` [n], which their subject has refused since."""
        if not (rows & self.is_answered).any():
            return self
        return OwnerAnswers(
            np.where(rows[:, None], np.nan, self.raw),
            np.where(rows, 0, self.seq),
            np.where(rows, np.uint8(Disposition.ABSENT), self.disposition),
            self.exact | rows,
            self.is_answered,
        )

    def over(self, folded: Advanced) -> "OwnerAnswers":
        """Return these answers, and to events that have none here what `folded` says of them."""
        mine = self.is_answered
        return OwnerAnswers(
            np.where(mine[:, None], self.raw, folded.raw),
            np.where(mine, self.seq, folded.seq),
            np.where(mine, self.disposition, folded.disposition),
            np.where(mine, self.exact, folded.exact),
            np.ones(len(mine), np.bool_),
        )
