"""Why a score is as high as it is: what it would be if one feature were as in half of the training data.

One feature at a time, so features that say the same hide each other; what is told is how this model answers, not
what caused what.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from export.onnx import Scorer
from export.reference import Bins, Reference

MOST = 5  # reasons told of a score
LEAST_EFFECT = 0.001  # of a probability; less is told to nobody
ROWS_AT_ONCE = 50_000  # vectors: some ten megabytes


class Reason(NamedTuple):
    """`effect` is the part of the score that goes when the feature is at the `median`. NaN: unknown."""

    feature: str
    words: str
    value: float
    median: float
    effect: float

    def __str__(self) -> str:
        return f"{self.words}: {number(self.value)}, median {number(self.median)} (+{self.effect:.3f})"


def number(value: float) -> str:
    """For a person to read."""
    if value != value:
        return "unknown"
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.3g}"


def median(bins: Bins) -> float:
    """The least known value with half of the column up to it; NaN where most values were missing.

    Bundles from before it was kept have it as an edge, unless the upper half of the column is one value: then NaN.
    """
    if bins.missing > 0.5:
        return float("nan")
    if bins.median is not None:
        return bins.median
    below = np.cumsum(bins.shares)[:-1]
    half = np.flatnonzero(below >= 0.5 * (1 - bins.missing) - 1e-9)
    return bins.edges[half[0]] if len(half) else float("nan")


def medians(reference: Reference, names: Sequence[str]) -> NDArray[np.float32]:
    """float32[F] of the training data alone: a customer's reasons do not depend on who else is scored."""
    return np.array([median(reference.features[name]) for name in names], np.float32)


def reasons(
    scorer: Scorer,
    vectors: NDArray[np.float32],
    score: NDArray[np.float32],
    typical: NDArray[np.float32],
    names: Sequence[str],
    words: Sequence[str],
) -> Iterator[list[Reason]]:
    """For each of c vectors [c, F] with its score [c]: what raises it, the largest effect first."""
    step = max(1, ROWS_AT_ONCE // len(names))
    for start in range(0, len(vectors), step):
        some = vectors[start : start + step]
        effects = score[start : start + step, None] - without_each(scorer, some, typical)
        for vector, effect in zip(some, effects, strict=True):
            best = np.argsort(-effect, kind="stable")[:MOST]
            yield [
                Reason(names[k], words[k], float(vector[k]), float(typical[k]), float(effect[k]))
                for k in best.tolist()
                if effect[k] >= LEAST_EFFECT
            ]


def without_each(
    scorer: Scorer, vectors: NDArray[np.float32], typical: NDArray[np.float32]
) -> NDArray[np.float32]:
    """[c, F] the score of each vector with feature k at its typical value."""
    c, width = vectors.shape
    changed = np.repeat(vectors, width, axis=0)
    rows = np.arange(c * width)
    changed[rows, rows % width] = np.tile(typical, c)
    return scorer.score(changed).reshape(c, width)
