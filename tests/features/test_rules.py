"""The rules of windows, ring and attributes as small tables with numbers worked out by hand.

Every example is put to the oracle and to the kernel: it documents both, and keeps the oracle honest.
"""

from collections.abc import Callable, Sequence
from math import nan

import numpy as np
import pytest

from features.kernel.plan import EVER, EntityPlan, Lane, Output, Statistic
from tests.features.driving import Driver
from tests.features.histories import DAY, HOUR, MINUTE, SECOND
from tests.features.oracle import Answer, Event, Oracle

Tell = Callable[..., list[Answer]]
NOON_US = 1_700_049_600 * SECOND  # 2023-11-15 12:00:00


def ask_oracle(plan: EntityPlan, events: Sequence[Event], owners: Sequence[int] = ()) -> list[Answer]:
    oracle = Oracle(plan, owners)
    return [oracle.arrive(event) for event in events]


def ask_kernel(plan: EntityPlan, events: Sequence[Event], owners: Sequence[int] = ()) -> list[Answer]:
    return Driver(plan, owners).tell(events).answers()


@pytest.fixture(params=[ask_oracle, ask_kernel], ids=["oracle", "kernel"])
def tell(request: pytest.FixtureRequest) -> Tell:
    return request.param


def over_an_hour(statistic: Statistic, lane: int = 0) -> Output:
    return Output(lane, statistic, HOUR, 5 * MINUTE)


def ever(statistic: Statistic, lane: int = 0) -> Output:
    return Output(lane, statistic, EVER, 0)


def plan(
    *outputs: Output, subject: bool = True, lateness_us: int = HOUR, attributes: int = 0, forget_us: int = 0
) -> EntityPlan:
    """Two lanes over one value and one distinct column; up to two sources of attributes."""
    lanes, sources = (Lane(0, 0), Lane(0, 0)), min(attributes, 2)
    return EntityPlan(7, lanes, 1, 1, attributes, sources, outputs, subject, lateness_us, forget_us)


def at(*minutes: float, lanes: int = 1, value: float = 1.0) -> list[Event]:
    """Events of customer c at these minutes after noon, each with a key of its own."""
    return [
        Event("c", 10**9 + 10**6 * k + round(60 * m), NOON_US + round(m * MINUTE), lanes, (value,), (0,))
        for k, m in enumerate(minutes)
    ]


def worth(*values: float, minute: float = 0) -> list[Event]:
    return [Event("c", k, NOON_US + round(minute * MINUTE), 1, (v,), (0,)) for k, v in enumerate(values)]


def column(answers: Sequence[Answer], number: int = 0) -> list[float]:
    return [answer.raw[number] for answer in answers]


def dispositions(answers: Sequence[Answer]) -> list[str]:
    return [answer.disposition for answer in answers]


def same(found: Sequence[float], expected: Sequence[float]) -> None:
    np.testing.assert_array_equal(found, expected)


# Windows.


def test_an_event_counts_in_its_own_vector(tell: Tell) -> None:
    answers = tell(plan(over_an_hour(Statistic.COUNT), over_an_hour(Statistic.SUM)), worth(5, 2.5))
    same(column(answers), [1, 2])
    same(column(answers, 1), [5, 7.5])


def test_the_tail_of_a_window_snaps_to_its_hop(tell: Tell) -> None:
    # 1 h in hops of 5 min: 12 buckets, the one under way included. At 12:59 12:00 is in bucket 0 of 0..11;
    # at 13:00 the window is buckets 1..12: noon is gone, 12:05 is the oldest that counts.
    answers = tell(plan(over_an_hour(Statistic.COUNT)), at(0, 4.99, 5, 59.99, 60, 64.99, 65))
    same(column(answers), [1, 2, 3, 4, 3, 4, 4])


def test_the_head_of_a_window_is_exact(tell: Tell) -> None:
    # What lies later does not count, though it arrived earlier and lies in the same bucket.
    same(column(tell(plan(over_an_hour(Statistic.COUNT)), at(2, 1, 3, 1.5))), [1, 1, 3, 2])


