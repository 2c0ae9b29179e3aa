"""The service and the job on one subscription's events: one log, one set of records, and all of it adds up."""

import json
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from export import bundle as bundles
from pipeline.bigquery import schemas, tables
from pipeline.bigquery.client import query_client
from pipeline.job.job import Job
from pipeline.pubsub.client import Publication
from pipeline.reconciliation.published import PublishedMessages, audit_subscription, collect
from pipeline.reconciliation.reconcile import Reconciliation, reconcile
from pipeline.runtime import metrics
from pipeline.runtime.process_metrics import progress
from pipeline.stores.redis_store import RedisStore
from serving.configuration import Configuration
from tests.pipeline.broker import PROJECT as BROKER_PROJECT
from tests.pipeline.broker import Broker
from tests.pipeline.market import MARKET, START_US, history, market, payment
from tests.pipeline.market import Sent as Event
from tests.pipeline.models import trained
from tests.pipeline.servers import RedisServer, free_port
from tests.pipeline.test_reconcile import other, wrong
from tests.pipeline.test_run import left, rows, running, tell_everything, until
from tests.serving.conftest import JSON, Serving, body_of, dated, process

pytestmark = pytest.mark.usefixtures("bigquery_server")
PROJECT = "local-project"
MOVED = (
    metrics.REQUESTS,
    metrics.SLOW,
    metrics.LATENCY,
    metrics.SCORES,
    metrics.MODEL,
    metrics.STAGE,
    metrics.REDIS_USED,
)


def reconciled(settings: Configuration, job: Job, sent: PublishedMessages) -> Reconciliation:
    with closing(RedisStore(settings.redis_url)) as store:
        return reconcile(
            market(), project=PROJECT, dataset=job.dataset, bundle=settings.bundle, store=store, sent=sent
        )


def publication(sent: Event) -> Publication:
    return Publication(body_of(sent), {"event_type": sent.event_type, **dated(sent)})


def job_of(settings: Configuration, broker: Broker, folder: Path, dataset: str) -> Job:
    tables.create(query_client(PROJECT), dataset)
    names = broker.names
    return Job.load(
        MARKET, bundle=settings.bundle, redis_url=settings.redis_url, project=PROJECT, dataset=dataset,
        state=str(folder), subscription=names.reader(names.events), alerts_topic=names.alerts,
        dead_letters_topic=names.dead_letters, allow_empty_store=True,
    )  # fmt: skip


def test_what_the_service_answers_is_what_the_log_says(
    serving: Serving, settings: Configuration, broker: Broker, tmp_path: Path
) -> None:
    """Half of the events are published, half are asked for, while the model is exchanged; then it reconciles."""
    job = job_of(settings, broker, tmp_path, f"d{time.time_ns()}")
    events = history(market(), 360, seed=12)
    answers: dict[str, dict] = {}
    with (
        audit_subscription(BROKER_PROJECT, broker.names.events) as audit,
        serving() as served,
        running(job) as codes,
    ):
        for i, sent in enumerate(events):
            if i == 180:
                bundles.save(other(trained(market())), settings.bundle)
                bundles.promote(settings.bundle, "market-other")
            if i % 2:
                broker.publish(broker.names.events, publication(sent))
            elif (answer := served.send(sent)).status_code == 200:
                told = answer.json()
                answers.setdefault(f"{told['customer']}:{told['seq']}", told)
            else:
                assert answer.json()["reason"] == "too_late"
        until(lambda: left(broker) == 0, "the job has all of it")
        sent_all = PublishedMessages.of(market(), collect(audit))
    assert codes == [0]
    found = reconciled(settings, job, sent_all)
    assert wrong(found) == {} and found.events > 280
    assert {told["model"] for told in answers.values()} >= {trained(market()).manifest.id, "market-other"}
    logged = rows(
        query_client(PROJECT),
        job,
        f"SELECT customer, seq, score, level, model FROM {schemas.ASSESSMENTS.view}",
    )
    log = {f"{customer}:{seq}": (score, level, model) for customer, seq, score, level, model in logged}
    for name, told in answers.items():
        score, level, model = log[name]
        assert (told["score"], told["level"]) == (score, level)
        assert told["disposition"] == "duplicate" or told["model"] == model


