"""The whole job on real servers: each published message becomes one assessment or one dead letter."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from urllib.request import urlopen

import pytest
from google.cloud import bigquery
from prometheus_client.parser import text_string_to_metric_families
from redis import Redis
from typer.testing import CliRunner, Result

import riskstream
from deploy.monitoring.language import Prometheus
from deploy.monitoring.write import asked, charts
from export.bundle import bundle, promote, save
from export.pointers import SHADOW, withdraw
from features.events import to_json
from features.times import rfc3339
from features.usecase import parse
from pipeline.bigquery import tables
from pipeline.bigquery.client import query_client
from pipeline.engine.live_model import LiveModel
from pipeline.job.job import Job
from pipeline.job.preflight import check
from pipeline.job.run import run
from pipeline.pubsub.client import Publication
from pipeline.runtime import metrics, process_metrics
from pipeline.runtime.errors import CannotStart
from pipeline.runtime.metrics import Metric
from tests.commands import Run
from tests.pipeline.broker import Broker, broker_of
from tests.pipeline.market import MARKET, Sent, history, market
from tests.pipeline.models import THRESHOLDS, trained
from tests.pipeline.servers import RedisServer, free_port

PROJECT = "local-project"
PATIENCE_S = 150.0
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def cloud(bigquery_server: None) -> bigquery.Client:
    return query_client(PROJECT)


@pytest.fixture
def broker() -> Iterator[Broker]:
    with broker_of("market") as broker:
        yield broker


@pytest.fixture
def job(
    cloud: bigquery.Client,
    broker: Broker,
    redis_server: RedisServer,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> Job:
    """A job with all it needs, of the test's own."""
    redis_server.client.flushall()
    dataset, root, names = request.node.originalname, str(tmp_path / "bundles"), broker.names
    tables.create(cloud, dataset)
    save(trained(market()), root)
    promote(root, trained(market()).manifest.id)
    return Job.load(
        MARKET, bundle=root, redis_url=redis_server.url, project=PROJECT, dataset=dataset, state=str(tmp_path),
        subscription=names.reader(names.events), alerts_topic=names.alerts,
        dead_letters_topic=names.dead_letters, allow_empty_store=True,
    )  # fmt: skip


def published(broker: Broker, events: list[Sent], *others: Publication) -> None:
    """A history with its own event times; types without one say theirs in an attribute."""
    own = [
        Publication(to_json(e.event), {"event_type": e.event_type, "event_time": rfc3339(e.published_us)})
        for e in events
    ]
    broker.publish(broker.names.events, *own, *others)


@contextmanager
def running(job: Job, *beam: str) -> Iterator[list[int]]:
    """The job in a thread of this process; its exit code is there after the block."""
    codes: list[int] = []
    thread = threading.Thread(target=lambda: codes.append(run(job, beam)))
    thread.start()
    try:
        yield codes
    finally:
        process_metrics.stop.set()
        thread.join(PATIENCE_S)
        process_metrics.stop.clear()


def until(condition: Callable[[], bool], what: str) -> None:
    until_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < until_s, f"{what}: not within {PATIENCE_S:g} s"
        time.sleep(0.1)


def left(broker: Broker) -> int:
    """Messages that are not acknowledged."""
    with broker.server._engine.open() as own:
        return int(own.figures(0.0)[broker.names.reader(broker.names.events)]["num_undelivered_messages"])


def rows(cloud: bigquery.Client, job: Job, query: str) -> list[tuple[object, ...]]:
    return [tuple(row) for row in cloud.query_and_wait(query.replace("FROM ", f"FROM {job.dataset}."))]


def count(cloud: bigquery.Client, job: Job, table: str) -> int:
    return int(rows(cloud, job, f"SELECT COUNT(*) FROM {table}")[0][0])


