"""Trained models of use cases under test. Not with the events, because scikit-learn is slow to import."""

from datetime import UTC, datetime
from functools import lru_cache

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier

from export.bundle import Bundle, bundle
from export.distributions.reference import reference
from export.onnx import convert
from features.usecase import UseCase
from pipeline.engine.engine import Engine
from pipeline.stores.store import RecordStore

THRESHOLDS = {"medium": 0.4, "high": 0.6}


@lru_cache
def trained(use_case: UseCase, when: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> Bundle:
    """A model that mostly looks at a few of the features, so that scores are spread and levels change."""
    rng = np.random.default_rng(7)
    n, names = 3_000, use_case.features
    vectors = rng.lognormal(2, 2, (n, len(names))).astype(np.float32)
    vectors[rng.random(vectors.shape) < 0.1] = np.nan
    strange = np.nan_to_num(np.log(vectors[:, :: max(1, len(names) // 6)]), nan=2.0).sum(axis=1)
    label = strange + rng.normal(0, 1, n) > np.median(strange)
    model = HistGradientBoostingClassifier(max_iter=30, max_leaf_nodes=15, random_state=1).fit(vectors, label)
    bins = reference(names, vectors, model.predict_proba(vectors)[:, 1])
    onnx = convert(model, len(names))
    return bundle(
        use_case, use_case.text, onnx, bins, THRESHOLDS, when, seed=7, versions={}, metrics={}, training={}
    )


def engine(use_case: UseCase, store: RecordStore) -> Engine:
    return Engine.from_bundle(use_case, trained(use_case), store)