def test_a_late_event_counts_in_what_comes_after_it(tell: Tell) -> None:
    same(column(tell(plan(over_an_hour(Statistic.SUM)), [*at(10), *at(9, value=4), *at(11)])), [1, 4, 6])


def test_events_of_one_moment_count_in_order_of_arrival(tell: Tell) -> None:
    same(column(tell(plan(over_an_hour(Statistic.COUNT)), worth(1, 1, 1))), [1, 2, 3])


def test_a_window_reaches_over_midnight_of_1970(tell: Tell) -> None:
    # Buckets are floors, so -1 us lies in bucket -1 and 0 in bucket 0.
    outputs = plan(Output(0, Statistic.COUNT, HOUR, HOUR), Output(0, Statistic.COUNT, 2 * HOUR, HOUR))
    events = [Event("c", k, t, 1, (1.0,), (0,)) for k, t in enumerate((-HOUR - 1, -HOUR, -1, 0, HOUR - 1))]
    answers = tell(outputs, events)
    same(column(answers), [1, 1, 2, 1, 2])
    same(column(answers, 1), [1, 2, 3, 3, 4])


def test_each_lane_counts_its_own_events(tell: Tell) -> None:
    outputs = plan(over_an_hour(Statistic.COUNT), over_an_hour(Statistic.COUNT, lane=1))
    answers = tell(outputs, [*at(0, lanes=1), *at(1, lanes=2), *at(2, lanes=3), *at(3, lanes=0)])
    same(column(answers), [1, 1, 2, 2])
    same(column(answers, 1), [0, 1, 2, 2])


def test_the_last_of_64_lanes_counts(tell: Tell) -> None:
    lanes = tuple(Lane(-1, -1) for _ in range(64))
    outputs = (Output(63, Statistic.COUNT, EVER, 0), Output(63, Statistic.COUNT, DAY, HOUR))
    events = [Event("c", k, k, lanes, (), ()) for k, lanes in enumerate((1 << 63, 1, 2**64 - 1))]
    answers = tell(EntityPlan(7, lanes, 0, 0, 0, 0, outputs, True), events)
    assert [answer.raw for answer in answers] == [[1, 1], [1, 1], [2, 2]]


def test_statistics_of_no_events(tell: Tell) -> None:
    # The event itself is in lane 1 only.
    expected = dict.fromkeys(Statistic, nan) | {Statistic.COUNT: 0, Statistic.SUM: 0, Statistic.DISTINCT: 0}
    long = {Statistic.LAST, Statistic.SINCE_LAST, Statistic.SINCE_FIRST}
    outputs = [ever(s) if s in long else over_an_hour(s) for s in Statistic]
    same(tell(plan(*outputs), at(0, lanes=2))[0].raw, list(expected.values()))


def test_statistics_of_values(tell: Tell) -> None:
    statistics = (Statistic.SUM, Statistic.MEAN, Statistic.STD, Statistic.MIN, Statistic.MAX)
    answers = tell(plan(*map(over_an_hour, statistics), ever(Statistic.LAST)), worth(2, 4, -3))
    same(answers[0].raw, [2, 2, 0, 2, 2, 2])
    same(answers[1].raw, [6, 3, 1, 2, 4, 4])  # population: deviations 1 and 1
    np.testing.assert_allclose(answers[2].raw, [3, 1, (26 / 3) ** 0.5, -3, 4, -3], rtol=1e-15)


def test_distinct_is_estimated_from_the_bits_set(tell: Tell) -> None:
    # -256 ln(1 - z/256): 1.002 for one bit, 10.2 for 10, 24.2 for 23, 1420 for 256 (said as 255)
    events = [Event("c", k, NOON_US, 1, (1.0,), (k % 256,)) for k in range(257)]
    distinct = column(tell(plan(over_an_hour(Statistic.DISTINCT)), events))
    assert (distinct[0], distinct[9], distinct[22]) == (1, 10, 24)
    assert distinct[254] == distinct[255] == distinct[256] == 1420


def test_since_last_looks_at_the_event_before(tell: Tell) -> None:
    # The late event of minute 1 comes before that of minute 3, and after nothing.
    same(column(tell(plan(ever(Statistic.SINCE_LAST)), at(3, 1, 4, 4))), [nan, nan, 60, 0])


