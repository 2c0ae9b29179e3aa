"""The `events` section: the schema of each event type, its identity, its time, its entities, its files."""

import codecs
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import ceil, floor
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from features.times import EPOCHS
from features.usecase.cleaning_rules import cleaning
from features.usecase.conditions import DERIVED
from features.usecase.event_keys import EVENT_TYPE, FIELD, FILE, OVERRIDE
from features.usecase.faults import known, need
from features.usecase.schema import LEVELS, NUMERIC, EventType, Field, FileFormat, Kind, Override
from features.usecase.yaml_tree import Node, one_of
from features.usecase.yaml_values import FrozenDict

KINDS = tuple(kind.value for kind in Kind if kind is not Kind.CATEGORY)
CATEGORIES = ("category", "categorical", "enum")  # words for what has a list of values and no type
A_CATEGORY = "a list of its values, as in [CARD, WIRE]"
PUBLISHED = "published"  # the time of an event that holds none
ID_KINDS = frozenset({Kind.STRING, Kind.INTEGER, Kind.CATEGORY, Kind.DATE, Kind.TIME})
ENTITY_KINDS = frozenset({Kind.STRING, Kind.INTEGER, Kind.CATEGORY})
DIRECTIVES = "aAbBcdfHIjmMpSUwWyYz%GuV"  # what datetime.strptime understands


@dataclass(frozen=True)
class Common:
    """Settings that all event types of a file share."""

    subject: str
    max_clock_skew_us: int


def event_types(node: Node, common: Common) -> dict[str, EventType]:
    """Read the `events` section; at least one type, each with the subject."""
    found = {}
    for name, part in node.entries().items():
        node.attempt(part.child_of_key(name).name)
        found[name] = node.attempt(_event_type, name, part, common)
    if not found:
        node.need_whole()
        node.fail("a mapping with at least one event type")
    return found


def _event_type(name: str, node: Node, common: Common) -> EventType:
    parts = node.section(EVENT_TYPE)
    declared = node.attempt(_fields, parts["fields"])
    entities = node.attempt(_entities, parts["entities"], declared, common.subject)
    return EventType(
        name=name,
        scored=node.attempt(parts["scored"].flag) if "scored" in parts else False,
        whole=node.attempt(_is_whole, parts["id"]),
        id=node.attempt(_id, parts["id"], declared),
        time=node.attempt(_time, parts["time"], declared),
        time_offset_us=node.attempt(_after, parts["time_offset"], parts["time"])
        if "time_offset" in parts
        else 0,
        time_format=node.attempt(_time_formats, parts["time_format"]) if "time_format" in parts else (),
        timezone=node.attempt(_timezone, parts["timezone"]) if "timezone" in parts else "UTC",
        entities=entities,
        fields=declared,
        file=node.attempt(_file, parts["file"], declared) if "file" in parts else FileFormat(),
        override=node.attempt(_override, parts["override"], declared) if "override" in parts else None,
        subject=node.attempt(lambda: entities[common.subject]),
        max_clock_skew_us=common.max_clock_skew_us,
        clean=node.attempt(cleaning, parts["clean"], declared, not _is_undated(parts["time"]))
        if "clean" in parts
        else (),
    )


def _fields(node: Node) -> FrozenDict:
    """Read the schema; fields that could not be read are in it as UNREAD."""
    return FrozenDict({key: node.attempt(_field, key, part) for key, part in node.entries().items()})


def _field(name: str, node: Node) -> Field:
    if not re.fullmatch(r"[^\W\d_][\w .\-/()<>']{0,79}", name):
        expected = "a letter, then at most 79 letters, digits, spaces or _.-/()<>'"
        node.blame(f"{name!r} is not a field name: {expected}")
    if name in DERIVED:
        node.blame(f"{name} is derived from the event time; rename the field (file.columns maps columns)")
    if isinstance(node.value, dict):
        return _long_field(name, node)
    if isinstance(node.value, tuple):
        return Field(name, Kind.CATEGORY, values=_vocabulary(node))
    return Field(name, _kind(node))


def _kind(node: Node) -> Kind:
    return Kind(one_of(node, KINDS, dict.fromkeys(CATEGORIES, A_CATEGORY)))


