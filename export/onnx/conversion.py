"""The model in ONNX: conversion, the gate on parity with what was trained, and scoring.

Input "vector" float32 [n, F], output "probabilities" float32 [n, 2]; the score is the probability of class 1.
A row's bits do not depend on the rows around it: a session has one thread, and large batches are two calls.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.manifest import BundleMismatch
from export.onnx.calibration import Calibrated
from export.onnx.graph import by_skl2onnx, graph, with_float32_thresholds
from export.onnx.parity_vectors import probes
from features.errors import Mismatch

PARITY_LIMIT = 1e-5  # float32 sums over a few hundred trees stay below 1e-6
WORTH_HALVING = 500  # rows; below, a second thread costs more than it spares


# What onnxruntime raises for bytes that are no model, or no model of these inputs and outputs.
NO_MODEL = (
    "DeviceReset", "EPFail", "EngineError", "Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf",
    "ModelLoadCanceled", "ModelLoaded", "ModelRequiresCompilation", "NoModel", "NoSuchFile", "NotFound",
    "NotImplemented", "RuntimeException",
)  # fmt: skip


class ParityError(Mismatch):
    """The converted model gives other scores than the trained one; it must not be deployed."""


def convert(model: Any, n_features: int) -> bytes:
    """Convert a fitted classifier of two classes, Calibrated or scikit-learn's own, to ONNX."""
    if isinstance(model, Calibrated):
        return graph(model, n_features)
    converted = by_skl2onnx(with_float32_thresholds(model), n_features)
    return bytes(converted.SerializeToString(deterministic=True))


def parity(model: Any, converted: bytes, vectors: NDArray[np.float32], limit: float = PARITY_LIMIT) -> float:
    """The largest difference of probabilities on `vectors` [n, F] and on probes: 10,000 vectors and more.

    Raises ParityError above `limit`.
    """
    tried = probes(vectors, converted)
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
        """Raises BundleMismatch for bytes that are no model of these inputs and outputs."""
        import onnxruntime  # type: ignore[import-untyped,unused-ignore]

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._model = model
        try:
            self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
            self.n_features = int(self._session.get_inputs()[0].shape[1])
        except _faults() as error:
            raise _no_model(error) from error
        self._helper = ThreadPoolExecutor(1, "score")  # beside the caller's own thread

    def __reduce__(self) -> tuple[type["Scorer"], tuple[bytes]]:
        return Scorer, (self._model,)

    def score(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32[n, F] -> probability of class 1, float32[n]. Raises BundleMismatch if the model cannot do it."""
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
        try:
            (probabilities,) = self._session.run(["probabilities"], {"vector": vectors})
            score: NDArray[np.float32] = np.ascontiguousarray(probabilities[:, 1])
        except _faults() as error:
            raise _no_model(error) from error
        return score


def _faults() -> tuple[type[Exception], ...]:
    """Return the errors that onnxruntime and numpy raise for a model that cannot be used."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state  # type: ignore[import-untyped,unused-ignore]

    return (ValueError, TypeError, IndexError, *(getattr(state, name) for name in NO_MODEL))


def _no_model(error: Exception) -> BundleMismatch:
    return BundleMismatch(
        f"the model cannot be used: {error}; expected ONNX with input vector float32 [n, F] and output "
        "probabilities float32 [n, 2]; train again"
    )
