"""From labelled vectors to a bundle: fit, measure on unseen customers, choose thresholds, convert, verify."""

import hashlib
import platform
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.bundle import Bundle, bundle, promote, save
from export.onnx import convert, parity
from export.reference import reference
from export.terms import Terms, terms
from features.usecase import UseCase
from training import thresholds as levels
from training.fit import BadHistory, Progress
from training.history import Replayed, collect
from training.metrics import measure
from training.models.choice import Chosen, choose
from training.models.parameters import Parameters

PARITY_ROWS = 20_000  # rows on which the conversion is checked, beside extreme ones
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


def train(
    use_case: UseCase,
    replayed: Iterable[Replayed],
    root: str,
    *,
    seed: int,
    created_at: datetime,
    progress: Progress = lambda _: None,
) -> str:
    """Learns from a replayed history, saves the bundle below `root`, promotes it and returns its path.

    `replayed` gives (batch, vectors, seq, ...) as features.replay does. Raises what `train_on` raises.
    """
    Parameters.of(use_case.model, use_case.file)  # what is wrong is said before the long part
    terms(use_case.policy, use_case.file)
    progress("replaying the history")
    rows = collect(use_case, replayed)
    made = train_on(
        use_case, rows.vectors, rows.label, rows.customers, rows.times_us,
        seed=seed, created_at=created_at, progress=progress,
    )  # fmt: skip
    path = save(made, root)
    promote(root, made.manifest.id)
    return path


def train_on(
    use_case: UseCase,
    vectors: NDArray[np.float32],
    label: NDArray[np.integer],
    customers: NDArray[Any],
    times_us: NDArray[np.int64],
    *,
    seed: int,
    created_at: datetime,
    progress: Progress = lambda _: None,
) -> Bundle:
    """A bundle from n scored events: vectors [n, F], label 0 or 1, customer id, event time. Writes nothing.

    Raises BadHistory (nothing to learn from), BadUseCase (`model`, `policy`), ParityError.
    """
    vectors = np.ascontiguousarray(vectors, np.float32)  # as it will be served
    _check_finite(use_case, vectors)
    parameters = Parameters.of(use_case.model, use_case.file)
    policy = terms(use_case.policy, use_case.file)
    chosen = choose(vectors, label, customers, parameters, seed, progress)
    progress("measuring on customers the models have not seen")
    thresholds, metrics = judge(chosen, policy, seed)
    progress("converting to ONNX")
    model = convert(chosen.model, vectors.shape[1])
    rows = np.random.default_rng(seed).permutation(len(vectors))[:PARITY_ROWS]
    metrics["parity"] = parity(chosen.model, model, vectors[np.sort(rows)])
    facts = _facts(vectors, label, customers, times_us) | {"model": chosen.facts}
    return bundle(
        use_case, use_case.text, model, reference(use_case.features, vectors, chosen.held_out), thresholds,
        created_at, seed=seed, versions=_versions(), metrics=metrics, training=facts,
    )  # fmt: skip


def judge(chosen: Chosen, policy: Terms, seed: int) -> tuple[dict[str, float], dict[str, Any]]:
    """Thresholds; metrics of assessments (a customer's share weight 1) and of customers' highest scores."""
    rows = chosen.rows
    peak = np.zeros(len(rows.customer_label))
    np.maximum.at(peak, rows.customer, chosen.held_out)
    thresholds, report = levels.choose(policy, rows.customer_label, peak)
    everyone = np.arange(len(peak))
    metrics = {
        "assessments": measure(rows.label, chosen.held_out, rows.weight, rows.customer, seed),
        "customers": measure(rows.customer_label, peak, np.ones(len(peak)), everyone, seed),
        "levels": report,
    }
    return thresholds, metrics


def _check_finite(use_case: UseCase, vectors: NDArray[np.float32]) -> None:
    if len(vectors) == 0:
        raise BadHistory("found no scored event of a labelled customer, expected many: check the files given")
    columns = np.flatnonzero(np.isinf(vectors).any(axis=0))
    if len(columns):
        raise BadHistory(
            f"feature {use_case.features[columns[0]]} is infinite for some event; "
            "look for a value beyond 3e38 or a ratio without a lower side"
        )


def _facts(
    vectors: NDArray[np.float32],
    label: NDArray[np.integer],
    customers: NDArray[Any],
    times_us: NDArray[np.int64],
) -> dict[str, Any]:
    """What was learned from."""
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


def _versions() -> dict[str, str]:
    return {"python": platform.python_version()} | {name: version(name) for name in LIBRARIES}
