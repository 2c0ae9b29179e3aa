"""Middleware that counts and times requests, and takes no more at once than can be answered in time."""

import time
from typing import Any

from pipeline.runtime import metrics, tracing
from pipeline.runtime.metrics import PROMPT_S, key
from pipeline.runtime.process_metrics import progress, tally
from serving.http.problems import problem

UNOBSERVED = ("/health", "/docs", "/openapi.json")
TOO_MANY = "as many as can be answered in time wait already; ask again"


class Observed:
    """ASGI middleware. It logs nothing: paths may name customers."""

    def __init__(self, app: Any, most: int) -> None:
        self._app, self._most, self._in_flight = app, most, 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["path"].removeprefix(scope["root_path"]).startswith(UNOBSERVED):
            await self._app(scope, receive, send)
        elif self._in_flight >= self._most:
            await problem(503, "Too many requests at once", TOO_MANY)(scope, receive, send)
            count(503, 0.0)
        else:
            await self._observed(scope, receive, send)

    async def _observed(self, scope: Any, receive: Any, send: Any) -> None:
        began_s, began_ns, status = time.perf_counter(), time.time_ns(), 500

        async def noting(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        self._note(1)
        try:
            await self._app(scope, receive, noting)
        finally:
            self._note(-1)
            count(status, time.perf_counter() - began_s)
            tracing.answered(parent(scope), began_ns, status)

    def _note(self, more: int) -> None:
        self._in_flight += more
        progress.gauges[key(metrics.IN_FLIGHT)] = self._in_flight


def count(status: int, spent_s: float) -> None:
    """Count an answered request and its time."""
    progress.counts[key(metrics.REQUESTS, str(status))] += 1
    progress.counts[key(metrics.SLOW)] += status >= 500 or spent_s > PROMPT_S
    tally(metrics.LATENCY, spent_s)


def count_refusal(status: int) -> None:
    """Count a request that was refused before it was complete; it has no answer time."""
    progress.counts[key(metrics.REQUESTS, str(status))] += 1
    progress.counts[key(metrics.SLOW)] += status >= 500


def parent(scope: Any) -> str:
    """Return the traceparent of a request; "" if it has none."""
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    return tracing.parent_of(headers)
