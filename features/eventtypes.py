"""The `events` section: the schema of each event type, its identity, its time, its entities, its files."""

import codecs
import re
from dataclasses import dataclass
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from features.cleaning import cleaning
from features.document import FrozenDict, Node, one_of
from features.schema import (
    DERIVED,
    LEVELS,
    NUMERIC,
    EventType,
    Field,
    FileFormat,
    Kind,
    Override,
)

KINDS = tuple(kind.value for kind in Kind if kind is not Kind.CATEGORY)
ID_KINDS = frozenset({Kind.STRING, Kind.INTEGER, Kind.CATEGORY, Kind.DATE, Kind.TIME})
ENTITY_KINDS = frozenset({Kind.STRING, Kind.INTEGER, Kind.CATEGORY})
DIRECTIVES = "aAbBcdfHIjmMpSUwWyYzZ%GuV"  # what datetime.strptime understands
OPTIONAL_KEYS = ("scored", "after", "time_format", "timezone", "file", "override", "clean", "description")


@dataclass(frozen=True)
class Common:
    """What all event types of a file share."""

    subject: str
    tolerance_us: int


def event_types(node: Node, common: Common) -> dict[str, EventType]:
    """Reads the `events` section; at least one type, each with the subject."""
    found = {}
    for name, part in node.entries().items():
        found[part.child_of_key(name).name()] = _event_type(name, part, common)
    if not found:
        node.fail("a mapping with at least one event type")
    return found


def _event_type(name: str, node: Node, common: Common) -> EventType:
    parts = node.record(("id", "time", "entities", "fields"), OPTIONAL_KEYS)
    declared = {key: _field(key, part) for key, part in parts["fields"].entries().items()}
    override = _override(parts["override"], declared) if "override" in parts else None
    entities = _entities(parts["entities"], declared, common.subject)
    scored = parts["scored"].flag() if "scored" in parts else False
    whole = parts["id"].value in ("*", ["*"])
    return EventType(
        name=name,
        scored=scored,
        whole=whole,
        id=() if whole else _references(parts["id"], declared, ID_KINDS),
        time=() if parts["time"].value == "published" else _time(parts["time"], declared),
        after_us=_after(parts["after"], parts["time"]) if "after" in parts else 0,
        time_format=_formats(parts["time_format"]) if "time_format" in parts else (),
        timezone=_timezone(parts["timezone"]) if "timezone" in parts else "UTC",
        entities=FrozenDict(entities),
        fields=FrozenDict(declared),
        file=_file(parts["file"], declared) if "file" in parts else FileFormat(),
        override=override,
        subject=entities[common.subject],
        tolerance_us=common.tolerance_us,
        clean=cleaning(parts["clean"], declared) if "clean" in parts else (),
    )


def _field(name: str, node: Node) -> Field:
    if not re.fullmatch(r"[^\W\d_][\w .\-/()<>']{0,79}", name):
        expected = "a letter, then at most 79 letters, digits, spaces or _.-/()<>'"
        node.blame(f"{name!r} is not a field name: {expected}")
    if name in DERIVED:
        node.blame(f"{name} is derived from the event time; rename the field (file.columns maps columns)")
    if isinstance(node.value, dict):
        return _long_field(name, node)
    if isinstance(node.value, list):
        return Field(name, Kind.CATEGORY, values=_vocabulary(node))
    return Field(name, Kind(node.choice(KINDS)))


def _long_field(name: str, node: Node) -> Field:
    parts = node.record(optional=("type", "values", "optional", "min", "max", "description"))
    optional = parts["optional"].flag() if "optional" in parts else False
    said = parts["description"].text() if "description" in parts else ""
    if ("type" in parts) == ("values" in parts):
        node.fail("a field: it needs either type or values")
    if "values" in parts:
        return Field(name, Kind.CATEGORY, optional, _vocabulary(parts["values"]), description=said)
    kind = Kind(parts["type"].choice(KINDS))
    bounds = {key: parts[key].number() for key in ("min", "max") if key in parts}
    if bounds and kind not in NUMERIC:
        node.blame("min and max are for numbers")
    return Field(name, kind, optional, (), bounds.get("min"), bounds.get("max"), said)


def _vocabulary(node: Node) -> tuple[str, ...]:
    values = node.texts()
    if len(set(values)) < len(values):
        node.fail("a list without repetitions")
    if not 1 <= len(values) <= 1000:
        node.fail("a list of 1 to 1000 values")
    return values


