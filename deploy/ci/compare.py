"""Comparison of the REST service's canary with the stable track, by their metrics in a Prometheus.

python3 -m deploy.ci.compare URL MINUTES looks every half minute, ends in 1 as soon as the canary is worse, or if there
were too few requests to tell, and in 0 after MINUTES. PROMETHEUS_TOKEN is sent as bearer token. Google's URL is
https://monitoring.googleapis.com/v1/projects/PROJECT/location/global/prometheus.
"""

import json
import math
import os
import sys
import time
from dataclasses import dataclass
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from features.errors import Refused
from pipeline.runtime.metrics import LATENCY, PROMPT_S, REQUESTS, SLOW

TIMEOUT_S = 10.0
INTERVAL_S = 30.0
LEAST_REQUESTS = 200  # of the canary; of fewer, one slow answer would decide
MOST_MORE_SLOW = (
    0.01  # a tenth of what the fastest burn-rate alert of the objective, 99.9 %, would be told for
)
MOST_TIMES = 2.0  # the 99th percentile is read off a histogram whose bounds are a factor of two apart
TRACKS = ("stable", "canary")


class CanaryWorse(Refused):
    """The canary is worse than the stable version, or had too few requests to tell."""


@dataclass(frozen=True)
class TrackFigures:
    """Figures of one track in the minutes looked at."""

    requests: float
    slow: float  # failed on our side, or later than the objective
    p99_s: float

    @property
    def slow_share(self) -> float:
        return self.slow / self.requests if self.requests else 0.0


def fault(stable: TrackFigures, canary: TrackFigures) -> str:
    """Describe what is worse about the canary; empty: nothing, or too few requests to say."""
    if canary.requests < LEAST_REQUESTS:
        return ""
    if canary.slow_share > stable.slow_share + MOST_MORE_SLOW:
        return (
            f"slow or failed: {canary.slow_share:.2%} of its requests, {stable.slow_share:.2%} of the others"
        )
    if canary.p99_s > max(PROMPT_S, MOST_TIMES * stable.p99_s):
        return f"99 % within {canary.p99_s * 1e3:.0f} ms, of the others within {stable.p99_s * 1e3:.0f} ms"
    return ""


def figures(url: str, token: str, track: str, minutes: int) -> TrackFigures:
    chosen = f'{{track="{track}"}}[{minutes}m]'
    buckets = f"sum by (le) (increase({LATENCY.prometheus}_bucket{chosen}))"
    return TrackFigures(
        requests=ask(url, token, f"sum(increase({REQUESTS.prometheus}{chosen}))"),
        slow=ask(url, token, f"sum(increase({SLOW.prometheus}{chosen}))"),
        p99_s=ask(url, token, f"histogram_quantile(0.99, {buckets})"),
    )


def ask(url: str, token: str, query: str) -> float:
    """The one value of a query; 0 where there is none."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = Request(f"{url}/api/v1/query?{urlencode({'query': query})}", headers=headers)
    with urlopen(request, timeout=TIMEOUT_S) as answer:  # the URL is the pipeline's
        series = json.load(answer)["data"]["result"]
    value = float(series[0]["value"][1]) if series else 0.0
    return 0.0 if math.isnan(value) else value


def watch(url: str, token: str, minutes: int) -> None:
    """Raises CanaryWorse."""
    ends = time.monotonic() + minutes * 60
    while True:
        stable, canary = (figures(url, token, track, minutes) for track in TRACKS)
        print(f"stable: {stable}\ncanary: {canary}", flush=True)
        if worse := fault(stable, canary):
            raise CanaryWorse(worse)
        left = ends - time.monotonic()
        if left <= 0:
            break
        time.sleep(min(INTERVAL_S, left))
    if canary.requests < LEAST_REQUESTS:
        raise CanaryWorse(
            f"found {canary.requests:.0f} requests, expected {LEAST_REQUESTS}: wait longer, or send some"
        )


if __name__ == "__main__":
    try:
        watch(sys.argv[1].rstrip("/"), os.environ.get("PROMETHEUS_TOKEN", ""), int(sys.argv[2]))
    except (CanaryWorse, OSError, KeyError) as error:
        sys.exit(f"compare: {error}")
