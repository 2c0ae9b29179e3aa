"""A use case: one YAML file, parsed into frozen values.

A wrong file is a `BadUseCase` that names every fault by line, path, value and expectation. A `UseCase` pickles as its
text, so workers get exactly what the launcher read. The fingerprint covers what can change a vector, nothing else.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple, Self

from features.kernel.plan import EntityPlan, Lane, Output, Watch
from features.usecase.aggregates import entity_features
from features.usecase.event_types import Common, event_types
from features.usecase.faults import UNREAD, BadUseCase, Fault, in_order, known
from features.usecase.file_keys import ROOT
from features.usecase.fingerprint import fingerprint
from features.usecase.forgetting import declared_us, default_us
from features.usecase.label import check_online, is_known_later
from features.usecase.label import label as read_label
from features.usecase.protected_fields import PersonField, paths, protected_fields
from features.usecase.protected_fields import people as read_people
from features.usecase.schema import EntityFeatures, EventType, Feature, Label, WatchedFields
from features.usecase.single_values import event_features
from features.usecase.where import Scope, hop_table
from features.usecase.yaml_tree import Node, one_of, read
from features.usecase.yaml_values import FrozenDict

__all__ = ["BadUseCase", "FeatureRow", "UseCase", "feature_rows", "load", "look", "parse"]

LATENESS_US = 3_600 * 1_000_000  # most out-of-order events of a payment system come within an hour
MAX_CLOCK_SKEW_US = 300 * 1_000_000  # how far a sender's clock may run ahead of Pub/Sub's


@dataclass(frozen=True, eq=False)
class UseCase:
    """One parsed file. `features` are the vector's columns in order; `entities` ends with the subject."""

    name: str
    subject: str
    file: str
    text: str
    event_types: Mapping[str, EventType]
    entities: tuple[str, ...]
    by_entity: Mapping[str, EntityFeatures]
    table: tuple[Feature, ...]
    plans: Mapping[str, EntityPlan]
    fingerprint: str
    label: Label | None
    people: tuple[PersonField, ...]  # protected and sensitive fields, by which a report compares
    model: Mapping[str, Any]
    policy: Mapping[str, Any]
    lateness_us: int
    max_clock_skew_us: int

    @cached_property
    def protected(self) -> frozenset[tuple[str, str]]:
        """(event type, field) that no feature may use."""
        return paths(tuple(each for each in self.people if each.is_protected))

    @cached_property
    def features(self) -> tuple[str, ...]:
        return tuple(feature.name for feature in self.table)

    @cached_property
    def as_logged(self) -> Self:
        """The use case for reading events that were accepted before: what limits overrides may be stricter now."""
        free = {
            name: replace(t, override=replace(t.override, max_duration_us=None))
            for name, t in self.event_types.items()
            if t.override and t.override.max_duration_us is not None
        }
        return replace(self, event_types=FrozenDict({**self.event_types, **free})) if free else self

    def __repr__(self) -> str:
        return f"UseCase({self.file}, fingerprint {self.fingerprint})"

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return parse, (self.text, self.file)


class FeatureRow(NamedTuple):
    """One line of `riskstream usecase check`."""

    feature: str
    entity: str
    meaning: str
    fields: str
    window: str


def load(path: str | Path) -> UseCase:
    """Read a use case file. Raises BadUseCase, also when there is no such file or it is not UTF-8."""
    return parse(_text(path), str(path))


def _text(path: str | Path) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadUseCase(Fault(str(path), "", 0, "", f"cannot be read: {error}", "a file in UTF-8")) from None


