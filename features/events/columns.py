"""Columns of a batch of events of one type, and the lanes in which each event counts.

A column is made when it is first used. Missing is NaN (numbers), -1 (codes), "" (texts).
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import msgspec
import numpy as np
import xxhash
from numpy.typing import NDArray

from features.events.structs import Codec, Event, days
from features.usecase import CHANGED, DERIVED, NUMERIC, Aggregate, Condition, Field, Kind

Mask = NDArray[np.bool_]
HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
THURSDAY = 3  # 1970-01-01
DIGESTS = (
    3_999_999_999  # different digests of watched fields: what int32 holds as hundredths, and less than 2e7
)


class Columns:
    """The fields of `events` as arrays."""

    def __init__(self, codec: Codec, events: list[Event], time_us: NDArray[np.int64]) -> None:
        self.codec = codec
        self.events = events
        self.time_us = time_us
        self._numbers: dict[str, NDArray[np.float64]] = {}
        self._objects: dict[str, list[Any]] = {}
        self._masks: dict[Condition, Mask] = {}

    def objects(self, name: str) -> list[Any]:
        """Return the values as decoded."""
        if name not in self._objects:
            self._objects[name] = list(map(self.codec.getters[name], self.events))
        return self._objects[name]

    def texts(self, name: str) -> list[str]:
        """Return values as text, "" where missing."""
        f = self.codec.event_type.fields[name]
        if f.kind in (Kind.STRING, Kind.CATEGORY) and not f.optional:
            return self.objects(name)
        return ["" if value is None else str(value) for value in self.objects(name)]

    def numbers(self, name: str) -> NDArray[np.float64]:
        """Return float64 [n]: numbers, codes of categories, 0 and 1 of booleans, days of dates, derived values."""
        if name not in self._numbers:
            self._numbers[name] = self._derived(name) if name in DERIVED else self._numbers_of(name)
        return self._numbers[name]

    def _derived(self, name: str) -> NDArray[np.float64]:
        if name == "hour":
            return (self.time_us % DAY_US // HOUR_US).astype(np.float64)
        return ((self.time_us // DAY_US + THURSDAY) % 7).astype(np.float64)

    def _numbers_of(self, name: str) -> NDArray[np.float64]:
        f = self.codec.event_type.fields[name]
        if f.kind is Kind.CATEGORY:
            codes = _codes(f)
            return np.array([codes[value] for value in self.objects(name)], dtype=np.float64)
        if f.kind is Kind.DATE:
            return np.array([days(text) if text else np.nan for text in self.objects(name)], dtype=np.float64)
        return np.array(self.objects(name), dtype=np.float64)  # None becomes NaN

    def present(self, name: str) -> Mask:
        """Return [n], true where the event has a value."""
        f = self.codec.event_type.fields.get(name)
        if f is None or not f.optional:
            return np.ones(len(self.events), dtype=np.bool_)
        return np.array([value not in (None, "") for value in self.objects(name)], dtype=np.bool_)

    def digests(self, names: tuple[str, ...]) -> NDArray[np.float64]:
        """Return a digest of the named fields of each event, float64[n].

        Different values share a digest once in 4e9 pairs. A digest is a multiple of 0.01 below 2e7, as amounts are, so
        that records keep it in four bytes.
        """
        rows = zip(*(self._plain(name) for name in names), strict=True)
        return np.array([digest(row) for row in rows], dtype=np.float64).reshape(len(self.events))

    def _plain(self, name: str) -> list[str]:
        """Return the values as texts that are equal where the values are: 0 and -0 are equal."""
        if self.codec.event_type.fields[name].kind in NUMERIC:
            return list(map(repr, (self.numbers(name) + 0.0).tolist()))
        return self.texts(name)

    def slots(self, name: str) -> NDArray[np.uint8]:
        """Return the positions of the values in a distinct sketch, uint8 [n]."""
        return np.array([slot(text) for text in self.texts(name)], dtype=np.uint8)

    def mask(self, condition: Condition) -> Mask:
        """Return [n], true where the event fulfils the condition."""
        if condition not in self._masks:
            self._masks[condition] = TESTS[condition.test](self, condition)
        return self._masks[condition]


@lru_cache(maxsize=65_536)
def slot(text: str) -> int:
    """Return a value's position in a distinct sketch."""
    return xxhash.xxh3_64_intdigest(text.encode()) & 255


@lru_cache(maxsize=65_536)
def digest(texts: tuple[str, ...]) -> float:
    """Return a hash of texts, between -2e7 and 2e7 in steps of 0.01."""
    number = xxhash.xxh3_64_intdigest(msgspec.json.encode(texts)) % DIGESTS
    return (number - DIGESTS // 2) / 100


@lru_cache(maxsize=1024)
def _codes(f: Field) -> dict[str | None, float]:
    return {None: np.nan, "": np.nan} | {value: float(code) for code, value in enumerate(f.values)}


def _in(columns: Columns, condition: Condition) -> Mask:
    f = columns.codec.event_type.fields.get(condition.field)
    wanted = condition.operand
    assert isinstance(wanted, tuple)
    if f is not None and f.kind is Kind.STRING:
        accepted = set(wanted)
        return np.array([value in accepted for value in columns.objects(f.name)], dtype=np.bool_)
    codes = [_codes(f)[str(w)] if f is not None and f.kind is Kind.CATEGORY else float(w) for w in wanted]
    numbers = columns.numbers(condition.field)
    mask = np.zeros(len(numbers), dtype=np.bool_)
    for code in codes:
        mask |= numbers == code
    return mask


def _present(columns: Columns, condition: Condition) -> Mask:
    present = columns.present(condition.field)
    return present if condition.operand else ~present


def _bound(compare: Callable[[Any, Any], Any]) -> Callable[[Columns, Condition], Mask]:
    return lambda columns, c: np.asarray(compare(columns.numbers(c.field), c.operand), dtype=np.bool_)


TESTS: dict[str, Callable[[Columns, Condition], Mask]] = {
    "in": _in,
    "not": lambda columns, c: columns.present(c.field) & ~_in(columns, c),
    "present": _present,
    "min": _bound(np.greater_equal),
    "above": _bound(np.greater),
    "max": _bound(np.less_equal),
    "below": _bound(np.less),
    CHANGED: lambda columns, _: np.ones(len(columns.events), dtype=np.bool_),  # the kernel decides
    "multiple_of": _bound(lambda numbers, step: np.fmod(numbers, step) == 0),
}


def lanes(columns: Columns, aggregates: tuple[Aggregate, ...]) -> NDArray[np.uint64]:
    """Return uint64 [n]: bit k is set where the event counts in lane k."""
    n = len(columns.events)
    bits = np.zeros((8 * (1 + max((a.lane for a in aggregates), default=0) // 8), n), dtype=np.bool_)
    for aggregate in aggregates:
        row = bits[aggregate.lane]
        row[:] = True
        for condition in aggregate.where:
            row &= columns.mask(condition)
        for name in (aggregate.value, aggregate.distinct):
            if name is not None and columns.codec.event_type.fields[name].optional:
                row &= columns.present(name)
    packed = np.zeros((n, 8), dtype=np.uint8)
    packed[:, : len(bits) // 8] = np.packbits(bits, axis=0, bitorder="little").T
    return packed.view("<u8").reshape(n).astype(np.uint64)
