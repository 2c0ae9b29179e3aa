"""The model of the certification's use case: a fixed one, because what it finds does not matter.

Its score rises with the amount of a transfer and a little with what its payer paid within the hour, so that levels
change often and there are many alerts. `model.onnx` is built once by `python -m pipeline.certification.model`, so that
a machine without the training packages can certify; a test builds it again.
"""

from datetime import datetime
from pathlib import Path

import numpy as np

from export.bundle import Bundle, bundle
from export.distributions.reference import reference
from export.onnx import Scorer
from features.usecase import UseCase

FILE = Path(__file__).with_name("model.onnx")
FEATURES = (
    "received_count_1h", "received_count_ever", "received_sum_1h", "paid_count_1h", "paid_count_ever", "paid_sum_1h",
    "amount",
)  # fmt: skip
WEIGHTS = {"amount": 0.1, "paid_sum_1h": 1e-5, "received_count_1h": 1e-4}  # log odds of one unit
INTERCEPT = -5.0  # half of the amounts are below 50
THRESHOLDS = {"medium": 0.4, "high": 0.6}
REFERENCE_ROWS, SEED = 1_000, 7


def certification_bundle(use_case: UseCase, created_at: datetime) -> Bundle:
    """Put the fixed model into a bundle for this run's use case."""
    model = FILE.read_bytes()
    rng = np.random.default_rng(SEED)
    vectors = rng.uniform(0, 100, (REFERENCE_ROWS, len(FEATURES))).astype(np.float32)
    bins = reference(use_case.features, vectors, Scorer(model).score(vectors))
    return bundle(
        use_case, use_case.text, model, bins, THRESHOLDS, created_at,
        seed=SEED, versions={}, metrics={}, training={},
    )  # fmt: skip


def build() -> bytes:
    """Build the model's ONNX; the same bytes each time. Needs the training packages.

    Elementwise operators only: the bits of a row do not depend on the rows beside it.
    """
    from export.onnx.graph import INPUT, OUTPUT, Graph

    made = Graph()
    margin = made.constant([[INTERCEPT]])
    for name, weight in WEIGHTS.items():
        column = made.add("Gather", INPUT, made.constant([FEATURES.index(name)], np.int64), axis=1)
        margin = made.add("Add", margin, made.add("Mul", column, made.constant([[weight]])))
    signed = made.constant([[1.0, -1.0]])
    odds = made.add("Exp", made.add("Mul", margin, signed))  # for, against
    made.add("Reciprocal", made.add("Add", odds, made.constant([[1.0]])), output=OUTPUT)
    return made.serialized(len(FEATURES))


if __name__ == "__main__":
    FILE.write_bytes(build())
