"""The kernel against the oracle and against itself, on histories that hypothesis draws.

Against the oracle it must say the same of every event. Against itself: however batches are cut, lost,
repeated or committed by half, the records must be the same bytes and the vectors the same bits.
The rules themselves, example by example, are in test_rules.py.
"""

import pickle
from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path
from random import Random

import numba
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from features import kernel
from features.kernel import Disposition, loop
from features.kernel.plan import EVER, EntityPlan, Lane, Output, Statistic
from tests.features import golden
from tests.features.driving import Driver, Told, drive, joined, outcome_of, score_of
from tests.features.histories import (
    DAY,
    HOUR,
    SECOND,
    YEAR,
    Case,
    arrivals,
    batch_sizes,
    batches,
    cases,
    crowded_cases,
    examples,
)
from tests.features.oracle import Answer, Applied, Event, Oracle

AS_ONE = (10**6,)


def bits(raw: NDArray[np.float64]) -> bytes:
    return raw.tobytes()


# Against the oracle.


def columns_of(case: Case, *statistics: Statistic) -> list[bool]:
    asked = [output.statistic in statistics for output in case.plan.outputs]
    return asked + [False] * case.plan.attributes


def check_against_oracle(case: Case, told: Told) -> None:
    oracle = Oracle(case.plan, case.attribute_source)
    answers = [oracle.arrive(event) for event in case.events]
    assert told.disposition == [answer.disposition for answer in answers]
    assert told.seq == [answer.seq for answer in answers]
    assert told.events == [answer.events for answer in answers]
    assert told.exact == [answer.exact for answer in answers]
    expected = np.array([answer.raw for answer in answers]).reshape(told.raw.shape)
    folded = np.array(told.disposition) == "folded"
    check_vectors(case, told.raw[~folded], expected[~folded])
    attributes = slice(len(case.plan.outputs), None)
    np.testing.assert_array_equal(told.raw[:, attributes], expected[:, attributes])


def check_vectors(case: Case, raw: NDArray[np.float64], expected: NDArray[np.float64]) -> None:
    """The same bits, but for standard deviations, whose squares are not exact."""
    std = np.array(columns_of(case, Statistic.STD), dtype=bool)
    np.testing.assert_array_equal(raw[:, ~std], expected[:, ~std])
    np.testing.assert_allclose(raw[:, std], expected[:, std], rtol=1e-9, atol=1e-9)


@examples(100)
@given(cases(), batch_sizes)
def test_the_kernel_says_what_the_oracle_says(case: Case, sizes: list[int]) -> None:
    check_against_oracle(case, drive(case, sizes)[1])


@examples(4)
@given(crowded_cases(1030, 1300), batch_sizes)
def test_the_kernel_says_what_the_oracle_says_of_crowds(case: Case, sizes: list[int]) -> None:
    """More events within the lateness than a ring may hold."""
    check_against_oracle(case, drive(case, sizes)[1])


@examples(2)
@given(crowded_cases(4200, 4600))
def test_one_batch_may_hold_thousands_of_events_of_one_entity(case: Case) -> None:
    driver, told = drive(case, AS_ONE)
    check_against_oracle(case, told)
    assert drive(case, (999,))[0].blobs == driver.blobs


# Batches.


@examples(60)
@given(cases(nasty=True), batch_sizes, batch_sizes)
def test_cutting_batches_otherwise_changes_nothing(case: Case, some: list[int], others: list[int]) -> None:
    first, told = drive(case, some)
    second, told_again = drive(case, others)
    assert first.blobs == second.blobs
    assert bits(told.raw) == bits(told_again.raw)
    assert told._replace(raw=told_again.raw) == told_again


