"""The rules of features/ said plainly, to hold the clever code against: shares no code with it and is slow.

`Oracle(plan).arrive(event)` keeps every event it was ever told in a list. The ring is only kept to know
what is a duplicate, what is too late and what can still be recomputed. Times are int64 microseconds.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import NamedTuple

from features.kernel.plan import EVER, EntityPlan, Output, Statistic, Watch

RING_EVENTS = 64  # kept whatever their age
RING_LIMIT = 1024  # never more, whatever the lateness
ATTRIBUTE_VERSIONS = 8  # snapshots kept, the current one included


class Event(NamedTuple):
    """One event as one entity sees it. `lanes` is a bit set, `attributes` the source's whole snapshot."""

    entity: str | None
    key: int
    time_us: int
    lanes: int = 1
    values: tuple[float, ...] = ()
    slots: tuple[int, ...] = ()
    scored: bool = True
    source: int = -1
    attributes: tuple[float, ...] = ()


class Answer(NamedTuple):
    """The answer to one arrival; `raw` is all NaN where there is no vector."""

    disposition: str
    raw: list[float]
    seq: int
    exact: bool
    events: int = 0


@dataclass(frozen=True)
class Applied:
    """An event and its number in the record."""

    event: Event
    seq: int
    folded: bool = False

    @property
    def place(self) -> tuple[int, int]:
        return self.event.time_us, self.seq


@dataclass
class Memory:
    """The arrivals of one entity in its present life, whose numbers follow `begun_at`."""

    begun_at: int = 0
    applied: list[Applied] = field(default_factory=list)
    ring: list[Applied] = field(default_factory=list)  # in (time, seq) order
    floor_us: int | None = None  # time of the latest evicted event
    newest_outside: int = 0  # largest seq among events that are not in the ring
    snapshots: list[Applied] = field(default_factory=list)  # events that changed attributes, by seq


# The window rule.


def counts(i: Applied, e: Applied, output: Output) -> bool:
    """Does event i count in this output of event e?"""
    if not i.event.lanes >> output.lane & 1:
        return False
    if i.seq > e.seq or i.event.time_us > e.event.time_us:
        return False
    if output.window_us == EVER:
        return True
    hops = output.window_us // output.hop_us
    return i.event.time_us // output.hop_us > e.event.time_us // output.hop_us - hops


def statistic(plan: EntityPlan, output: Output, e: Applied, applied: Sequence[Applied]) -> float:
    counted = sorted((i for i in applied if counts(i, e, output)), key=attrgetter("place"))
    before = [i for i in counted if i.place < e.place]
    lane = plan.lanes[output.lane]
    match output.statistic:
        case Statistic.COUNT:
            return float(len(counted))
        case Statistic.SUM:
            return math.fsum(i.event.values[lane.value] for i in counted)
        case Statistic.DISTINCT:
            return distinct_estimate(len({i.event.slots[lane.distinct] for i in counted}))
        case Statistic.SINCE_LAST:
            return (e.event.time_us - before[-1].event.time_us) / 1e6 if before else math.nan
        case Statistic.SINCE_FIRST:
            return (e.event.time_us - counted[0].event.time_us) / 1e6 if counted else math.nan
    return of_values[output.statistic]([i.event.values[lane.value] for i in counted]) if counted else math.nan


def mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def std(values: Sequence[float]) -> float:
    middle = mean(values)
    return math.sqrt(math.fsum((v - middle) ** 2 for v in values) / len(values))


of_values: dict[Statistic, Callable[[Sequence[float]], float]] = {
    Statistic.MEAN: mean,
    Statistic.STD: std,
    Statistic.MIN: min,
    Statistic.MAX: max,
    Statistic.LAST: lambda values: values[-1],
}


def distinct_estimate(bits_set: int) -> float:
    """Linear counting over 256 bits; a full sketch says what one with 255 bits says."""
    return float(round(-256 * math.log(1 - min(bits_set, 255) / 256)))


# The record.


