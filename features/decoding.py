"""JSON bytes or file rows to events: msgspec structs built from the use case.

Whatever comes in, an event or a `BadEvent` comes out. Strict: no text is taken for a number; unknown fields
are ignored. A missing optional field is null, absent or, where it would hold text, empty.
"""

import keyword
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from functools import cached_property, lru_cache
from operator import attrgetter
from typing import Annotated, Any, Literal, Union

import msgspec
import xxhash
from msgspec.structs import force_setattr

from features.schema import EventType, Field, Kind
from features.times import Clock, Reader, clock, rfc3339
from features.usecase import UseCase

Event = msgspec.Struct  # of a class made by `codec`; read it through the functions here
UNKNOWN_TIME_US = -(2**63)  # the event carries no time and its publish time is not known yet
MAX_ID_CHARACTERS = 200  # identifiers become Redis keys and Pub/Sub attributes
MAX_MAGNITUDE = 1e15  # squares of amounts stay finite in any sum
MAX_INTEGER = 2**53 - 1  # whole numbers stay exact in float64
MAX_TIME_CHARACTERS = 64
TEXTS = frozenset({Kind.STRING, Kind.CATEGORY, Kind.DATE, Kind.TIME})  # empty text means missing
SHOWN_CHARACTERS = 80


class BadEvent(ValueError):
    """An event that cannot be used. `reason` is the dead letter's: undecodable, invalid, ..."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"


@dataclass(frozen=True, eq=False)
class Codec:
    """One event type made executable."""

    event_type: EventType
    struct: type[Event]
    decoder: "msgspec.json.Decoder[Event]"
    types: dict[str, Any]  # field: its msgspec type
    attributes: dict[str, str]  # field: its attribute in the struct
    time: tuple[tuple[str, str], ...]  # field, attribute: the first non-empty is the event's time
    checks: tuple[tuple[str, str, Reader], ...]  # field, attribute, what reads it: other times and dates
    clock: Clock

    @cached_property
    def getters(self) -> dict[str, Callable[[Event], Any]]:
        return {name: attrgetter(attribute) for name, attribute in self.attributes.items()}


@lru_cache(maxsize=64)
def codecs(use_case: UseCase) -> dict[str, Codec]:
    """The codec of each event type."""
    return {name: codec(event_type) for name, event_type in use_case.event_types.items()}


def codec(event_type: EventType) -> Codec:
    fields = list(event_type.fields.values())
    types = {f.name: _type(f, f.name in _identifiers(event_type)) for f in fields}
    attributes = {f.name: _attribute(f.name, i) for i, f in enumerate(fields)}
    struct = msgspec.defstruct(
        event_type.name,
        [
            *(_member(attributes[f.name], types[f.name], f) for f in fields),
            ("_time_us", int, UNKNOWN_TIME_US),
        ],
        rename={attribute: name for name, attribute in attributes.items()} | {"_time_us": "@time_us"},
        kw_only=True,
        frozen=True,
        gc=False,
    )
    own_clock = clock(event_type.time_format, event_type.timezone)
    readers: dict[Kind, Reader] = {Kind.TIME: own_clock.read, Kind.DATE: days}
    only = event_type.time if len(event_type.time) == 1 else ()
    checks = [(f.name, attributes[f.name], readers[f.kind]) for f in fields if f.kind in readers]
    return Codec(
        event_type,
        struct,
        msgspec.json.Decoder(struct),
        types,
        attributes,
        tuple((name, attributes[name]) for name in event_type.time),
        tuple(check for check in checks if check[0] not in only),
        own_clock,
    )


def _identifiers(event_type: EventType) -> set[str]:
    return {*event_type.id, *event_type.entities.values()}


def _attribute(name: str, position: int) -> str:
    plain = name.isidentifier() and not keyword.iskeyword(name) and not name.startswith("_")
    return name if plain else f"_field_{position}"


def _member(attribute: str, kind: Any, f: Field) -> tuple[str, Any, Any]:
    return (attribute, kind, None) if f.optional else (attribute, kind, msgspec.NODEFAULT)


def _type(f: Field, identifier: bool) -> Any:
    """The msgspec type that accepts exactly the field's values."""
    base: Any = _BASES[f.kind](f, identifier)
    return Union[base, None] if f.optional else base  # noqa: UP007 - `base` is only known at run time


def _text(f: Field, longest: int | None) -> Any:
    return Annotated[str, msgspec.Meta(min_length=0 if f.optional else 1, max_length=longest)]


def _bounded(kind: type, f: Field, limit: float) -> Any:
    low = -limit if f.minimum is None else max(kind(f.minimum), -limit)
    high = limit if f.maximum is None else min(kind(f.maximum), limit)
    return Annotated[kind, msgspec.Meta(ge=low, le=high)]


_BASES: dict[Kind, Callable[[Field, bool], Any]] = {
    Kind.STRING: lambda f, identifier: _text(f, MAX_ID_CHARACTERS if identifier else None),
    Kind.TIME: lambda f, _: _text(f, MAX_TIME_CHARACTERS),
    Kind.DATE: lambda f, _: _text(f, MAX_TIME_CHARACTERS),
    Kind.NUMBER: lambda f, _: _bounded(float, f, MAX_MAGNITUDE),
    Kind.INTEGER: lambda f, _: _bounded(int, f, MAX_INTEGER),
    Kind.BOOLEAN: lambda f, _: bool,
    Kind.CATEGORY: lambda f, _: Literal[(*f.values, *([""] if f.optional else []))],
}


@lru_cache(maxsize=65_536)  # birthdays repeat
def days(text: str) -> int:
    """Days since 1970 of YYYY-MM-DD. Raises ValueError."""
    if len(text) != 10:
        raise ValueError("not YYYY-MM-DD")
    return date.fromisoformat(text).toordinal() - date(1970, 1, 1).toordinal()


