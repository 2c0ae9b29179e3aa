"""Roles of callers, and the operations that each role allows."""

from collections.abc import Mapping
from enum import StrEnum


class Role(StrEnum):
    """Role of a caller, the least powerful first."""

    VIEWER = "viewer"  # looks at customers
    SCORER = "scorer"  # a program that sends events
    ANALYST = "analyst"  # a person who decides about customers
    ADMIN = "admin"


class Operation(StrEnum):
    """Operation that a request asks for."""

    MODEL = "model"  # asks which model is in use
    LOOK = "look"  # looks at the status of a customer
    TRY = "try"  # asks for the answer that an event would get
    SEND = "send"  # sends an event
    OVERRIDE = "override"  # sends an event that is a human's decision


MAY: Mapping[Operation, frozenset[Role]] = {
    Operation.MODEL: frozenset(Role),
    Operation.LOOK: frozenset({Role.VIEWER, Role.ANALYST, Role.ADMIN}),
    Operation.TRY: frozenset({Role.SCORER, Role.ANALYST, Role.ADMIN}),
    Operation.SEND: frozenset({Role.SCORER, Role.ANALYST, Role.ADMIN}),
    Operation.OVERRIDE: frozenset({Role.ANALYST, Role.ADMIN}),
}
ORDER = tuple(Role)


def strongest(roles: set[Role]) -> Role | None:
    """Return the most powerful of some roles; None of none."""
    return max(roles, key=ORDER.index, default=None)