class Oracle:
    """Answers for every entity of one plan, one arrival at a time."""

    def __init__(self, plan: EntityPlan, attribute_source: Sequence[int] = ()) -> None:
        self.plan = plan
        self.attribute_source = attribute_source
        self.memories: dict[str, Memory] = {}
        self.no_vector = [math.nan] * plan.raw_columns

    def arrive(self, event: Event) -> Answer:
        if event.entity is None:
            return Answer("absent", self.no_vector, 0, True)
        memory = self.memories[event.entity] = self.remembered(event.entity, event.time_us)
        known = next((i for i in memory.ring if i.event.key == event.key), None)
        if known:
            exact = self.recomputable(memory, known)
            return self.answer(memory, "duplicate", known, event.scored, exact)
        too_late = self.is_too_late(memory, event.time_us)
        too_old = bool(self.plan.forget_us) and event.time_us < self.newest_us(memory) - self.plan.forget_us
        if self.plan.is_subject and (too_late or too_old):
            return Answer("too_late", self.no_vector, 0, True)
        counted = self.without_repetitions(memory, event, too_late)
        applied = Applied(counted, memory.begun_at + len(memory.applied) + 1, too_late)
        self.apply(memory, applied)
        answer = self.answer(memory, "folded" if too_late else "applied", applied, event.scored, True)
        self.evict(memory)
        return answer

    def without_repetitions(self, memory: Memory, event: Event, too_late: bool) -> Event:
        """The event in the lanes in which it counts: in those of changes only if it is one."""
        lanes = event.lanes
        for watch in self.plan.watches:
            if lanes >> watch.lane & 1 and too_late:
                lanes &= ~(watch.gated | 1 << watch.lane)
            elif lanes >> watch.lane & 1 and not self.is_change(memory, watch, event):
                lanes &= ~watch.gated
        return event._replace(lanes=lanes)

    def is_change(self, memory: Memory, watch: Watch, event: Event) -> bool:
        """Does it say something else than the latest event before it, of those that are not later?"""
        column = self.plan.lanes[watch.lane].value
        before = [
            i for i in memory.applied if i.event.lanes >> watch.lane & 1 and i.event.time_us <= event.time_us
        ]
        return (
            bool(before) and max(before, key=attrgetter("place")).event.values[column] != event.values[column]
        )

    def remembered(self, entity: str, now_us: int) -> Memory:
        """Return the entity's memory; empty after a silence of more than `forget_us`."""
        memory = self.memories.get(entity)
        if not self.plan.forget_us:
            return memory or Memory()
        if memory and now_us <= self.newest_us(memory) + self.plan.forget_us:
            return memory
        latest = max((i.seq for i in memory.applied), default=0) if memory else 0
        return Memory(begun_at=max(latest, now_us))

    def newest_us(self, memory: Memory) -> float:
        return max((i.event.time_us for i in memory.applied), default=-math.inf)

    def is_too_late(self, memory: Memory, time_us: int) -> bool:
        """At or before what has left the ring, or it would leave the ring at once."""
        if memory.floor_us is not None and time_us <= memory.floor_us:
            return True
        times = [i.event.time_us for i in memory.ring]
        return bool(times) and time_us < times[0] and self.overfull([time_us, *times])

    def overfull(self, times_us: Sequence[int]) -> bool:
        """Must the first of these times leave the ring?"""
        is_old = times_us[0] < times_us[-1] - self.plan.lateness_us
        return len(times_us) > RING_EVENTS and (is_old or len(times_us) > RING_LIMIT)

    def apply(self, memory: Memory, new: Applied) -> None:
        if new.event.source >= 0 and self.is_news(memory, new.event):
            memory.snapshots.append(new)
        memory.applied.append(new)
        if new.folded:
            memory.newest_outside = new.seq
        else:
            memory.ring = sorted([*memory.ring, new], key=attrgetter("place"))

    def is_news(self, memory: Memory, event: Event) -> bool:
        """Not older than anything its source has said."""
        same_source = [i.event.time_us for i in memory.applied if i.event.source == event.source]
        return event.time_us >= max(same_source, default=event.time_us)

    def evict(self, memory: Memory) -> None:
        while self.overfull([i.event.time_us for i in memory.ring]):
            oldest = memory.ring.pop(0)
            memory.floor_us = oldest.event.time_us
            memory.newest_outside = max(memory.newest_outside, oldest.seq)

    def recomputable(self, memory: Memory, known: Applied) -> bool:
        later = [i for i in memory.snapshots if i.seq > known.seq]
        has_own = len(memory.snapshots) > len(later)
        return memory.newest_outside <= known.seq and len(later) + has_own <= ATTRIBUTE_VERSIONS

    def answer(self, memory: Memory, said: str, e: Applied, scored: bool, exact: bool) -> Answer:
        raw = self.vector(memory, e) if scored and exact else self.no_vector
        return Answer(said, raw, e.seq, exact, e.seq - memory.begun_at)

    def vector(self, memory: Memory, e: Applied) -> list[float]:
        outputs = [statistic(self.plan, output, e, memory.applied) for output in self.plan.outputs]
        return outputs + [self.attribute(memory, e, column) for column in range(self.plan.attributes)]

    def attribute(self, memory: Memory, e: Applied, column: int) -> float:
        """The column's value in the last snapshot of its source taken up to e, NaN before the first."""
        source = self.attribute_source[column]
        taken = [i.event for i in memory.snapshots if i.seq <= e.seq and i.event.source == source]
        return taken[-1].attributes[column] if taken else math.nan
