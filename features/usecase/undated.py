"""Refusals of features that events without a time (`time: published`) cannot have.

The stream dates such an event by its publication. Files do not hold that time, so in a history all rows of the type
stand at the beginning, and whatever depends on their time shows when an export begins, not what anybody did
(docs/decisions/0028). Their latest values need no time: those are attributes.
"""

from features.usecase.conditions import DERIVED
from features.usecase.schema import EventType, Kind
from features.usecase.where import Scope
from features.usecase.yaml_tree import Node

REASON = (
    "has no time of its own (time: published), so in files all its rows stand at the beginning of the history"
)


def refuse_aggregate(node: Node, event_type: EventType) -> None:
    """Raise BadUseCase at an aggregate's `event` if its events have no time."""
    if event_type.time:
        return
    node.blame(
        f"{event_type.name} {REASON}: counts, sums and times over them would tell dates apart and not customers; "
        f"take its latest values under attributes, or {_cure(event_type)}"
    )


def refuse_derived(node: Node, name: str, scope: Scope) -> None:
    """Raise BadUseCase where a feature is the hour or weekday of scored events that have no time."""
    for event_type in _scored(scope) if name in DERIVED else ():
        node.blame(
            f"{event_type.name} {REASON}: they have no {name}; leave {name} out, or {_cure(event_type)}"
        )


def refuse_windows(node: Node, scope: Scope, entity: str) -> None:
    """Raise BadUseCase at an entity's aggregates if they would be computed as of scored events that have no time."""
    for event_type in _scored(scope):
        if entity in event_type.entities:
            node.blame(
                f"{event_type.name} is scored and {REASON}: every window would end there, before anything happened; "
                f"{_cure(event_type)}"
            )


def refuse_label(node: Node, origin: EventType) -> None:
    """Raise BadUseCase where the label of single events comes without saying when it was known."""
    if not origin.time:
        node.blame(
            f"{origin.name} {REASON}: the label would be known before the events that it judges; {_cure(origin)}"
        )


def _scored(scope: Scope) -> list[EventType]:
    return [t for t in scope.event_types.values() if t.scored and not t.time]


def _cure(event_type: EventType) -> str:
    times = [name for name, field in event_type.fields.items() if field.kind is Kind.TIME]
    example = f", for example time: [{times[0]}]" if times else ""
    return f"name the field that dates it in events.{event_type.name}.time{example}"