def test_since_first_and_count_reach_back_for_ever(tell: Tell) -> None:
    answers = tell(plan(ever(Statistic.SINCE_FIRST), ever(Statistic.COUNT)), at(0, 60 * 24 * 1000, -1, 1))
    same(column(answers), [0, 86_400_000, 0, 120])
    same(column(answers, 1), [1, 2, 1, 3])


def test_last_is_the_value_of_the_latest_event_in_time(tell: Tell) -> None:
    events = [*at(5, value=50), *at(3, value=30), *at(6, lanes=2, value=60), *at(5, value=51)]
    events[3] = events[3]._replace(key=9)
    same(column(tell(plan(ever(Statistic.LAST)), events)), [50, 30, 50, 51])


# Duplicates, the ring, and what is too late.


def test_a_duplicate_is_answered_as_of_itself(tell: Tell) -> None:
    first, second, late = at(0)[0], at(1)[0], at(-1)[0]._replace(key=5)
    outputs = plan(over_an_hour(Statistic.COUNT), ever(Statistic.SINCE_LAST))
    answers = tell(outputs, [first, second, late, first, second])
    assert dispositions(answers) == ["applied"] * 3 + ["duplicate"] * 2
    assert [answer.seq for answer in answers] == [1, 2, 3, 1, 2]
    same(column(answers), [1, 2, 1, 1, 2])  # the late event counts in neither
    same(column(answers, 1), [nan, 60, nan, nan, 60])


def test_the_first_content_under_a_key_is_the_one_that_counts(tell: Tell) -> None:
    first = at(0)[0]
    other = first._replace(time_us=first.time_us + DAY, values=(99.0,))
    same(column(tell(plan(over_an_hour(Statistic.SUM)), [first, other, *at(1)])), [1, 1, 2])


def minutes_apart(events: int, start: int = 0) -> list[Event]:
    return [Event("c", start + k, NOON_US + (start + k) * MINUTE, 1, (1.0,), (0,)) for k in range(events)]


def test_the_ring_keeps_64_events_and_the_lateness(tell: Tell) -> None:
    # One event a minute from 12:00. At 13:04 (the 65th) the lateness of an hour reaches back to 12:04:
    # 12:00 leaves. Delivered again it cannot be told from news, so nothing before the ring (12:01) is taken.
    gone, kept = minutes_apart(2)
    news = [Event("c", 10**6 + s, NOON_US + s * SECOND, 1, (1.0,), (0,)) for s in (0, 59, 61)]
    answers = tell(plan(ever(Statistic.COUNT)), [*minutes_apart(65), gone, kept, *news, kept])
    said = ["too_late", "duplicate", "too_late", "too_late", "applied", "too_late"]
    assert dispositions(answers[65:]) == said
    same(column(answers[64:]), [65, nan, 2, nan, nan, 3, nan])
    assert [answer.seq for answer in answers[64:]] == [65, 0, 2, 0, 0, 66, 0]


def test_evicted_events_still_count(tell: Tell) -> None:
    # Two a minute for 100 minutes; the ring holds the last hour, the window too, EVER all.
    events = [e._replace(key=e.key + k * 10**6) for e in minutes_apart(100) for k in range(2)]
    answers = tell(plan(over_an_hour(Statistic.COUNT), ever(Statistic.COUNT)), events)
    same(answers[-1].raw, [120, 200])  # 13:39 lies in 13:35..13:40: buckets from 12:40 on


def test_the_ring_never_holds_more_than_1024_events(tell: Tell) -> None:
    burst = [Event("c", k, NOON_US + k, 1, (1.0,), (0,), scored=False) for k in range(1025)]
    answers = tell(plan(ever(Statistic.COUNT)), [*burst, burst[0], burst[1]._replace(scored=True)])
    assert dispositions(answers[1024:]) == ["applied", "too_late", "duplicate"]
    same(answers[-1].raw, [2])


