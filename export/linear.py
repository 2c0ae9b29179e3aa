"""A linear model of log odds on raw vectors: how it is computed here, and the same as ONNX nodes in export.graph.

Amounts span many powers of ten and may be missing, so each feature becomes two inputs: asinh of its distance
from the median in units of its spread (a logarithm far out, a line near 0), 0 if missing; and 1 if missing.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FARTHEST = np.float32(1e4)  # spreads from the median; beyond, float32 differences grow and nothing is learned
LEAST_SPREAD = 1e-20  # its inverse is still a float32 that no finite value times it makes NaN

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Linear:
    """`center` and `inverse_spread` float32 [F], `weights` float64 [2F]: F of values, then F of missing ones."""

    center: NDArray[np.float32]
    inverse_spread: NDArray[np.float32]
    weights: Floats
    intercept: float

    def decision_function(self, vectors: NDArray[np.float32]) -> Floats:
        """float32 [n, F] -> log odds float64 [n]."""
        inputs = standardized(vectors, self.center, self.inverse_spread)
        return np.asarray(inputs.astype(np.float64) @ self.weights + self.intercept)


def standardized(
    vectors: NDArray[np.float32], center: NDArray[np.float32], inverse_spread: NDArray[np.float32]
) -> NDArray[np.float32]:
    """float32 [n, F] -> float32 [n, 2F], in the order and precision of the graph."""
    missing = np.isnan(vectors)
    with np.errstate(over="ignore"):
        distance = np.clip((vectors - center) * inverse_spread, -FARTHEST, FARTHEST)
    values = np.where(missing, np.float32(0), np.arcsinh(distance))
    return np.concatenate([values, missing.astype(np.float32)], axis=1)


def scales(vectors: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Median and inverse spread of each column, float32 [F] each; 0 and 1 for a column without values.

    The spread is the interquartile range; if that is 0 (mostly one value), the mean distance from the median.
    """
    pairs = np.array([_scale(column[~np.isnan(column)].astype(np.float64)) for column in vectors.T])
    return pairs[:, 0].astype(np.float32), (1 / pairs[:, 1]).astype(np.float32)


def _scale(values: Floats) -> tuple[float, float]:
    if len(values) == 0:
        return 0.0, 1.0
    low, center, high = np.quantile(values, [0.25, 0.5, 0.75])
    spread = (high - low) or np.abs(values - center).mean()
    return float(center), float(spread) if spread > LEAST_SPREAD else 1.0
