"""Leaks: what looks at the future is caught, in the vectors and in the history."""

import json
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

import features.replay as replaying
from features.events import Batch, decode, make_batch
from features.replay import replay
from features.usecase import UseCase, parse
from tests.training.test_splits import history
from tests.training.tiny import DAY_US, TEXT
from training.data.leakage import auc, find_suspects

NOW_US = 1_720_000_000_000_000


def payments(n: int, seed: int = 5) -> tuple[UseCase, list[tuple[str, object]]]:
    use_case, rng = parse(TEXT), np.random.default_rng(seed)
    bodies = [
        {
            "id": str(i),
            "user_id": f"c{rng.integers(0, 9)}",
            "amount": float(rng.integers(1, 99)),
            "at": f"{np.datetime64(NOW_US + i * 40_000_000, 'us')}Z",
        }
        for i in range(n)
    ]
    return use_case, [("payment", decode(use_case, "payment", json.dumps(body).encode())) for body in bodies]


def vectors_of(use_case: UseCase, events: list[tuple[str, object]]) -> np.ndarray:
    (replayed,) = replay([make_batch(use_case, events, [NOW_US + 99 * DAY_US] * len(events))])
    return replayed.vectors


def looks_ahead(use_case: UseCase, events: list[tuple[str, object]]) -> bool:
    """Return True if the vector of any event changes when later events never happen."""
    whole = vectors_of(use_case, events)
    parts = (vectors_of(use_case, events[:end])[-1] for end in range(1, len(events) + 1))
    return any(part.tobytes() != row.tobytes() for part, row in zip(parts, whole, strict=True))


def test_no_vector_changes_when_the_future_does_not_happen() -> None:
    assert not looks_ahead(*payments(120))


def test_a_planted_feature_that_looks_at_the_future_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = replaying.vectors

    def leaking(events: Batch, raw: object) -> np.ndarray:
        found = honest(events, raw)
        found[:, -1] = np.roll(found[:, -1], -1)  # the amount of the next event
        return found

    monkeypatch.setattr(replaying, "vectors", leaking)
    assert looks_ahead(*payments(120))


@pytest.mark.parametrize("seed", range(4))
def test_auc_is_that_of_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    label, values, weight = rng.integers(0, 2, 500), rng.integers(0, 20, 500), rng.random(500)
    assert auc(label, values.astype(float), weight) == pytest.approx(
        roc_auc_score(label, values, sample_weight=weight)
    )


def test_a_column_that_follows_from_the_label_is_a_suspect_and_noise_is_none() -> None:
    rows, rng = history(), np.random.default_rng(1)
    noise = rng.normal(size=len(rows))
    told = np.where(
        rows.label == 1, np.nan, noise
    )  # missing for all who were suspended: the profile was deleted
    state = np.where(rng.random(len(rows)) < 0.002, 1 - rows.label, rows.label)
    leaky = replace(rows, vectors=np.column_stack([noise, told, state]).astype(np.float32))
    found = find_suspects(leaky, ["noise", "deleted", "state"])
    assert [suspect.feature for suspect in found] == ["deleted", "state"]
    assert str(found[0]).startswith("deleted alone tells the label (ROC AUC 1.000)")
