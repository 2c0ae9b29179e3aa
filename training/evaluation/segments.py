"""Who is on each level: customers by their highest score, and what they look like when they have it."""

import numpy as np
from numpy.typing import NDArray

from export.reference import middle
from features.schema import LEVELS, Feature
from features.usecase import UseCase
from training.evaluation.customers import Customers
from training.evaluation.figures import Segment
from training.train import Judged

Medians = dict[str, float | None]


def segments(use_case: UseCase, judged: Judged, customers: Customers) -> tuple[tuple[Segment, ...], Medians]:
    """LOW, MEDIUM, HIGH, and the medians of all customers."""
    thresholds = [judged.thresholds["medium"], judged.thresholds["high"]]
    level = np.searchsorted(thresholds, customers.score, side="right")
    vectors = judged.rows.vectors[customers.top]
    found = tuple(
        _segment(name, level == k, customers.label, use_case.table, vectors) for k, name in enumerate(LEVELS)
    )
    return found, medians(use_case.table, vectors)


def _segment(
    name: str,
    own: NDArray[np.bool_],
    label: NDArray[np.int64],
    features: tuple[Feature, ...],
    vectors: NDArray[np.float32],
) -> Segment:
    n, positives = int(own.sum()), int(label[own].sum())
    bad_rate = positives / n if n else float("nan")
    return Segment(name, n, n / len(own), positives, bad_rate, medians(features, vectors[own]))


def medians(features: tuple[Feature, ...], vectors: NDArray[np.float32]) -> Medians:
    """The middle of each column of `vectors` [n, F]: see export.reference."""
    columns = zip(features, vectors.T, strict=True)
    return {each.name: middle(column, bool(each.choice)) for each, column in columns}