def _long_field(name: str, node: Node) -> Field:
    parts = node.section(FIELD)
    optional = node.attempt(parts["optional"].flag) if "optional" in parts else False
    description = node.attempt(parts["description"].text) if "description" in parts else ""
    if ("type" in parts) == ("values" in parts):
        node.fail("a field: it needs either type or values")
    if "values" in parts:
        values = _vocabulary(parts["values"])
        need(optional, description)
        return Field(name, Kind.CATEGORY, optional, values, description=description)
    kind = node.attempt(_kind, parts["type"])
    bounds = {key: node.attempt(parts[key].number) for key in ("min", "max") if key in parts}
    need(optional, description, kind, *bounds.values())
    if bounds and kind not in NUMERIC:
        node.blame("min and max are for numbers")
    _refuse_empty(node, kind, **bounds)
    return Field(name, kind, optional, (), bounds.get("min"), bounds.get("max"), description)


def _refuse_empty(node: Node, kind: Kind, min: float | None = None, max: float | None = None) -> None:
    """Bounds that leave no value; those of a whole number may have fractions."""
    if min is not None and max is not None:
        least, most = (ceil(min), floor(max)) if kind is Kind.INTEGER else (min, max)
        if least > most:
            node.blame(f"no {kind.value} is at least {min:.15g} and at most {max:.15g}")


def _vocabulary(node: Node) -> tuple[str, ...]:
    values = node.texts()
    if any(value != value.strip() for value in values):
        node.fail("a list of values without blanks around them, which are no part of a text")
    if len(set(values)) < len(values):
        node.fail("a list without repetitions")
    if not 1 <= len(values) <= 1000:
        node.fail("a list of 1 to 1000 values")
    return values


def _is_whole(node: Node) -> bool:
    return node.value in ("*", ("*",))


def _id(node: Node, declared: Mapping[str, Field]) -> tuple[str, ...]:
    """The fields that make up the id; none where it is the whole event."""
    return () if _is_whole(node) else _references(node, declared, ID_KINDS, "*")


def _references(
    node: Node, declared: Mapping[str, Field], kinds: frozenset[Kind], *others: str
) -> tuple[str, ...]:
    """Names of declared fields of the right kind; `others` are named among the choices and taken elsewhere."""
    names = node.each(lambda item: one_of(item, (*declared, *others)))
    for name in names:
        if name in others:
            node.blame(f"{name} stands alone: it is no field")
        if declared[name].kind not in kinds:
            node.blame(f"{name} is {declared[name].words}; expected {', '.join(sorted(kinds))}")
    if not names or all(declared[name].optional for name in names):
        node.blame("at least one of the fields must be there in every event, not optional")
    return names


def _is_undated(node: Node) -> bool:
    return bool(node.value == PUBLISHED)


def _time(node: Node, declared: Mapping[str, Field]) -> tuple[str, ...]:
    if _is_undated(node):
        return ()
    return _references(node, declared, frozenset({Kind.TIME}), PUBLISHED)


def _after(node: Node, time: Node) -> int:
    if _is_undated(time):
        node.blame("an event dated by its publication happens when it is published; leave time_offset out")
    return node.duration_us()


def _entities(node: Node, declared: Mapping[str, Field], subject: str) -> FrozenDict:
    """The field with the id of each entity; UNREAD where it is no such field."""
    found = {key: node.attempt(_entity, key, part, declared) for key, part in node.entries().items()}
    if known(subject) and subject not in found:
        node.need_whole()
        node.blame(f"{subject} is missing: every event must have its subject")
    if known(subject):
        node.attempt(_check_required, node.child(subject, found[subject]), declared)
    return FrozenDict(found)


def _check_required(node: Node, declared: Mapping[str, Field]) -> None:
    need(node.value)
    if declared[node.value].optional:
        node.blame(f"{node.value} is optional; every event must have its subject")


def _entity(key: str, node: Node, declared: Mapping[str, Field]) -> str:
    Node.name(node.child_of_key(key))
    name = one_of(node, declared)
    if declared[name].kind not in ENTITY_KINDS:
        node.blame(f"{name} is {declared[name].words}; expected a text or a whole number")
    return name


