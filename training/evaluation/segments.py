"""Who is on each level: customers by their highest score, and what they look like at their last event."""

import numpy as np
from numpy.typing import NDArray

from features.schema import LEVELS
from features.usecase import UseCase
from training.evaluation.customers import Customers
from training.evaluation.figures import Segment
from training.train import Judged

Medians = dict[str, float | None]


def segments(use_case: UseCase, judged: Judged, customers: Customers) -> tuple[tuple[Segment, ...], Medians]:
    """LOW, MEDIUM, HIGH, and the medians of all customers."""
    thresholds = [judged.thresholds["medium"], judged.thresholds["high"]]
    level = np.searchsorted(thresholds, customers.peak, side="right")
    vectors = judged.rows.vectors[customers.last]
    found = tuple(
        _segment(name, level == k, customers.label, use_case.features, vectors)
        for k, name in enumerate(LEVELS)
    )
    return found, medians(use_case.features, vectors)


def _segment(
    name: str,
    own: NDArray[np.bool_],
    label: NDArray[np.int64],
    features: tuple[str, ...],
    vectors: NDArray[np.float32],
) -> Segment:
    n, positives = int(own.sum()), int(label[own].sum())
    bad_rate = positives / n if n else float("nan")
    return Segment(name, n, n / len(own), positives, bad_rate, medians(features, vectors[own]))


def medians(features: tuple[str, ...], vectors: NDArray[np.float32]) -> Medians:
    """Of each column of `vectors` [n, F], the missing left out; None if nothing is there."""
    return {name: _median(column) for name, column in zip(features, vectors.T, strict=True)}


def _median(column: NDArray[np.float32]) -> float | None:
    there = column[~np.isnan(column)]
    return float(np.median(there)) if len(there) else None
