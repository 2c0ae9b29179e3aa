"""Rolling the REST service out: what scripts tell the cluster, and when a canary is worse.

Programs of Google's and Kubernetes' that need the network are replaced.
"""

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from deploy.ci.compare import LEAST_REQUESTS, TrackFigures, fault
from pipeline.runtime.metrics import METRICS
from tests.deploy.manifests import rendered

ROOT = Path(__file__).parent.parent.parent
IMAGE = "europe-west1-docker.pkg.dev/bank-development/riskstream/serving:0.2.0"


@pytest.fixture
def cluster(tmp_path: Path) -> Path:
    """A folder of programs, each of which writes down how it was called; kubectl renders for real."""
    rendered("production")  # skips where there is no kubectl
    (tmp_path / "production.yaml").write_text(yaml.safe_dump_all(rendered("production")))
    calls = tmp_path / "calls"
    say = f'echo "$(basename "$0") $*" | tr -s "[:space:]" " " >> {calls}; echo >> {calls}'
    render = f'case "$*" in "kustomize "*) cat {tmp_path}/production.yaml; exit;; esac'
    keep = f'case "$*" in *apply*) cat >> {tmp_path}/applied;; esac'
    programs = {"kubectl": f"{render}\n{keep}\n{say}", "sleep": say, "python3": say}
    for name, script in programs.items():
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
    return tmp_path


def run(cluster: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": f"{cluster}:/usr/bin:/bin"}
    return subprocess.run(
        [ROOT / "deploy/ci" / words[0], *words[1:]], env=environment, capture_output=True, text=True
    )


def calls(cluster: Path) -> list[str]:
    return [line.strip() for line in (cluster / "calls").read_text().splitlines() if line.strip()]


def weights(call: str) -> list[int]:
    patch = json.loads(call.partition("--patch=")[2])
    return [each["value"] for each in patch]


def test_a_release_applies_a_stage_with_its_image_and_waits(cluster: Path) -> None:
    assert run(cluster, "serving", "production", IMAGE).returncode == 0
    applied = list(yaml.safe_load_all((cluster / "applied").read_text()))
    assert len(applied) == len(rendered("production"))
    images = set(re.findall(r"image: (\S+)", (cluster / "applied").read_text()))
    assert images == {IMAGE}
    assert "rollout status deployment/serving" in calls(cluster)[-1]


def test_a_canary_gets_a_tenth_and_gives_it_back(cluster: Path) -> None:
    ended = run(cluster, "canary", "production", IMAGE, "https://prometheus.example.com", "5")
    assert ended.returncode == 0, ended.stderr
    told = calls(cluster)
    assert "--selector=track!=stable" in told[0], "what answers now is left alone"
    steps = [
        next(w for w in ("apply", "scale", "rollout", "patch", "sleep", "compare") if w in call)
        for call in told
    ]
    assert steps == ["apply", "scale", "rollout", "patch", "sleep", "compare", "patch", "sleep", "scale"]
    assert [weights(call) for call in told if " patch " in call] == [[90, 10], [100, 0]]
    assert told[5].endswith("deploy.ci.compare https://prometheus.example.com 5")
    assert told[-1].endswith("scale deployment/serving-canary --replicas=0")


def test_a_canary_that_is_worse_fails_the_release_and_gives_its_requests_back(cluster: Path) -> None:
    (cluster / "python3").write_text("#!/bin/sh\nexit 1\n")
    assert run(cluster, "canary", "production", IMAGE, "https://prometheus.example.com").returncode == 1
    told = calls(cluster)
    assert weights([call for call in told if " patch " in call][-1]) == [100, 0]
    assert told[-1].endswith("--replicas=0")


def test_the_weights_that_a_canary_changes_are_those_of_both_tracks() -> None:
    (route,) = [each for each in rendered("production") if each["kind"] == "HTTPRoute"]
    names = [each["name"] for each in route["spec"]["rules"][0]["backendRefs"]]
    assert names == ["serving", "serving-canary"]


GOOD = TrackFigures(requests=10_000, slow=5, p99_s=0.04)


@pytest.mark.parametrize(
    ("canary", "told"),
    [
        (TrackFigures(1_000, 0, 0.03), ""),
        (TrackFigures(1_000, 9, 0.09), ""),
        (TrackFigures(1_000, 12, 0.04), "slow or failed: 1.20%"),
        (TrackFigures(1_000, 0, 0.15), "99 % within 150 ms, of the others within 40 ms"),
        (TrackFigures(LEAST_REQUESTS - 1, LEAST_REQUESTS - 1, 9.0), ""),
    ],
)
def test_a_canary_is_worse_when_it_is_slower_or_fails_more(canary: TrackFigures, told: str) -> None:
    assert fault(GOOD, canary).startswith(told) and bool(fault(GOOD, canary)) == bool(told)


class Prometheus:
    """Answers queries as Prometheus does, with one figure for each track and metric."""

    def __init__(self, values: dict[tuple[str, str], float]) -> None:
        self.asked: list[tuple[str, str | None]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                (query,) = parse_qs(urlsplit(self.path).query)["query"]
                server.asked.append((query, self.headers["authorization"]))
                found = next(
                    (v for (t, m), v in values.items() if f'track="{t}"' in query and m in query), None
                )
                result = [] if found is None else [{"metric": {}, "value": [0, str(found)]}]
                body = json.dumps(
                    {"status": "success", "data": {"resultType": "vector", "result": result}}
                ).encode()
                self.send_response(200)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def compared(request: pytest.FixtureRequest) -> Iterator[tuple[Prometheus, subprocess.CompletedProcess[str]]]:
    prometheus = Prometheus(request.param)
    try:
        words = ["-m", "deploy.ci.compare", f"http://127.0.0.1:{prometheus.server.server_port}/", "0"]
        yield (
            prometheus,
            subprocess.run(
                [sys.executable, *words],
                cwd=ROOT,
                env={"PROMETHEUS_TOKEN": "t"},
                capture_output=True,
                text=True,
            ),
        )
    finally:
        prometheus.close()


STABLE = {("stable", "requests_total"): 9_000.0, ("stable", "slow_total"): 3.0, ("stable", "latency"): 0.04}
WELL = {("canary", "requests_total"): 1_000.0, ("canary", "slow_total"): 1.0, ("canary", "latency"): 0.05}


@pytest.mark.parametrize("compared", [STABLE | WELL], indirect=True)
def test_a_canary_that_does_well_has_passed(
    compared: tuple[Prometheus, subprocess.CompletedProcess[str]],
) -> None:
    prometheus, ended = compared
    assert ended.returncode == 0, ended.stderr
    names = {metric.prometheus for metric in METRICS}
    for query, authorization in prometheus.asked:
        assert authorization == "Bearer t"
        (name,) = re.findall(r"riskstream_\w+", query)
        assert name.removesuffix("_bucket") in names


@pytest.mark.parametrize("compared", [STABLE | WELL | {("canary", "slow_total"): 50.0}], indirect=True)
def test_one_that_does_not_ends_in_1_and_says_why(
    compared: tuple[Prometheus, subprocess.CompletedProcess[str]],
) -> None:
    assert compared[1].returncode == 1
    assert "slow or failed: 5.00%" in compared[1].stderr


@pytest.mark.parametrize("compared", [STABLE], indirect=True)
def test_one_that_nobody_asked_has_shown_nothing(
    compared: tuple[Prometheus, subprocess.CompletedProcess[str]],
) -> None:
    assert compared[1].returncode == 1
    assert "found 0 requests" in compared[1].stderr
