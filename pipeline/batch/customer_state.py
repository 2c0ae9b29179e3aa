"""State of each customer in files while they are scored: counts, last and highest score, highest level.

Customers are numbered in the order of their first events. Times are int64 microseconds since 1970 UTC.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from export.distributions.coverage import Spread
from export.policy import level_after
from export.ranking import LATEST
from features.kernel import Disposition
from features.usecase import UseCase
from pipeline.engine.assessments import Assessments

NEVER_US = np.iinfo(np.int64).min
OUTCOMES = {  # of the events of files, by their names in a summary
    "applied": Disposition.APPLIED,
    "duplicates": Disposition.DUPLICATE,
    "too_late": Disposition.TOO_LATE,
    "not_counted": Disposition.ABSENT,
}
CUSTOMER = np.dtype(
    [
        ("events", np.int64), ("scored", np.int64), ("score", np.float32), ("scored_us", np.int64),
        ("highest", np.float32), ("highest_us", np.int64), ("highest_level", np.uint8), ("has_profile", np.bool_),
    ]
)  # fmt: skip
NOTHING_KNOWN = np.array((0, 0, np.nan, NEVER_US, np.nan, NEVER_US, 0, False), CUSTOMER)


@dataclass
class CustomerStates:
    """c customers. `known` is CUSTOMER [c]; `score` is the last one; a profile is an event that sets attributes.

    `latest` [c, LATEST] ends with the last score, NaN where there are fewer; `vectors` and `last_vectors` are [c, F].
    """

    width: int  # features
    rows: dict[str, int] = field(default_factory=dict)  # by customer
    known: NDArray[np.void] = field(default_factory=lambda: np.zeros(0, CUSTOMER))
    latest: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, LATEST), np.float32))  # scores
    vectors: NDArray[np.float32] = field(
        default_factory=lambda: np.zeros((0, 0), np.float32)
    )  # of the highest
    last_vectors: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    spread: Spread = field(default_factory=Spread)  # of all scored events
    outcomes: dict[str, int] = field(default_factory=lambda: dict.fromkeys(OUTCOMES, 0))  # of events

    def add(self, assessments: Assessments) -> None:
        """Take the assessments of the next batch, in the order of arrival."""
        arrivals = assessments.batch.arrivals[assessments.batch.use_case.subject]
        numbers = np.array([self.rows.setdefault(id, len(self.rows)) for id in arrivals.ids], np.intp)
        self._grow()
        for name, disposition in OUTCOMES.items():
            self.outcomes[name] += int((assessments.disposition == disposition).sum())
        applied = np.flatnonzero(assessments.disposition == Disposition.APPLIED)
        customer = numbers[arrivals.record[applied]]
        np.add.at(self.known["events"], customer, 1)
        np.maximum.at(self.known["highest_level"], customer, level_after(assessments.outcome[applied]))
        self.known["has_profile"][customer[arrivals.source[applied] >= 0]] = True
        is_scored = ~np.isnan(assessments.score[applied])
        scored, customer = applied[is_scored], customer[is_scored]
        np.add.at(self.known["scored"], customer, 1)
        self.spread.add(assessments.vectors[scored])
        self._note_last(assessments, scored, customer)
        self.latest = shifted(self.latest, customer, assessments.score[scored])
        self._note_highest(assessments, scored, customer)

    def _grow(self) -> None:
        more = len(self.rows) - len(self.known)
        self.known = np.concatenate([self.known, np.full(more, NOTHING_KNOWN)])
        self.latest = _longer(self.latest, more)
        self.vectors = _longer(self.vectors.reshape(-1, self.width), more)
        self.last_vectors = _longer(self.last_vectors.reshape(-1, self.width), more)

    @property
    def customer_score(self) -> NDArray[np.float64]:
        """[c] The mean of each customer's latest scores, which ranks customers. NaN without a scored event."""
        count = (~np.isnan(self.latest)).sum(axis=1)
        total = np.nansum(self.latest, axis=1, dtype=np.float64)
        return np.where(count > 0, total / np.maximum(count, 1), np.nan)

    def _note_last(
        self, assessments: Assessments, scored: NDArray[np.intp], customer: NDArray[np.intp]
    ) -> None:
        """Keep the last score in the order of arrival, in which levels are decided."""
        last, at = np.unique(customer[::-1], return_index=True)
        event = scored[::-1][at]
        self.known["score"][last] = assessments.score[event]
        self.known["scored_us"][last] = assessments.batch.time_us[event]
        self.last_vectors[last] = assessments.vectors[event]

    def _note_highest(
        self, assessments: Assessments, scored: NDArray[np.intp], customer: NDArray[np.intp]
    ) -> None:
        """Keep the highest score, the first of equal ones."""
        order = np.lexsort((-assessments.score[scored], customer))
        best, at = np.unique(customer[order], return_index=True)
        event = scored[order[at]]
        is_higher = ~(assessments.score[event] <= self.known["highest"][best])  # NaN: there was none
        best, event = best[is_higher], event[is_higher]
        self.known["highest"][best] = assessments.score[event]
        self.known["highest_us"][best] = assessments.batch.time_us[event]
        self.vectors[best] = assessments.vectors[event]


def _longer(rows: NDArray[np.float32], more: int) -> NDArray[np.float32]:
    return np.concatenate([rows, np.full((more, rows.shape[1]), np.nan, np.float32)])


def shifted(
    latest: NDArray[np.float32], customer: NDArray[np.intp], score: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Append the scores [n] of events to `latest` [c, LATEST] of their customers [n], in the order of arrival."""
    order = np.argsort(customer, kind="stable")
    count = np.bincount(customer, minlength=len(latest))
    from_end = np.repeat(np.cumsum(count), count) - 1 - np.arange(len(order))
    source = np.arange(LATEST) + count[:, None]
    kept = np.take_along_axis(latest, np.minimum(source, LATEST - 1), axis=1)
    shifted = np.where(source < LATEST, kept, np.float32(np.nan))
    new = from_end < LATEST
    shifted[customer[order][new], LATEST - 1 - from_end[new]] = score[order][new]
    return shifted


def profile_types(use_case: UseCase) -> tuple[str, ...]:
    """Return the event types that set attributes of the subject; none if the use case has no attributes."""
    return tuple(source.event_type for source in use_case.by_entity[use_case.subject].sources)


def scored_types(use_case: UseCase) -> tuple[str, ...]:
    """Return the event types that are scored."""
    return tuple(each.name for each in use_case.event_types.values() if each.scored)
