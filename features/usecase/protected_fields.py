"""The `protected` and `sensitive` lists: fields of people by which a report compares how a model treats them.

protected: [customer.gender]                       no feature may use them
sensitive: [customer.date_of_birth]                features may use them
sensitive: [{from: customer.years, as: age}]       a number of years, in groups of ages

Without `sensitive`, every date that a feature makes an age is sensitive; `sensitive: []` says that there is none.
Dates are dates of birth and are grouped by age, other numbers by quartiles, all else by value.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from features.usecase.faults import known, need
from features.usecase.file_keys import PERSON
from features.usecase.label import field_path
from features.usecase.schema import NUMERIC, Age, EventType, Feature, Kind, Label
from features.usecase.yaml_tree import Node


class Grouping(StrEnum):
    """Ways to make groups of customers from the values of a field."""

    VALUE = "value"
    AGE = "age"  # of a date of birth
    YEARS = "years"  # of a number that is an age
    QUARTILE = "quartile"


@dataclass(frozen=True)
class PersonField:
    """A field that says something of a person for which nobody may be treated worse without a reason."""

    event_type: str
    field: str
    grouping: Grouping
    is_protected: bool  # no feature may use it

    @property
    def name(self) -> str:
        return f"{self.event_type}.{self.field}"


def people(
    parts: Mapping[str, Node],
    types: Mapping[str, EventType],
    label: Label | None,
    protected: tuple[PersonField, ...],
    features: Iterable[Feature],
) -> tuple[PersonField, ...]:
    """Protected fields, then sensitive ones. Raises BadUseCase."""
    if "sensitive" in parts:
        sensitive = parts["sensitive"].attempt(
            sensitive_fields, parts["sensitive"], types, label, known(protected) or ()
        )
    else:
        sensitive = usual_sensitive_fields(features, types)
    need(protected, sensitive)
    return protected + sensitive


def protected_fields(node: Node, types: Mapping[str, EventType]) -> tuple[PersonField, ...]:
    """The `protected` list. Raises BadUseCase."""
    return node.each(lambda item: _field(item, types, True))


def sensitive_fields(
    node: Node, types: Mapping[str, EventType], label: Label | None, protected: Iterable[PersonField]
) -> tuple[PersonField, ...]:
    """The `sensitive` list. Raises BadUseCase, also for the label and for what is protected anyway."""
    barred = {each.name: "is listed under protected, so it is compared anyway" for each in protected}
    if label is not None:
        barred[f"{label.event_type}.{label.field}"] = "is the label"
    return node.each(lambda item: _sensitive(item, types, barred))


def usual_sensitive_fields(
    features: Iterable[Feature], types: Mapping[str, EventType]
) -> tuple[PersonField, ...]:
    """Every date that a feature makes an age."""
    names = dict.fromkeys(f.fields[0] for f in features if isinstance(f.formula, Age) and f.fields)
    paths = [tuple(name.split(".", 1)) for name in names]
    return tuple(PersonField(kind, field, Grouping.AGE, False) for kind, field in paths if kind in types)


def _sensitive(node: Node, types: Mapping[str, EventType], barred: Mapping[str, str]) -> PersonField:
    made = _field(node, types, False)
    if made.name in barred:
        node.blame(f"{made.name} {barred[made.name]}; leave it out")
    return made


def _field(node: Node, types: Mapping[str, EventType], is_protected: bool) -> PersonField:
    if not isinstance(node.value, dict):
        event_type, name = field_path(node, types)
        return PersonField(
            event_type, name, _usual_grouping(types[event_type].fields[name].kind), is_protected
        )
    parts = node.section(PERSON)
    event_type, name = field_path(parts["from"], types)
    node.attempt(parts["as"].choice, ("age",))
    kind = types[event_type].fields[name].kind
    if kind is not Kind.DATE and kind not in NUMERIC:
        parts["as"].blame(
            f"{name} is {types[event_type].fields[name].words}; only a date or a number is an age"
        )
    return PersonField(event_type, name, Grouping.AGE if kind is Kind.DATE else Grouping.YEARS, is_protected)


def _usual_grouping(kind: Kind) -> Grouping:
    if kind is Kind.DATE:
        return Grouping.AGE
    return Grouping.QUARTILE if kind in NUMERIC else Grouping.VALUE


def paths(fields: tuple[PersonField, ...]) -> frozenset[tuple[str, str]]:
    """(event type, field) of each."""
    return frozenset((each.event_type, each.field) for each in known(fields) or ())
