"""Names that declarations may refer to (`Scope`), windows with their hops, and the tests of a `where`."""

from collections.abc import Mapping
from dataclasses import dataclass

from features.kernel.plan import EVER
from features.usecase import hints
from features.usecase.condition_keys import BOUNDS, CONDITION
from features.usecase.conditions import CHANGED, DERIVED, WEEKDAYS, Condition
from features.usecase.faults import need
from features.usecase.schema import NUMERIC, EventType, Field, Kind, Label, Window
from features.usecase.yaml_tree import Node, one_of

HOPS = {"1h": "5m", "24h": "1h", "1d": "1h", "7d": "6h", "30d": "1d", "90d": "1d"}
MAX_HOPS = 1_000  # tiles a window may span; a record that needs more is too big to be read for one event


@dataclass(frozen=True)
class Scope:
    """Names that formulas may refer to, and the fields that they must leave alone."""

    event_types: Mapping[str, EventType]
    hops: Mapping[int, int]
    subject: str
    label: Label | None
    protected: frozenset[tuple[str, str]]

    def field_of(self, node: Node, event_type: str) -> Field:
        """The field named by `node`, unless it is the label or protected."""
        name = one_of(node, self.event_types[event_type].fields)
        if reason := self.why_not(event_type, name):
            node.blame(f"{event_type}.{name} is {reason}")
        return self.event_types[event_type].fields[name]

    def why_not(self, event_type: str, name: str) -> str:
        """Return why no feature may use the field; empty if one may."""
        own = self.label and not self.label.event  # what comes as an event of its own is known when it comes
        if self.label and own and (event_type, name) == (self.label.event_type, self.label.field):
            return "the label: a feature made of it knows the answer"
        if (event_type, name) in self.protected:
            return "listed under protected: no feature may use it"
        return ""


def window(node: Node, hops: Mapping[int, int]) -> Window:
    if node.value == "ever":
        return Window("ever", EVER, 0)
    if hints.nearest(str(node.value), ("ever",)):
        node.fail("a duration such as 24h or 30d, or ever", "ever")
    length_us = node.duration_us()
    if length_us not in hops:
        example = f"hops: {{{node.value}: 1h}}"
        node.blame(f"no hop is known for {node.value}: add it at the top level, for example {example}")
    return Window(str(node.value), length_us, hops[length_us])


def hop_table(node: Node | None, file: str) -> dict[int, int]:
    """Window to hop in microseconds: the defaults, then the file's own."""
    hops = [_hop(key, hop) for key, hop in Node(file, "hops", HOPS).entries().items()]
    if node is not None:  # 24h and 1d are one window: the file's own come last
        hops += [node.attempt(_hop, key, hop) for key, hop in node.entries().items()]
    need(*hops)
    return dict(hops)


def _hop(key: str, node: Node) -> tuple[int, int]:
    length_us, hop_us = node.child_of_key(key).duration_us(), node.duration_us()
    if length_us % hop_us or length_us // hop_us > MAX_HOPS:
        node.fail(f"a whole fraction of {key}, down to a {MAX_HOPS}th")
    return length_us, hop_us


def conditions(node: Node, scope: Scope, event_type: str) -> tuple[Condition, ...]:
    """A `where` mapping of a feature as tests that must all hold."""
    fields, entries = scope.event_types[event_type].fields, node.entries()
    for name in entries:
        if name not in DERIVED and name in fields:
            node.attempt(scope.field_of, node.child(name, name), event_type)
    change = None if CHANGED in fields else entries.pop(CHANGED, None)
    changes = (node.attempt(_change, change, scope, event_type),) if change else ()
    found = _all_tests(node, entries, fields, CHANGED)
    need(*changes)
    return (*found, *changes)


def tests(node: Node, fields: Mapping[str, Field]) -> tuple[Condition, ...]:
    """A `where` mapping of any declared fields as tests that must all hold."""
    return _all_tests(node, node.entries(), fields)


def _all_tests(
    node: Node, entries: Mapping[str, Node], fields: Mapping[str, Field], *others: str
) -> tuple[Condition, ...]:
    """The tests of `entries`; `others` are keys that were read already, to be named among the choices."""
    found = [node.attempt(_tests, name, test, fields, others) for name, test in entries.items()]
    need(*found)
    return tuple(condition for each in found for condition in each)


def _change(node: Node, scope: Scope, event_type: str) -> Condition:
    """`changed: [FIELD, ...]`, or `changed: true` for every field that may tell a change."""
    kind = scope.event_types[event_type]
    if node.value is False or not node.items():
        node.fail("true or a list of fields")
    if node.value is True:
        names = [
            name for name in kind.fields if _may_change(kind, name) and not scope.why_not(event_type, name)
        ]
    else:
        names = list(node.each(lambda item: _changing(item, scope, kind)))
    if not names:
        node.blame(f"{event_type} has no field that could tell a change: ids, entities and times are none")
    return Condition(CHANGED, CHANGED, tuple(sorted(set(names))))


def _changing(node: Node, scope: Scope, kind: EventType) -> str:
    name = scope.field_of(node, kind.name).name
    if not _may_change(kind, name):
        node.blame(f"{name} tells no change: ids, entities and times differ, or never do, whatever happened")
    return name


def _may_change(kind: EventType, name: str) -> bool:
    return name not in (*kind.id, *kind.entities.values()) and kind.fields[name].kind is not Kind.TIME


def _tests(name: str, node: Node, fields: Mapping[str, Field], others: tuple[str, ...]) -> list[Condition]:
    key = node.child_of_key(name)
    known = Field(name, Kind.INTEGER) if name in DERIVED else fields[one_of(key, (*fields, *others))]
    if not isinstance(node.value, dict):
        return [Condition(known.name, "in", _operands(node, known))]
    parts = node.record(optional=[k for k in CONDITION.names if known.kind in NUMERIC or k not in BOUNDS])
    found = [node.attempt(_test, test, part, known) for test, part in parts.items()]
    need(*found)
    return found


def _test(test: str, node: Node, known: Field) -> Condition:
    if test == "present":
        return Condition(known.name, test, node.flag())
    if test in ("in", "not"):
        return Condition(known.name, test, _operands(node, known))
    return Condition(known.name, test, _bound(node, test))


def _bound(node: Node, test: str) -> float:
    if test == "multiple_of" and node.number() <= 0:
        node.fail("a number above 0")
    return node.number()


def _operands(node: Node, known: Field) -> tuple[str, ...] | tuple[float, ...]:
    """The values a field may have, sorted: their order in the file means nothing."""
    if known.name == "weekday":
        return tuple(sorted(set(node.each(_weekday))))
    if known.name == "hour":
        return tuple(sorted(set(node.each(_hour))))
    if known.kind in NUMERIC:
        return tuple(sorted(set(node.each(Node.number))))
    if known.kind is Kind.BOOLEAN:
        return tuple(sorted(map(float, set(node.each(Node.flag)))))
    if known.kind is Kind.CATEGORY:
        return tuple(sorted(set(node.each(lambda item: one_of(item, known.values)))))
    if known.kind is Kind.STRING:
        return tuple(sorted(set(node.each(_text))))
    node.blame(f"{known.name} is {known.words}; use present: true or false")


def _text(node: Node) -> str:
    if node.text() != node.text().strip():
        node.fail("a text without blanks around it: those of an event are no part of it")
    return node.text()


def _hour(node: Node) -> float:
    if node.number() not in range(24):
        node.fail("an hour, 0 to 23")
    return node.number()


def _weekday(node: Node) -> float:
    return float(WEEKDAYS.index(one_of(node, WEEKDAYS)))
