"""Vectors on which a converted model is compared with the trained one, beside those it was trained on.

Extreme ones, new mixtures of known values, and values at and next to every kind of split: there a threshold that
was rounded the wrong way shows, and nowhere else. The same arguments give the same vectors.
"""

import numpy as np
from numpy.typing import NDArray

LEAST_ROWS = 10_000  # vectors a conversion is tried on, however few there are
MOST_SPLITS = 2_000  # of a model's thresholds; each gives three vectors
FLOAT32_MAX = float(np.finfo(np.float32).max)


def probes(vectors: NDArray[np.float32], converted: bytes) -> NDArray[np.float32]:
    """`vectors` [n, F], n > 0, and others, float32 [at least LEAST_ROWS, F]."""
    return np.concatenate([vectors, extremes(vectors), mixed(vectors), beside_splits(vectors, converted)])


def extremes(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Vectors to try beside the given ones: all zero, missing or huge, and given ones with holes."""
    features = vectors.shape[1]
    constants = np.array([0.0, np.nan, FLOAT32_MAX, -FLOAT32_MAX, 1e-45, -1.0], dtype=np.float32)
    holes = vectors[: 4 * features].copy()
    holes[np.arange(holes.size).reshape(holes.shape) % 7 == 0] = np.nan
    return np.concatenate([np.repeat(constants[:, None], features, axis=1), holes])


def mixed(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Draw the vectors that are missing to LEAST_ROWS, each column independently from the given ones."""
    rows = max(LEAST_ROWS - len(vectors), 0)
    drawn = np.random.default_rng(0).integers(0, len(vectors), (rows, vectors.shape[1]))
    return np.take_along_axis(vectors, drawn, axis=0)


def beside_splits(vectors: NDArray[np.float32], converted: bytes) -> NDArray[np.float32]:
    """Given vectors with one value set to a threshold, and to the next float32 below and above it."""
    feature, threshold = splits(converted)
    rng = np.random.default_rng(0)
    chosen = rng.permutation(len(threshold))[:MOST_SPLITS]
    feature, threshold = feature[chosen], threshold[chosen]
    rows = vectors[rng.integers(0, len(vectors), len(chosen))]
    below, above = (np.nextafter(threshold, np.float32(side * np.inf)) for side in (-1, 1))
    return np.concatenate([_with(rows, feature, value) for value in (below, threshold, above)])


def _with(
    rows: NDArray[np.float32], feature: NDArray[np.int64], value: NDArray[np.float32]
) -> NDArray[np.float32]:
    changed = rows.copy()
    changed[np.arange(len(rows)), feature] = value
    return changed


def splits(converted: bytes) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Feature and threshold of every finite split of the graph's trees; none if it has no trees."""
    import onnx

    features, thresholds = [np.zeros(0, np.int64)], [np.zeros(0, np.float32)]
    for node in onnx.load_model_from_string(converted).graph.node:
        attributes = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
        if "nodes_modes" in attributes:
            is_split = np.array(attributes["nodes_modes"]) != b"LEAF"
            features.append(np.array(attributes["nodes_featureids"])[is_split])
            thresholds.append(np.array(attributes["nodes_values"], np.float32)[is_split])
    feature, threshold = np.concatenate(features), np.concatenate(thresholds)
    return feature[np.isfinite(threshold)], threshold[np.isfinite(threshold)]
