"""The record's bytes: what is packed comes back, the layout is fixed, and what is not a record is refused."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features import kernel, record
from features.kernel import statistics
from features.kernel.plan import EntityPlan, Lane, Output, Statistic
from features.record import BadRecord, Record
from tests.features import golden
from tests.features.driving import Driver, drive
from tests.features.histories import DAY, HOUR, MINUTE, Case, arrivals, batch_sizes, cases, examples
from tests.features.oracle import Event, distinct_estimate

# What is packed narrow, what is not, and what is nearly: cents, and floats next to them.
VALUES = st.one_of(
    st.integers(-(10**10), 10**10).map(lambda cents: cents / 100),
    st.floats(),
    st.integers(-1000, 1000).map(lambda cents: float(np.nextafter(cents / 100, 1))),
    st.sampled_from((0.0, -0.0, float("nan"), 21474836.47, -21474836.48, 2e7, -2e7, 19999999.99)),
)
GOOD = golden.RECORD.read_bytes() if golden.RECORD.exists() else b""
FARTHEST_US = 2**61  # records of later times are refused


def same(one: Record, other: Record) -> bool:
    """Equal in every value, where NaN equals NaN and 0.0 is not -0.0."""
    return repr(one) == repr(other)


# Packing.


@examples(25)
@given(cases(nasty=True), batch_sizes)
def test_a_record_of_a_history_comes_back(case: Case, sizes: list[int]) -> None:
    for blob in drive(case, sizes)[0].blobs.values():
        read = record.loads(case.plan, blob)
        assert record.dumps(case.plan, read) == blob
        assert read.seq == record.seq_of(blob)


@st.composite
def stretched(draw: st.DrawFn) -> tuple[EntityPlan, Record]:
    """The record of a history with a ring of times, numbers, values and outcomes that no history has."""
    case = draw(cases(altered=False))
    blobs = drive(case, (10**6,))[0].blobs
    read = record.loads(case.plan, draw(st.sampled_from(sorted(blobs.values())))) if blobs else None
    if read is None:
        return case.plan, Record(0, 0, None, bytes(32 * case.plan.is_subject), False, (), (), (), ())
    many = len(read.ring)
    least = -FARTHEST_US if read.floor_us is None else read.floor_us  # what was folded is older than the ring
    moments = st.one_of(st.integers(least, FARTHEST_US), st.integers(max(0, least), max(10**15, least)))
    times = sorted(draw(st.lists(moments, min_size=many, max_size=many)))
    width = draw(st.sampled_from((1, 2**16, 2**31)))
    values = draw(st.lists(VALUES, min_size=1, max_size=20))
    outcomes = draw(st.lists(st.tuples(st.floats(width=32), st.integers(0, 255)), min_size=1, max_size=9))
    ring = []
    for i, (event, time_us) in enumerate(zip(read.ring, times, strict=True)):
        score, outcome = outcomes[i % len(outcomes)] if case.plan.is_subject else (event.score, event.outcome)
        own = tuple(values[(i + k) % len(values)] for k in range(case.plan.values))
        seq = 1 + i * (width - 1) // many
        ring.append(replace(event, time_us=time_us, seq=seq, values=own, score=score, outcome=outcome))
    return case.plan, replace(read, seq=width + many, ring=tuple(ring))


@examples(60)
@given(stretched())
def test_what_is_packed_comes_back(drawn: tuple[EntityPlan, Record]) -> None:
    plan, written = drawn
    blob = record.dumps(plan, written)
    assert same(record.loads(plan, blob), written)
    assert len(blob) % 8 == 0
    assert record.seq_of(blob) == written.seq


@examples(60)
@given(st.lists(VALUES, min_size=1, max_size=80))
def test_values_come_back_to_the_bit(values: list[float]) -> None:
    plan = EntityPlan(7, (Lane(0, -1),), 1, 0, 0, 0, (Output(0, Statistic.SUM, DAY, HOUR),), True, DAY)
    driver = Driver(plan)
    driver.tell([Event("c", k, k, 1, (value,)) for k, value in enumerate(values)], (7,))
    found = np.array([event.values[0] for event in record.loads(plan, driver.blobs["c"]).ring])
    expected = np.where(np.isnan(values), np.nan, values)
    assert found.tobytes() == expected.tobytes()


def test_the_status_of_a_new_record_is_zeros() -> None:
    plan = replace(golden.PLAN, attributes=0, sources=0)
    new = kernel.advance(plan, [None], arrivals(plan, (), [golden.event(1)]))
    assert record.STATUS.itemsize == 32
    assert new.status.tolist() == [(0,) * 8]


def test_the_table_of_distinct_estimates_is_linear_counting() -> None:
    assert statistics.DISTINCT_ESTIMATE.tolist() == [distinct_estimate(bits) for bits in range(257)]


# The layout.


def test_the_layout_is_the_golden_one() -> None:
    assert golden.record() == golden.RECORD.read_bytes(), golden.__doc__


def test_the_golden_record_reads_as_it_was_told() -> None:
    read = record.loads(golden.PLAN, golden.RECORD.read_bytes())
    events = sorted((golden.event(k) for k in range(100)), key=lambda e: e.time_us)
    assert (read.seq, read.evicted, read.floor_us) == (100, 36, events[35].time_us)
    assert [event.key for event in read.ring] == [event.key for event in events[36:]]
    assert [event.time_us for event in read.ring] == [event.time_us for event in events[36:]]
    assert repr([event.values for event in read.ring]) == repr([event.values for event in events[36:]])
    assert repr(read.versions[-1].values) == repr((90.0, float("nan"), 95 / 3))


def test_the_header_stands_where_the_stores_look() -> None:
    blob = golden.RECORD.read_bytes()
    assert blob[:4] == b"RSR\x01"
    assert blob[4:12] == bytes.fromhex("efcdab8967452301")
    assert blob[12:20] == (100).to_bytes(8, "little")
    assert record.seq_of(blob) == 100


def test_the_header_has_one_home() -> None:
    """Stores and their scripts take magic and seq from it, and never spell them out."""
    assert (b"RSR", slice(12, 20), 48) == (record.MAGIC, record.SEQ, record.LEVEL_AT)
    assert GOOD[record.SEQ] == record.seq_bytes(100)
    assert [status.tobytes() for status in record.statuses([GOOD])] == [GOOD[48:80]]
    root = Path(__file__).parents[2]
    others = [file for room in ("pipeline", "serving", "training") for file in (root / room).rglob("*.py")]
    assert [file.name for file in others if "RSR" in file.read_text()] == []


# What is not a record.


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda blob: b"XYZ" + blob[3:], "not a record.*XYZ"),
        (lambda blob: blob[:3] + b"\x02" + blob[4:], "layout version 2.*version 1"),
        (lambda blob: blob[:4] + bytes(8) + blob[12:], "fingerprint 0000000000000000.*0123456789abcdef"),
        (lambda blob: blob[:-8], f"damaged record: {len(GOOD) - 8} bytes.*{len(GOOD)}"),
        (lambda blob: blob + bytes(8), f"damaged record: {len(GOOD) + 8} bytes.*{len(GOOD)}"),
        (lambda blob: blob[:20], "not a record: 20 bytes"),
        (lambda blob: b"\x00", "not a record: 1 byte"),
    ],
)
def test_what_is_not_a_record_is_refused_by_name(damage: Callable[[bytes], bytes], complaint: str) -> None:
    with pytest.raises(BadRecord, match=complaint):
        record.loads(golden.PLAN, damage(GOOD))


def test_every_part_of_a_record_is_refused() -> None:
    for length in range(len(GOOD)):
        with pytest.raises(BadRecord):
            record.loads(golden.PLAN, GOOD[:length])


def test_the_kernel_refuses_what_is_not_a_record() -> None:
    driver = Driver(golden.PLAN, golden.ATTRIBUTE_SOURCE)
    driver.blobs["customer"] = GOOD[:-8]
    with pytest.raises(BadRecord):
        driver.advance([golden.event(1)])


def with_field(start: int, width: int, value: int) -> bytes:
    return GOOD[:start] + value.to_bytes(width, "little") + GOOD[start + width :]


@pytest.mark.parametrize("length", range(48))
def test_a_damaged_header_is_refused_or_read(length: int) -> None:
    """Whatever a byte of the header says, nothing is read or written outside of the record."""
    for value in range(0, 256, 5):
        try:
            record.loads(golden.PLAN, with_field(length, 1, value))
        except BadRecord as refused:
            assert str(refused)


def test_an_empty_value_is_refused() -> None:
    with pytest.raises(BadRecord, match="not a record: 0 bytes"):
        record.loads(golden.PLAN, b"")


RING_AT, VERSIONS_AT, TILES_AT = 32, 34, 36  # counts in the header
BARE = EntityPlan(7, (Lane(-1, -1),), 0, 0, 1, 1, (Output(0, Statistic.COUNT, DAY, HOUR),), False)


EVENT_BYTES = 8 + 4 + 2 + 2 + 1 + 1  # key, time, seq, lanes, outcome, when nothing needs padding
VERSION_BYTES = 8 + 8 + 8  # seq, time of the source, attribute
TILE_BYTES = 8


def bare(ring: int = 0, versions: int = 0, tiles: int = 0) -> bytes:
    """A record of BARE, all zeros but for the counts in its header, and as long as they say."""
    blob = bytearray(record.dumps(BARE, Record(1, int(tiles > 0), 0, b"", False, (), (), (), ())))
    blob[RING_AT : RING_AT + 2] = ring.to_bytes(2, "little")
    blob[VERSIONS_AT] = versions
    blob[TILES_AT : TILES_AT + 4] = tiles.to_bytes(4, "little")
    return bytes(blob) + bytes(ring * EVENT_BYTES + versions * VERSION_BYTES + tiles * TILE_BYTES)


@pytest.mark.parametrize("counts", [{"ring": 1024}, {"versions": 8}, {"tiles": 1}])
def test_a_record_may_say_so_much(counts: dict[str, int]) -> None:
    read = record.loads(BARE, bare(**counts))
    assert {part: len(getattr(read, part)) for part in counts} == counts


@pytest.mark.parametrize(
    "counts", [{"ring": 1032}, {"ring": 65_528}, {"versions": 9}, {"versions": 255}, {"tiles": 999}]
)
def test_a_record_that_says_too_much_is_refused(counts: dict[str, int]) -> None:
    """Its length is right, but no history leaves so much, and there is no room to read it into."""
    with pytest.raises(BadRecord, match="damaged record"):
        record.loads(BARE, bare(**counts))


# Size.

STATISTICS = (Statistic.COUNT, Statistic.SUM, Statistic.MEAN, Statistic.MAX)
WINDOWS = ((HOUR, 5 * MINUTE), (DAY, HOUR), (7 * DAY, 6 * HOUR), (30 * DAY, DAY))


@pytest.mark.parametrize(("events", "limit_bytes"), [(10, 500), (40, 1500), (100, 6000), (1000, 30000)])
def test_bytes_of_a_customer(events: int, limit_bytes: int) -> None:
    """So many events spread over 30 days; amounts in cents; sixteen features."""
    outputs = tuple(Output(0, statistic, *window) for statistic in STATISTICS for window in WINDOWS)
    driver = Driver(EntityPlan(7, (Lane(0, -1),), 1, 0, 0, 0, outputs, True))
    step = 30 * DAY // events
    driver.tell([Event("c", k * 0x9E3779B97F4A7C15 % 2**64, k * step, 1, (k * 1.25,)) for k in range(events)])
    assert len(driver.blobs["c"]) < limit_bytes