def test_a_record_holds_nothing_of_the_record_before_it() -> None:
    """Lane 0 of the second entity is empty: it once kept the value that the first one's had left in memory."""
    outputs = (Output(0, Statistic.LAST, EVER, 0), Output(1, Statistic.COUNT, EVER, 0))
    plan = EntityPlan(7, (Lane(0, -1), Lane(-1, -1)), 1, 0, 0, 0, outputs, False, 0)
    events = [Event(f"c{i % 2}", i, i * HOUR, 1 + i % 2, (5.0,)) for i in range(200)]
    together, alone = Driver(plan), Driver(plan)
    together.tell(events)
    alone.tell([event for event in events if event.entity == "c1"])
    assert together.blobs["c1"] == alone.blobs["c1"]


@examples(20)
@given(cases(nasty=True), batch_sizes)
def test_one_batch_is_as_good_as_one_event_at_a_time(case: Case, sizes: list[int]) -> None:
    whole, told = drive(case, AS_ONE)
    single, told_again = drive(case, (1,))
    assert whole.blobs == single.blobs
    assert bits(told.raw) == bits(told_again.raw)


@examples(20)
@given(cases(nasty=True), batch_sizes)
def test_a_record_depends_on_the_events_of_its_entity_only(case: Case, sizes: list[int]) -> None:
    together, _ = drive(case, sizes)
    for entity, blob in together.blobs.items():
        own = [event for event in case.events if event.entity == entity]
        assert drive(replace(case, events=own), AS_ONE)[0].blobs == {entity: blob}


@examples(20)
@given(cases(nasty=True), batch_sizes)
def test_asking_for_no_vector_leaves_the_same_record(case: Case, sizes: list[int]) -> None:
    quiet = replace(case, events=[event._replace(scored=False) for event in case.events])
    driver, told = drive(quiet, sizes)
    assert driver.blobs == drive(case, sizes)[0].blobs
    assert np.isnan(told.raw).all()


def test_a_batch_may_be_empty_or_name_nobody() -> None:
    driver = Driver(golden.PLAN, golden.ATTRIBUTE_SOURCE)
    assert len(driver.advance([]).raw) == 0
    nobody = driver.advance([golden.event(0)._replace(entity=None)])
    assert nobody.disposition.tolist() == [Disposition.ABSENT]
    assert driver.blobs == {}


# Duplicates.


def applied_events(case: Case, told: Told) -> dict[tuple[str | None, int], Event]:
    """Return the applied events by entity and sequence number."""
    rows = zip(case.events, told.disposition, told.seq, strict=True)
    return {(event.entity, seq): event for event, said, seq in rows if said == "applied"}


@examples(40)
@given(cases(is_subject=True), batch_sizes)
def test_a_duplicate_tells_its_outcome_or_its_original(case: Case, sizes: list[int]) -> None:
    driver = Driver(case.plan, case.attribute_source)
    first: dict[tuple[str | None, int], Event] = {}
    for batch in batches(case.events, sizes):
        said = driver.advance(batch)
        here: dict[tuple[str | None, int], int] = {}
        for i, (event, disposition, seq) in enumerate(zip(batch, said.disposition, said.seq, strict=True)):
            place = event.entity, int(seq)
            if disposition == Disposition.APPLIED:
                first[place], here[place] = event, i
            if disposition == Disposition.DUPLICATE:
                assert said.original[i] == here.get(place, -1)
                if place not in here:
                    assert said.stored_score[i] == np.float32(score_of(first[place]))
                    assert said.stored_outcome[i] == outcome_of(first[place])
            else:
                assert said.original[i] == -1


def present_life(case: Case, told: Told, entity: str) -> dict[int, Event]:
    """The events of the entity that its record still counts, by number."""
    own = {seq: event for (who, seq), event in applied_events(case, told).items() if who == entity}
    rows = zip(case.events, told.seq, told.events, strict=True)
    began = max(seq for event, seq, events in rows if event.entity == entity and events == 1)
    return {seq: event for seq, event in own.items() if seq >= began}


def newest_in_time(case: Case, told: Told, entity: str) -> list[Event]:
    """The events that are in the ring for certain."""
    own = [(event.time_us, seq, event) for seq, event in present_life(case, told, entity).items()]
    return [event for *_, event in sorted(own)[-64:]]


