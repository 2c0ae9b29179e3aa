"""Training by hand: which gates keep a model from being used, and what is kept of those that do not."""

from dataclasses import replace

import numpy as np
import pytest

from export.registry.promotion import GateFailed, promote, standing
from export.registry.versions import Registry
from features.usecase import parse
from tests.training.tiny import TEXT, WHEN, rows
from training.report.words import first_lines
from training.steps import TrainingOptions
from training.train import train_on


@pytest.fixture
def registry(tmp_path, with_registry):
    return Registry(str(with_registry(tmp_path / "bundles")), "tiny")


def test_gates_that_a_retraining_would_fail_are_told_and_kept_with_the_version(registry):
    use_case = parse(TEXT.replace("folds: 3}", "folds: 3, gates: {min_customers: 300, baselines: -1}}"))
    _, report = train_on(use_case, rows(), registry, TrainingOptions(seed=4, created_at=WHEN))
    lines = first_lines(report.run)
    assert any(
        line.startswith("Gates that failed: customers.") and "a person trained it" in line for line in lines
    )
    assert {"better", "drift"}.isdisjoint(gate.name for gate in report.run.gates), "they need a champion"
    (version,) = standing(registry).versions
    assert version.status == "champion" and list(version.failed_gates) == ["customers"]
    assert version.accepted_gates == ("customers",) and version.tags["approved_because"].startswith(
        "riskstream train"
    )


def test_a_model_without_signal_is_kept_out_by_that_gate(registry):
    history = rows()
    labels = np.random.default_rng(8).permutation(200) < 40
    shuffled = labels[np.unique(history.customers, return_inverse=True)[1]].astype(np.int64)
    options = TrainingOptions(seed=4, created_at=WHEN)
    _, report = train_on(parse(TEXT), replace(history, label=shuffled), registry, options)
    assert report.run.verdict == "rejected"
    (version,) = standing(registry).versions
    assert version.status == "rejected" and "signal" in version.failed_gates
    assert version.tags["rejected_because"].startswith("signal: ROC AUC")
    with pytest.raises(GateFailed, match="--accept-gate signal"):
        promote(registry, "1", WHEN)
