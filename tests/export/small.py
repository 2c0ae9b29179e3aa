"""A small bundle to save, load and damage. Imports no Beam, like the serving side that reads bundles."""

import dataclasses
from datetime import UTC, datetime

import numpy as np

from export.bundle import Bundle, bundle
from export.distributions.reference import reference

WHEN = datetime(2026, 11, 22, 10, 30, tzinfo=UTC)


@dataclasses.dataclass(frozen=True)
class Declared:
    """The parts of a use case that a bundle looks at."""

    name: str = "offboarding"
    fingerprint: str = "00c0ffee00c0ffee"
    features: tuple[str, ...] = ("amount", "out_count_24h")


def made(model: bytes = b"onnx", use_case: str = "offboarding", learned_from: bytes | None = None) -> Bundle:
    vectors = np.random.default_rng(0).random((50, 2)).astype(np.float32)
    bins = reference(Declared.features, vectors, vectors[:, 0])
    return bundle(
        Declared(use_case), "use_case: offboarding # naïve", model, bins,
        {"medium": 0.25, "high": 0.5}, WHEN, learned_from=learned_from, seed=1, versions={"numpy": "2"},
        metrics={"roc_auc": 0.5}, training={"rows": 50},
    )  # fmt: skip
