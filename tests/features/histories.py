"""Plans and histories that hypothesis draws, and how a list of events becomes `Arrivals`.

A history is a list of phases, so that it shrinks: each phase sends a few events with its own pace, entities,
and shares of duplicates and late events; a seed fills in the rest. Values are multiples of 0.25 below 2**20,
whose sums are exact in any order; `nasty` values are not.
"""

import os
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from features.kernel.plan import (
    EVER,
    EVER_STATISTICS,
    SLOTS,
    Arrivals,
    EntityPlan,
    Lane,
    Output,
    Statistic,
    Watch,
)
from tests.features.oracle import Event

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
YEAR = 365 * DAY

HOPS = (1, 7 * SECOND, MINUTE, 5 * MINUTE, HOUR, 6 * HOUR, DAY)
HOPS_A_WINDOW = (1, 2, 5, 12, 24, 28, 90)
FORGET = (0, 0, 0, SECOND, 2 * HOUR, 40 * DAY, 2 * YEAR)
LATENESS = (0, SECOND, HOUR, HOUR, HOUR, 3 * DAY)
PACES = (0, 1, SECOND, 10 * SECOND, 30 * SECOND, MINUTE, 7 * MINUTE, HOUR, HOUR, DAY, 40 * DAY)
GAPS = (0, 0, HOUR, 31 * DAY, YEAR, 60 * YEAR)
STARTS = (0, -3 * HOUR, -80 * YEAR, 56 * YEAR, 8000 * YEAR, -1900 * YEAR)
NEEDS_VALUE = frozenset(
    {Statistic.SUM, Statistic.MEAN, Statistic.STD, Statistic.MIN, Statistic.MAX, Statistic.LAST}
)
NAN = float("nan")
NASTY = (0.1, 1e16, -1e16, 1e-300, 1e300, -1e300, -0.0, 5e-324, float("inf"), -float("inf"))


TIMES = int(os.environ.get("THOROUGH", "1"))  # how many times the usual number of examples


def examples(number: int) -> settings:
    """So many histories: always the same ones, or TIMES as many, new ones each time."""
    return settings(
        max_examples=number * TIMES,
        deadline=None,
        derandomize=TIMES == 1,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        print_blob=True,
    )


@dataclass(frozen=True)
class Case:
    """A plan, which source owns each attribute, and what arrives."""

    plan: EntityPlan
    attribute_source: tuple[int, ...]
    events: Sequence[Event] = field(repr=False)


# Plans.


def may_ask(lane: Lane, statistic: Statistic, ever: bool) -> bool:
    if statistic is Statistic.DISTINCT and lane.distinct < 0:
        return False
    if statistic in NEEDS_VALUE and lane.value < 0:
        return False
    only_ever = statistic in EVER_STATISTICS - {Statistic.COUNT}
    return statistic in EVER_STATISTICS if ever else not only_ever


def askable(lanes: Sequence[Lane], windows: Sequence[tuple[int, int]]) -> list[Output]:
    return [
        Output(number, statistic, *window)
        for number, lane in enumerate(lanes)
        for window in windows
        for statistic in Statistic
        if may_ask(lane, statistic, window[0] == EVER)
    ]


windows = st.tuples(st.sampled_from(HOPS), st.sampled_from(HOPS_A_WINDOW)).map(lambda w: (w[0] * w[1], w[0]))


@st.composite
def plans(draw: st.DrawFn, is_subject: bool | None = None) -> EntityPlan:
    values, distincts = draw(st.integers(0, 3)), draw(st.integers(0, 2))
    lane = st.builds(Lane, st.integers(-1, values - 1), st.integers(-1, distincts - 1))
    lanes = tuple(draw(st.lists(lane, min_size=1, max_size=6)))
    asked = askable(lanes, [(EVER, 0), *draw(st.lists(windows, min_size=1, max_size=4, unique=True))])
    outputs = draw(st.lists(st.sampled_from(asked), min_size=1, max_size=12, unique=True))
    attributes = draw(st.integers(0, 3))
    watched = draw(st.lists(st.integers(0, values - 1), max_size=2)) if values else []
    watches = tuple(
        Watch(n, draw(st.integers(0, 2 ** len(lanes) - 1))) for n, _ in enumerate(watched, len(lanes))
    )
    outputs = [Output(watch.lane, Statistic.LAST, EVER, 0) for watch in watches] + outputs
    return EntityPlan(
        fingerprint=draw(st.integers(0, 2**64 - 1)),
        lanes=lanes + tuple(Lane(value, -1) for value in watched),
        watches=watches,
        values=values,
        distincts=distincts,
        attributes=attributes,
        sources=draw(st.integers(1, 2)) if attributes else 0,
        outputs=tuple(outputs),
        is_subject=draw(st.booleans()) if is_subject is None else is_subject,
        lateness_us=draw(st.sampled_from(LATENESS)),
        forget_us=draw(st.sampled_from(FORGET)),
    )