def _formats(node: Node) -> tuple[str, ...]:
    """strptime formats that name the whole date."""
    return node.each(_format)


def _time_formats(node: Node) -> tuple[str, ...]:
    """Formats of times, and at most one count of an epoch: digits alone do not tell seconds from milliseconds."""
    formats = node.each(lambda item: item.text() if item.value in EPOCHS else _format(item))
    if len(counts := [form for form in formats if form in EPOCHS]) > 1:
        node.blame(
            f"{' and '.join(counts)} cannot be told from each other; declare the one that the sender uses"
        )
    return formats


def _format(node: Node) -> str:
    used = set(re.findall(r"%(.?)", node.text()))
    if not used and "time_format" in node.path:
        node.fail(f"a format of datetime.strptime such as %d/%m/%Y %H:%M, or one of {', '.join(EPOCHS)}")
    if "Z" in used:
        node.blame(
            "%Z reads other words on each machine; write UTC as it is, or %z for an offset such as +01:00"
        )
    if not used <= set(DIRECTIVES):
        node.fail("a format of datetime.strptime, such as %Y-%m-%d %H:%M:%S.%f UTC")
    if not used & {"Y", "y"} or not ((used & {"m", "b", "B"} and "d" in used) or "j" in used):
        node.fail("a format with year (%Y or %y), month (%m) and day (%d)")
    return node.text()


def _timezone(node: Node) -> str:
    try:
        return ZoneInfo(node.text()).key
    except (ZoneInfoNotFoundError, ValueError, OSError):
        node.fail("a time zone such as UTC or Europe/Paris")


def _override(node: Node, declared: Mapping[str, Field]) -> Override:
    kinds = {"level": Kind.CATEGORY, "until": Kind.TIME, "author": Kind.STRING, "reason": Kind.STRING}
    parts = node.section(OVERRIDE)
    max_duration_us = node.attempt(parts["max_duration"].duration_us) if "max_duration" in parts else None
    names = {
        key: node.attempt(_references, parts[key], declared, frozenset({kind})) for key, kind in kinds.items()
    }
    need(*names.values())
    level, until, author, reason = (each[0] for each in names.values())
    if not set(declared[level].values) <= set(LEVELS):
        held = ", ".join(declared[level].values)
        parts["level"].blame(f"{level} may hold {held}; levels are {', '.join(LEVELS)}")
    for name in (level, until, author, reason):
        if declared[name].optional:
            node.blame(f"{name} is optional; an override has a level, an author, a reason and an end")
    return Override(level, until, author, reason, max_duration_us)


def _file(node: Node, declared: Mapping[str, Field]) -> FileFormat:
    parts = node.section(FILE)
    found = {key: node.attempt(FILE_KEYS[key], part) for key, part in parts.items() if key in FILE_KEYS}
    if "columns" in parts:
        found["columns"] = node.attempt(_columns, parts["columns"], declared)
    file = FileFormat(**found)
    need(file.true_values, file.false_values)
    if both := set(file.true_values) & set(file.false_values):
        node.blame(f"{', '.join(sorted(both))} cannot be both true and false")
    return file


def _columns(node: Node, declared: Mapping[str, Field]) -> FrozenDict:
    for key, part in node.entries().items():
        node.attempt(one_of, part.child_of_key(key), declared)
    return FrozenDict({key: node.attempt(part.texts) for key, part in node.entries().items()})


def _missing(node: Node) -> tuple[str, ...]:
    return node.each(lambda item: "" if item.value == "" else item.text().strip())


def _character(node: Node) -> str:
    if len(node.text()) != 1:
        node.fail("one character")
    return node.text()


def _encoding(node: Node) -> str:
    try:
        return codecs.lookup(node.text()).name
    except LookupError:
        node.fail("an encoding such as utf-8, utf-8-sig or cp1252")


FILE_KEYS: Mapping[str, Callable[[Node], Any]] = {
    "separator": _character,
    "encoding": _encoding,
    "decimal": _character,
    "missing_values": _missing,
    "true_values": Node.texts,
    "false_values": Node.texts,
    "date_format": _formats,
}
