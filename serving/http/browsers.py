"""Protection against requests that a foreign page makes a browser send.

A service without tokens answers whoever reaches it, and a browser on the same machine does so for any page that it
shows: by a form, by a request that needs no preflight, or under a name that was pointed to 127.0.0.1 (DNS rebinding).
"""

import re
from collections.abc import Collection
from typing import Any

from fastapi import Request

from serving.auth.issuers import is_loopback
from serving.http.problems import NotJson, problem

MEDIA_TYPE = "application/json"  # no page of another site can send it unasked
HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^:\[\]/@]+)(:[0-9]*)?")
LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})
READS = frozenset({"GET", "HEAD", "OPTIONS"})  # other sites cannot see their answers
OWN_SITE = frozenset({b"same-origin", b"none"})  # a port beside ours is another origin of the same site


def demand_json(request: Request) -> None:
    """Refuse a body that is not declared as JSON. Raises NotJson."""
    declared = request.headers.get("content-type", "")
    if declared.partition(";")[0].strip().lower() != MEDIA_TYPE:
        raise NotJson(f"found {declared[:80]!r}, expected Content-Type: {MEDIA_TYPE}")


class OwnPagesOnly:
    """ASGI middleware for a service without tokens. `hosts` are the names it answers to; empty: any."""

    def __init__(self, app: Any, hosts: Collection[str]) -> None:
        self._app, self._hosts = app, frozenset(hosts)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        refused = fault(scope["method"], scope["headers"], self._hosts) if scope["type"] == "http" else None
        if refused is None:
            await self._app(scope, receive, send)
        else:
            await problem(*refused)(scope, receive, send)


def hosts_of(host: str) -> frozenset[str]:
    """Return the host names of a service on loopback; empty if other machines can reach it."""
    return LOOPBACK | {host} if is_loopback(host) else frozenset()


def fault(
    method: str, headers: Collection[tuple[bytes, bytes]], hosts: frozenset[str]
) -> tuple[int, str, str] | None:
    """Return status, title and detail of a refusal; None if the request is fine."""
    asked = [value.decode("latin-1").lower() for name, value in headers if name == b"host"]
    if hosts and not (asked and all(host_in(each) in hosts for each in asked)):
        return 421, "This is not the host that was asked for", f"expected Host: {' or '.join(sorted(hosts))}"
    if method not in READS and is_from_elsewhere(dict(headers)):
        return (
            403,
            "Pages of other sites may not send events",
            "the browser says that it asks for one of them",
        )
    return None


def host_in(value: str) -> str:
    """Return the name in a Host header, without the port; empty if there is none."""
    parts = HOST.fullmatch(value)
    return parts[1] if parts else ""


def is_from_elsewhere(headers: dict[bytes, bytes]) -> bool:
    """Return whether a browser sends the request for another site's page; programs send neither header."""
    site, origin = headers.get(b"sec-fetch-site"), headers.get(b"origin")
    if site is not None:
        return site.lower() not in OWN_SITE
    return origin is not None and origin.lower().partition(b"://")[2] != headers.get(b"host", b"").lower()
