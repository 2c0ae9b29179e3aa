"""Middleware that keeps a record of each request in the audit trail: operation, caller, customer, status.

The routes fill in the entry of their request; the record is kept before the first byte of the answer leaves. While no
more records can wait, requests that look at a customer, try an event or override a level are refused: they must leave a
trace. Events are accepted all the same, as a payment waits for the answer and the event itself names its caller; the
missing record is counted.
"""

import time
import uuid
from dataclasses import dataclass
from typing import Any

from pipeline.pubsub.message import id_attribute
from pipeline.runtime import tracing
from pipeline.runtime.metrics import AUDIT_MISSING, key
from pipeline.runtime.process_metrics import progress
from serving.audit.files import AuditRecord
from serving.audit.trail import Trail, TrailFull
from serving.auth.roles import Operation, Role
from serving.http.middleware import parent
from serving.http.problems import problem

ENTRY = "riskstream.audit"  # in the scope of a request
LONGEST_CHARACTERS = 200  # of a text in a record, as of an id
FULL = ("The audit trail is full", "BigQuery has been away for too long: ask again when it is back")
WITHHELD = {Operation.LOOK, Operation.TRY}  # their answers do not leave without a record, but for refusals


@dataclass
class AuditEntry:
    """The facts of a request that are known so far; without an action it leaves no record."""

    action: Operation | None = None
    caller: str | None = None
    role: Role | None = None
    customer: str | None = None
    event_type: str | None = None
    event_id: str | None = None
    author: str | None = None


def entry_of(scope: Any) -> AuditEntry:
    """Return the entry of the request with this scope."""
    entry: AuditEntry = scope[ENTRY]
    return entry


class Audited:
    """ASGI middleware; without a trail it keeps nothing."""

    def __init__(self, app: Any, trail: Trail | None, use_case: str) -> None:
        self._app, self._trail, self._use_case = app, trail, use_case

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        entry, is_answered, is_withheld = AuditEntry(), False, False
        scope[ENTRY] = entry

        async def keeping(message: Any) -> None:
            nonlocal is_answered, is_withheld
            if message["type"] == "http.response.start" and not is_answered:
                is_answered = True
                is_kept = self._keep(entry, scope, message["status"])
                is_withheld = not is_kept and entry.action in WITHHELD and says_something(message["status"])
                if is_withheld:
                    await problem(503, *FULL)(scope, receive, send)
            if not is_withheld:
                await send(message)

        try:
            await self._app(scope, receive, keeping)
        finally:
            if not is_answered:
                self._keep(entry, scope, 500)

    def _keep(self, entry: AuditEntry, scope: Any, status: int) -> bool:
        """Keep the record, if the request leaves one. Returns False if it should and could not."""
        if self._trail is None or entry.action in (None, Operation.MODEL):
            return True
        try:
            self._trail.add(record(entry, scope, status, self._use_case), is_stranger=entry.caller is None)
        except TrailFull:
            progress.counts[key(AUDIT_MISSING)] += 1
            return False
        return True


def says_something(status: int) -> bool:
    """Return whether an answer of this status says something of a customer; a 404 does as well."""
    return status < 400 or status == 404


def record(entry: AuditEntry, scope: Any, status: int, use_case: str) -> AuditRecord:
    """Return the record of a request that is answered now."""
    client = scope.get("client")
    return AuditRecord(
        id=uuid.uuid4().hex,
        answered_at=time.time_ns() // 1_000,
        use_case=use_case,
        action=str(entry.action),
        status=status,
        caller=entry.caller,
        role=entry.role and str(entry.role),
        customer=cut(entry.customer),
        event_type=entry.event_type,
        event_id=entry.event_id and id_attribute(entry.event_id),
        author=cut(entry.author),
        address=client[0] if client else None,
        trace_id=tracing.trace_id(parent(scope)) or None,
    )


def cut(text: str | None) -> str | None:
    """Return the first characters of a text, as many as a record holds."""
    return text and text[:LONGEST_CHARACTERS]
