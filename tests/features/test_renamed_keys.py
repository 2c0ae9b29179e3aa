"""An old key of a use case file is refused with the new one named, and new names leave fingerprints as they were."""

from pathlib import Path

import pytest

from commands.usecase import faults_of
from features.usecase import load
from features.usecase.renamed_keys import RENAMED

ROOT = Path(__file__).parents[2]
FINGERPRINTS = {  # as they were under the old names: records, bundles and tables are kept by them
    "usecases/berka.yaml": "34a6d1e570244af2",  # pragma: allowlist secret
    "usecases/card_fraud.yaml": "a4c843c63cede706",  # pragma: allowlist secret
    "usecases/offboarding.yaml": "97cbd31ea9b5d93c",  # pragma: allowlist secret
    "tests/benchmarks/sixteen.yaml": "280da5c0de826cfe",  # pragma: allowlist secret
    "tests/doors/doors.yaml": "18e4637a7eb445cd",  # pragma: allowlist secret
    "tests/pipeline/market.yaml": "7b4aa416e8aa615f",  # pragma: allowlist secret
    "tests/realdata/churn.yaml": "74969b4f6562ddf6",  # pragma: allowlist secret
    "tests/realdata/published.yaml": "9b6ee91284216a1d",  # pragma: allowlist secret
    "tests/realdata/purchases.yaml": "7850f387df48cf67",  # pragma: allowlist secret
}
TEXT = """use_case: renamed
subject: customer
allowed_lateness: 2h
max_clock_skew: 1m
events:
  payment:
    scored: true
    id: [id]
    time: [at]
    entities: {customer: payer}
    fields: {id: string, at: time, payer: string, amount: number, fast: boolean}
    clean:
      - drop: {amount: {below: 0}}
        reason: a refund of the exporter
      - keep: latest
        per: [id]
        reason: sent twice
    file:
      missing_values: ["", "-"]
      true_values: [J]
      false_values: [N]
  verdict:
    id: [id]
    time: [at]
    time_offset: 7d
    entities: {customer: payer}
    fields: {id: string, at: time, payer: string, fraud: boolean}
  override:
    id: "*"
    time: published
    entities: {customer: who}
    fields: {who: string, level: [LOW, HIGH], until: time, by: string, why: string}
    override:
      {level: level, until: until, author: by, reason: why,
       max_duration: 30d}
features:
  customer:
    aggregates:
      paid:
        event: payment
        value: amount
        statistics: [count, sum]
        windows: [24h]
    ratios:
      share:
        numerator: event.amount
        denominator: paid.sum.24h
    differences:
      rest:
        value: event.amount
        minus: paid.sum.24h
label:
  from: verdict.fraud
  positive: [true]
  event: payment
  event_id: id
model:
  split:
    by: time
    train: 7d
    exclude_known_positives: true
  gates:
    min_improvement: 0.1
    max_regression: 0.1
    on_unfair: reject
    max_drifted_share: 0.2
    require_approval: true
policy:
  exit_ratio: 0.7
"""
OLD = [  # the line with the new key, and the old key
    ("allowed_lateness: 2h", "lateness"), ("max_clock_skew: 1m", "tolerance"), ("reason: a refund", "because"),
    ("per: [id]", "of"), ("reason: sent twice", "because"), ("missing_values: [", "missing"),
    ("true_values: [", "true"),
    ("false_values: [", "false"), ("time_offset: 7d", "after"), ("max_duration: 30d", "longest"),
    ("event: payment\n        value", "of"), ("numerator: ", "of"), ("denominator: ", "over"),
    ("value: event.amount", "of"),
    ("event: payment\n  event_id", "of"), ("event_id: id", "by"), ("train: 7d", "learn"),
    ("exclude_known_positives: true", "without_known"), ("min_improvement: ", "margin"),
    ("max_regression: ", "tolerance"),
    ("on_unfair: ", "unfair"), ("max_drifted_share: ", "drifted"), ("require_approval: ", "approval"),
    ("exit_ratio: ", "fall"),
]  # fmt: skip


def faults(path: Path, text: str) -> list[tuple[int, str, str]]:
    path.write_text(text)
    return [(fault.line, fault.message, fault.hint) for fault in faults_of(path)]


@pytest.mark.parametrize(("place", "old"), OLD)
def test_an_old_key_is_the_only_fault_and_the_new_one_is_named(tmp_path: Path, place: str, old: str) -> None:
    assert TEXT.count(place) == 1
    new, line = place.partition(":")[0], TEXT[: TEXT.index(place)].count("\n") + 1
    wrong = TEXT.replace(place, old + place.removeprefix(new))
    assert faults(tmp_path / "x.yaml", wrong) == [(line, f"{old} is now called {new}", new)]


def test_all_old_keys_are_told_at_once_and_the_new_ones_are_none(tmp_path: Path) -> None:
    assert faults(tmp_path / "x.yaml", TEXT) == []
    wrong = TEXT
    for place, old in OLD:
        wrong = wrong.replace(place, place.replace(place.partition(":")[0], old, 1))
    assert len(faults(tmp_path / "x.yaml", wrong)) == len(OLD)


def test_every_renamed_key_is_tried() -> None:
    assert {old for _, old in OLD} == set(RENAMED)
    assert {new for names in RENAMED.values() for new in names} == {
        place.partition(":")[0] for place, _ in OLD
    }


@pytest.mark.parametrize("file", FINGERPRINTS)
def test_new_names_leave_fingerprints_as_they_were(file: str) -> None:
    assert load(ROOT / file).fingerprint == FINGERPRINTS[file]