def test_a_service_killed_again_and_again_loses_and_repeats_nothing(
    settings: Configuration, broker: Broker, tmp_path: Path
) -> None:
    """Callers ask until they are answered; the job comes after the last kill, and all of it reconciles."""
    job = job_of(settings, broker, tmp_path, f"d{time.time_ns()}")
    events = [
        payment(market(), f"p{i}", START_US + i, f"c{i % 30}", f"m{i % 3}", i % 90) for i in range(1_500)
    ]

    def ask(sent: Event) -> dict:
        url = f"http://127.0.0.1:{settings.port}"
        with httpx.Client(base_url=url, timeout=10, verify=False, headers=JSON) as client:
            while True:
                try:
                    answer = client.post("/v1/events/payment", content=body_of(sent))
                except httpx.TransportError:
                    time.sleep(0.05)
                else:
                    assert answer.status_code == 200, answer.text
                    return dict(answer.json())

    with audit_subscription(BROKER_PROJECT, broker.names.events) as audit, ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(ask, sent) for sent in events]
        for _ in range(2):
            with process(settings) as (served, _client):
                done = sum(each.done() for each in asked)
                until(lambda done=done: sum(each.done() for each in asked) > done + 150, "some are answered")
                served.kill()
        with process(settings):
            answers = [each.result() for each in asked]
        with running(job):
            until(lambda: left(broker) == 0, "the job has all of it")
        sent_all = PublishedMessages.of(market(), collect(audit))
    assert sent_all.messages >= len(events) == len({(told["customer"], told["seq"]) for told in answers})
    assert wrong(reconciled(settings, job, sent_all)) == {}


def test_what_the_service_was_first_to_assess_is_no_duplicate_of_the_job(
    serving: Serving, settings: Configuration, broker: Broker, tmp_path: Path
) -> None:
    """Asked for before the job starts, then found counted by it: rows and alerts come, with the service's model."""
    job = replace(job_of(settings, broker, tmp_path, f"d{time.time_ns()}"), metrics_port=free_port())
    events = [payment(market(), f"p{i}", START_US + i, f"c{i % 9}", "m1", 40.0 * i) for i in range(60)]
    with serving() as served:
        answers = [served.told(sent) for sent in events]
    assert {told["disposition"] for told in answers} == {"applied"}
    bundles.save(other(trained(market())), settings.bundle)
    bundles.promote(settings.bundle, "market-other")
    duplicates = metrics.key(metrics.DUPLICATES)
    before = progress.counts[duplicates]
    with running(job):
        until(lambda: left(broker) == 0, "the job has all of it")
        broker.publish(broker.names.events, publication(events[0]))
        until(lambda: left(broker) == 0 and progress.counts[duplicates] > before, "a real duplicate")
    assert progress.counts[duplicates] - before == 1
    query = f"SELECT model, caller, COUNT(*) FROM {schemas.ASSESSMENTS.view} GROUP BY model, caller"
    assert rows(query_client(PROJECT), job, query) == [(trained(market()).manifest.id, "anonymous", 60)]
    plain = f"SELECT COUNT(*) FROM {schemas.ASSESSMENTS.name} WHERE caller IS NULL"
    assert rows(query_client(PROJECT), job, plain) == [(1,)], "what came by the topic alone names nobody"
    changed = {
        f"market:{market().fingerprint}:{told['customer']}:{told['seq']}": told["model"]
        for told in answers
        if told["level"] != told["level_before"] or told["transition"]
    }
    alerts = broker.messages(broker.names.alerts, len(changed))
    assert {a.attributes["id"]: json.loads(a.data)["model"] for a in alerts} == changed


def test_every_metric_of_the_service_on_a_dashboard_is_told(
    settings: Configuration, redis_server: RedisServer, tmp_path: Path
) -> None:
    """A process started as its user does serves every metric, and ends when it has to."""
    progress.gauges.clear()
    port, dataset = free_port(), f"d{time.time_ns()}"
    tables.create(query_client(BROKER_PROJECT), dataset)
    trail = ("--dataset", dataset, "--audit-folder", str(tmp_path / "audit"))
    with process(settings, "--metrics-port", str(port), *trail) as (served, client):
        for i in range(520):
            time_us = START_US + (i > 0) * 25 * 3600 * 1_000_000 + i  # drift is of whole days
            body = body_of(payment(market(), f"p{i}", time_us, "ann", None, 1.0 * i))
            assert client.post("/v1/events/payment", content=body).status_code == 200
        with redis_server.frozen():
            assert client.get("/health/parts", timeout=30).status_code == 503
            assert client.get("/health/ready").status_code == 200, "or callers would hear it from a gateway"
            assert client.get("/v1/customers/ann", timeout=30).status_code == 503
        assert client.get("/health/parts").status_code == 200
        tell_everything(port, metrics.OF_SERVICE, MOVED)
        served.send_signal(signal.SIGTERM)
        assert served.wait(30) == 0
