"""Vector columns of single values: of the event being scored, and of an attribute (formulas.py).

A number is one column, a category one a value or its code, a date of a record an age.
"""

from dataclasses import replace

from features import wording
from features.document import Node, one_of
from features.filters import Scope
from features.schema import DERIVED, NUMERIC, Age, Copy, Equals, Feature, Field, Kind, Raw


def event_field(node: Node, name: str, scope: Scope, kinds: frozenset[Kind]) -> Field:
    """A field of the scored event types, the same in all of them that have it; or hour, weekday."""
    if name in DERIVED:
        return Field(name, Kind.INTEGER)
    having = [t for t in scope.event_types.values() if t.scored and name in t.fields]
    if not having:
        one_of(node.child_of_key(name), [f for t in scope.event_types.values() if t.scored for f in t.fields])
    found = [scope.field_of(node.child_of_key(name), t.name) for t in having]
    if len({(f.kind in NUMERIC or f.kind, f.values) for f in found}) > 1:
        node.blame(f"{name} is not the same kind of field in {', '.join(t.name for t in having)}")
    if kinds and found[0].kind not in kinds:
        node.blame(f"{name} is {found[0].words}; expected a number field")
    return found[0]


def event_features(node: Node, scope: Scope) -> tuple[Feature, ...]:
    """Reads `features.event`: names, or name: {as: code} or {values: [...]}."""
    features: list[Feature] = []
    for item in node.items():
        bare = {str(item.value): item.child_of_key("")}
        children = item.entries() if isinstance(item.value, dict) else bare
        for name, child in children.items():
            known = event_field(item, name, scope, frozenset())
            parts = child.record(optional=("as", "values")) if isinstance(child.value, dict) else {}
            words = f"the event's {wording.field(known)}"
            features += [
                replace(each, name=name + each.name, fields=(f"event.{name}",))
                for each in columns(item, parts, known, Raw(-1, name), words)
            ]
    return tuple(features)


def columns(node: Node, parts: dict[str, Node], known: Field, raw: Raw, words: str) -> list[Feature]:
    """The vector columns that one attribute or event value becomes, named by what follows its name."""
    form = parts["as"].choice(_FORMS.get(known.kind, ())) if "as" in parts else None
    if "values" in parts and (known.kind is not Kind.CATEGORY or form == "code"):
        parts["values"].blame("only a category with one column a value takes values")
    if known.kind is Kind.CATEGORY and form != "code":
        listed = parts["values"].items() if "values" in parts else []
        chosen = [one_of(item, known.values) for item in listed] or list(known.values)
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
