"""The kernel's work for one entity, with every field name compiled away.

A use case becomes one `EntityPlan` for each entity. Events reach the kernel as `Arrivals`: plain arrays in arrival
order. Times are int64 microseconds since 1970 UTC; values are float64, NaN where missing.
"""

from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

MICROSECONDS_PER_SECOND = 1_000_000
EVER = 0  # the "window" of a statistic over everything the record remembers
MAX_LANES = 64  # lane membership of an event is one uint64
SLOTS = 256  # bits of a distinct sketch; one byte an event in the ring


class Statistic(IntEnum):
    """Statistics of a lane. LAST, SINCE_LAST and SINCE_FIRST exist only over EVER."""

    COUNT = 0
    SUM = 1
    MEAN = 2
    STD = 3  # population standard deviation
    MIN = 4
    MAX = 5
    DISTINCT = 6  # linear counting over SLOTS bits, rounded
    LAST = 7  # value of the latest event, the scored one included
    SINCE_LAST = 8  # seconds since the latest event before the scored one
    SINCE_FIRST = 9  # seconds since the first event


EVER_STATISTICS = frozenset({Statistic.COUNT, Statistic.LAST, Statistic.SINCE_LAST, Statistic.SINCE_FIRST})


@dataclass(frozen=True)
class Lane:
    """One aggregate: the events whose bit is set, one value column, one distinct column (-1: none)."""

    value: int
    distinct: int


@dataclass(frozen=True)
class Watch:
    """A lane whose repeated values do not count in the lanes `gated` (a uint64 of bits).

    An event of `lane` stays in them if its value in `lane` differs from that of the event before it: the latest
    event of `lane` that arrived earlier and has no later time. The first event of `lane` is no change.
    """

    lane: int
    gated: int


@dataclass(frozen=True)
class Output:
    """One raw column: a statistic of a lane over a window (length and hop in microseconds; EVER, 0)."""

    lane: int
    statistic: Statistic
    window_us: int
    hop_us: int


@dataclass(frozen=True)
class EntityPlan:
    """The kernel's work for one entity: raw columns are `outputs`, then `attributes` as of the event."""

    fingerprint: int  # uint64; a record of another fingerprint is refused
    lanes: tuple[Lane, ...]
    values: int  # number of value columns
    distincts: int  # number of distinct columns
    attributes: int  # number of attributes the record carries
    sources: int  # number of event types that set attributes
    outputs: tuple[Output, ...]
    is_subject: bool  # the subject's record carries status and outcomes; its too late events are refused
    lateness_us: int = 3600 * MICROSECONDS_PER_SECOND
    forget_us: int = 0  # a record silent for longer, in event time, begins anew; 0: it never does
    watches: tuple[
        Watch, ...
    ] = ()  # each on a lane with a value and an output over EVER, which keeps its last value

    @cached_property
    def raw_columns(self) -> int:
        return len(self.outputs) + self.attributes


@dataclass(frozen=True)
class Arrivals:
    """A batch of n events as one entity sees it, in arrival order, with m rows of attributes."""

    record: NDArray[np.int32]  # [n] which record of the batch; -1: the event has no such entity
    key: NDArray[np.uint64]  # [n] hash of the event's identity
    time_us: NDArray[np.int64]  # [n]
    lanes: NDArray[np.uint64]  # [n] bit k: counts in lane k (its value is then not NaN)
    values: NDArray[np.float64]  # [n, plan.values]
    slots: NDArray[np.uint8]  # [n, plan.distincts] position in the distinct sketch
    scored: NDArray[np.bool_]  # [n] wants a vector
    source: NDArray[np.int8]  # [n] which source sets attributes with this event; -1: none
    attribute_row: NDArray[np.int32]  # [n] row of `attributes`; -1: none
    attributes: NDArray[np.float64]  # [m, plan.attributes] NaN outside the source's own columns
    attribute_source: NDArray[np.int8]  # [plan.attributes] the source that owns each column
    ids: tuple[str, ...]  # entity id of each record, in order of first appearance

    def __len__(self) -> int:
        return len(self.record)