def test_every_message_is_one_assessment_or_one_dead_letter(
    cloud: bigquery.Client, broker: Broker, job: Job
) -> None:
    """There are duplicates; and every metric of a dashboard or an alert is told."""
    process_metrics.progress.gauges.clear()
    job = replace(job, batch=500, metrics_port=free_port())
    events = history(market(), 6_000, seed=8, customers=400)
    bad = [
        Publication(b"\xff\x00", {"event_type": "payment", "trace": "a"}),
        Publication(b"{}", {"event_type": "payment"}),
        Publication(b"{}", {"event_type": "refund"}),
    ]
    published(broker, events[:3_000], *bad)
    with running(job) as codes:
        until(lambda: left(broker) == 0, "first half")
        published(broker, events[3_000:])
        until(lambda: left(broker) == 0, "second half")
        published(broker, events[-10:])
        until(lambda: left(broker) == 0, "again")
        until(
            lambda: metrics.key(metrics.BACKLOG) in process_metrics.progress.gauges,
            "Pub/Sub and Redis are asked",
        )
        tell_everything(job.metrics_port, metrics.OF_JOB, MOVED)
        status = process_metrics.read(Path(job.state))
        assert status is not None and status.pid == os.getpid() and status.waiting_for is None
    assert codes == [0]
    assert count(cloud, job, "assessments") + count(cloud, job, "dead_letters") == 6_013
    late = dict(rows(cloud, job, "SELECT reason, COUNT(*) FROM dead_letters GROUP BY reason"))
    assert late.pop("too_late", 0) < 600, "repetitions from long ago"
    assert late == {"undecodable": 1, "invalid": 1, "unknown_type": 1}
    applied = "SELECT event_id, customer, seq FROM assessments WHERE disposition = 'applied'"
    found = rows(cloud, job, applied)
    assert len({(customer, seq) for _, customer, seq in found}) == len(found), "a number is given once"
    payments = rows(cloud, job, f"{applied} AND event_type = 'payment'")
    sent = {e.event.id for e in events if e.event_type == "payment"}
    assert sorted(event_id for event_id, *_ in payments) == sorted(sent), "each is counted once"
    letters = broker.messages(broker.names.dead_letters, 3)
    for sent, letter in zip(bad, sorted(letters, key=lambda m: m.message_id)[:3], strict=False):
        assert letter.data == sent.data and letter.attributes.items() >= sent.attributes.items()
    changed = rows(
        cloud,
        job,
        "SELECT customer, seq FROM assessments WHERE level_before != level OR transition IS NOT NULL",
    )
    alerts = broker.messages(broker.names.alerts, len(changed))
    assert sorted(a.attributes["id"] for a in alerts) == sorted(
        f"market:{market().fingerprint}:{c}:{s}" for c, s in changed
    )


MOVED = (
    metrics.EVENTS, metrics.DUPLICATES, metrics.ALERTS, metrics.LEVEL_CHANGES, metrics.RECOMMENDATIONS, metrics.SCORES,
    metrics.MODEL, metrics.REJECTS, metrics.DRIFT_CHECKS, metrics.BATCH, metrics.LAG, metrics.EVENT_LAG,
    metrics.STAGE, metrics.WAIT, metrics.SCORE_PSI, metrics.FEATURE_CSI, metrics.REDIS_USED,
)  # fmt: skip


def tell_everything(port: int | None, told: Sequence[Metric], moved: Sequence[Metric]) -> None:
    """Each metric of dashboards and alerts has a value, and where something has happened, not nothing."""
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        families = {f.name: f for f in text_string_to_metric_families(answer.read().decode())}
    place = Prometheus()
    list(charts(place)), list(asked(place))
    assert place.used == {metric.name for metric in metrics.METRICS} >= {metric.name for metric in told}
    assert len(families) == len(told), "of the others, not even that they are there: absent() looks for them"
    for metric in told:
        family = families[metric.prometheus.removesuffix("_total")]
        assert family.samples, f"{metric.name}: on a dashboard, but nobody tells it"
        assert metric not in moved or max(sample.value for sample in family.samples) > 0, metric.name


@pytest.fixture
def job_server() -> Iterator[str]:
    """The endpoint of Beam's own job server, in a process that runs what it is given."""
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "apache_beam.runners.portability.local_job_service_main",
        "-p",
        str(port),
    ]
    with subprocess.Popen(command, cwd=ROOT) as process:
        yield f"localhost:{port}"
        process.kill()


def test_a_job_elsewhere_is_watched_until_told_to_stop(
    cloud: bigquery.Client, broker: Broker, job: Job, job_server: str
) -> None:
    events = history(market(), 300, seed=12)
    flags = (
        "--runner=PortableRunner",
        f"--job_endpoint={job_server}",
        "--environment_type=beam:env:embedded_python:v1",
    )
    with running(replace(job, workers=2), *flags) as codes:
        published(broker, events[:200])
        until(lambda: left(broker) == 0, "the first part")
        published(broker, events[200:])
        until(lambda: left(broker) == 0, "the second part")
        assert not codes
    assert codes == [0]
    assert count(cloud, job, "assessments") + count(cloud, job, "dead_letters") == 300


