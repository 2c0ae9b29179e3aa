"""What a browser can be made to send by a page of somebody else's, and how it is told from what a caller means.

A service without tokens answers whoever reaches it, and a browser on the same machine does so for any page that it
shows: by a form, by a request that needs no preflight, or under a name that was pointed to 127.0.0.1 (DNS rebinding).
"""

import re
from collections.abc import Collection
from typing import Any

from fastapi import Request

from serving.configuration import Configuration
from serving.issuers import is_loopback
from serving.problems import NotJson, problem

MEDIA_TYPE = "application/json"  # no page of another site can send it unasked
HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^:\[\]/@]+)(:[0-9]*)?")
LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})
READS = frozenset({"GET", "HEAD", "OPTIONS"})  # other sites cannot see their answers
OWN_SITE = frozenset({b"same-origin", b"none"})  # a port beside ours is another origin of the same site


def demand_json(request: Request) -> None:
    """Raises NotJson unless the body's media type is JSON's."""
    found = request.headers.get("content-type", "")
    if found.partition(";")[0].strip().lower() != MEDIA_TYPE:
        raise NotJson(f"found {found[:80]!r}, expected Content-Type: {MEDIA_TYPE}")


class OwnPagesOnly:
    """An ASGI application around one that asks for no tokens. `hosts` are the names it answers to; empty: any."""

    def __init__(self, app: Any, hosts: Collection[str]) -> None:
        self._app, self._hosts = app, frozenset(hosts)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        refused = fault(scope["method"], scope["headers"], self._hosts) if scope["type"] == "http" else None
        if refused is None:
            await self._app(scope, receive, send)
        else:
            await problem(*refused)(scope, receive, send)


def hosts_of(settings: Configuration) -> frozenset[str]:
    """The names under which a service on loopback is asked; empty for one that other machines can reach."""
    return LOOPBACK | {settings.host} if is_loopback(settings.host) else frozenset()


def fault(
    method: str, headers: Collection[tuple[bytes, bytes]], hosts: frozenset[str]
) -> tuple[int, str, str] | None:
    """Status, title and detail of the refusal, if a request is to be refused."""
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
    """The name in a Host header, without the port; empty if there is none."""
    parts = HOST.fullmatch(value)
    return parts[1] if parts else ""


def is_from_elsewhere(headers: dict[bytes, bytes]) -> bool:
    """Whether a browser asks for another site's page. Programs send neither header."""
    site, origin = headers.get(b"sec-fetch-site"), headers.get(b"origin")
    if site is not None:
        return site.lower() not in OWN_SITE
    return origin is not None and origin.lower().partition(b"://")[2] != headers.get(b"host", b"").lower()