@examples(40)
@given(cases(altered=False), batch_sizes, st.randoms(use_true_random=False))
def test_delivering_again_changes_nothing(case: Case, sizes: list[int], rng: Random) -> None:
    driver, told = drive(case, sizes)
    before = dict(driver.blobs)
    if case.plan.is_subject:
        again = list(case.events)
    else:
        again = [event for entity in before for event in newest_in_time(case, told, entity)]
    rng.shuffle(again)
    said = driver.tell(again, sizes)
    assert driver.blobs == before
    assert set(said.disposition) <= {"absent", "duplicate", "too_late"}


@examples(40)
@given(cases(nasty=True, altered=False), batch_sizes)
def test_a_duplicate_has_the_vector_it_had_at_first(case: Case, sizes: list[int]) -> None:
    told = drive(case, sizes)[1]
    first: dict[tuple[str | None, int], bytes] = {}
    for event, said, raw, seq, exact, _ in zip(case.events, *told, strict=True):
        if said == "applied":
            first[event.entity, seq] = bits(raw)
        if said == "duplicate" and exact:
            assert bits(raw) == first[event.entity, seq]


# Crashes.

attempts = st.lists(
    st.tuples(st.integers(10, 80), st.sampled_from(("done", "done", "lost", "not acknowledged", "half"))),
    min_size=1,
    max_size=8,
).filter(lambda drawn: any(fate == "done" for _, fate in drawn))


def with_crashes(driver: Driver, events: Sequence[Event], fates: list[tuple[int, str]]) -> list[Answer]:
    """At least once: a batch that is not done is delivered again, in batches of other sizes."""
    start = turn = 0
    answers: list[Answer] = []
    while start < len(events):
        size, fate = fates[turn % len(fates)]
        before = dict(driver.blobs)
        told = driver.tell(events[start : start + size])
        if fate == "lost":
            driver.blobs = before
        if fate == "half":  # some records were written
            kept = sorted(driver.blobs)[::2]
            driver.blobs = before | {entity: driver.blobs[entity] for entity in kept}
        if fate == "done":
            answers += told.answers()
            start += size
        turn += 1
    return answers


@examples(40)
@given(cases(is_subject=True, nasty=True, altered=False), attempts)
def test_crashes_leave_the_records_that_a_quiet_day_leaves(case: Case, fates: list[tuple[int, str]]) -> None:
    quiet, told = drive(case, AS_ONE)
    stormy = Driver(case.plan, case.attribute_source)
    answers = with_crashes(stormy, case.events, fates)
    assert stormy.blobs == quiet.blobs
    for answer, expected in zip(answers, told.answers(), strict=True):
        if answer.disposition != "too_late" and answer.exact and expected.exact:
            assert answer.seq == expected.seq
            np.testing.assert_array_equal(answer.raw, expected.raw)


# Status.


@examples(20)
@given(cases(is_subject=True), batch_sizes)
def test_status_is_kept_as_the_policy_left_it(case: Case, sizes: list[int]) -> None:
    driver, told = drive(case, sizes)
    probe = arrivals(case.plan, case.attribute_source, case.events)
    read = kernel.advance(case.plan, [driver.blobs[entity] for entity in probe.ids], probe).status
    for entity, status in zip(probe.ids, read, strict=True):
        own = [event.time_us for event in present_life(case, told, entity).values()]
        assert status["streak"] == len(own)
        assert status["since_us"] == max([0, *own])


# Forgetting.


def forgetful(is_subject: bool | None = None) -> st.SearchStrategy[Case]:
    """Histories with silences that are longer than records are kept, some after 1970 and some long before."""

    def pausing(case: Case, forget_us: int) -> Case:
        return replace(case, plan=replace(case.plan, forget_us=forget_us))

    pauses = st.sampled_from((SECOND, 2 * HOUR, 40 * DAY))
    return st.builds(pausing, cases(is_subject, nasty=True, altered=False), pauses)


