"""Bulk decoding: many messages to events at once, `decode` for the stream's hot path, several times as fast.

The usual message takes the short way (struct in C, times as columns); anything unusual is given to `decode`, so both
always give the same result.
"""

from collections import deque
from collections.abc import Sequence
from functools import lru_cache
from itertools import repeat

import numpy as np
from msgspec.structs import force_setattr
from numpy.typing import NDArray

from features.events.content import tidy
from features.events.decoding import decode
from features.events.structs import BadEvent, Codec, Event, codecs, days
from features.times import NOT_READ
from features.usecase import Kind, Override, UseCase

BLANK_AND_QUOTE = np.frombuffer(b' "" ', np.uint16)


def decode_all(
    use_case: UseCase,
    event_types: Sequence[str],
    bodies: Sequence[bytes],
    published_us: Sequence[int],
    event_times: Sequence[str | None] | None = None,
) -> list[Event | BadEvent]:
    """Return, for each message in order, the event or the BadEvent that `decode` returns or raises."""
    short: list[Event | None] = [None] * len(bodies)
    for name, known in codecs(use_case).items():
        if is_limited(known.event_type.override):
            continue  # `decode` checks how long it lasts
        if known.time and event_types.count(name) == len(event_types):
            short = _short_way(known, bodies, published_us)
        elif known.time:
            rows = [i for i, event_type in enumerate(event_types) if event_type == name]
            typed = _short_way(known, [bodies[i] for i in rows], [published_us[i] for i in rows])
            for i, event in zip(rows, typed, strict=True):
                short[i] = event
    events: list[Event | BadEvent] = short  # type: ignore[assignment]
    for i in () if all(short) else [i for i, event in enumerate(short) if event is None]:
        event_time = event_times[i] if event_times else None
        events[i] = _long_way(use_case, event_types[i], bodies[i], published_us[i], event_time)
    return events


def is_limited(override: Override | None) -> bool:
    return override is not None and override.max_duration_us is not None


def _long_way(
    use_case: UseCase, event_type: str, body: bytes, published_us: int, event_time: str | None
) -> Event | BadEvent:
    try:
        return decode(use_case, event_type, body, published_us, event_time)
    except BadEvent as error:
        return error


def _short_way(known: Codec, bodies: Sequence[bytes], published_us: Sequence[int]) -> list[Event | None]:
    """Return the events of usual messages; None for those that `decode` must read."""
    events = _structs(known, bodies)
    usual, latest = events, np.asarray(published_us, dtype=np.int64) + known.event_type.max_clock_skew_us
    if not all(events):
        rows = [i for i, event in enumerate(events) if event is not None]
        usual, latest = [events[i] for i in rows], latest[rows]
    sure: list[Event] = usual  # type: ignore[assignment]
    time_us = _times(known, sure)
    good = _checked(known, sure) & (time_us != NOT_READ) & (time_us <= latest)
    deque(map(force_setattr, sure, repeat("_time_us"), time_us.tolist()), maxlen=0)
    if not good.all():
        doubtful = {id(sure[k]) for k in np.flatnonzero(~good).tolist()}
        return [None if id(event) in doubtful else event for event in events]
    return events


def _structs(known: Codec, bodies: Sequence[bytes]) -> list[Event | None]:
    joined = b"".join(bodies)
    events = _decoded(known, bodies, _is_utf8(joined))
    if known.clock.epoch or (_may_hold_blanks(joined) and _has_blanks(known, events)):
        return [event and _tidied(known, event) for event in events]
    return events


def _is_utf8(body: bytes) -> bool:
    """Return whether a body is UTF-8: the decoder does not check undeclared text."""
    try:
        return body.isascii() or bool(body.decode())
    except UnicodeDecodeError:
        return False


def _decoded(known: Codec, bodies: Sequence[bytes], is_utf8: bool) -> list[Event | None]:
    if is_utf8:
        try:
            return list(map(known.decoder.decode, bodies))
        except (ValueError, RecursionError):
            pass  # at least one is wrong: one by one
    return [_struct(known, body) for body in bodies]


def _may_hold_blanks(joined: bytes) -> bool:
    """Return whether a text of these bodies may begin or end with a blank.

    Compact JSON in ASCII without escapes has none; elsewhere a quote stands beside a blank. Pairs of bytes are compared
    as numbers: ten times as fast as to search.
    """
    if b"\\" in joined or not joined.isascii():
        return True
    if b" " not in joined:
        return False
    pairs = [
        np.frombuffer(joined, np.uint16, (len(joined) - at) // 2, at) for at in (0, 1) if len(joined) > at + 1
    ]
    return any((pair == both).any() for pair in pairs for both in BLANK_AND_QUOTE)


def _has_blanks(known: Codec, events: list[Event | None]) -> bool:
    """Return whether a text begins or ends with a blank.

    Only fields of any text are read: dates, times and categories with blanks are unusual anyway.
    """
    there = [event for event in events if event is not None]
    for name, f in known.event_type.fields.items():
        if f.kind is Kind.STRING:
            texts = [text for text in map(known.getters[name], there) if text]
            if texts != list(map(str.strip, texts)):
                return True
    return False


def _tidied(known: Codec, event: Event) -> Event | None:
    try:
        tidy(known, event)
    except BadEvent:
        return None
    return event


def _struct(known: Codec, body: bytes) -> Event | None:
    try:
        return known.decoder.decode(body) if _is_utf8(body) else None
    except (ValueError, RecursionError):
        return None


def _times(known: Codec, events: list[Event]) -> NDArray[np.int64]:
    """Return the event times [n]: the first non-empty of the time fields, read."""
    texts: list[str] = list(map(known.getters[known.time[0][0]], events))
    for name, _ in known.time[1:]:
        following = map(known.getters[name], events)
        texts = [text or other for text, other in zip(texts, following, strict=True)]
    time_us = known.clock.read_all([text or "" for text in texts] if None in texts else texts)
    if not known.event_type.time_offset_us:
        return time_us
    return np.where(time_us == NOT_READ, NOT_READ, time_us + known.event_type.time_offset_us)


def _checked(known: Codec, events: list[Event]) -> NDArray[np.bool_]:
    """Return [n], true where the other times and dates are right or missing."""
    good = np.ones(len(events), dtype=np.bool_)
    for name, _, _ in known.checks:
        texts = [text or "" for text in map(known.getters[name], events)]
        missing = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts)) == 0
        is_time = known.event_type.fields[name].kind is Kind.TIME
        good &= missing | (known.clock.read_all(texts) != NOT_READ if is_time else _are_days(texts))
    return good


def _are_days(texts: list[str]) -> NDArray[np.bool_]:
    return np.fromiter(map(_is_day, texts), dtype=np.bool_, count=len(texts))


@lru_cache(maxsize=65_536)  # birthdays repeat
def _is_day(text: str) -> bool:
    try:
        days(text)
    except ValueError:
        return False
    return True