def test_a_job_elsewhere_that_ends_by_itself_is_a_fault(
    cloud: bigquery.Client, job: Job, job_server: str
) -> None:
    nobody = f"--environment_config=localhost:{free_port()}"
    flags = ("--runner=PortableRunner", f"--job_endpoint={job_server}", "--environment_type=EXTERNAL", nobody)
    assert run(job, flags) == 1


def test_a_frozen_redis_is_waited_for(
    cloud: bigquery.Client, broker: Broker, job: Job, redis_server: RedisServer
) -> None:
    with running(job):
        published(broker, history(market(), 50, seed=9))
        until(lambda: left(broker) == 0, "all is well")
        with redis_server.frozen():
            published(broker, history(market(), 250, seed=10)[50:])
            until(lambda: said(job).waiting_for == "redis", "the status says so")
            assert left(broker) == 200
        until(lambda: left(broker) == 0, "it goes on")
        until(lambda: said(job).waiting_for is None, "the status says so")
    total = count(cloud, job, "assessments") + count(cloud, job, "dead_letters")
    assert total >= 250, "some may have come twice"


def said(job: Job) -> process_metrics.JobStatus:
    found = process_metrics.read(Path(job.state))
    assert found is not None
    return found


def test_a_promoted_model_is_used_without_a_restart(cloud: bigquery.Client, broker: Broker, job: Job) -> None:
    old = trained(market())
    new = bundle(
        market(), old.use_case_text, old.model, old.reference, THRESHOLDS, datetime(2026, 3, 1, tzinfo=UTC),
        seed=1, versions={}, metrics={}, training={},
    )  # fmt: skip
    save(new, job.bundle)
    events = history(market(), 200, seed=11)
    with running(job):
        published(broker, events[:60])
        until(lambda: left(broker) == 0, "the old model's")
        promote(job.bundle, new.manifest.id, SHADOW)
        time.sleep(1.1)
        published(broker, events[60:70])
        until(lambda: said(job).challenger == new.manifest.id, "it is in shadow, says the status")
        published(broker, events[70:100])
        until(lambda: left(broker) == 0, "the old model's, with the new one in shadow")
        promote(job.bundle, new.manifest.id)
        withdraw(job.bundle, market().name)
        time.sleep(1.1)
        published(broker, events[100:])
        until(lambda: left(broker) == 0, "the new model's")
        until(lambda: said(job).model == new.manifest.id, "the status says so")
    found = dict(rows(cloud, job, "SELECT model, COUNT(*) FROM assessments GROUP BY model"))
    assert found.keys() == {old.manifest.id, new.manifest.id} and sum(found.values()) == 200
    shadow = list(
        rows(
            cloud, job, "SELECT model, score, challenger_score FROM assessments WHERE challenger IS NOT NULL"
        )
    )
    assert 0 < len(shadow) <= 40, "scored events while the new one was in shadow"
    assert all(row[0] == old.manifest.id and row[1] == row[2] for row in shadow), (
        "the same model under two names"
    )
    adds_up = reconciled(job)
    assert adds_up.exit_code == 0 and json.loads(adds_up.stdout)["holds"]
    redis = Redis.from_url(job.redis_url)
    redis.delete(redis.keys("riskstream:market:*:customer:*")[0])
    wrong = reconciled(job)
    assert wrong.exit_code == 1
    (of_records,) = [each for each in json.loads(wrong.stdout)["checks"] if each["wrong"]]
    assert of_records["wrong"] == 1 and "not in the store" in of_records["examples"][0]


def reconciled(job: Job) -> Result:
    """Return the result of `riskstream reconcile`."""
    options = {
        "--use-case": job.use_case_file, "--project": job.project, "--dataset": job.dataset,
        "--bundle": job.bundle, "--redis-url": job.redis_url,
    }  # fmt: skip
    words = [word for option in options.items() for word in option]
    return CliRunner().invoke(riskstream.app, ["reconcile", *words, "--json"])