# Histories.


@dataclass(frozen=True)
class Phase:
    """`events` arrivals about `pace_us` apart after a pause; shares are of ten."""

    events: int
    pace_us: int
    gap_us: int
    entities: int
    duplicates: int  # of ten: an event sent before is sent again
    altered: bool  # ... with other content under the same key
    late: int  # of ten: the event lies behind the clock
    late_by_us: int  # at most
    on_hop_us: int  # times snap to a multiple of this, give or take a microsecond; 0: they do not
    scored: int  # of ten
    seed: int


def phases(most_events: int, altered: bool = True) -> st.SearchStrategy[Phase]:
    return st.builds(
        Phase,
        events=st.one_of(st.integers(1, most_events), st.integers(most_events, 2 * most_events)),
        pace_us=st.sampled_from(PACES),
        gap_us=st.sampled_from(GAPS),
        entities=st.sampled_from((1, 1, 1, 3)),
        duplicates=st.sampled_from((0, 1, 5)),
        altered=st.booleans() if altered else st.just(False),
        late=st.sampled_from((0, 2, 2, 6)),
        late_by_us=st.sampled_from((SECOND, HOUR, 2 * HOUR, 2 * HOUR, 2 * DAY, 40 * DAY, 5 * YEAR)),
        on_hop_us=st.sampled_from((0, 0, *HOPS)),
        scored=st.sampled_from((10, 10, 5)),
        seed=st.integers(0, 999),
    )


class Sender:
    """Sends the phases of one history: keeps the clock and what was sent before."""

    def __init__(self, plan: EntityPlan, start_us: int, nasty: bool) -> None:
        self.plan, self.clock_us, self.nasty = plan, start_us, nasty
        self.sent: list[Event] = []
        self.source_of = [column % plan.sources for column in range(plan.attributes)]

    def send(self, phase: Phase) -> None:
        rng = random.Random(phase.seed)
        self.clock_us += phase.gap_us
        for _ in range(phase.events):
            self.clock_us += rng.randint(0, 2 * phase.pace_us)
            again = self.sent and rng.randrange(10) < phase.duplicates
            self.sent.append(self.again(rng, phase) if again else self.fresh(rng, phase))

    def again(self, rng: random.Random, phase: Phase) -> Event:
        old = rng.choice(self.sent[-150:])
        if not phase.altered:
            return old
        other = self.fresh(rng, phase)
        return other._replace(entity=old.entity, key=old.key, scored=old.scored)

    def fresh(self, rng: random.Random, phase: Phase) -> Event:
        plan = self.plan
        source = rng.randrange(plan.sources) if plan.sources and rng.randrange(4) == 0 else -1
        lanes = rng.getrandbits(len(plan.lanes))
        return Event(
            entity=f"c{rng.randrange(phase.entities)}" if rng.randrange(50) else None,
            key=rng.getrandbits(44) << 20 | len(self.sent),  # of its own
            time_us=self.time_us(rng, phase),
            lanes=lanes,
            values=tuple(self.value(rng, lanes, column) for column in range(plan.values)),
            slots=tuple(rng.randrange(rng.choice((3, SLOTS))) for _ in range(plan.distincts)),
            scored=rng.randrange(10) < phase.scored,
            source=source,
            attributes=self.snapshot(rng, source) if source >= 0 else (),
        )

    def time_us(self, rng: random.Random, phase: Phase) -> int:
        time_us = self.clock_us
        if rng.randrange(10) < phase.late:
            time_us -= rng.randint(0, phase.late_by_us)
        if phase.on_hop_us:
            time_us = time_us // phase.on_hop_us * phase.on_hop_us + rng.randint(-1, 1)
        return time_us

    def value(self, rng: random.Random, lanes: int, column: int) -> float:
        counted = any(lanes >> k & 1 and lane.value == column for k, lane in enumerate(self.plan.lanes))
        if not counted and rng.randrange(2):
            return -NAN if self.nasty else NAN
        if self.nasty:
            usual = rng.lognormvariate(0, 9) * rng.choice((-1, 1))
            return usual if rng.randrange(4) else rng.choice(NASTY)
        return rng.choice((rng.randint(-9, 9), rng.randint(-(2**22) + 1, 2**22 - 1), 40)) / 4

    def snapshot(self, rng: random.Random, source: int) -> tuple[float, ...]:
        drawn = (rng.choice((NAN, 0.0, 1.0, rng.random())) for _ in self.source_of)
        return tuple(v if s == source else NAN for v, s in zip(drawn, self.source_of, strict=True))