def test_an_event_that_would_leave_the_ring_at_once_is_too_late(tell: Tell) -> None:
    # With 64 in the ring nothing is taken behind them that is older than the lateness (an hour before 13:03).
    late, old = (Event("c", 10**6 + k, NOON_US - k * MINUTE, 1, (1.0,), (0,)) for k in (1, 1000))
    events = [*minutes_apart(63), old, *minutes_apart(1, 63), late, *minutes_apart(1, 64)]
    answers = tell(plan(ever(Statistic.COUNT)), events)
    assert dispositions(answers[62:]) == ["applied", "applied", "applied", "too_late", "applied"]
    same(column(answers[62:]), [63, 1, 65, nan, 66])


def test_a_duplicate_is_not_recomputed_once_a_later_arrival_has_left(tell: Tell) -> None:
    # The 64th arrival lies a day back and is the first to leave: those before it can no longer leave it out.
    late = Event("c", 10**6, NOON_US - DAY, 1, (1.0,), (0,))
    first, then = minutes_apart(63), minutes_apart(1, 63)
    answers = tell(plan(ever(Statistic.COUNT)), [*first, late, first[62], *then, first[62], *then])[63:]
    assert dispositions(answers) == ["applied", "duplicate", "applied", "duplicate", "duplicate"]
    assert [answer.exact for answer in answers] == [True, True, True, False, True]
    assert [answer.seq for answer in answers] == [64, 63, 65, 63, 65]
    same(column(answers), [1, 63, 65, nan, 65])


def test_other_entities_count_what_is_too_late(tell: Tell) -> None:
    early = Event("c", 10**6, NOON_US - MINUTE, 1, (1.0,), (0,), scored=False)
    outputs = plan(Output(0, Statistic.COUNT, 2 * HOUR, HOUR), ever(Statistic.COUNT), subject=False)
    answers = tell(outputs, [*minutes_apart(65), early, *minutes_apart(1, 65)])
    assert dispositions(answers[64:]) == ["applied", "folded", "applied"]
    assert [answer.seq for answer in answers[64:]] == [65, 66, 67]
    same(answers[-1].raw, [66, 67])  # 13:05: two hours from 12:00, so not 11:59; EVER has it


# Attributes.


def snapshot(key: int, minute: float, *values: float, source: int = 0) -> Event:
    return Event("c", key, NOON_US + round(minute * MINUTE), 0, (1.0,), (0,), True, source, values)


def test_attributes_are_taken_on_arrival(tell: Tell) -> None:
    sources = plan(attributes=3)
    events = [
        at(0)[0],
        snapshot(1, 10, 1.0, nan, 3.0),  # source 0 owns columns 0 and 2
        snapshot(2, 5, nan, 2.0, nan, source=1),
        at(1)[0],  # older in time than what it sees
        snapshot(3, 9, 8.0, nan, 8.0),  # older than the newest of its source
        snapshot(4, 10, nan, nan, 4.0),  # as old: taken, and column 0 is now missing
    ]
    answers = tell(sources, events, (0, 1, 0))
    expected = [[nan] * 3, [1, nan, 3], [1, 2, 3], [1, 2, 3], [1, 2, 3], [nan, 2, 4]]
    same([answer.raw for answer in answers], expected)


def test_a_duplicate_sees_the_attributes_of_its_time(tell: Tell) -> None:
    events = [snapshot(1, 1, 1.0), *at(2), snapshot(3, 3, 3.0)]
    answers = tell(plan(attributes=1), [*events, *events], (0,))
    same(column(answers), [1, 1, 3, 1, 1, 3])


def test_eight_versions_of_the_attributes_are_kept(tell: Tell) -> None:
    # The event before the first version needs none of its own.
    before, versions = at(0), [snapshot(k, k, float(k)) for k in range(9)]
    eight, nine = [*before, *versions[:8]], [*before, *versions]
    answers = tell(plan(attributes=1), [*eight, *eight, versions[8], *nine], (0,))
    assert all(answer.exact for answer in answers[:18])
    same(column(answers[9:18]), [nan, *range(8)])
    assert [answer.exact for answer in answers[19:]] == [False, False] + [True] * 8
    same(column(answers[19:]), [nan, nan, *range(1, 9)])


# What has no vector.


