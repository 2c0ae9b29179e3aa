"""What stands before every route: who asks, whether the caller's role may do it, and the entry of the audit trail."""

from collections.abc import Awaitable, Callable

from fastapi import Request

from serving.access import ANONYMOUS
from serving.audit_requests import entry_of
from serving.audit_trail import TrailFull
from serving.auth import Forbidden, Gate
from serving.roles import MAY, ORDER, Action, Role
from serving.service import Service


class Guard:
    """Lets a request in or raises why not. Without a gate everybody may do everything."""

    def __init__(self, service: Service, gate: Gate | None) -> None:
        self._trail, self._gate = service.trail, gate

    def before(self, action: Action, event_type: str | None = None) -> Callable[[Request], Awaitable[None]]:
        """Return the check that a route awaits before this action.

        The check raises Unauthenticated, Forbidden, TrailFull or ProviderUnavailable.
        """

        async def check(request: Request) -> None:
            entry = entry_of(request.scope)
            entry.action, entry.event_type = action, event_type
            entry.customer = request.path_params.get("customer", "").strip() or None  # as in events
            if self._gate is None:
                entry.caller, entry.role = ANONYMOUS, Role.ADMIN
            else:
                caller = await self._gate.caller(request.headers.get("authorization"))
                entry.caller, entry.role = caller.name, caller.role
            if entry.role not in MAY[action]:
                raise Forbidden(why(entry.role, action))
            if action in NEEDS_TRAIL and self._trail and self._trail.is_full:
                raise TrailFull("its records wait for BigQuery, and no more can")

        return check


NEEDS_TRAIL = {Action.LOOK, Action.TRY, Action.OVERRIDE}  # see auditing.py


def why(role: Role | None, action: Action) -> str:
    """Why a caller may not do this, and which role may."""
    needed = " or ".join(each for each in ORDER if each in MAY[action])
    found = f"the caller's role is {role}" if role else "the token is good, but its caller has no role"
    return f"{found}; to {WORDS[action]} it must be {needed}"


WORDS = {
    Action.MODEL: "ask for the model",
    Action.LOOK: "look at a customer",
    Action.TRY: "try an event",
    Action.SEND: "send an event",
    Action.OVERRIDE: "override",
}