def history(plan: EntityPlan, start_us: int, sent: Sequence[Phase], nasty: bool = False) -> Case:
    sender = Sender(plan, start_us, nasty)
    for phase in sent:
        sender.send(phase)
    return Case(plan, tuple(sender.source_of), sender.sent)


def cases(
    is_subject: bool | None = None, nasty: bool = False, altered: bool = True
) -> st.SearchStrategy[Case]:
    """Histories of up to a few hundred events. `altered`: a key may come again with other content."""
    several = st.lists(phases(80, altered), min_size=1, max_size=5)
    return st.builds(history, plans(is_subject), st.sampled_from(STARTS), several, st.just(nasty))


def crowded_cases(least: int, most: int) -> st.SearchStrategy[Case]:
    """So many events within a few days of lateness; few are scored, because the oracle is slow."""

    def crowd(plan: EntityPlan, events: int, pace_us: int, late: int, seed: int, after: list[Phase]) -> Case:
        plan = replace(plan, outputs=plan.outputs[:3], lateness_us=3 * DAY)
        first = Phase(events, pace_us, 0, 1, 1, False, late, HOUR, 0, 0, seed)
        return history(plan, 0, [first, *after])

    return st.builds(
        crowd,
        plans(),
        st.integers(least, most),
        st.sampled_from((0, SECOND, MINUTE, 5 * MINUTE)),
        st.sampled_from((0, 2)),
        st.integers(0, 999),
        st.lists(phases(40), min_size=1, max_size=2),
    )


# Batches.

batch_sizes = st.lists(st.integers(1, 100), min_size=1, max_size=6)


def batches(events: Sequence[Event], sizes: Sequence[int]) -> Iterator[Sequence[Event]]:
    """The events in order, cut into batches whose sizes go round."""
    start = turn = 0
    while start < len(events):
        size = sizes[turn % len(sizes)]
        yield events[start : start + size]
        start, turn = start + size, turn + 1


def arrivals(plan: EntityPlan, attribute_source: Sequence[int], events: Sequence[Event]) -> Arrivals:
    ids = tuple(dict.fromkeys(e.entity for e in events if e.entity is not None))
    number = {entity: i for i, entity in enumerate(ids)}
    setting = [e for e in events if e.source >= 0]
    row = iter(range(len(setting)))
    return Arrivals(
        record=np.array([-1 if e.entity is None else number[e.entity] for e in events], np.int32),
        key=np.array([e.key for e in events], np.uint64),
        time_us=np.array([e.time_us for e in events], np.int64),
        lanes=np.array([e.lanes for e in events], np.uint64),
        values=np.array([e.values for e in events], np.float64).reshape(len(events), plan.values),
        slots=np.array([e.slots for e in events], np.uint8).reshape(len(events), plan.distincts),
        scored=np.array([e.scored for e in events], np.bool_),
        source=np.array([e.source for e in events], np.int8),
        attribute_row=np.array([-1 if e.source < 0 else next(row) for e in events], np.int32),
        attributes=np.array([e.attributes for e in setting]).reshape(len(setting), plan.attributes),
        attribute_source=np.array(attribute_source, np.int8),
        ids=ids,
    )
