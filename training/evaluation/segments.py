"""Segments: customers on each level after their last events, beside the highest level that each ever had.

The highest level ever grows with the number of events alone, so it says less about a customer than the last level.
"""

import numpy as np
from numpy.typing import NDArray

from export.distributions.reference import middle
from features.usecase import LEVELS, Feature, UseCase
from training.arrays import Mask, Vectors
from training.evaluation.customers import HeldOutCustomers
from training.evaluation.figures import SegmentFigures
from training.models.held_out import HeldOut
from training.policy.replay import Decisions

Medians = dict[str, float | None]


def segment_figures(
    use_case: UseCase, held_out: HeldOut, customers: HeldOutCustomers, decided: Decisions
) -> tuple[tuple[SegmentFigures, ...], Medians]:
    """Return LOW, MEDIUM and HIGH, and the medians of all customers at their last events."""
    vectors, label = held_out.rows.vectors[customers.last], customers.label
    last, highest = decided.last_level, decided.highest_level
    segments = tuple(
        _segment(name, last == k, highest == k, label, medians(use_case.table, vectors[last == k]))
        for k, name in enumerate(LEVELS)
    )
    return segments, medians(use_case.table, vectors)


def _segment(
    name: str, members: Mask, ever: Mask, label: NDArray[np.int64], medians: Medians
) -> SegmentFigures:
    n, positives = int(members.sum()), int(label[members].sum())
    bad_rate = positives / n if n else float("nan")
    return SegmentFigures(
        name, n, n / len(members), positives, bad_rate, medians, int(ever.sum()), int(label[ever].sum())
    )


def medians(features: tuple[Feature, ...], vectors: Vectors) -> Medians:
    """Return the middle of each column of `vectors` [n, F]: see export.distributions.reference."""
    columns = zip(features, vectors.T, strict=True)
    return {each.name: middle(column, bool(each.choice)) for each, column in columns}
