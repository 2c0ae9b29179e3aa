# ruff: noqa: F811 - fixtures of another module
"""A repair while a job runs: it pauses, loses nothing, goes on by itself, and in the end everything reconciles."""

import pytest
from google.cloud import bigquery

from pipeline.job.job import Job
from pipeline.reconciliation.published import PublishedMessages, audit_subscription, collect
from pipeline.reconciliation.reconcile import Reconciliation, reconcile
from pipeline.reconciliation.repair_run import RepairReport, RepairTarget, repair
from pipeline.runtime.metrics import STORE_WHOLE, key
from pipeline.runtime.process_metrics import progress
from pipeline.stores.redis_store import RedisStore
from tests.pipeline.broker import PROJECT as BROKER_PROJECT
from tests.pipeline.broker import Broker
from tests.pipeline.market import history, market
from tests.pipeline.servers import RedisServer
from tests.pipeline.test_reconcile import wrong
from tests.pipeline.test_repair import contents, some
from tests.pipeline.test_run import broker, cloud, job, left, published, running, until  # noqa: F401

pytestmark = pytest.mark.usefixtures("bigquery_server")

EVENTS = 900


def mended(job: Job, store: RedisStore) -> RepairReport:
    return repair(RepairTarget(job.use_case, job.project, job.dataset, job.bundle, store, job.prefix), 60.0)


def reconciled(job: Job, store: RedisStore, sent: PublishedMessages) -> Reconciliation:
    return reconcile(
        job.use_case, project=job.project, dataset=job.dataset, bundle=job.bundle, store=store, sent=sent
    )


def records(server: RedisServer, job: Job) -> dict[bytes, bytes]:
    stem = f"riskstream:{job.use_case.name}:{job.use_case.fingerprint}:"
    own = {key: blob for key, blob in contents(server).items() if key.startswith(stem.encode())}
    return {key: blob for key, blob in own.items() if key.count(b":") == 4}


def test_a_job_waits_for_a_repair_loses_nothing_and_goes_on(
    cloud: bigquery.Client,
    broker: Broker,
    job: Job,
    redis_server: RedisServer,
) -> None:
    """Emptied under it, then with records deleted, overwritten and rolled back; nobody touches the job."""
    events, store = history(market(), EVENTS, seed=21, customers=60), RedisStore(redis_server.url)

    def is_whole() -> bool:
        return progress.gauges.get(key(STORE_WHOLE)) == 1.0

    with audit_subscription(BROKER_PROJECT, broker.names.events) as audit, running(job):
        published(broker, events[:300])
        until(lambda: left(broker) == 0, "the first third is through")
        early = records(redis_server, job)
        redis_server.client.flushall()
        published(broker, events[300:600])
        until(lambda: not is_whole(), "the job notices that the store was emptied")
        assert left(broker) == 300, "nothing is acknowledged on an empty store"
        first = mended(job, store)
        assert first.is_whole and first.tallies["customer"].rebuilt > 10
        until(lambda: left(broker) == 0 and is_whole(), "the second third is through")
        for i, name in enumerate(some(records(redis_server, job), 0.4)):
            if i % 3 == 0:
                redis_server.client.delete(name)
            elif i % 3 == 1:
                redis_server.client.set(name, b"garbage")
            elif name in early:
                redis_server.client.set(name, early[name])
        second = mended(job, store)
        assert second.is_whole and sum(each.rebuilt for each in second.tallies.values()) > 0
        published(broker, events[600:])
        until(lambda: left(broker) == 0, "the last third is through")
        again = mended(job, store)
        assert again.is_whole and all(each.rebuilt == 0 for each in again.tallies.values())
        sent = PublishedMessages.of(job.use_case, collect(audit))
    found = reconciled(job, store, sent)
    store.close()
    assert wrong(found) == {} and found.events > 700
