"""Who may do what: four roles, and what each of them may ask of the service."""

from collections.abc import Mapping
from enum import StrEnum


class Role(StrEnum):
    """What a caller may be, the least powerful first."""

    VIEWER = "viewer"  # looks at customers
    SCORER = "scorer"  # a program that sends events
    ANALYST = "analyst"  # a person who decides about customers
    ADMIN = "admin"


class Action(StrEnum):
    """What a request does."""

    MODEL = "model"  # asks which model is in use
    LOOK = "look"  # asks how a customer stands
    TRY = "try"  # asks what would be said about an event
    SEND = "send"  # sends an event
    OVERRIDE = "override"  # sends an event that is a human's decision


MAY: Mapping[Action, frozenset[Role]] = {
    Action.MODEL: frozenset(Role),
    Action.LOOK: frozenset({Role.VIEWER, Role.ANALYST, Role.ADMIN}),
    Action.TRY: frozenset({Role.SCORER, Role.ANALYST, Role.ADMIN}),
    Action.SEND: frozenset({Role.SCORER, Role.ANALYST, Role.ADMIN}),
    Action.OVERRIDE: frozenset({Role.ANALYST, Role.ADMIN}),
}
ORDER = tuple(Role)


def strongest(roles: set[Role]) -> Role | None:
    """The most powerful of some roles; None of none."""
    return max(roles, key=ORDER.index, default=None)