@examples(40)
@given(forgetful(is_subject=True), batch_sizes, batch_sizes)
def test_a_subjects_event_is_never_counted_twice_in_whatever_life(
    case: Case, sizes: list[int], others: list[int]
) -> None:
    driver, told = drive(case, sizes)
    counted = [
        (event.entity, event.key)
        for event, disposition in zip(case.events, told.disposition, strict=True)
        if disposition == "applied"
    ]
    assert len(counted) == len(set(counted))
    before = dict(driver.blobs)
    assert set(driver.tell(case.events, others).disposition) <= {"absent", "duplicate", "too_late"}
    assert driver.blobs == before


@examples(40)
@given(forgetful(), batch_sizes)
def test_numbers_rise_from_life_to_life(case: Case, sizes: list[int]) -> None:
    told = drive(case, sizes)[1]
    latest: dict[str | None, int] = {}
    for event, disposition, seq in zip(case.events, told.disposition, told.seq, strict=True):
        if disposition in ("applied", "folded"):
            assert seq > latest.get(event.entity, 0)
            latest[event.entity] = seq


@examples(40)
@given(forgetful(), batch_sizes)
def test_a_store_may_drop_what_the_kernel_has_forgotten(case: Case, sizes: list[int]) -> None:
    """Expired or not, before each batch: the same bytes and the same bits."""
    case = replace(case, events=[e._replace(time_us=e.time_us % (60 * YEAR)) for e in case.events])
    whole, told = drive(case, sizes)
    expiring, newest = Driver(case.plan, case.attribute_source), dict[str, int]()
    said = []
    for batch in batches(case.events, sizes):
        first = {event.entity: event.time_us for event in reversed(batch) if event.entity}
        for entity, time_us in first.items():
            if time_us > newest.get(entity, time_us) + case.plan.forget_us:
                del expiring.blobs[entity]
        said.append(expiring.advance(batch))
        for event, number in zip(batch, said[-1].seq.tolist(), strict=True):
            if event.entity and number:
                newest[event.entity] = max(newest.get(event.entity, event.time_us), event.time_us)
    told_again = joined(said)
    assert expiring.blobs == whole.blobs
    assert bits(told_again.raw) == bits(told.raw)
    assert told_again._replace(raw=told.raw) == told


# Folding: other entities only. What follows a folded event counts it exactly; its own vector goes by buckets.


def may_count(i: Applied, e: Applied, output: Output) -> bool:
    """The window rule for a folded event e: whatever lies in the same bucket may count."""
    if i.seq > e.seq or not i.event.lanes >> output.lane & 1:
        return False
    if output.window_us == EVER:
        return True
    hops = e.event.time_us // output.hop_us - i.event.time_us // output.hop_us
    return 0 <= hops < output.window_us // output.hop_us


@examples(40)
@given(cases(is_subject=False), batch_sizes)
def test_a_folded_event_counts_itself_and_what_its_buckets_hold(case: Case, sizes: list[int]) -> None:
    told = drive(case, sizes)[1]
    oracle = Oracle(case.plan, case.attribute_source)
    for event, raw in zip(case.events, told.raw, strict=True):
        if oracle.arrive(event).disposition != "folded" or not event.scored:
            continue
        applied = oracle.memories[event.entity or ""].applied
        for output, value in zip(case.plan.outputs, raw, strict=False):
            if output.statistic is Statistic.COUNT:
                own = applied[-1].event.lanes >> output.lane & 1
                assert own <= value <= sum(may_count(i, applied[-1], output) for i in applied)
            if output.statistic in (Statistic.SINCE_LAST, Statistic.SINCE_FIRST):
                assert not value < 0


def test_code_cached_by_an_earlier_version_is_not_looked_at(tmp_path: Path) -> None:
    """A cache that an upgrade finds on disk may name classes that are no longer there."""
    file = copy(loop.fold_batch._cache._cache_file)
    file._index_path = str(tmp_path / "index")
    gone = b"cfeatures.kernel.advanced\nNoLongerHere\n."
    for version in (numba.__version__, f"{numba.__version__} of other sources"):
        Path(file._index_path).write_bytes(pickle.dumps(version) + gone)
        assert file._load_index() == {}
