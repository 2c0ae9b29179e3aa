"""The `features` section of an entity: aggregates, ratios, differences, attributes.

An aggregate is a lane; every (statistic, window) asked of it is a raw column, also when only a ratio asks.
Vector order is file order: per entity aggregates, ratios, differences, attributes, then the event.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from features.kernel.plan import EVER, MAX_LANES, Statistic
from features.usecase import descriptions, undated
from features.usecase.conditions import CHANGED
from features.usecase.declaration import Section
from features.usecase.faults import UNREAD, known, need
from features.usecase.feature_keys import AGGREGATE, ATTRIBUTE, DIFFERENCE, ENTITY, RATIO
from features.usecase.schema import (
    NUMERIC,
    Age,
    Aggregate,
    Copy,
    Difference,
    EntityFeatures,
    Equals,
    Feature,
    Formula,
    Ratio,
    Raw,
    Source,
    WatchedFields,
    Window,
)
from features.usecase.single_values import columns, event_field
from features.usecase.statistics import is_meaningful, statistic, where_valid
from features.usecase.where import Scope, conditions, window
from features.usecase.yaml_tree import Node, one_of


@dataclass
class _Draft:
    """One entity's declarations while they are being read."""

    scope: Scope
    entity: str
    aggregates: dict[str, Aggregate] = field(default_factory=dict)
    statistics: dict[str, tuple[Statistic, ...]] = field(default_factory=dict)
    outputs: dict[tuple[int, Statistic, int], int] = field(default_factory=dict)
    windows: dict[int, Window] = field(default_factory=dict)
    values: dict[str, list[str]] = field(default_factory=dict)
    distincts: dict[str, list[str]] = field(default_factory=dict)
    attributes: dict[tuple[str, str], int] = field(default_factory=dict)
    features: list[Feature] = field(default_factory=list)
    watches: tuple[WatchedFields, ...] = ()

    def output(self, lane: int, statistic: Statistic, window: Window) -> Raw:
        self.windows.setdefault(window.length_us, window)
        key = (lane, statistic, window.length_us)
        return Raw(self.outputs.setdefault(key, len(self.outputs)))


def entity_features(node: Node, scope: Scope, entity: str) -> EntityFeatures:
    """Read one entity's part of the `features` section."""
    parts = node.section(ENTITY)
    draft = _Draft(scope, entity)
    for name, part in _entries(parts, "aggregates"):
        draft.aggregates[name] = UNREAD
        node.attempt(_aggregate, draft, name, part)
    if draft.aggregates:
        node.attempt(undated.refuse_windows, parts["aggregates"], scope, entity)
    draft.watches = _watches(draft)
    if (lanes := len(draft.aggregates) + len(draft.watches)) > MAX_LANES:
        parts["aggregates"].blame(
            f"found {lanes} with one for each list of changed fields, but an entity has at most {MAX_LANES} aggregates"
        )
    for name, part in _entries(parts, "ratios"):
        node.attempt(_combination, draft, name, part, RATIO, "over", Ratio)
    for name, part in _entries(parts, "differences"):
        node.attempt(_combination, draft, name, part, DIFFERENCE, "minus", Difference)
    for name, part in _entries(parts, "attributes"):
        node.attempt(_attribute, draft, name, part)
    return _finished(draft)


def _watches(draft: _Draft) -> tuple[WatchedFields, ...]:
    """Lanes that the aggregates' `changed` compare, one for each event type and list of fields, kept over `ever`."""
    read = [aggregate for aggregate in draft.aggregates.values() if known(aggregate)]
    watched = dict.fromkeys((a.event_type, c.fields) for a in read for c in a.where if c.is_change)
    first, ever = len(draft.aggregates), Window("ever", EVER, 0)
    for lane in range(first, first + len(watched)):
        draft.output(lane, Statistic.LAST, ever)
    return tuple(
        WatchedFields(event_type, fields, lane, _column(draft.values, event_type, f"{CHANGED} {fields}"))
        for lane, (event_type, fields) in enumerate(watched, first)
    )


def _entries(parts: dict[str, Node], key: str) -> list[tuple[str, Node]]:
    """The declarations of one kind; those whose name is wrong are faults."""
    if key not in parts:
        return []
    entries = parts[key].attempt(parts[key].entries)
    if entries is UNREAD:
        return []
    for name, node in entries.items():
        node.attempt(node.child_of_key(name).name)
    return list(entries.items())


