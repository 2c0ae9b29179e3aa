"""The model in ONNX: conversion, the gate on parity with scikit-learn, and scoring.

Input "vector" float32 [n, F], output "probabilities" float32 [n, 2]; the score is the probability of class 1.
A row's bits do not depend on the rows around it: a session has one thread, and large batches are two calls.
"""

from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.bundle import BundleMismatch

PARITY_LIMIT = 1e-5  # float32 sums over a few hundred trees stay below 1e-6
WORTH_HALVING = 500  # rows; below, a second thread costs more than it spares
OPSET = {"": 18, "ai.onnx.ml": 3}  # fixed: the same model gives the same bytes
FLOAT32_MAX = float(np.finfo(np.float32).max)


class ParityError(RuntimeError):
    """The converted model does not say what the trained one says; it must not be deployed."""


def convert(model: Any, n_features: int) -> bytes:
    """A fitted scikit-learn classifier of two classes as ONNX."""
    from skl2onnx import convert_sklearn  # type: ignore[import-untyped,unused-ignore]
    from skl2onnx.common.data_types import FloatTensorType  # type: ignore[import-untyped,unused-ignore]

    exact = _with_float32_thresholds(model)
    converted = convert_sklearn(
        exact,
        "riskstream",
        [("vector", FloatTensorType([None, n_features]))],
        options={id(exact): {"zipmap": False}},
        target_opset=OPSET,
    )
    return bytes(converted.SerializeToString(deterministic=True))


def _with_float32_thresholds(model: Any) -> Any:
    """The same model for float32 vectors: x <= t holds exactly if x <= the largest float32 up to t.

    Histogram gradient boosting splits in float64, ONNX in float32; rounding to nearest could turn a split.
    """
    exact = deepcopy(model)
    for tree in (tree for stage in getattr(exact, "_predictors", ()) for tree in stage):
        tree.nodes["num_threshold"] = _float32_below(tree.nodes["num_threshold"])
    return exact


def _float32_below(values: NDArray[np.float64]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        nearest = values.astype(np.float32)
    return np.where(nearest > values, np.nextafter(nearest, np.float32(-np.inf)), nearest)


def extremes(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Vectors to try beside the given ones: all zero, missing or huge, and given ones with holes."""
    features = vectors.shape[1]
    constants = np.array([0.0, np.nan, FLOAT32_MAX, -FLOAT32_MAX, 1e-45, -1.0], dtype=np.float32)
    holes = vectors[: 4 * features].copy()
    holes[np.arange(holes.size).reshape(holes.shape) % 7 == 0] = np.nan
    return np.concatenate([np.repeat(constants[:, None], features, axis=1), holes])


def parity(model: Any, converted: bytes, vectors: NDArray[np.float32], limit: float = PARITY_LIMIT) -> float:
    """The largest difference of probabilities on `vectors` and extremes. Raises ParityError above `limit`."""
    tried = np.concatenate([vectors, extremes(vectors)])
    expected = model.predict_proba(tried)[:, 1]
    difference = np.abs(Scorer(converted).score(tried) - expected)
    worst = int(difference.argmax())
    if not difference[worst] <= limit:
        raise ParityError(
            f"vector {worst} of {len(tried)}: the converted model is off by {difference[worst]:.2g} from the "
            f"probability {expected[worst]:.6f}, expected at most {limit:g}; "
            f"its values are {tried[worst].tolist()}; do not deploy, report the learner's parameters"
        )
    return float(difference[worst])


class Scorer:
    """A model ready to score, large batches in two threads. Safe for threads. Pickles as the model's bytes."""

    def __init__(self, model: bytes) -> None:
        import onnxruntime  # type: ignore[import-untyped,unused-ignore]

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._model = model
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self._helper = ThreadPoolExecutor(1, "score")  # beside the caller's own thread
        self.n_features = int(self._session.get_inputs()[0].shape[1])

    def __reduce__(self) -> tuple[type["Scorer"], tuple[bytes]]:
        return Scorer, (self._model,)

    def score(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32[n, F] -> probability of class 1, float32[n]. Raises BundleMismatch on another width."""
        if vectors.ndim != 2 or vectors.shape[1] != self.n_features:
            raise BundleMismatch(
                f"vectors have shape {vectors.shape}, the model expects [n, {self.n_features}]: "
                "the bundle belongs to another use case, train a new one"
            )
        if len(vectors) == 0:
            return np.zeros(0, np.float32)
        score = self._probability(np.ascontiguousarray(vectors, np.float32))
        if not np.isfinite(score).all():
            raise BundleMismatch(
                "the model gives a score that is not a number, expected a probability; train again"
            )
        return score

    def _probability(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        if len(vectors) < WORTH_HALVING:
            return self._run(vectors)
        middle = len(vectors) // 2
        rest = self._helper.submit(self._run, vectors[middle:])
        return np.concatenate([self._run(vectors[:middle]), rest.result()])

    def _run(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        (probabilities,) = self._session.run(["probabilities"], {"vector": vectors})
        score: NDArray[np.float32] = np.ascontiguousarray(probabilities[:, 1])
        return score
