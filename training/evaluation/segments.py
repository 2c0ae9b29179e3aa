"""Who is on each level after their last events, beside the highest level that each ever had, and what they look like.

The highest level ever grows with the number of events alone, so it says less of a customer than where it stands.
"""

import numpy as np
from numpy.typing import NDArray

from export.distributions.reference import middle
from features.usecase import LEVELS, Feature, UseCase
from training.evaluation.customers import Customers
from training.evaluation.figures import Segment
from training.models.judged import Judged
from training.policy.replay import Decisions

Medians = dict[str, float | None]


def segments(
    use_case: UseCase, judged: Judged, customers: Customers, made: Decisions
) -> tuple[tuple[Segment, ...], Medians]:
    """LOW, MEDIUM, HIGH, and the medians of all customers at their last events."""
    vectors, label = judged.rows.vectors[customers.last], customers.label
    last, highest = made.last_level, made.highest_level
    found = tuple(
        _segment(name, last == k, highest == k, label, medians(use_case.table, vectors[last == k]))
        for k, name in enumerate(LEVELS)
    )
    return found, medians(use_case.table, vectors)


def _segment(
    name: str, own: NDArray[np.bool_], ever: NDArray[np.bool_], label: NDArray[np.int64], medians: Medians
) -> Segment:
    n, positives = int(own.sum()), int(label[own].sum())
    bad_rate = positives / n if n else float("nan")
    return Segment(
        name, n, n / len(own), positives, bad_rate, medians, int(ever.sum()), int(label[ever].sum())
    )


def medians(features: tuple[Feature, ...], vectors: NDArray[np.float32]) -> Medians:
    """The middle of each column of `vectors` [n, F]: see export.distributions.reference."""
    columns = zip(features, vectors.T, strict=True)
    return {each.name: middle(column, bool(each.choice)) for each, column in columns}
