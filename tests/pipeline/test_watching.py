"""The signals of a job: metrics in Beam and for Prometheus, drift, logs of rejects, traces."""

import json
import logging
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache, partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import pairwise
from pathlib import Path
from urllib.request import urlopen

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from msgspec import structs
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from prometheus_client.parser import text_string_to_metric_families

from export.bundle import promote, save
from export.distributions.reference import reference
from features.events import to_json
from pipeline.engine.assess import assess
from pipeline.engine.assessments import Assessments
from pipeline.engine.live_drift import HOURS, LiveDrift
from pipeline.job import graph, worker
from pipeline.job.beam_options import beam_options
from pipeline.job.instrumentation import EXAMPLES, log_rejects
from pipeline.job.job import Job
from pipeline.job.source import Messages
from pipeline.job.translate import decode, encode
from pipeline.operations.gauges import redis_memory
from pipeline.pubsub.message import Message
from pipeline.runtime import metrics, tracing
from pipeline.runtime.logging_setup import JsonLines
from pipeline.runtime.metrics import METRICS, OF_JOB, MetricKind, key
from pipeline.runtime.process_metrics import Tally, progress
from pipeline.runtime.prometheus import Endpoint, check
from pipeline.stores.connect import cold_since_us
from pipeline.stores.readiness import COLD, Readiness
from pipeline.stores.redis_store import RedisStore
from pipeline.stores.store import MemoryStore
from tests.pipeline.market import MARKET, START_US, Sent, batched, history, market
from tests.pipeline.models import engine, trained
from tests.pipeline.servers import RedisServer, free_port
from tests.pipeline.vital import begun

ROOT = Path(__file__).parents[2]
TRACE = "0af7651916cd43dd8448eb211c80319c"  # pragma: allowlist secret
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"
# Of a step that the graph under test does not have, of workers that share records, and of a challenger.
ELSEWHERE = {"assess-stage-us-send", "assess-stage-us-owners", "assess-stage-us-shadow"}


@pytest.fixture
def job(tmp_path: Path, redis_server: RedisServer) -> Iterator[Job]:
    redis_server.client.flushall()
    begun(redis_server.url, market())
    root = str(tmp_path / "bundles")
    save(trained(market()), root)
    promote(root, trained(market()).manifest.id)
    found = Job.load(
        MARKET, bundle=root, redis_url=redis_server.url, project="project-1", metrics_port=free_port()
    ).with_paths()
    yield found
    worker.close(found)


def messages(events: list[Sent], **attributes: str) -> Messages:
    return Messages(
        Message(to_json(e.event), {"event_type": e.event_type, **attributes}, str(i), e.published_us)
        for i, e in enumerate(events)
    )


def scraped(port: int) -> dict[str, dict[tuple[str, ...], float]]:
    """Values by name and labels' values, of what Prometheus would see."""
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(of for _, of in sorted(sample.labels.items()))] = (
                sample.value
            )
    return found


def test_beam_and_prometheus_are_told_the_same(job: Job) -> None:
    """Beam's metrics are what Dataflow hands to Cloud Monitoring."""
    progress.counts.clear()
    after_us = START_US + 25 * HOUR_US  # drift is looked at over a whole day
    events = [
        *history(market(), 100, seed=21),
        *history(market(), 800, seed=22, start_us=after_us, prefix="q"),
    ]
    batches = [messages(events[i : i + 150]) for i in range(0, 900, 150)]
    pipeline = beam.Pipeline(runner=FnApiRunner(), options=beam_options([]))
    source = pipeline | beam.Impulse() | "Batches" >> beam.FlatMap(lambda _: batches)
    graph.assessed(source, job)
    result = pipeline.run()
    result.wait_until_finish()
    found = result.metrics().query(beam.metrics.MetricsFilter().with_namespace(metrics.NAMESPACE))
    counted = {one.key.metric.name: one.committed for one in found["counters"]}
    told = {key(metric, value) for metric in METRICS for value in metric.values or ("",)}
    for name, number in counted.items():
        own = name.removeprefix(metrics.STEM)
        assert own in told or own == key(metrics.MODEL, trained(market()).manifest.id)
        assert number == progress.counts[own], name
    distributed = {one.key.metric.name for one in found["distributions"]}
    for metric in METRICS:
        if metric.beam and metric.label:
            names = {f"{metric.beam}-{value}" for value in metric.values} - ELSEWHERE
            assert names <= counted.keys() | distributed, metric.name
        elif metric.beam:
            assert metric.beam in counted.keys() | distributed, metric.name
    assert counted["assess-events"] == counted["assess-late"] + counted["assess-duplicates"] == 900
    assert sum(counted[f"assess-scores-{value}"] for value in metrics.SCORES.values) > 600
    assert counted["assess-drift-checks"] == 1
    values = scraped(job.metrics_port or 0)
    assert values["riskstream_events_total"][()] == progress.counts["events"]
    assert values["riskstream_score_psi"][()] == progress.gauges["score-psi"]
    assert values["riskstream_stage_seconds_bucket"]["+Inf", "read"] == sum(
        progress.seen["stage-read"].counts
    )


