"""Check before every route: the caller, whether the role allows the operation, and the audit entry."""

from collections.abc import Awaitable, Callable

from fastapi import Request

from serving.audit.trail import Trail, TrailFull
from serving.auth.access import ANONYMOUS
from serving.auth.roles import MAY, ORDER, Operation, Role
from serving.auth.tokens import Authenticator, Forbidden
from serving.http.audited import entry_of


class AccessGuard:
    """Checks requests. Without an authenticator everybody may do everything."""

    def __init__(self, trail: Trail | None, gate: Authenticator | None) -> None:
        self._trail, self._gate = trail, gate

    def before(
        self, action: Operation, event_type: str | None = None
    ) -> Callable[[Request], Awaitable[None]]:
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


NEEDS_TRAIL = {Operation.LOOK, Operation.TRY, Operation.OVERRIDE}  # see audited.py


def why(role: Role | None, action: Operation) -> str:
    """Say why a caller may not do this, and which role may."""
    needed = " or ".join(each for each in ORDER if each in MAY[action])
    held = f"the caller's role is {role}" if role else "the token is good, but its caller has no role"
    return f"{held}; to {WORDS[action]} it must be {needed}"


WORDS = {
    Operation.MODEL: "ask for the model",
    Operation.LOOK: "look at a customer",
    Operation.TRY: "try an event",
    Operation.SEND: "send an event",
    Operation.OVERRIDE: "override",
}