def decode(
    use_case: UseCase,
    event_type: str,
    body: bytes,
    published_us: int | None = None,
    event_time: str | None = None,
) -> Event:
    """The event in `body`, or BadEvent.

    With `published_us` an event dated too far in its future is refused, and a type with `time: published`
    gets its time: the message attribute `event_time` (RFC 3339) if there is one, else the publish time.
    """
    known = known_codec(use_case, event_type)
    try:
        event = known.decoder.decode(body)
        body.isascii() or body.decode()  # also the text of fields nobody declared
    except (ValueError, RecursionError) as error:
        raise _explained(known, body, error) from None
    return dated(known, event, published_us, event_time)


def known_codec(use_case: UseCase, event_type: str) -> Codec:
    found = codecs(use_case).get(event_type)
    if found is None:
        expected = ", ".join(use_case.event_types)
        raise BadEvent("unknown_type", f"event type {_shown(event_type)} is not one of {expected}")
    return found


def dated(known: Codec, event: Event, published_us: int | None, event_time: str | None) -> Event:
    """The event with its time in it, its other times and dates checked."""
    time_us = _time_us(known, event, published_us, event_time)
    for name, attribute, read in known.checks:
        text = getattr(event, attribute)
        if text:
            _read(read, name, text, known)
    if published_us is not None and time_us > published_us + known.event_type.tolerance_us:
        limit = known.event_type.tolerance_us // 1_000_000
        found = f"the event's time {rfc3339(time_us)} is more than {limit} s after {rfc3339(published_us)}"
        raise BadEvent("from_future", f"{found}, when it was published; set the sender's clock")
    _refuse_long(known, event, time_us)
    force_setattr(event, "_time_us", time_us)
    return event


def _refuse_long(known: Codec, event: Event, time_us: int) -> None:
    """Raise BadEvent for a human's decision that would last longer than the use case allows."""
    override = known.event_type.override
    if override is None or override.longest_us is None or time_us == UNKNOWN_TIME_US:
        return
    until = known.getters[override.until](event)
    if known.clock.read(until) - time_us > override.longest_us:
        longest = f"{override.longest_us // 1_000_000:,} s after the event, which is of {rfc3339(time_us)}"
        raise BadEvent(
            "invalid", f"{override.until}: {_shown(until)} is later than expected: at most {longest}"
        )


def _time_us(known: Codec, event: Event, published_us: int | None, event_time: str | None) -> int:
    for name, attribute in known.time:
        text = getattr(event, attribute)
        if text:
            return _read(known.clock.read, name, text, known) + known.event_type.after_us
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
        return BadEvent("invalid", f"{name}: {_shown(text)} is not a date (YYYY-MM-DD)")
    formats = " or ".join(("RFC 3339", *known.event_type.time_format))
    return BadEvent("invalid", f"{name}: {_shown(text)} is not a time in {formats}: {error}")


def _explained(known: Codec, body: bytes, error: Exception) -> BadEvent:
    """Which field is wrong, what it holds and what was expected; decoded once more, without the types."""
    try:
        body.decode()
        found = msgspec.json.decode(body)
    except RecursionError:
        return BadEvent("undecodable", "the JSON is nested too deeply")
    except ValueError as undecodable:
        return BadEvent("undecodable", f"not JSON in UTF-8: {undecodable}")
    if not isinstance(found, dict):
        return BadEvent("undecodable", f"one JSON object is expected, not {_shown(found)}")
    return wrong_field(known, found, error)


def wrong_field(known: Codec, found: dict[str, Any], error: Exception) -> BadEvent:
    for name, f in known.event_type.fields.items():
        if name not in found:
            if not f.optional:
                return BadEvent("invalid", f"{name}: missing, expected {f.words}")
            continue
        try:
            msgspec.convert(found[name], known.types[name])
        except (ValueError, RecursionError) as reason:
            return BadEvent("invalid", f"{name}: {_shown(found[name])} is not {f.words} ({reason})")
    return BadEvent("invalid", str(error))


def _shown(value: object) -> str:
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # integers of more than 4300 digits, deep nesting
        text = f"a {type(value).__name__}"
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "..."


def to_json(event: Event) -> bytes:
    """The event as it is published: declared fields, missing ones left out."""
    names = zip(event.__struct_fields__[:-1], event.__struct_encode_fields__[:-1], strict=True)
    content = {name: getattr(event, attribute) for attribute, name in names}
    return msgspec.json.encode({name: value for name, value in content.items() if value not in (None, "")})


def event_time_us(event: Event) -> int:
    """The event's own time; UNKNOWN_TIME_US for `time: published` decoded without a publish time."""
    return int(getattr(event, "_time_us"))  # noqa: B009 - not an attribute of every struct


def event_ids(known: Codec, events: list[Event]) -> list[str]:
    """What makes each event unique: its id values joined by ":", or a hash of the whole content."""
    if known.event_type.whole:
        return [xxhash.xxh3_128_hexdigest(to_json(event)) for event in events]
    return named_ids(known, events, known.event_type.id, known.event_type)


def named_ids(known: Codec, events: list[Event], fields: tuple[str, ...], of: EventType) -> list[str]:
    """The ids of events of type `of` that `fields` of these events name.

    Colons are escaped where two values may hold one, so that different ids never join to the same text.
    """
    columns = [_texts(known, name, events) for name in fields]
    if len(columns) == 1:
        return columns[0]
    free = [_may_hold_colon(of.fields[name]) for name in of.id]
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
    """What makes the event unique within its type, as in `Batch.event_id`."""
    return event_ids(known_codec(use_case, event_type), [event])[0]
