"""The lookback of features, and which of them only grow."""

from features.usecase import Difference, Lookback, Ratio, lookbacks
from tests.pipeline.market import market, offboarding

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US


def test_windows_are_the_longest_of_both_sides_and_what_counts_over_ever_grows():
    use_case = market()
    found = dict(zip(use_case.features, lookbacks(use_case), strict=True))
    assert found["paid_count_1h"] == Lookback(HOUR_US, ever=False, grows=False)
    assert found["taken_count_24h"] == Lookback(DAY_US, ever=False, grows=False)
    assert found["any_count_ever"] == found["any_since_first_ever"] == Lookback(0, ever=True, grows=True)
    assert found["any_since_last_ever"] == Lookback(0, ever=True, grows=False)
    assert found["refused_share"] == Lookback(DAY_US, ever=True, grows=True)
    assert found["amount"] == found["vip"] == found["age_years"] == Lookback(0, ever=False, grows=False)


def test_every_feature_of_the_shipped_use_case_has_the_window_that_its_table_shows():
    use_case = offboarding()
    days = {"1h": 1 / 24, "24h": 1, "7d": 7, "30d": 30}
    for feature, back in zip(use_case.table, lookbacks(use_case), strict=True):
        written = [days[each] for each in feature.window.split(" / ") if each in days]
        if isinstance(feature.formula, Ratio | Difference) or feature.window in days:
            assert back.window_us == max(written, default=0) * DAY_US, feature.name
        assert back.grows == (feature.window == "ever" and not feature.name.endswith("since_last_ever"))
