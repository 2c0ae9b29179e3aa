"""Vector columns of single values: of the event being scored, and of an attribute (formulas.py).

A number is one column, a category one a value or its code, a date of a record an age.
"""

from dataclasses import replace

from features.usecase import descriptions
from features.usecase.conditions import DERIVED
from features.usecase.faults import BadUseCase, need
from features.usecase.feature_keys import EVENT_FEATURE
from features.usecase.schema import NUMERIC, Age, Copy, Equals, Feature, Field, Kind, Raw
from features.usecase.undated import refuse_derived
from features.usecase.where import Scope
from features.usecase.yaml_tree import Node, one_of


def event_field(node: Node, name: str, scope: Scope, kinds: frozenset[Kind]) -> Field:
    """A field of the scored event types, the same in all of them that have it; or hour, weekday."""
    if name in DERIVED:
        node.attempt(refuse_derived, node, name, scope)
        return Field(name, Kind.INTEGER)
    scored = [t for t in scope.event_types.values() if t.scored]
    having = [t for t in scored if name in t.fields]
    if not having:
        if not scored:
            raise BadUseCase  # that none is scored is a fault already
        one_of(node.child_of_key(name), [f for t in scored for f in t.fields])
    found = [scope.field_of(node.child_of_key(name), t.name) for t in having]
    if len({(f.kind in NUMERIC or f.kind, f.values) for f in found}) > 1:
        node.blame(f"{name} is not the same kind of field in {', '.join(t.name for t in having)}")
    if kinds and found[0].kind not in kinds:
        node.blame(f"{name} is {found[0].words}; expected a number field")
    return found[0]


def event_features(node: Node, scope: Scope) -> tuple[Feature, ...]:
    """Read `features.event`: names, or name: {as: code} or {values: [...]}."""
    found = node.each(lambda item: _of_item(item, scope))
    return tuple(feature for each in found for feature in each)


def _of_item(node: Node, scope: Scope) -> list[Feature]:
    if not isinstance(node.value, dict):
        return _of_event(node, str(node.value), {}, scope)
    features: list[Feature] = []
    for name, child in node.entries().items():
        parts = child.section(EVENT_FEATURE) if child.value is not None else {}
        features += _of_event(node, name, parts, scope)
    return features


def _of_event(node: Node, name: str, parts: dict[str, Node], scope: Scope) -> list[Feature]:
    known = event_field(node, name, scope, frozenset())
    made = columns(node, parts, known, Raw(-1, name), f"the event's {descriptions.field(known)}")
    return [replace(each, name=name + each.name, fields=(f"event.{name}",)) for each in made]


def columns(node: Node, parts: dict[str, Node], known: Field, raw: Raw, words: str) -> list[Feature]:
    """The vector columns that one attribute or event value becomes, named by what follows its name."""
    form = parts["as"].choice(_FORMS.get(known.kind, ())) if "as" in parts else None
    if "values" in parts and (known.kind is not Kind.CATEGORY or form == "code"):
        parts["values"].blame("only a category with one column a value takes values")
    if known.kind is Kind.CATEGORY and form != "code":
        listed = parts["values"].items() if "values" in parts else []
        chosen = [item.attempt(one_of, item, known.values) for item in listed] or list(known.values)
        need(*chosen)
        return [
            Feature(f"_{v}", "", Equals(raw, known.values.index(v)), words, (), "", choice=v) for v in chosen
        ]
    if known.kind is Kind.DATE and raw.column != -1:
        words = words if "description" in parts else f"age by {words}"
        return [Feature("", "", Age(raw), words, (), "", unit="years")]
    if known.kind in (Kind.STRING, Kind.TIME, Kind.DATE):
        node.blame(
            f"{known.name} is {known.words}, which has no number; declare its values as a list "
            "(a category), or count it with distinct"
        )
    if known.kind is Kind.BOOLEAN:
        return [Feature("", "", Copy(raw), words, (), "", choice="true")]
    return [Feature("", "", Copy(raw), words + (" as code" if form else ""), (), "")]


_FORMS: dict[Kind, tuple[str, ...]] = {Kind.CATEGORY: ("columns", "code"), Kind.DATE: ("age",)}
