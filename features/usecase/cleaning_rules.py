"""The `clean` list of an event type: which rows of a history are left out, and why.

Rules are for history only (training, profile, backfill), where a row is known to be an artefact of an export. The
stream never drops an event: what cannot be used goes to the dead letters, all else is counted and scored. So a rule
is no part of a feature, leaves the fingerprint as it is, and may name any field, also the label and protected ones.
"""

from collections.abc import Mapping

from features.usecase.conditions import DERIVED, CleaningRule, Condition, Drop, Keep
from features.usecase.event_keys import DROP, KEEP
from features.usecase.schema import Field
from features.usecase.where import tests
from features.usecase.yaml_tree import Node, one_of

WHICH = ("first", "latest")


def cleaning(node: Node, fields: Mapping[str, Field], is_dated: bool) -> tuple[CleaningRule, ...]:
    """The rules in the order in which they are applied. Rows that are not `is_dated` have neither hour nor weekday."""
    return node.each(lambda item: _rule(item, fields, is_dated))


def _rule(node: Node, fields: Mapping[str, Field], is_dated: bool) -> CleaningRule:
    entries = node.entries()
    if ("drop" in entries) == ("keep" in entries):
        node.fail("a rule with either drop or keep")
    if "drop" in entries:
        parts = node.section(DROP)
        dropped = node.attempt(_some_tests, parts["drop"], fields)
        if not is_dated:
            node.attempt(_refuse_derived, parts["drop"])
        return Drop(dropped, node.attempt(_text, parts["reason"]))
    parts = node.section(KEEP)
    which = node.attempt(lambda: parts["keep"].choice(WHICH))
    return Keep(which, node.attempt(_fields, parts["per"], fields), node.attempt(_text, parts["reason"]))


def _text(node: Node) -> str:
    return node.text()


def _some_tests(node: Node, fields: Mapping[str, Field]) -> tuple[Condition, ...]:
    found = tests(node, fields)
    if not node.entries():
        node.fail("at least one test: this would drop every row")
    return found


def _refuse_derived(node: Node) -> None:
    for name in (name for name in node.entries() if name in DERIVED):
        node.child(name, name).blame(
            f"rows without a time of their own (time: published) have no {name}; test other fields"
        )


def _fields(node: Node, fields: Mapping[str, Field]) -> tuple[str, ...]:
    """The fields named; none for "*", which is all."""
    if node.value in ("*", ("*",)):
        return ()
    names = node.each(lambda item: one_of(item, fields))
    if not names or len(set(names)) < len(names):
        node.fail("a list of different fields")
    return names
