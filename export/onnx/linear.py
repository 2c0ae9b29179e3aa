"""A linear model of log odds on raw vectors: how it is computed here, and the same as ONNX nodes in export.onnx.graph.

Each feature becomes three inputs. Amounts span many powers of ten: asinh of the distance from the median in units of
the spread is a line near 0 and a logarithm far out. Shares do not: most of theirs lie close together, so that a
logarithm makes 0.1, 0.5 and 0.9 nearly alike, and what they say is in the distance from the mean in standard
deviations. Both are 0 if the value is missing; the third input is 1 then. The learner weighs the one that tells more.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FARTHEST = np.float32(1e4)  # spreads from the median; beyond, float32 differences grow and nothing is learned
FARTHEST_DEVIATION = np.float32(
    10
)  # standard deviations from the mean; one wild amount must not decide alone
LEAST_SPREAD = 1e-20  # its inverse is still a float32 that no finite value times it makes NaN

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Scales:
    """Means and deviations by which the inputs of each feature are scaled, float32 [F] each."""

    center: NDArray[np.float32]  # median
    inverse_spread: NDArray[np.float32]
    mean: NDArray[np.float32]
    inverse_deviation: NDArray[np.float32]

    @classmethod
    def of(cls, vectors: NDArray[np.float32]) -> "Scales":
        """Measure each column of `vectors` [n, F], the missing left out; a column without values says nothing.

        The spread is the interquartile range; if that is 0 (mostly one value), the mean distance from the median.
        """
        columns = [_scale(column[~np.isnan(column)].astype(np.float64)) for column in vectors.T]
        center, spread, mean, deviation = np.array(columns).T
        return cls(*(each.astype(np.float32) for each in (center, 1 / spread, mean, 1 / deviation)))


@dataclass(frozen=True, eq=False)
class Linear:
    """`weights` float64 [3F]: F of asinh inputs, F of linear ones, F of missing ones."""

    scales: Scales
    weights: Floats
    intercept: float

    def decision_function(self, vectors: NDArray[np.float32]) -> Floats:
        """float32 [n, F] -> log odds float64 [n]."""
        inputs = standardized(vectors, self.scales)
        return np.asarray(inputs.astype(np.float64) @ self.weights + self.intercept)


def standardized(vectors: NDArray[np.float32], scales: Scales) -> NDArray[np.float32]:
    """float32 [n, F] -> float32 [n, 3F], in the order and precision of the graph."""
    missing = np.isnan(vectors)
    with np.errstate(over="ignore"):
        spreads = np.clip((vectors - scales.center) * scales.inverse_spread, -FARTHEST, FARTHEST)
        deviations = (vectors - scales.mean) * scales.inverse_deviation
    deviations = np.clip(deviations, -FARTHEST_DEVIATION, FARTHEST_DEVIATION)
    values = (np.where(missing, np.float32(0), each) for each in (np.arcsinh(spreads), deviations))
    return np.concatenate([*values, missing.astype(np.float32)], axis=1)


def _scale(values: Floats) -> tuple[float, float, float, float]:
    """Median, spread, mean and standard deviation."""
    if len(values) == 0:
        return 0.0, 1.0, 0.0, 1.0
    low, center, high = np.quantile(values, [0.25, 0.5, 0.75])
    spread = (high - low) or np.abs(values - center).mean()
    spread, deviation = (float(each) if each > LEAST_SPREAD else 1.0 for each in (spread, values.std()))
    return float(center), spread, float(values.mean()), deviation