def _finished(draft: _Draft) -> EntityFeatures:
    """Attribute columns follow the outputs in the kernel's raw columns."""
    shift = len(draft.outputs)
    features = tuple(_shifted(f, shift) for f in draft.features)
    by_type: dict[str, list[tuple[str, int]]] = {}
    for (event_type, name), column in draft.attributes.items():
        by_type.setdefault(event_type, []).append((name, column))
    sources = tuple(
        Source(i, event_type, tuple(n for n, _ in fields), tuple(c for _, c in fields))
        for i, (event_type, fields) in enumerate(by_type.items())
    )
    outputs = tuple((lane, statistic, draft.windows[us]) for lane, statistic, us in draft.outputs)
    aggregates = tuple(draft.aggregates.values())
    return EntityFeatures(
        draft.entity, aggregates, outputs, sources, len(draft.attributes), features, draft.watches
    )


def _shifted(feature: Feature, shift: int) -> Feature:
    """Attribute columns are drafted as -2 - column, as the number of outputs is not known before the end."""
    formula = feature.formula
    if isinstance(formula, Copy | Age | Equals) and formula.source.column < -1:
        column = shift - 2 - formula.source.column
        return replace(feature, formula=replace(formula, source=Raw(column)))
    return feature


def _aggregate(draft: _Draft, name: str, node: Node) -> None:
    parts = node.section(AGGREGATE)
    event_type = node.attempt(_type_of, draft, parts["event"])
    node.attempt(lambda: undated.refuse_aggregate(parts["event"], draft.scope.event_types[event_type]))
    value = node.attempt(_value, draft, parts.get("value"), event_type)
    distinct = node.attempt(_distinct, draft, parts.get("distinct"), event_type)
    where = node.attempt(conditions, parts["where"], draft.scope, event_type) if "where" in parts else ()
    aggregate = Aggregate(
        name,
        list(draft.aggregates).index(name),
        event_type,
        where,
        value,
        distinct,
        _column(draft.values, event_type, value),
        _column(draft.distincts, event_type, distinct),
        node.attempt(parts["description"].text) if "description" in parts else "",
    )
    wanted = [(s, w) for s, w in _statistics(draft, aggregate, parts["statistics"], parts["windows"])]
    need(*vars(aggregate).values())
    draft.aggregates[name] = aggregate
    for chosen, span in wanted:
        _window_feature(draft, aggregate, chosen, span)


def _type_of(draft: _Draft, node: Node) -> str:
    """An event type that has the entity."""
    event_type = one_of(node, draft.scope.event_types)
    if draft.entity not in draft.scope.event_types[event_type].entities:
        node.blame(f"events.{event_type}.entities does not say which field is the {draft.entity}")
    return event_type


def _value(draft: _Draft, node: Node | None, event_type: str) -> str | None:
    if node is None:
        return None
    found = draft.scope.field_of(node, event_type)
    if found.kind not in NUMERIC:
        node.blame(f"{found.name} is {found.words}; a value must be a number field")
    return found.name


def _distinct(draft: _Draft, node: Node | None, event_type: str) -> str | None:
    return draft.scope.field_of(node, event_type).name if node is not None else None


def _column(columns: dict[str, list[str]], event_type: str, name: str | None) -> int:
    """Columns are numbered for each event type: an event has one type, so types can share a column."""
    if name is None:
        return -1
    known = columns.setdefault(event_type, [])
    if name not in known:
        known.append(name)
    return known.index(name)


def _statistics(
    draft: _Draft, aggregate: Aggregate, statistics: Node, windows: Node
) -> list[tuple[Statistic, Window]]:
    """Every statistic over every window in which it has a meaning; each must meet at least one."""
    wanted = [(item, item.attempt(statistic, item, aggregate)) for item in statistics.items()]
    spans = [(item, item.attempt(window, item, draft.scope.hops)) for item in windows.items()]
    need(*(each for _, each in (*wanted, *spans)))
    used = [(s, w) for _, s in wanted for _, w in spans if is_meaningful(s, w)]
    need(*(item.attempt(_check_windows, item, chosen, used, windows) for item, chosen in wanted))
    for item, span in spans:
        if span.length_us not in [w.length_us for _, w in used]:
            item.blame(f"none of the statistics {statistics.value} has a meaning over {span.words}")
    return used