@lru_cache(maxsize=32)  # unpickling the same use case again gives the same object
def parse(text: str, file: str = "use case") -> UseCase:
    """Parse the text of a use case file; `file` is what messages call it. Raises BadUseCase with every fault."""
    root = read(text, file)
    declared = root.whole(_declared)
    number = fingerprint(
        declared.types, declared.by_entity, declared.table, declared.lateness_us, declared.forget_us
    )
    plans = {entity: _plan(declared, entity, number) for entity in declared.by_entity}
    return UseCase(
        name=declared.name,
        subject=declared.subject,
        file=file,
        text=text,
        event_types=FrozenDict(declared.types),
        entities=tuple(declared.by_entity),
        by_entity=FrozenDict(declared.by_entity),
        table=declared.table,
        plans=FrozenDict(plans),
        fingerprint=f"{number:016x}",
        label=declared.label,
        people=declared.people,
        model=declared.model,
        policy=declared.policy,
        lateness_us=declared.lateness_us,
        max_clock_skew_us=declared.max_clock_skew_us,
    )


class _Declared(NamedTuple):
    """The sections of the file as they were read, before plans are made of them."""

    name: str
    subject: str
    types: dict[str, EventType]
    by_entity: dict[str, EntityFeatures]
    table: tuple[Feature, ...]
    label: Label | None
    people: tuple[PersonField, ...]
    model: Mapping[str, Any]
    policy: Mapping[str, Any]
    lateness_us: int
    max_clock_skew_us: int
    forget_us: dict[str, int]  # by entity, where the file says it


def _declared(root: Node) -> _Declared:
    parts = root.section(ROOT)
    name = root.attempt(lambda: parts["use_case"].name())
    subject = root.attempt(_subject, parts["subject"], parts["events"])
    lateness_us = root.attempt(_duration, parts, "allowed_lateness", LATENESS_US)
    max_clock_skew_us = root.attempt(_duration, parts, "max_clock_skew", MAX_CLOCK_SKEW_US)
    model, policy = (root.attempt(_plain, parts, key) for key in ("model", "policy"))
    types = root.attempt(event_types, parts["events"], Common(subject, max_clock_skew_us))
    root.attempt(_check_scored, parts["events"], types)
    label = root.attempt(read_label, parts["label"], types) if "label" in parts else None
    protected = root.attempt(protected_fields, parts["protected"], types) if "protected" in parts else ()
    hops = root.attempt(hop_table, parts.get("hops"), root.file)
    scope = Scope(types, hops, subject, known(label), paths(protected))
    by_entity, table = known(root.attempt(_features, parts["features"], scope)) or ({}, ())
    people = root.attempt(read_people, parts, types, known(label), protected, table)
    forgotten = parts.get("forget_after")
    forget_us = root.attempt(declared_us, forgotten, subject, by_entity, lateness_us) if forgotten else {}
    return _Declared(
        name, subject, types, by_entity, table, label, people, model, policy, lateness_us, max_clock_skew_us, forget_us
    )  # fmt: skip


def _subject(node: Node, events: Node) -> str:
    """An entity of at least one event type; each type is then looked at for itself."""
    parts = events.value.values() if isinstance(events.value, dict) else ()
    entities = [part.get("entities") for part in parts if isinstance(part, dict)]
    names = dict.fromkeys(name for each in entities if isinstance(each, dict) for name in each)
    return one_of(node, names) if names else node.name()


def _check_scored(node: Node, types: Mapping[str, EventType]) -> None:
    if not any(each.scored for each in types.values()):
        node.blame("no event type is scored: true, so there is nothing to compute features for")


class Look(NamedTuple):
    """Facts about a file, however wrong it is; other rooms read its `model` and `policy`."""

    faults: tuple[Fault, ...]
    model: Mapping[str, Any]
    policy: Mapping[str, Any]
    label_is_known_later: bool  # the scored event's own, or told by a later event
    features: tuple[str, ...] | None  # their names; None if they could not be read


