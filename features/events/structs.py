"""Structs: the event types of a use case as msgspec structs whose types accept exactly the fields' values."""

import keyword
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from functools import cached_property, lru_cache
from math import ceil, floor
from operator import attrgetter
from typing import Annotated, Any, Literal, Union

import msgspec

from features.errors import BadInput
from features.times import Clock, Reader, clock
from features.usecase import EventType, Field, Kind, UseCase

Event = msgspec.Struct  # of a class made by `codec`; read it through the functions here
UNKNOWN_TIME_US = -(2**63)  # the event carries no time and its publish time is not known yet
MAX_ID_CHARACTERS = 200  # identifiers become Redis keys and Pub/Sub attributes
MAX_MAGNITUDE = 1e15  # squares of amounts stay finite in any sum
MAX_INTEGER = 2**53 - 1  # whole numbers stay exact in float64
MAX_EVENT_BYTES = 1 << 20  # a real one has some hundred bytes; larger ones would not fit a row
MAX_COUNT = 2**63 - 1  # of an epoch
MAX_TIME_CHARACTERS = 64
DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
TEXTS = frozenset({Kind.STRING, Kind.CATEGORY, Kind.DATE, Kind.TIME})  # empty text means missing
SHOWN_CHARACTERS = 80


class BadEvent(BadInput):
    """An event cannot be used. `reason` is that of the dead letter: undecodable, invalid, ..."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"


@dataclass(frozen=True, eq=False)
class Codec:
    """The struct, decoder and readers of one event type."""

    event_type: EventType
    struct: type[Event]
    decoder: "msgspec.json.Decoder[Event]"
    types: dict[str, Any]  # field: its msgspec type
    attributes: dict[str, str]  # field: its attribute in the struct
    time: tuple[tuple[str, str], ...]  # field, attribute: the first non-empty is the event's time
    checks: tuple[tuple[str, str, Reader], ...]  # field, attribute, what reads it: other times and dates
    texts: tuple[tuple[str, str], ...]  # field, attribute: those that may hold blanks or a count of an epoch
    clock: Clock

    @cached_property
    def getters(self) -> dict[str, Callable[[Event], Any]]:
        return {name: attrgetter(attribute) for name, attribute in self.attributes.items()}


@lru_cache(maxsize=64)
def codecs(use_case: UseCase) -> dict[str, Codec]:
    """Return the codec of each event type."""
    return {name: codec(event_type) for name, event_type in use_case.event_types.items()}


def codec(event_type: EventType) -> Codec:
    """Return the codec of an event type."""
    fields = list(event_type.fields.values())
    type_clock = clock(event_type.time_format, event_type.timezone)
    types = {f.name: _type(f, f.name in _identifiers(event_type)) for f in fields}
    if type_clock.epoch:
        types |= {f.name: _or_count(types[f.name]) for f in fields if f.kind is Kind.TIME}
    attributes = {f.name: _attribute(f.name, i) for i, f in enumerate(fields)}
    struct = msgspec.defstruct(
        event_type.name,
        [
            *(_member(attributes[f.name], types[f.name], f) for f in fields),
            (
                "_time_us",
                msgspec.Raw,
                UNKNOWN_TIME_US,
            ),  # a sender's field of that name is skipped, whatever it holds
        ],
        rename={attribute: name for name, attribute in attributes.items()} | {"_time_us": "@time_us"},
        kw_only=True,
        frozen=True,
        gc=False,
    )
    readers: dict[Kind, Reader] = {Kind.TIME: type_clock.read, Kind.DATE: days}
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
        tuple((f.name, attributes[f.name]) for f in fields if f.kind in TEXTS),
        type_clock,
    )


def _identifiers(event_type: EventType) -> set[str]:
    return {*event_type.id, *event_type.entities.values()}


def _attribute(name: str, position: int) -> str:
    plain = name.isidentifier() and not keyword.iskeyword(name) and not name.startswith("_")
    return name if plain else f"_field_{position}"


def _member(attribute: str, kind: Any, f: Field) -> tuple[str, Any, Any]:
    return (attribute, kind, None) if f.optional else (attribute, kind, msgspec.NODEFAULT)


def _type(f: Field, identifier: bool) -> Any:
    """Return the msgspec type that accepts exactly the field's values."""
    base: Any = _BASES[f.kind](f, identifier)
    return Union[base, None] if f.optional else base  # noqa: UP007 - `base` is only known at run time


def _or_count(kind: Any) -> Any:
    """Return a type that also accepts a count of an epoch, a whole number of at most 64 bits."""
    return Union[kind, Annotated[int, msgspec.Meta(ge=-MAX_COUNT, le=MAX_COUNT)]]  # noqa: UP007 - as in `_type`


def _text(f: Field, longest: int | None) -> Any:
    return Annotated[str, msgspec.Meta(min_length=0 if f.optional else 1, max_length=longest)]


def _bounded(kind: type, f: Field, limit: float) -> Any:
    low, high = (ceil, floor) if kind is int else (float, float)
    least = -limit if f.minimum is None else max(low(f.minimum), -limit)
    most = limit if f.maximum is None else min(high(f.maximum), limit)
    return Annotated[kind, msgspec.Meta(ge=least, le=most)]


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
    """Return the days since 1970 of YYYY-MM-DD. Raises ValueError."""
    if not DAY.fullmatch(text):
        raise ValueError("not YYYY-MM-DD")
    return date.fromisoformat(text).toordinal() - date(1970, 1, 1).toordinal()


def too_large(size_bytes: int) -> BadEvent:
    """Return the error for a body of more than MAX_EVENT_BYTES."""
    return BadEvent("undecodable", f"the body has {size_bytes} bytes; an event has at most {MAX_EVENT_BYTES}")


def known_codec(use_case: UseCase, event_type: str) -> Codec:
    """Return the codec of an event type. Raises BadEvent if the use case has no such type."""
    known = codecs(use_case).get(event_type)
    if known is None:
        expected = ", ".join(use_case.event_types)
        raise BadEvent("unknown_type", f"event type {shown(event_type)} is not one of {expected}")
    return known


def shown(value: object) -> str:
    """Return a value as messages show it, cut to SHOWN_CHARACTERS."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # integers of more than 4300 digits, deep nesting
        text = f"a {type(value).__name__}"
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "..."
