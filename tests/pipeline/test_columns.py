"""Columns that are not judged, and why; columns that moved, as drift; and other customers, which do not alarm."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from export.bundle import Bundle
from export.distributions.drift import BinnedColumns, DriftVerdict
from export.distributions.reference import RowSource, reference
from pipeline.bigquery.queries import Beginning
from pipeline.operations.drift_columns import DriftComparison, compare, overall, unjudged
from pipeline.operations.drift_sample import DriftPeriod, DriftSample
from tests.pipeline.market import market
from tests.pipeline.models import trained

BEGAN = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
Floats, Ints = NDArray[np.floating], NDArray[np.integer]
GROWING = {"any_count_ever", "any_since_first_ever", "refused_share"}


def reasons(began: Beginning | None, days: float, training_days: int = 20) -> dict[str, str]:
    """Return the reasons of a period that begins so many days after the log; training has windows of seven days."""
    bundle = trained(market())
    span_us = training_days * DAY // timedelta(microseconds=1)
    known = structs.replace(bundle, reference=structs.replace(bundle.reference, span_us=span_us))
    return dict(unjudged(market(), known, BEGAN + days * DAY, began))


def test_a_store_that_began_empty_is_judged_by_what_is_filled():
    cold = Beginning(BEGAN, cold=True)
    first, later, old = (reasons(cold, days) for days in (2, 8, 21))
    assert {name for name in first if name.endswith("_7d")} == {
        name for name in market().features if name.endswith("_7d")
    }
    assert first["score"].startswith("it depends on") and "windows are not filled" in first["score"]
    assert "paid_sum_24h" not in first
    assert set(later) == {*GROWING, "any_since_last_ever", "score"}
    assert later["score"] == "it depends on the age of records, which are younger than training's"
    assert set(old) == GROWING


def test_a_store_that_was_filled_before_is_judged_at_once():
    assert set(reasons(Beginning(BEGAN, cold=False), 1)) == set(reasons(None, 1)) == GROWING


def test_a_window_that_training_could_not_fill_is_not_judged():
    bundle = trained(market())
    bins = structs.replace(bundle.reference.features["paid_sum_7d"], filled=False)
    features = {**bundle.reference.features, "paid_sum_7d": bins}
    short = structs.replace(bundle, reference=structs.replace(bundle.reference, features=features))
    found = unjudged(market(), short, BEGAN, None)
    assert found["paid_sum_7d"] == "training was too short to fill its window"
    assert found["score"] == "it depends on a feature whose window is not filled"


@dataclass
class Judged:
    verdict: DriftVerdict


def test_a_tenth_of_the_features_is_drift_though_each_is_only_worth_a_look():
    def told(moved: int, verdict: DriftVerdict = DriftVerdict.LOOK) -> DriftVerdict:
        still = [Judged(DriftVerdict.STEADY)] * (50 - moved)
        return overall(None, (*[Judged(verdict)] * moved, *still, *[Judged(DriftVerdict.OPEN)] * 50))

    assert [told(n) for n in (0, 1, 5, 6)] == [
        DriftVerdict.STEADY,
        DriftVerdict.LOOK,
        DriftVerdict.LOOK,
        DriftVerdict.DRIFTED,
    ]
    assert told(1, DriftVerdict.DRIFTED) is DriftVerdict.LOOK
    assert overall(Judged(DriftVerdict.DRIFTED), (Judged(DriftVerdict.STEADY),)) is DriftVerdict.DRIFTED


CUSTOMERS, EACH, FOLDS = 150, 20, 3
START_US = round(BEGAN.timestamp() * 1e6)


def process(seed: int, factor: float = 1.0, customers: int = CUSTOMERS) -> tuple[Floats, Floats, Ints, Ints]:
    """Vectors, scores, customers and times of four weeks: customers differ far more than their own events do.

    `factor` multiplies the amounts, and what is made of them.
    """
    rng, names = np.random.default_rng(seed), market().features
    owner = np.repeat(np.arange(customers), EACH)
    level = rng.normal(0, 1, (customers, len(names)))[owner]
    vectors = np.exp(level + rng.normal(0, 0.3, (len(owner), len(names)))).astype(np.float32)
    score = 1 / (1 + np.exp(2 - level[:, 0] - rng.normal(0, 0.3, len(owner))))
    of_amounts = [
        k for k, name in enumerate(names) if "_sum_" in name or "_mean_" in name or name == "amount"
    ]
    vectors[:, of_amounts] *= np.float32(factor)
    times_us = START_US + rng.integers(0, 28 * DAY // timedelta(microseconds=1), len(owner))
    return vectors, score, owner, times_us


def learned(seed: int) -> Bundle:
    """Training, with held-out scores by models that differ a little."""
    vectors, score, owner, times_us = process(seed)
    held_out = 1 / (1 + np.exp(-np.log(score / (1 - score)) - 0.3 * (owner % FOLDS - 1)))
    origin = RowSource(owner, times_us, owner % FOLDS, [0] * len(market().features))
    made = reference(market().features, vectors, held_out, origin=origin)
    return structs.replace(trained(market()), reference=made)


def compared(bundle: Bundle, seed: int, factor: float = 1.0, customers: int = CUSTOMERS) -> DriftComparison:
    vectors, score, owner, times_us = process(seed, factor, customers)
    features = BinnedColumns([bundle.reference.features[name] for name in market().features])
    sample = DriftSample(
        features.places(vectors), BinnedColumns([bundle.reference.score]).places(score[:, None])[:, 0],
        owner.astype(str).astype(object), times_us, np.ones(len(owner), bool),
    )  # fmt: skip
    return compare(market(), bundle, sample, DriftPeriod(BEGAN, BEGAN + 28 * DAY), None)


def test_strangers_of_the_same_process_do_not_alarm_and_doubled_amounts_do():
    """Fifty strangers have features with an index above 0.2 without any change: the rule alone would call it drift."""
    bundle = learned(0)
    strangers = [compared(bundle, seed, customers=50) for seed in range(1, 16)]
    assert DriftVerdict.DRIFTED not in [each.verdict for each in strangers]
    features = [column for each in strangers for column in each.features]
    assert np.mean([column.index > 0.2 for column in features]) > 0.05
    assert np.mean([column.verdict is DriftVerdict.DRIFTED for column in features]) < 0.03
    doubled = [compared(bundle, seed, factor=2.0) for seed in range(1, 11)]
    assert {each.verdict for each in doubled} == {DriftVerdict.DRIFTED}
    for each in doubled:
        assert {"amount", "paid_sum_24h"} <= set(each.drifted) and "hour" not in each.drifted