def test_nothing_is_pulled_before_the_model_is_ready(
    broker: Broker, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    pulled: list[float] = []
    loaded = LiveModel.__init__

    def look(model: LiveModel, *args: object, **options: object) -> None:
        time.sleep(0.3)  # a puller would have had time
        with broker.server._engine.open() as figures:
            reader = broker.names.reader(broker.names.events)
            pulled.append(figures.figures(0.0)[reader]["num_outstanding_messages"])
        loaded(model, *args, **options)

    monkeypatch.setattr(LiveModel, "__init__", look)
    published(broker, history(market(), 100, seed=31))
    with running(job) as codes:
        until(lambda: left(broker) == 0, "assessed")
    assert codes == [0] and pulled == [0]


def test_sigterm_finishes_what_is_at_hand(
    cloud: bigquery.Client, broker: Broker, job: Job, tmp_path: Path
) -> None:
    """In a process of its own with two workers, in the middle of a backlog. (kill -9: tests/chaos.)"""
    published(broker, history(market(), 20_000, seed=12, customers=2_000))
    log = tmp_path / "log"
    process = started(replace(job, workers=2, batch=2_000), log)
    until(lambda: left(broker) < 15_000, "the job gets on")
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_S) == 0
    assert f"reads {job.subscription} until SIGTERM or Ctrl-C" in log.read_text(), (
        "who starts it sees that it has"
    )
    taken = 20_000 - left(broker)
    found = rows(cloud, job, "SELECT COUNT(DISTINCT event_id) FROM assessments")[0][0]
    dead = rows(cloud, job, "SELECT COUNT(DISTINCT message_id) FROM dead_letters")[0][0]
    assert int(found) + int(dead) >= 0.8 * taken, "acknowledged is delivered; a tenth are repetitions"
    applied = rows(
        cloud, job, "SELECT customer, seq, event_id FROM assessments WHERE disposition = 'applied'"
    )
    assert len({(c, s) for c, s, _ in applied}) == len(set(applied)), "a number is given once"


def started(job: Job, log: Path) -> subprocess.Popen[bytes]:
    settings = json.dumps(vars(job))
    code = (
        "import json, sys; from pipeline.job import job, run; "
        "from pipeline.runtime import logging_setup; logging_setup.configure(); "
        "run.run(job.Job(**json.loads(sys.argv[1])))"
    )
    with log.open("wb") as stderr:
        return subprocess.Popen([sys.executable, "-c", code, settings], cwd=ROOT, stderr=stderr)


FAULTS = {
    "batch": ({"batch": 0}, "--batch: found 0, expected 1 to"),
    "use case": ({"use_case_text": "use_case: [", "use_case_file": "a.yaml"}, "a.yaml"),
    "redis": ({"redis_url": "redis://127.0.0.1:1"}, "Redis at 127.0.0.1:1"),
    "subscription": ({"subscription": "nothing"}, "subscriptions/nothing: NOT_FOUND"),
    "topic": ({"alerts_topic": "nothing"}, "topics/nothing: NOT_FOUND"),
    "dataset": (
        {"dataset": "nothing"},
        "no table local-project.nothing.assessments: run `riskstream tables`",
    ),
    "bundle": ({"bundle": "/nowhere"}, "/nowhere: found no market.current"),
    "fingerprint": ({}, "train a new bundle"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_job_that_cannot_run_says_so_within_seconds(job: Job, fault: str) -> None:
    settings, expected = FAULTS[fault]
    broken = replace(job, **settings)
    if fault == "fingerprint":
        text = job.use_case_text.replace("windows: [1h, 24h]", "windows: [1h, 7d]")
        assert parse(text).fingerprint != market().fingerprint
        broken = replace(job, use_case_text=text)
    check(job)
    began_s = time.monotonic()
    with pytest.raises(CannotStart) as error:
        run(broken)
    assert expected in str(error.value)
    assert time.monotonic() - began_s < 15, "seconds, even on a busy machine"


@pytest.mark.parametrize("name", ["DataflowRunner", "dataflow", "apache_beam.runners.DataflowRunner"])
def test_a_job_on_dataflow_is_left_to_launch(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It has checks and a plan, which this way would go without."""
    settings = ("--project", PROJECT, "--redis-url", "redis://127.0.0.1:1", "--use-case", MARKET)
    ended = Run(monkeypatch, capsys)("run", *settings, "--", "--runner", name)
    assert (ended.code, ended.out) == (2, "")
    assert (
        ended.err
        == "riskstream: --runner: found DataflowRunner; `riskstream launch` starts a job on Dataflow\n"
    )


def test_everything_that_is_wrong_is_said_at_once(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", "127.0.0.1:1")
    monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", "http://127.0.0.1:1")
    with pytest.raises(CannotStart) as error:
        check(replace(job, redis_url="redis://127.0.0.1:1", bundle="/nowhere"))
    lines = str(error.value).splitlines()
    parts = ("bundle", "Redis", "subscription", "topic", "topic", "tables")
    assert sorted(line.split()[0].rstrip(":") for line in lines) == sorted(parts)
