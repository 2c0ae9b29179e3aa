"""Facts of a training for the manifest of its bundle: metrics on held-out rows, the rows learned from, versions."""

import hashlib
import platform
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import Any

import msgspec
import numpy as np

from training.data.cleaning import CleaningCount
from training.data.labelled_rows import LabelledRows
from training.data.splits import DAY_US, Split
from training.models.held_out import HeldOut
from training.models.selection import SelectedModel
from training.statistics.customer_score import customer_labels, customer_scores
from training.statistics.metrics import measure

LIBRARIES = (
    "numpy",
    "scikit-learn",
    "skl2onnx",
    "onnx",
    "onnxruntime",
    "onnxmltools",
    "optuna",
    "xgboost-cpu",
)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def metrics(held_out: HeldOut, seed: int) -> dict[str, Any]:
    """Return ROC AUC, average precision and Brier score with intervals, of assessments and of customers.

    Assessments have the weights of `held_out`; each customer counts as one.
    """
    label, customer = held_out.rows.label, held_out.customer
    score, customer_label = customer_scores(customer, held_out.score), customer_labels(customer, label)
    everyone = np.arange(len(score))
    return {
        "assessments": measure(label, held_out.score, held_out.weight, customer, seed),
        "customers": measure(customer_label, score, np.ones(len(score)), everyone, seed),
    }


def training_facts(
    learned: LabelledRows,
    sides: Split,
    evaluated: SelectedModel,
    cleaning: Sequence[CleaningCount],
    *,
    has_stand_in: bool,
) -> dict[str, Any]:
    """Return the `training` section of the manifest.

    `learned` are the rows that the final model has learned from, `evaluated` is the model that the held-out rows have
    measured.
    """
    facts = _rows(learned) | {"split": sides.description, "model": evaluated.facts}
    if evaluated.rows.by_event:
        facts["known_after_days"] = float(np.median(learned.known_us - learned.times_us) / DAY_US)
    facts["set_apart"] = sides.share_set_apart if has_stand_in else 0.0
    facts["left_out"] = list(learned.left_out)
    facts["cleaning"] = [msgspec.structs.asdict(each) for each in cleaning]
    return facts


def _rows(learned: LabelledRows) -> dict[str, Any]:
    """Count rows and customers, and digest the vectors, labels, customers and times."""
    vectors, label, customers, times_us = learned.vectors, learned.label, learned.customers, learned.times_us
    names = "\n".join(str(name) for name in customers).encode()
    parts = (vectors.tobytes(), label.astype(np.int8).tobytes(), names, times_us.astype(np.int64).tobytes())
    return {
        "rows": len(vectors),
        "positive_rows": int(label.sum()),
        "customers": len(set(customers.tolist())),
        "positive_customers": len(set(customers[label == 1].tolist())),
        "from": _day(times_us.min()),
        "to": _day(times_us.max()),
        "sha256": hashlib.sha256(b"".join(parts)).hexdigest(),
    }


def _day(time_us: np.int64) -> str:
    return f"{EPOCH + timedelta(microseconds=int(time_us)):%Y-%m-%d}"


def library_versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that learn and convert models."""
    return {"python": platform.python_version()} | {name: version(name) for name in LIBRARIES}
