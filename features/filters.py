"""What declarations may refer to (`Scope`), windows with their hops, and the tests of a `where`."""

from collections.abc import Mapping
from dataclasses import dataclass

from features.document import Node, one_of
from features.plan import EVER
from features.schema import DERIVED, NUMERIC, WEEKDAYS, Condition, EventType, Field, Kind, Label, Window

HOPS = {"1h": "5m", "24h": "1h", "1d": "1h", "7d": "6h", "30d": "1d", "90d": "1d"}
MAX_HOPS = 1_000  # tiles a window may span; a record that needs more is too big to be read for one event


@dataclass(frozen=True)
class Scope:
    """What formulas may refer to, and the fields they must leave alone."""

    event_types: Mapping[str, EventType]
    hops: Mapping[int, int]
    subject: str
    label: Label | None
    protected: frozenset[tuple[str, str]]

    def field_of(self, node: Node, event_type: str) -> Field:
        """The field named by `node`, unless it is the label or protected."""
        name = one_of(node, self.event_types[event_type].fields)
        own = self.label and not self.label.of  # what comes as an event of its own is known when it comes
        if self.label and own and (event_type, name) == (self.label.event_type, self.label.field):
            node.blame(f"{event_type}.{name} is the label: a feature made of it knows the answer")
        if (event_type, name) in self.protected:
            node.blame(f"{event_type}.{name} is listed under protected: no feature may use it")
        return self.event_types[event_type].fields[name]


def window(node: Node, hops: Mapping[int, int]) -> Window:
    if node.value == "ever":
        return Window("ever", EVER, 0)
    length_us = node.duration_us()
    if length_us not in hops:
        example = f"hops: {{{node.value}: 1h}}"
        node.blame(f"no hop is known for {node.value}: add it at the top level, for example {example}")
    return Window(str(node.value), length_us, hops[length_us])


def hop_table(node: Node | None, file: str) -> dict[int, int]:
    """Window to hop in microseconds: the defaults, then the file's own."""
    defaults = Node(file, "hops", HOPS).entries()
    own = node.entries() if node is not None else {}
    table: dict[int, int] = {}
    for key, hop in (*defaults.items(), *own.items()):  # 24h and 1d are one window: the file's own come last
        length_us, hop_us = hop.child_of_key(key).duration_us(), hop.duration_us()
        if length_us % hop_us or length_us // hop_us > MAX_HOPS:
            hop.fail(f"a whole fraction of {key}, down to a {MAX_HOPS}th")
        table[length_us] = hop_us
    return table


def conditions(node: Node, scope: Scope, event_type: str) -> tuple[Condition, ...]:
    """A `where` mapping of a feature as tests that must all hold."""
    for name in node.entries():
        if name not in DERIVED:
            scope.field_of(node.child(name, name), event_type)
    return tests(node, scope.event_types[event_type].fields)


def tests(node: Node, fields: Mapping[str, Field]) -> tuple[Condition, ...]:
    """A `where` mapping of any declared fields as tests that must all hold."""
    found: list[Condition] = []
    for name, test in node.entries().items():
        if name not in DERIVED:
            one_of(node.child(name, name), fields)
        found += _tests(test, fields.get(name) or Field(name, Kind.INTEGER))
    return tuple(found)


def _tests(node: Node, known: Field) -> list[Condition]:
    if not isinstance(node.value, dict):
        return [Condition(known.name, "in", _operands(node, known))]
    numeric = known.kind in NUMERIC
    bounds = ("min", "above", "max", "below", "multiple_of") if numeric else ()
    parts = node.record(optional=("in", "not", "present", *bounds))
    found = []
    for test, part in parts.items():
        if test == "present":
            found.append(Condition(known.name, test, part.flag()))
        elif test in bounds:
            found.append(Condition(known.name, test, _bound(part, test)))
        else:
            found.append(Condition(known.name, test, _operands(part, known)))
    return found


def _bound(node: Node, test: str) -> float:
    if test == "multiple_of" and node.number() <= 0:
        node.fail("a number above 0")
    return node.number()


def _operands(node: Node, known: Field) -> tuple[str, ...] | tuple[float, ...]:
    """The values a field may have, sorted: their order in the file means nothing."""
    if known.name == "weekday":
        return tuple(sorted({_weekday(item) for item in node.items()}))
    if known.name == "hour":
        return tuple(sorted({_hour(item) for item in node.items()}))
    if known.kind in NUMERIC:
        return tuple(sorted({item.number() for item in node.items()}))
    if known.kind is Kind.BOOLEAN:
        return tuple(sorted({float(item.flag()) for item in node.items()}))
    if known.kind is Kind.CATEGORY:
        return tuple(sorted({one_of(item, known.values) for item in node.items()}))
    if known.kind is Kind.STRING:
        return tuple(sorted(set(node.texts())))
    node.blame(f"{known.name} is {known.words}; use present: true or false")


def _hour(node: Node) -> float:
    if node.number() not in range(24):
        node.fail("an hour, 0 to 23")
    return node.number()


def _weekday(node: Node) -> float:
    return float(WEEKDAYS.index(one_of(node, WEEKDAYS)))
