"""Times as text, as counts and as local times of columns: whatever the way, the same instant."""

from datetime import datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.times import EPOCHS, FIRST_US, LAST_US, NOT_READ, clock, rfc3339, rfc3339_all

NAIVE = "%Y-%m-%d %H:%M:%S"
ZONES = [
    "UTC", "Europe/Paris", "America/Mexico_City", "America/New_York", "Asia/Kathmandu", "Africa/Monrovia",
    "Australia/Lord_Howe", "Pacific/Apia", "America/Caracas", "Asia/Pyongyang",
]  # fmt: skip
LOCAL = st.datetimes(datetime(1899, 12, 30), datetime(2262, 1, 3), allow_imaginary=True)
CHANGES = [  # of clocks, to the second: spring and autumn, the end of local mean time, a day that was skipped
    datetime(2024, 3, 31, 2), datetime(2024, 10, 27, 3), datetime(1911, 3, 11), datetime(1986, 1, 1),
    datetime(2011, 12, 30), datetime(2024, 4, 7, 1, 30), datetime(2024, 10, 6, 2),
]  # fmt: skip
NEAR_A_CHANGE = st.builds(
    lambda change, seconds: change + timedelta(seconds=seconds),
    st.sampled_from(CHANGES),
    st.integers(-7_300, 7_300),
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.lists(LOCAL | NEAR_A_CHANGE, max_size=6), st.sampled_from(ZONES))
def test_local_times_of_a_column_are_the_instants_of_their_texts(moments: list[datetime], zone: str) -> None:
    local = clock((NAIVE,), zone)
    column = np.array(moments, dtype="M8[us]").astype(np.int64)
    for moment, instant in zip(moments, local.instants(column).tolist(), strict=True):
        text = moment.isoformat(" ", "microseconds")
        if FIRST_US <= instant < LAST_US:
            assert local.read(text) == instant, text
        else:
            with pytest.raises(ValueError, match="the year is not within 1900 to 2261"):
                local.read(text)


def test_a_local_time_that_clocks_skip_has_the_offset_from_before_and_one_that_comes_twice_is_the_first() -> (
    None
):
    paris = clock((NAIVE, "%d/%m/%Y %H:%M"), "Europe/Paris")
    for text, instant in (
        ("2024-03-31 01:59:59", "2024-03-31T00:59:59.000000Z"),
        ("2024-03-31 02:00:00", "2024-03-31T01:00:00.000000Z"),
        ("2024-03-31 02:30:00", "2024-03-31T01:30:00.000000Z"),
        ("31/03/2024 02:30", "2024-03-31T01:30:00.000000Z"),
        ("2024-03-31 03:30:00", "2024-03-31T01:30:00.000000Z"),
        ("2024-10-27 02:30:00", "2024-10-27T00:30:00.000000Z"),
    ):
        assert rfc3339(paris.read(text)) == instant


COUNTS = st.integers(-3 * 10**18, 10**19) | st.integers(-(10**12), 10**13)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    st.lists(COUNTS.map(str) | st.sampled_from(["", "x", "1.0", "+1", "1_0", "\uff11", "00017"]), max_size=6)
)
@pytest.mark.parametrize("epoch", EPOCHS)
def test_counts_read_together_are_counts_read_alone(epoch: str, texts: list[str]) -> None:
    own = clock((epoch, NAIVE), "Europe/Paris")
    for text, found in zip(texts, own.read_all(texts).tolist(), strict=True):
        if found != NOT_READ:
            assert found == own.read(text)
    usual = [text for text in texts if text.isdigit() and text.isascii()]
    for text, found in zip(usual, own.read_all(usual).tolist(), strict=True):
        if found == NOT_READ:  # nothing usual is left to the slow way
            with pytest.raises(ValueError, match=r"1900 to 2261|no declared format"):
                own.read(text)


def test_the_first_declared_format_that_fits_decides_what_digits_are() -> None:
    days_first = clock(("%Y%m%d", "epoch_s"), "UTC")
    assert rfc3339(days_first.read("20240301")) == "2024-03-01T00:00:00.000000Z"
    assert days_first.read("1709287200") == 1_709_287_200_000_000
    assert days_first.read_all(["20240301"]).tolist() == [NOT_READ]
    counts_first = clock(("epoch_s", "%Y%m%d"), "UTC")
    assert counts_first.read("20240301") == counts_first.read_all(["20240301"])[0] == 20_240_301_000_000


def test_a_format_that_ends_in_utc_is_in_utc_whatever_the_time_zone() -> None:
    paris = clock(("%d.%m.%Y %H:%M UTC", "%Y%m%dT%H%M%SZ", "%d.%m.%Y %H:%M"), "Europe/Paris")
    assert paris.read("01.03.2024 10:00 UTC") == paris.read("20240301T100000Z") == 1_709_287_200_000_000
    assert paris.read("01.03.2024 11:00") == 1_709_287_200_000_000


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(st.integers(FIRST_US, LAST_US - 1), max_size=5))
def test_texts_of_many_instants_are_the_texts_of_each(times_us: list[int]) -> None:
    assert rfc3339_all(np.array(times_us, dtype=np.int64)) == [rfc3339(time_us) for time_us in times_us]