def test_bands_hold_the_scores_up_to_their_end() -> None:
    from pipeline.engine.counts import band_counts

    rng = np.random.default_rng(1)
    score = np.concatenate([rng.random(500), metrics.BANDS, [0.0]]).astype(np.float32)
    found = band_counts(score)
    below = [-1.0, *(float(np.float32(end)) for end in metrics.BANDS)]
    expected = [int(np.count_nonzero((score > low) & (score <= high))) for low, high in pairwise(below)]
    assert list(found.values()) == expected and list(found) == [f"scores-{end:g}" for end in metrics.BANDS]


def test_a_distribution_is_counted_by_bucket() -> None:
    tally = Tally((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 9.0):
        tally.add(value)
    assert tally.counts == [2, 1, 1] and tally.total == 12.0


def endpoint(job: Job, redis_url: str) -> Endpoint:
    assert job.metrics_port
    return Endpoint("127.0.0.1", job.metrics_port, OF_JOB, [partial(redis_memory, RedisStore(redis_url))])


def test_a_taken_port_is_left_to_its_owner(job: Job, redis_server: RedisServer) -> None:
    """Each worker process takes the next; and what is away is not told as if it were there."""
    with closing(endpoint(job, redis_server.url)) as first:
        first._ask()
        assert scraped(first.port)["riskstream_redis_used_bytes"][()] > 100_000
        with pytest.raises(OSError, match="in use"):
            check("127.0.0.1", first.port)
        second = endpoint(job, "redis://127.0.0.1:1")
        assert first.port == job.metrics_port < second.port
    with closing(second):
        with pytest.raises(OSError):
            scraped(first.port)
        second._ask()
        assert "riskstream_redis_used_bytes" not in scraped(second.port)


@lru_cache
def said_of(n: int) -> Assessments:
    return assess(engine(market(), MemoryStore()), batched(market(), history(market(), n, seed=3)))


HOUR_US = 3_600_000_000
LOOKED_AT = 30.0  # seconds from one look to the next


def hour_of(said: Assessments, hour: int) -> Assessments:
    """The same events, all within an hour."""
    times_us = hour * HOUR_US + np.arange(len(said.vectors)) % HOUR_US
    return replace(said, batch=replace(said.batch, time_us=times_us))


def scored(n: int, shift: float, seed: int, hour: int = 0) -> Assessments:
    """n events with features and scores as in training, the features times a factor."""
    rng, said = np.random.default_rng(seed), said_of(n)
    vectors = np.float32(shift) * rng.lognormal(2, 2, said.vectors.shape).astype(np.float32)
    vectors[rng.random(vectors.shape) < 0.1] = np.nan
    found = engine(market(), MemoryStore()).scorer.score(vectors)
    score = np.where(np.isnan(said.score), np.nan, found).astype(np.float32)
    return hour_of(replace(said, vectors=vectors, score=score), hour)


def test_a_day_that_is_as_training_is_no_drift_and_one_that_is_not_is() -> None:
    for shift, is_drift in ((1.0, 0), (30.0, 1)):
        drift = LiveDrift(trained(market()), market())
        seen = [drift.add(scored(300, shift, seed=hour, hour=hour), LOOKED_AT * hour) for hour in range(26)]
        assert not any(seen[:HOURS]), "not a whole day yet"
        expected = {"drift-checks": 1, "drifted-score": is_drift, "drifted-features": is_drift}
        assert seen[HOURS:] == [expected] * 2
        assert (progress.gauges["score-psi"] > 0.2) == bool(is_drift)
        assert not drift.add(scored(300, shift, seed=99, hour=26), LOOKED_AT * 25 + 1), "a look is not due"


def test_hours_that_differ_are_no_drift_but_the_whole_day_moved_is() -> None:
    """Nights are unlike days in every feature; batches are larger by day, of which as many are sampled."""
    rng = np.random.default_rng(7)

    def at(hour: int, moved: int = 0) -> Assessments:
        n = 60 if hour % 24 < 8 else 600
        said = scored(n, 1.0, seed=hour, hour=hour)
        factor = np.float32(50.0 if (hour + moved) % 24 < 8 else 1.0)
        return replace(said, vectors=said.vectors * factor, score=rng.random(n, np.float32))

    day = [at(hour) for hour in range(24)]
    vectors, score = (np.concatenate([getattr(each, name) for each in day]) for name in ("vectors", "score"))
    learned = structs.replace(trained(market()), reference=reference(market().features, vectors, score))
    for moved, is_drift in ((0, 0), (12, 1)):
        drift = LiveDrift(learned, market())
        seen = [drift.add(at(hour, moved), LOOKED_AT * hour) for hour in range(40)]
        assert not any(seen[:HOURS])
        assert [each["drifted-features"] for each in seen[HOURS:]] == [is_drift] * 16


def test_the_latest_day_counts_and_what_is_older_does_not() -> None:
    drift = LiveDrift(trained(market()), market())
    for hour in range(25):
        drift.add(scored(300, 30.0, seed=hour, hour=hour), LOOKED_AT * hour)
    for hour in range(25, 49):
        found = drift.add(scored(300, 1.0, seed=hour, hour=hour), LOOKED_AT * hour)
        late = drift.add(scored(300, 30.0, seed=hour, hour=hour - 24), LOOKED_AT * hour + 1)
        assert not late, "too late to be of the latest day"
    assert found["drifted-features"] == 0


def test_windows_that_a_new_store_has_not_filled_do_not_alarm() -> None:
    """The longest window has seven days, and training's records are as old as ten."""
    known = trained(market())
    learned = structs.replace(known, reference=structs.replace(known.reference, span_us=10 * 24 * HOUR_US))
    cold, filled = (LiveDrift(learned, market(), cold_us) for cold_us in (0, None))
    weekly = [name for name in market().features if name.endswith("_7d")]
    for hour in range(12 * 24):
        said = scored(120, 1.0, seed=hour, hour=hour)
        said.vectors[:, [market().features.index(name) for name in weekly]] *= np.float32(40)
        found = [drift.add(said, LOOKED_AT * hour) for drift in (cold, filled)]
        if hour in (2 * 24, 6 * 24):
            assert [each["drifted-features"] for each in found] == [0, 1]
        if hour == 9 * 24:
            assert [each["drifted-features"] for each in found] == [1, 1]
    assert cold._fills.judged(9 * 24 * HOUR_US, 0)[1] is False, "the score depends on the age of records"
    assert cold._fills.judged(10 * 24 * HOUR_US, 0)[1] is True
    assert cold._fills.judged(11 * 24 * HOUR_US, 10 * 24 * HOUR_US)[1] is True


def test_redis_says_whether_the_store_began_empty(job: Job) -> None:
    at = datetime(2026, 3, 1, 12, tzinfo=UTC)
    with closing(RedisStore(job.redis_url)) as store:
        readiness = Readiness(store, job.prefix, job.use_case.name)
        found = []
        for how in (COLD, "backfill"):
            readiness.mark(job.use_case.fingerprint, how, at)
            found.append(cold_since_us(job, job.use_case))
    assert found == [round(at.timestamp() * 1e6), None]
    assert cold_since_us(replace(job, redis_url="redis://127.0.0.1:1"), job.use_case) is None


def test_drift_is_told_of_the_model_in_use_only() -> None:
    drift, said = LiveDrift(trained(market()), market()), replace(said_of(1_000), model_version="another")
    assert not any(drift.add(hour_of(said, hour), LOOKED_AT * hour) for hour in range(30))


def test_what_is_logged_of_rejects_is_no_content(caplog: pytest.LogCaptureFixture) -> None:
    attributes = {"event_type": "payment", "event_id": "e7", "traceparent": PARENT}
    bad = Message(b'{"customer": "ann@bank.example", "amount": "SECRET"}', attributes, "m7", START_US)
    decoded = decode(market(), [bad] * (EXAMPLES + 2))
    with caplog.at_level(logging.WARNING):
        log_rejects(decoded.rejects)
    lines = [json.loads(JsonLines().format(record)) for record in caplog.records]
    assert len(lines) == EXAMPLES + 1 and "2 more" in lines[-1]["message"]
    expected = {"severity": "WARNING", "event_id": "e7", "event_type": "payment", "message_id": "m7",
                "reason": "invalid", "trace_id": TRACE}  # fmt: skip
    assert lines[0].items() >= expected.items()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", lines[0]["time"])
    text = json.dumps(lines)
    assert "ann@bank" not in text and "SECRET" not in text
    assert all(word in lines[0]["message"] for word in ("e7", TRACE)), "a log without JSON says it too"


def test_the_log_of_a_command_is_json_if_wanted() -> None:
    code = (
        "import logging; from commands.options import LogFormat, set_log; set_log(LogFormat.JSON, True); "
        "logging.getLogger('a').info('b %d', 1)"
    )
    environment = {**os.environ, "GOOGLE_CLOUD_PROJECT": "p"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True, env=environment
    )
    assert json.loads(done.stderr).items() >= {"severity": "INFO", "logger": "a", "message": "b 1"}.items()


@pytest.mark.parametrize("name", tracing.ATTRIBUTES)
def test_an_alert_and_a_dead_letter_keep_the_trace_of_their_message(name: str) -> None:
    events = history(market(), 300, seed=6)
    sent = [*messages(events, **{name: PARENT}), Message(b"", {name: PARENT}, "m", START_US)]
    decoded = decode(market(), sent)
    leaves = encode(decoded, assess(engine(market(), MemoryStore()), decoded.events), START_US)
    assert leaves.alerts and {alert.attributes["traceparent"] for alert in leaves.alerts} == {PARENT}
    assert leaves.dead_letters[0].attributes[name] == PARENT


@pytest.mark.parametrize("found", ["", "00-xyz", PARENT + "0", PARENT.upper()])
def test_what_is_not_a_traceparent_is_none(found: str) -> None:
    assert tracing.parent_of({"traceparent": found}) == ""
    assert tracing.parent_of({}) == "" == tracing.trace_id("")


class Collector(BaseHTTPRequestHandler):
    """Takes spans as an OpenTelemetry collector does."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            import gzip

            body = gzip.decompress(body)
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.server.spans += [span for scope in resource.scope_spans for span in scope.spans]  # type: ignore[attr-defined]
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


BATCH = f"""
from pipeline.runtime import tracing
tracing.start()
stages = {{"decode": (1_000_000_000, 0.5), "read": (1_600_000_000, 0.25)}}
parent = tracing.batch(1_000_000_000, stages, ["{PARENT}"], messages=3, model="m")
tracing.emitted(parent, 2_000_000_000)
print(parent)
"""


@pytest.mark.parametrize("is_on", [True, False])
def test_a_batch_is_a_trace_if_a_collector_is_named(is_on: bool) -> None:
    with HTTPServer(("127.0.0.1", 0), Collector) as server:
        server.spans = []  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        own = {tracing.ENDPOINT: f"http://127.0.0.1:{server.server_port}"} if is_on else {}
        environment = {**os.environ, tracing.SAMPLER: "always_on", **own}
        done = subprocess.run(
            [sys.executable, "-c", BATCH], cwd=ROOT, capture_output=True, check=True, env=environment
        )
        server.shutdown()
        spans = {span.name: span for span in server.spans}  # type: ignore[attr-defined]
    if not is_on:
        assert done.stdout.decode().strip() == "" and not spans
        return
    assert spans.keys() == {"batch", "decode", "read", "emit"}
    whole = spans["batch"]
    assert tracing.parent_of({"traceparent": done.stdout.decode().strip()})[3:35] == whole.trace_id.hex()
    assert {span.parent_span_id for name, span in spans.items() if name != "batch"} == {whole.span_id}
    assert [link.trace_id.hex() for link in whole.links] == [TRACE]
    read = spans["read"]
    assert (read.start_time_unix_nano, read.end_time_unix_nano) == (1_600_000_000, 1_850_000_000)
    assert {each.key for each in whole.attributes} == {"messages", "model"}


def test_kinds_are_told_as_what_they_are(job: Job, redis_server: RedisServer) -> None:
    own = endpoint(job, redis_server.url)
    with closing(own), urlopen(f"http://127.0.0.1:{own.port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    kinds = {MetricKind.DISTRIBUTION: "histogram", MetricKind.COUNTER: "counter", MetricKind.GAUGE: "gauge"}
    for metric in OF_JOB:
        assert f"# TYPE {metric.prometheus} {kinds[metric.kind]}\n" in text
        assert f"# HELP {metric.prometheus} {metric.meaning}" in text