def _references(node: Node, declared: dict[str, Field], kinds: frozenset[Kind]) -> tuple[str, ...]:
    """Names of declared fields of the right kind."""
    names = tuple(one_of(item, declared) for item in node.items())
    for name in names:
        if declared[name].kind not in kinds:
            node.blame(f"{name} is {declared[name].words}; expected {', '.join(sorted(kinds))}")
    if not names or all(declared[name].optional for name in names):
        node.blame("at least one of the fields must be there in every event, not optional")
    return names


def _time(node: Node, declared: dict[str, Field]) -> tuple[str, ...]:
    return _references(node, declared, frozenset({Kind.TIME}))


def _after(node: Node, time: Node) -> int:
    if time.value == "published":
        node.blame("an event dated by its publication happens when it is published; leave after out")
    return node.duration_us()


def _entities(node: Node, declared: dict[str, Field], subject: str) -> dict[str, str]:
    found = {}
    for key, part in node.entries().items():
        found[part.child_of_key(key).name()] = one_of(part, declared)
        if declared[found[key]].kind not in ENTITY_KINDS:
            part.blame(f"{found[key]} is {declared[found[key]].words}; expected a text or a whole number")
    if subject not in found:
        node.blame(f"{subject} is missing: every event must have its subject")
    if declared[found[subject]].optional:
        node.blame(f"{found[subject]} is optional; every event must have its subject")
    return found


def _formats(node: Node) -> tuple[str, ...]:
    """strptime formats that name the whole date."""
    for item in node.items():
        used = re.findall(r"%(.?)", item.text())
        if not set(used) <= set(DIRECTIVES):
            item.fail("a format of datetime.strptime, such as %Y-%m-%d %H:%M:%S.%f UTC")
        if not {"Y", "y"} & set(used) or not {"d", "j"} & set(used):
            item.fail("a format with year (%Y or %y) and day (%d)")
    return node.texts()


def _timezone(node: Node) -> str:
    try:
        return ZoneInfo(node.text()).key
    except (ZoneInfoNotFoundError, ValueError, OSError):
        node.fail("a time zone such as UTC or Europe/Paris")


def _override(node: Node, declared: dict[str, Field]) -> Override:
    parts = node.record(("level", "until", "author", "reason"), ("longest",))
    level = _references(parts["level"], declared, frozenset({Kind.CATEGORY}))[0]
    until = _references(parts["until"], declared, frozenset({Kind.TIME}))[0]
    if not set(declared[level].values) <= set(LEVELS):
        held = ", ".join(declared[level].values)
        parts["level"].blame(f"{level} may hold {held}; levels are {', '.join(LEVELS)}")
    texts = frozenset({Kind.STRING})
    author, reason = (_references(parts[key], declared, texts)[0] for key in ("author", "reason"))
    for name in (level, until, author, reason):
        if declared[name].optional:
            node.blame(f"{name} is optional; an override has a level, an author, a reason and an end")
    longest_us = parts["longest"].duration_us() if "longest" in parts else None
    return Override(level, until, author, reason, longest_us)


def _file(node: Node, declared: dict[str, Field]) -> FileFormat:
    keys = ("separator", "encoding", "decimal", "missing", "true", "false", "date_format", "columns")
    parts = node.record(optional=keys)
    found: dict[str, object] = {}
    for key in ("separator", "decimal"):
        if key in parts:
            found[key] = _character(parts[key])
    for key in ("true", "false"):
        if key in parts:
            found[key] = parts[key].texts()
    if "encoding" in parts:
        found["encoding"] = _encoding(parts["encoding"])
    if "missing" in parts:
        found["missing"] = tuple("" if item.value == "" else item.text() for item in parts["missing"].items())
    if "date_format" in parts:
        found["date_format"] = _formats(parts["date_format"])
    if "columns" in parts:
        columns = parts["columns"].entries()
        named = {one_of(part.child_of_key(key), declared): part.texts() for key, part in columns.items()}
        found["columns"] = FrozenDict(named)
    return FileFormat(**found)  # type: ignore[arg-type]


def _character(node: Node) -> str:
    if len(node.text()) != 1:
        node.fail("one character")
    return node.text()


def _encoding(node: Node) -> str:
    try:
        return codecs.lookup(node.text()).name
    except LookupError:
        node.fail("an encoding such as utf-8, utf-8-sig or cp1252")