def look(path: str | Path) -> Look:
    """Every fault of a file, also those that show only when events come as they happen. Raises BadUseCase."""
    root = read(_text(path), str(path))
    declared = root.attempt(_declared, root)
    root.attempt(lambda: check_online(root, declared.label, declared.types))
    later = root.attempt(lambda: is_known_later(declared.label, declared.types))
    model, policy = (
        known(root.attempt(attrgetter(name), declared)) or FrozenDict() for name in ("model", "policy")
    )
    table = known(root.attempt(attrgetter("table"), declared))
    names = tuple(feature.name for feature in table) if table else None
    return Look(in_order(root.faults).faults, model, policy, later is not False, names)


def feature_rows(use_case: UseCase) -> list[FeatureRow]:
    """The feature table in vector order."""
    table = use_case.table
    return [FeatureRow(f.name, f.entity or "event", f.meaning, ", ".join(f.fields), f.window) for f in table]


def _duration(parts: dict[str, Node], key: str, default_us: int) -> int:
    return parts[key].duration_us() if key in parts else default_us


def _plain(parts: dict[str, Node], key: str) -> Mapping[str, Any]:
    """A section that belongs to another room: its shape is checked there."""
    if key not in parts:
        return FrozenDict()
    parts[key].entries()
    section: Mapping[str, Any] = parts[key].value
    return section


def _features(node: Node, scope: Scope) -> tuple[dict[str, EntityFeatures], tuple[Feature, ...]]:
    """Entities (others in file order, subject last) and the vector's columns in file order."""
    required = (scope.subject,) if known(scope.subject) else ()
    parts = node.record(required, (*_entities(node, scope), "event"))
    declared = {key: node.attempt(entity_features, parts[key], scope, key) for key in parts if key != "event"}
    of_event = node.attempt(event_features, parts["event"], scope) if "event" in parts else ()
    table = tuple(f for entity in declared.values() for f in entity.features) + of_event
    node.attempt(_check_names, node, [feature.name for feature in table])
    ordered = sorted(declared, key=lambda entity: entity == scope.subject)
    return {entity: declared[entity] for entity in ordered}, table


def _entities(node: Node, scope: Scope) -> Iterable[str]:
    """Return the entities that features may be kept for; any name if those of an event type could not be read."""
    kinds = [node.attempt(attrgetter("entities"), each) for each in scope.event_types.values()]
    return node.entries() if UNREAD in kinds else dict.fromkeys(name for names in kinds for name in names)


def _check_names(node: Node, names: list[str]) -> None:
    if not names and not node.faults:
        node.blame("no feature is declared")
    for name in dict.fromkeys(names):
        if names.count(name) > 1:
            node.blame(f"two features are called {name}; rename an aggregate, ratio or attribute")


def _plan(file: _Declared, entity: str, number: int) -> EntityPlan:
    declared, is_subject = file.by_entity[entity], entity == file.subject
    forget_us = file.forget_us.get(entity, default_us(declared, is_subject, file.lateness_us))
    lanes = tuple(Lane(a.value_column, a.slot_column) for a in declared.aggregates)
    lanes += tuple(Lane(watch.value_column, -1) for watch in declared.watches)
    return EntityPlan(
        fingerprint=number,
        lanes=lanes,
        values=max((lane.value + 1 for lane in lanes), default=0),
        distincts=max((lane.distinct + 1 for lane in lanes), default=0),
        attributes=declared.attributes,
        sources=len(declared.sources),
        outputs=tuple(Output(lane, s, w.length_us, w.hop_us) for lane, s, w in declared.outputs),
        is_subject=is_subject,
        lateness_us=file.lateness_us,
        forget_us=forget_us,
        watches=tuple(Watch(watch.lane, _gated(declared, watch)) for watch in declared.watches),
    )


def _gated(declared: EntityFeatures, watch: WatchedFields) -> int:
    """The lanes of the aggregates that count the changes of these fields, as bits."""
    return sum(
        1 << a.lane
        for a in declared.aggregates
        if a.event_type == watch.event_type and any(c.is_change and c.fields == watch.fields for c in a.where)
    )
