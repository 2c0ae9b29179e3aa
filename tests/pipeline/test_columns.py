"""What is not judged, and why; and when many columns that moved are drift."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from msgspec import structs

from export.drift import Verdict
from pipeline.assessed import Beginning
from pipeline.columns import together, unjudged
from tests.pipeline.market import market
from tests.pipeline.models import trained

BEGAN = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
GROWING = {"any_count_ever", "any_since_first_ever", "refused_share"}


def reasons(began: Beginning | None, days: float, training_days: int = 20) -> dict[str, str]:
    """Of a period that begins so many days after the log; training has windows of seven days and all of its span."""
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
    verdict: Verdict


def test_a_tenth_of_the_features_is_drift_though_each_is_only_worth_a_look():
    def told(moved: int, verdict: Verdict = Verdict.LOOK) -> Verdict:
        still = [Judged(Verdict.STEADY)] * (50 - moved)
        return together(None, (*[Judged(verdict)] * moved, *still, *[Judged(Verdict.OPEN)] * 50))

    assert [told(n) for n in (0, 1, 5, 6)] == [Verdict.STEADY, Verdict.LOOK, Verdict.LOOK, Verdict.DRIFTED]
    assert told(1, Verdict.DRIFTED) is Verdict.LOOK
    assert together(Judged(Verdict.DRIFTED), (Judged(Verdict.STEADY),)) is Verdict.DRIFTED
