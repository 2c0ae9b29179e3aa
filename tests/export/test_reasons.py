"""Reasons: what the model itself says of each feature, told as a sentence that is true."""

import numpy as np
import pytest
from msgspec.structs import replace
from sklearn.linear_model import LogisticRegression

from export.distributions.reference import freeze, reference
from export.onnx import Scorer, convert
from export.reasons import Reason, duration, median, medians, number, reasons, without_each
from features.usecase import parse

NAN = float("nan")
USE_CASE = parse(
    """
use_case: devices
subject: customer
events:
  payment:
    scored: true
    id: [id]
    time: [at]
    entities: {customer: who}
    fields:
      {id: string, who: string, amount: {type: number, description: amount in euros}, known_device: boolean, at: time}
features:
  customer:
    aggregates:
      paid: {event: payment, value: amount, statistics: [count], windows: [24h], description: payments}
  event: [amount, known_device]
"""
)


@pytest.fixture(scope="module")
def learned():
    """Vectors of which most are of a known device, and a model by which small payments of others are bad."""
    rng = np.random.default_rng(1)
    columns = rng.integers(1, 4, 2_000), rng.lognormal(2, 1, 2_000), rng.random(2_000) < 0.95
    vectors = np.column_stack(columns).astype(np.float32)
    label = (vectors[:, 2] == 0) & (vectors[:, 1] < 30)
    model = LogisticRegression(C=10, max_iter=500).fit(np.log1p(vectors), label)
    return Scorer(convert(model, 3)), np.log1p(vectors)


def test_an_effect_is_what_goes_when_one_feature_is_at_its_median(learned):
    scorer, vectors = learned
    score = scorer.score(vectors)
    typical = medians(reference(USE_CASE.features, vectors, score), USE_CASE.features)
    told = list(reasons(scorer, vectors, score, typical, USE_CASE.table))
    assert len(told) == len(vectors) and any(told) and not all(told)
    for row, own in enumerate(told):
        assert [r.effect for r in own] == sorted((r.effect for r in own), reverse=True)
        for reason in own:
            k = USE_CASE.features.index(reason.feature)
            changed = vectors[row : row + 1].copy()
            changed[0, k] = typical[k]
            assert reason.effect == pytest.approx(float(score[row] - scorer.score(changed)[0]), abs=1e-6)
            assert (reason.value, reason.median) == (vectors[row, k], typical[k])
    strange = told[int(score.argmax())][0]
    assert str(strange).startswith("the event's known_device is not true; usually it is (+")


def test_a_score_without_changes_stays(learned):
    scorer, vectors = learned
    assert (without_each(scorer, vectors[:1], vectors[0]) == scorer.score(vectors[:1])).all()


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        (
            Reason("a", "share of declined transactions in 7 days", 0.6214, 0.03, 0.21),
            "share of declined transactions in 7 days is 0.621; usually it is 0.03 or less "
            "(+0.210 of the score)",
        ),
        (
            Reason("a", "age", 20.62, 35.1, 0.1, unit="years"),
            "age is 20.6 years; usually it is 35.1 years or more (+0.100 of the score)",
        ),
        (
            Reason("a", "time since the latest of the payments", 260_000, 90, 0.1, unit="seconds"),
            "time since the latest of the payments is 3 days; usually it is 90 seconds or less "
            "(+0.100 of the score)",
        ),
        (
            Reason("a", "number of declined transactions in 1 hour", 7, 0, 0.1),
            "number of declined transactions in 1 hour is 7; usually it is not above 0 (+0.100 of the score)",
        ),
        (
            Reason("a", "reason to use the app", 1, 0, 0.1, choice="CRYPTO"),
            "reason to use the app is CRYPTO; usually it is not (+0.100 of the score)",
        ),
        (
            Reason("a", "reason to use the app", 0, 1, 0.1, choice="TRAVEL"),
            "reason to use the app is not TRAVEL; usually it is (+0.100 of the score)",
        ),
        (
            Reason("a", "age", NAN, 35.1, 0.1, unit="years"),
            "age is unknown; usually it is 35.1 years or less (+0.100 of the score)",
        ),
        (
            Reason("a", "outflow per euro of inflow in 24 hours", 12_345.6, NAN, 0.1),
            "outflow per euro of inflow in 24 hours is 12,346; usually it is unknown (+0.100 of the score)",
        ),
    ],
    ids=lambda each: each.words if isinstance(each, Reason) else "",
)
def test_a_reason_is_a_sentence(reason, said):
    assert str(reason) == said
    assert said.startswith(f"{reason.fact}; ")


def test_numbers_are_for_people():
    shown = [number(v) for v in (12345.6, 0.25, 0, 0.0000123, -1234, NAN)]
    assert shown == ["12,346", "0.25", "0", "0.000012", "-1,234", "unknown"]
    assert [duration(s) for s in (0, 119, 120, 9_000, 172_800)] == [
        "0 seconds",
        "119 seconds",
        "2 minutes",
        "2.5 hours",
        "2 days",
    ]


def test_the_median_of_bins_is_that_of_the_column():
    rng = np.random.default_rng(5)
    for column in (rng.normal(size=1_000), rng.poisson(2, 999), rng.random(500) < 0.3):
        values = np.asarray(column, np.float32)
        expected = float(np.quantile(values, 0.5, method="inverted_cdf"))
        assert median(freeze(values)) == expected
        assert median(replace(freeze(values), median=None)) == expected, "a bundle from before it was kept"
    mostly_one = np.array([0] * 2 + [1] * 98, np.float32)
    assert median(freeze(mostly_one)) == 1.0, "no edge says so"
    assert np.isnan(median(replace(freeze(mostly_one), median=None))), "nor does anything in such a bundle"
    assert np.isnan(median(freeze(np.array([1, np.nan, np.nan], np.float32))))
