"""A use case: one YAML file, parsed into frozen values.

Every error is a `BadUseCase` that names file, path, value and expectation. A `UseCase` pickles as its text,
so workers get exactly what the launcher read. The fingerprint covers what can change a vector, nothing else.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, NamedTuple, Self

from features.document import BadUseCase, FrozenDict, Node, frozen, read
from features.eventtypes import Common, event_types
from features.filters import Scope, hop_table
from features.fingerprint import fingerprint
from features.forgetting import declared_us, default_us
from features.formulas import entity_features
from features.labels import field_path
from features.labels import label as read_label
from features.plan import EntityPlan, Lane, Output
from features.schema import EntityFeatures, EventType, Feature, Label
from features.values import event_features

__all__ = ["BadUseCase", "FeatureRow", "UseCase", "feature_rows", "load", "parse"]

LATENESS_US = 3_600 * 1_000_000  # most out-of-order events of a payment system come within an hour
TOLERANCE_US = 300 * 1_000_000  # how far a sender's clock may run ahead of Pub/Sub's
REQUIRED = ("use_case", "subject", "events", "features")
OPTIONAL = (
    "lateness",
    "tolerance",
    "forget_after",
    "hops",
    "label",
    "protected",
    "model",
    "policy",
    "description",
)


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
    protected: frozenset[tuple[str, str]]  # (event type, field) that no feature may use
    model: Mapping[str, Any]
    policy: Mapping[str, Any]
    lateness_us: int
    tolerance_us: int

    @cached_property
    def features(self) -> tuple[str, ...]:
        return tuple(feature.name for feature in self.table)

    @cached_property
    def as_logged(self) -> Self:
        """The use case for reading events that were accepted before: what limits overrides may be stricter now."""
        free = {
            name: replace(t, override=replace(t.override, longest_us=None))
            for name, t in self.event_types.items()
            if t.override and t.override.longest_us is not None
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
    """Reads a file. Raises BadUseCase, also when there is no such file or it is not UTF-8."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadUseCase(f"{path}: cannot be read: {error}") from None
    return parse(text, str(path))


@lru_cache(maxsize=32)  # unpickling the same use case again gives the same object
def parse(text: str, file: str = "use case") -> UseCase:
    """Parses the text of a use case file; `file` is what messages call it."""
    root = read(text, file)
    parts = root.record(REQUIRED, OPTIONAL)
    subject = parts["subject"].name()
    lateness_us = _duration(parts, "lateness", LATENESS_US)
    tolerance_us = _duration(parts, "tolerance", TOLERANCE_US)
    types = event_types(parts["events"], Common(subject, tolerance_us))
    if not any(t.scored for t in types.values()):
        parts["events"].blame("no event type is scored: true, so there is nothing to compute features for")
    label = read_label(parts["label"], types) if "label" in parts else None
    protected = _protected(parts["protected"], types) if "protected" in parts else frozenset()
    scope = Scope(types, hop_table(parts.get("hops"), file), subject, label, protected)
    by_entity, table = _features(parts["features"], scope)
    forgotten = parts.get("forget_after")
    declared = declared_us(forgotten, subject, by_entity, lateness_us) if forgotten else {}
    number = fingerprint(types, by_entity, table, lateness_us, declared)
    kept = {e: default_us(f, e == subject, lateness_us) for e, f in by_entity.items()} | declared
    return UseCase(
        name=parts["use_case"].name(),
        subject=subject,
        file=file,
        text=text,
        event_types=FrozenDict(types),
        entities=tuple(by_entity),
        by_entity=FrozenDict(by_entity),
        table=table,
        plans=FrozenDict(
            {e: _plan(f, number, e == subject, lateness_us, kept[e]) for e, f in by_entity.items()}
        ),
        fingerprint=f"{number:016x}",
        label=label,
        protected=protected,
        model=_plain(parts, "model"),
        policy=_plain(parts, "policy"),
        lateness_us=lateness_us,
        tolerance_us=tolerance_us,
    )


def feature_rows(use_case: UseCase) -> list[FeatureRow]:
    """The feature table in vector order."""
    table = use_case.table
    return [FeatureRow(f.name, f.entity or "event", f.meaning, ", ".join(f.fields), f.window) for f in table]


def _duration(parts: dict[str, Node], key: str, default_us: int) -> int:
    return parts[key].duration_us() if key in parts else default_us


def _plain(parts: dict[str, Node], key: str) -> Mapping[str, Any]:
    """A section that belongs to another room: its shape is checked there."""
    if key in parts:
        parts[key].entries()
    return FrozenDict(frozen(parts[key].value)) if key in parts else FrozenDict()


def _protected(node: Node, types: Mapping[str, EventType]) -> frozenset[tuple[str, str]]:
    return frozenset(field_path(item, types) for item in node.items())


def _features(node: Node, scope: Scope) -> tuple[dict[str, EntityFeatures], tuple[Feature, ...]]:
    """Entities (others in file order, subject last) and the vector's columns in file order."""
    known = dict.fromkeys(entity for t in scope.event_types.values() for entity in t.entities)
    parts = node.record((scope.subject,), (*known, "event"))
    declared = {key: entity_features(parts[key], scope, key) for key in parts if key != "event"}
    own = event_features(parts["event"], scope) if "event" in parts else ()
    table = tuple(f for entity in declared.values() for f in entity.features) + own
    names = [feature.name for feature in table]
    for name in names:
        if names.count(name) > 1:
            node.blame(f"two features are called {name}; rename an aggregate, ratio or attribute")
    if not names:
        node.blame("no feature is declared")
    ordered = sorted(declared, key=lambda entity: entity == scope.subject)
    return {entity: declared[entity] for entity in ordered}, table


def _plan(
    declared: EntityFeatures, number: int, is_subject: bool, lateness_us: int, forget_us: int
) -> EntityPlan:
    lanes = tuple(Lane(a.value_column, a.slot_column) for a in declared.aggregates)
    return EntityPlan(
        fingerprint=number,
        lanes=lanes,
        values=max((lane.value + 1 for lane in lanes), default=0),
        distincts=max((lane.distinct + 1 for lane in lanes), default=0),
        attributes=declared.attributes,
        sources=len(declared.sources),
        outputs=tuple(Output(lane, s, w.length_us, w.hop_us) for lane, s, w in declared.outputs),
        is_subject=is_subject,
        lateness_us=lateness_us,
        forget_us=forget_us,
    )