def _check_windows(
    node: Node, chosen: Statistic, used: list[tuple[Statistic, Window]], windows: Node
) -> None:
    if chosen not in [s for s, _ in used]:
        node.blame(f"{node.value} has no meaning over windows {windows.value}: {where_valid(chosen)}")


def _window_feature(draft: _Draft, aggregate: Aggregate, chosen: Statistic, span: Window) -> None:
    raw = draft.output(aggregate.lane, chosen, span)
    name = f"{aggregate.name}_{chosen.name.lower()}_{span.words}"
    words = descriptions.during(_words(draft, chosen, aggregate) + _whose(draft), span.words)
    feature = _feature(draft, name, Copy(raw), (aggregate,), words, span.words)
    draft.features.append(replace(feature, unit=descriptions.UNITS.get(chosen, "")))


def _words(draft: _Draft, chosen: Statistic, aggregate: Aggregate) -> str:
    return descriptions.of_aggregate(chosen, aggregate, draft.scope.event_types[aggregate.event_type].fields)


def _whose(draft: _Draft) -> str:
    """The subject's need not be said: everything is told of the subject."""
    return "" if draft.entity == draft.scope.subject else f" of the {draft.entity}"


def _combination(
    draft: _Draft,
    name: str,
    node: Node,
    declared: Section,
    link: str,
    build: Callable[[Raw, Raw], Formula],
) -> None:
    parts, keys = node.section(declared), declared.required
    sides = [node.attempt(_reference, draft, parts[key]) for key in keys]
    need(*sides)
    aggregates = tuple(aggregate for _, aggregate, _ in sides if aggregate is not None)
    description = parts["description"].text() if "description" in parts else ""
    (left, _, one), (right, _, two) = sides
    words = descriptions.of_two(one, link, two, description, _whose(draft))
    windows = " / ".join(dict.fromkeys(side.window for side in (one, two) if side.window))
    feature = _feature(draft, name, build(left, right), aggregates, words, windows)
    fields = [part.value for part in map(parts.__getitem__, keys) if part.value.startswith("event.")]
    draft.features.append(replace(feature, fields=(*feature.fields, *fields)))


def _reference(draft: _Draft, node: Node) -> tuple[Raw, Aggregate | None, descriptions.Side]:
    """aggregate.statistic.window, or event.field for a number of the event being scored."""
    parts = node.text().split(".")
    if parts[0] == "event" and len(parts) == 2:
        known = event_field(node, parts[1], draft.scope, NUMERIC)
        return Raw(-1, known.name), None, descriptions.Side(f"the event's {descriptions.field(known)}")
    if len(parts) != 3:
        node.fail("aggregate.statistic.window or event.field")
    aggregate = draft.aggregates[one_of(node.child_of_key(parts[0]), draft.aggregates)]
    chosen = statistic(node.child_of_key(parts[1]), aggregate)
    span = window(node.child_of_key(parts[2]), draft.scope.hops)
    if not is_meaningful(chosen, span):
        node.blame(f"{parts[1]} has no meaning over {parts[2]}: {where_valid(chosen)}")
    side = descriptions.Side(_words(draft, chosen, aggregate), span.words)
    return draft.output(aggregate.lane, chosen, span), aggregate, side


def _feature(
    draft: _Draft, name: str, formula: Formula, aggregates: tuple[Aggregate, ...], words: str, span: str
) -> Feature:
    fields: dict[str, None] = {}
    for aggregate in aggregates:
        used = [name for c in aggregate.where for name in c.fields] + [aggregate.value, aggregate.distinct]
        fields.update(dict.fromkeys(f"{aggregate.event_type}.{f}" for f in used if f))
    return Feature(name, draft.entity, formula, words, tuple(fields), span)


def _attribute(draft: _Draft, name: str, node: Node) -> None:
    parts = node.section(ATTRIBUTE)
    event_type, _, field_name = parts["from"].text().partition(".")
    _type_of(draft, parts["from"].child_of_key(event_type))
    known = draft.scope.field_of(parts["from"].child_of_key(field_name), event_type)
    column = draft.attributes.setdefault((event_type, known.name), len(draft.attributes))
    words = parts["description"].text() if "description" in parts else descriptions.field(known)
    draft.features += [
        replace(each, name=name + each.name, entity=draft.entity, fields=(f"{event_type}.{known.name}",))
        for each in columns(node, parts, known, Raw(-2 - column), words + _whose(draft))
    ]
