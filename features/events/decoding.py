"""Decoding: JSON bytes or file rows to events, msgspec structs built from the use case.

Any bytes give an event or a `BadEvent`. Decoding is strict: no text is taken for a number; unknown fields are ignored.
A missing optional field is null, absent or, where it would hold text, empty. Blanks around a text are removed, and a
number without a fraction is a whole number (5.0 is 5), wherever it comes from: docs/values.md.
"""

import msgspec
import xxhash
from msgspec.structs import force_setattr

from features.events.content import content_of, converted, tidy
from features.events.structs import UNKNOWN_TIME_US, BadEvent, Codec, Event, known_codec, shown
from features.times import Reader, clock, rfc3339
from features.usecase import EventType, Field, Kind, UseCase


def decode(
    use_case: UseCase,
    event_type: str,
    body: bytes,
    published_us: int | None = None,
    event_time: str | None = None,
) -> Event:
    """Return the event in `body`. Raises BadEvent.

    With `published_us` an event dated too far in its future is refused, and a type with `time: published`
    gets its time: the message attribute `event_time` (RFC 3339) if there is one, else the publish time.
    """
    known = known_codec(use_case, event_type)
    try:
        event = known.decoder.decode(body)
        body.isascii() or body.decode()  # also the text of fields nobody declared
    except (ValueError, RecursionError):
        event = converted(known, content_of(known, body))
    tidy(known, event)
    return dated(known, event, published_us, event_time)


def dated(known: Codec, event: Event, published_us: int | None, event_time: str | None) -> Event:
    """Return the event with its time set, its other times and dates checked. Raises BadEvent."""
    time_us = _time_us(known, event, published_us, event_time)
    for name, attribute, read in known.checks:
        text = getattr(event, attribute)
        if text:
            _read(read, name, text, known)
    if published_us is not None and time_us > published_us + known.event_type.max_clock_skew_us:
        limit = known.event_type.max_clock_skew_us // 1_000_000
        dated = f"the event's time {rfc3339(time_us)} is more than {limit} s after {rfc3339(published_us)}"
        raise BadEvent("from_future", f"{dated}, when it was published; set the sender's clock")
    _refuse_long(known, event, time_us)
    force_setattr(event, "_time_us", time_us)
    return event


def _refuse_long(known: Codec, event: Event, time_us: int) -> None:
    """Raise BadEvent for an override that would last longer than the use case allows."""
    override = known.event_type.override
    if override is None or override.max_duration_us is None or time_us == UNKNOWN_TIME_US:
        return
    until = known.getters[override.until](event)
    if known.clock.read(until) - time_us > override.max_duration_us:
        longest = (
            f"{override.max_duration_us // 1_000_000:,} s after the event, which is of {rfc3339(time_us)}"
        )
        raise BadEvent(
            "invalid", f"{override.until}: {shown(until)} is later than expected: at most {longest}"
        )


def _time_us(known: Codec, event: Event, published_us: int | None, event_time: str | None) -> int:
    for name, attribute in known.time:
        text = getattr(event, attribute)
        if text:
            return _read(known.clock.read, name, text, known) + known.event_type.time_offset_us
    if event_time:
        return _read(clock((), "UTC").read, "attribute event_time", event_time, known)
    return UNKNOWN_TIME_US if published_us is None else published_us


def _read(read: Reader, name: str, text: str, known: Codec) -> int:
    try:
        return read(text)
    except ValueError as error:
        raise _bad_time(name, text, known, error) from None


def _bad_time(name: str, text: str, known: Codec, error: ValueError) -> BadEvent:
    f = known.event_type.fields.get(name)
    if f is not None and f.kind is Kind.DATE:
        return BadEvent("invalid", f"{name}: {shown(text)} is not a date (YYYY-MM-DD)")
    formats = " or ".join(("RFC 3339", *known.event_type.time_format))
    return BadEvent("invalid", f"{name}: {shown(text)} is not a time in {formats}: {error}")


def to_json(event: Event) -> bytes:
    """Return the event as it is published: declared fields, missing ones left out."""
    names = zip(event.__struct_fields__[:-1], event.__struct_encode_fields__[:-1], strict=True)
    content = {name: getattr(event, attribute) for attribute, name in names}
    return msgspec.json.encode({name: value for name, value in content.items() if value not in (None, "")})


def event_time_us(event: Event) -> int:
    """Return the event's own time; UNKNOWN_TIME_US for `time: published` decoded without a publish time."""
    return int(getattr(event, "_time_us"))  # noqa: B009 - not an attribute of every struct


def event_ids(known: Codec, events: list[Event]) -> list[str]:
    """Return the id of each event: its id values joined by ":", or a hash of the whole content."""
    if known.event_type.whole:
        return [xxhash.xxh3_128_hexdigest(to_json(event)) for event in events]
    return named_ids(known, events, known.event_type.id, known.event_type)


def named_ids(known: Codec, events: list[Event], fields: tuple[str, ...], named: EventType) -> list[str]:
    """Return the ids of events of type `named` that `fields` of these events refer to.

    Colons are escaped where two values may hold one, so that different ids never join to the same text.
    """
    columns = [_texts(known, name, events) for name in fields]
    if len(columns) == 1:
        return columns[0]
    free = [_may_hold_colon(named.fields[name]) for name in named.id]
    if sum(free) > 1:
        columns = [_escaped(texts) if may else texts for texts, may in zip(columns, free, strict=True)]
    return list(map(":".join, zip(*columns, strict=True)))


def _texts(known: Codec, name: str, events: list[Event]) -> list[str]:
    f = known.event_type.fields[name]
    column = list(map(known.getters[name], events))
    if f.kind is Kind.INTEGER or f.optional:
        return ["" if value is None else str(value) for value in column]
    return column


def _escaped(texts: list[str]) -> list[str]:
    return [text.replace("%", "%25").replace(":", "%3A") for text in texts]


def _may_hold_colon(f: Field) -> bool:
    return f.kind in (Kind.STRING, Kind.TIME) or any(":" in value for value in f.values)


def event_id(use_case: UseCase, event_type: str, event: Event) -> str:
    """Return the id of an event, unique within its type, as in `Batch.event_id`."""
    return event_ids(known_codec(use_case, event_type), [event])[0]