def test_only_scored_events_of_an_entity_have_a_vector(tell: Tell) -> None:
    quiet, nobody = at(0)[0]._replace(scored=False), at(1)[0]._replace(entity=None)
    answers = tell(plan(over_an_hour(Statistic.COUNT)), [quiet, nobody, at(2)[0]])
    assert answers[1].disposition == "absent"
    assert [answer.seq for answer in answers] == [1, 0, 2]
    same(column(answers), [nan, nan, 2])


def test_entities_do_not_share_anything(tell: Tell) -> None:
    events = [e._replace(entity=entity) for e in minutes_apart(2) for entity in ("a", "b")]
    same(column(tell(plan(over_an_hour(Statistic.COUNT)), events)), [1, 1, 2, 2])


# Forgetting.


@pytest.mark.parametrize(
    ("silence_us", "forget_us", "counts"),
    [(2 * HOUR, 2 * HOUR, [[1, 1], [1, 2]]), (2 * HOUR + 1, 2 * HOUR, [[1, 1], [1, 1]]), (DAY, 0, [[1, 1], [1, 2]])],
)  # fmt: skip
def test_a_record_is_forgotten_after_a_longer_silence_than_it_is_kept(
    tell: Tell, silence_us: int, forget_us: int, counts: list[list[float]]
) -> None:
    first, second = at(0, 0)
    outputs = over_an_hour(Statistic.COUNT), ever(Statistic.COUNT)
    answers = tell(
        plan(*outputs, forget_us=forget_us), [first, second._replace(time_us=NOON_US + silence_us)]
    )
    assert [answer.raw for answer in answers] == counts


def test_numbers_of_a_life_follow_the_time_of_its_first_event(tell: Tell) -> None:
    answers = tell(plan(ever(Statistic.COUNT), forget_us=2 * HOUR), at(0, 1, 1, 200, 201))
    assert [answer.seq - NOON_US for answer in answers] == [1, 2, 3, 200 * MINUTE + 1, 200 * MINUTE + 2]
    assert [answer.events for answer in answers] == [1, 2, 3, 1, 2]


def test_numbers_are_above_zero_before_1970_too(tell: Tell) -> None:
    events = [Event("c", k, k * DAY - 9 * DAY, 1, (1.0,), (0,)) for k in range(3)]
    assert [a.seq for a in tell(plan(ever(Statistic.COUNT), forget_us=HOUR), events)] == [1, 2, 3]


def test_a_subjects_event_from_a_forgotten_life_is_too_late_and_never_counted_again(tell: Tell) -> None:
    first, *rest = at(0, 200, 201)
    answers = tell(plan(ever(Statistic.COUNT), forget_us=2 * HOUR), [first, *rest, first])
    assert dispositions(answers) == ["applied", "applied", "applied", "too_late"]


@pytest.mark.parametrize(("minute", "expected"), [(81, "applied"), (80, "applied"), (79, "too_late")])
def test_a_late_event_may_lie_as_far_back_as_a_record_is_kept(
    tell: Tell, minute: float, expected: str
) -> None:
    answers = tell(plan(ever(Statistic.COUNT), forget_us=2 * HOUR), at(200, minute))
    assert dispositions(answers) == ["applied", expected]


def test_an_event_that_the_ring_holds_is_known_however_old_it_is(tell: Tell) -> None:
    first, *rest = at(0, 100, 200)
    answers = tell(plan(ever(Statistic.COUNT), forget_us=2 * HOUR), [first, *rest, first])
    assert dispositions(answers)[-1] == "duplicate"
    same(answers[-1].raw, [1])


def test_another_entity_counts_an_event_however_old_it_is(tell: Tell) -> None:
    answers = tell(plan(ever(Statistic.COUNT), forget_us=2 * HOUR, subject=False), at(0, 200, 10))
    assert dispositions(answers) == ["applied", "applied", "applied"]
    assert [answer.events for answer in answers] == [1, 1, 2]


def test_attributes_are_forgotten_with_the_record(tell: Tell) -> None:
    first, second = at(0, 200)
    told = first._replace(source=0, attributes=(5.0,))
    answers = tell(plan(attributes=1, forget_us=2 * HOUR), [told, second], (0,))
    same([answer.raw[-1] for answer in answers], [5, nan])
