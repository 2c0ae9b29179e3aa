"""The `label` section: the field that says what became of a customer, or of one event.

label: {from: customer.state, positive: [SUSPENDED]}                    the customer's, for all events
label: {from: loan.label, positive: ["1"], delay: 90d}                  the scored event's own, known later
label: {from: verdict.fraud, positive: [true], event: transaction, event_id: transaction_id}
                                  of the scored event whose id the field names; known when the verdict came
"""

from collections.abc import Mapping

from features.usecase.faults import need
from features.usecase.file_keys import LABEL
from features.usecase.schema import EventType, Kind, Label
from features.usecase.undated import refuse_label
from features.usecase.yaml_tree import Node, one_of


def label(node: Node, types: Mapping[str, EventType]) -> Label:
    """Raises BadUseCase."""
    parts = node.section(LABEL)
    event_type, name = field_path(parts["from"], types)
    origin = types[event_type]
    if ("event" in parts) != ("event_id" in parts):
        node.blame("event and event_id go together: the scored event type, and the field that names its id")
    event = node.attempt(_event, parts["event"], types, event_type) if "event" in parts else ""
    if "event" in parts:
        node.attempt(refuse_label, parts["from"], origin)
    made = Label(
        event_type=event_type,
        field=name,
        positive=node.attempt(_positive, parts["positive"], parts["from"], origin, name),
        event=event,
        event_id=node.attempt(lambda: _event_id(parts["event_id"], origin, types[event]))
        if "event" in parts
        else (),
        delay_us=node.attempt(parts["delay"].duration_us) if "delay" in parts else 0,
    )
    need(event)
    return made


def is_known_later(label: Label | None, types: Mapping[str, EventType]) -> bool:
    """Return whether the label judges single events instead of the subject."""
    return label is not None and (bool(label.event) or types[label.event_type].scored)


def check_online(root: Node, label: Label | None, types: Mapping[str, EventType]) -> None:
    """Raises BadUseCase where an event cannot be scored before its label is known. `root` is the file's."""
    if label is None or label.event or not types[label.event_type].scored:
        return
    event_type, name = types[label.event_type], label.field
    parts = root.descend("events", label.event_type)
    if not event_type.fields[name].optional:
        parts.descend("fields", name).blame(
            f"{name} is the label and must be there, but it is not known when a {event_type.name} is to be scored: "
            "every one would be refused; make it optional",
            "optional: true",
        )
    for key, fields in (("id", event_type.id), ("entities", event_type.entities.values())):
        if name in fields:
            parts.descend(key).blame(
                f"{name} is the label, which is not known when a {event_type.name} is to be scored"
            )


def _positive(node: Node, origin: Node, event_type: EventType, name: str) -> tuple[str | bool, ...]:
    return node.each(lambda item: _value(item, origin, event_type, name))


def field_path(node: Node, types: Mapping[str, EventType]) -> tuple[str, str]:
    """event_type.field"""
    event_type, _, name = node.text().partition(".")
    one_of(node.child_of_key(event_type), types)
    return event_type, one_of(node.child_of_key(name), types[event_type].fields)


def _value(item: Node, origin: Node, event_type: EventType, name: str) -> str | bool:
    field = event_type.fields[name]
    if field.kind is Kind.BOOLEAN:
        return item.flag()
    if not field.values:
        origin.blame(f"{name} is {field.words}; a label needs declared values, or true and false")
    return one_of(item, field.values)


def _event(node: Node, types: Mapping[str, EventType], origin: str) -> str:
    event = one_of(node, types)
    if not types[event].scored:
        node.blame(f"{event} is not scored, so there is nothing to learn from its label")
    if event == origin:
        node.blame(f"a label of {event} itself needs neither event nor event_id")
    if types[event].whole:
        node.blame(f"the id of {event} is its whole content, so no field can name it")
    return event


def _event_id(node: Node, origin: EventType, of: EventType) -> tuple[str, ...]:
    names = node.each(lambda item: one_of(item, origin.fields))
    if len(names) != len(of.id):
        node.fail(f"as many fields as the id of {of.name} has: {', '.join(of.id)}")
    for name, id in zip(names, of.id, strict=True):
        if origin.fields[name].kind is not of.fields[id].kind:
            node.blame(f"{name} is {origin.fields[name].words}, but {of.name}.{id} is {of.fields[id].words}")
    return names
