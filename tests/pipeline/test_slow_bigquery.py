# ruff: noqa: F811 - fixtures of another module
"""The whole job on a BigQuery that is slow or refuses: alerts wait for nothing, nothing is acknowledged too early."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
from google.cloud import bigquery

from pipeline.bigquery.client import STORAGE_EMULATOR
from pipeline.job.job import Job
from pipeline.job.run import run
from pipeline.runtime import process_metrics
from pipeline.runtime.errors import SinkRefused
from pipeline.runtime.metrics import WAIT, key
from pipeline.runtime.process_metrics import Tally
from tests.pipeline.broker import Broker
from tests.pipeline.market import history, market
from tests.pipeline.slow_bigquery import SlowBigQuery, slow_bigquery
from tests.pipeline.test_run import (  # noqa: F401
    broker,
    cloud,
    job,
    left,
    published,
    reconciled,
    rows,
    running,
    said,
    until,
)


@pytest.fixture
def slow(bigquery_server: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[SlowBigQuery]:
    """All clients of this process append through it."""
    process_metrics.progress.counts.clear()  # those of other tests
    process_metrics.progress.seen.clear()
    with slow_bigquery() as proxy:
        monkeypatch.setenv(STORAGE_EMULATOR, proxy.address)
        yield proxy


def assessed(job: Job) -> int:
    """Messages that the test's process is done with but for their deliveries."""
    status = process_metrics.read(Path(job.state))
    return status.events if status else 0


def waits(step: str) -> Tally:
    """The times that batches of the test's process have waited for a step."""
    return process_metrics.progress.seen.get(key(WAIT, step), Tally(WAIT.bounds))


def alerts_of(broker: Broker) -> int:
    """Alerts that are published and have not been read."""
    with broker.server._engine.open() as engine:
        return int(engine.figures(0.0)[broker.names.reader(broker.names.alerts)]["num_undelivered_messages"])


def test_alerts_flow_while_appends_are_refused(
    cloud: bigquery.Client,
    broker: Broker,
    job: Job,
    slow: SlowBigQuery,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Rows wait in memory, then in files, then pulling pauses; and when BigQuery is back, everything adds up."""
    job = replace(job, batch=100, rows_in_memory_mib=1, rows_on_disk_mib=1)
    events = history(market(), 12_000, seed=21, customers=400)
    with running(job) as codes:
        slow.refusal = grpc.StatusCode.RESOURCE_EXHAUSTED
        published(broker, events[:500])
        until(lambda: assessed(job) == 500, "assessed")
        until(lambda: alerts_of(broker) == said(job).alerts > 0, "their alerts are out")
        assert left(broker) == 500 and not rows(cloud, job, "SELECT seq FROM assessments")
        batches = sum(waits("decode").counts)
        assert batches == sum(waits("pull").counts) == sum(waits("assess").counts) >= 5
        assert sum(waits("publish").counts) > 0 and not any(
            waits("store").counts + waits("acknowledge").counts
        )
        published(broker, events[500:])
        until(lambda: said(job).pulling_paused, "memory and disk are full")
        status = said(job)
        assert 500 < status.events < 12_000
        assert status.rows_waiting_bytes < 2 << 20 and 1 << 20 <= status.rows_spilled_bytes < 2 << 20
        until(
            lambda: alerts_of(broker) == said(job).alerts, "alerts of what is assessed are out all the same"
        )
        assert left(broker) == 12_000 and said(job).unacknowledged == said(job).events
        slow.refusal, slow.delay_s = None, 0.2
        until(lambda: left(broker) == 0, "all rows are stored")
        until(lambda: not said(job).pulling_paused, "the pause is over")
        until(lambda: not (said(job).unacknowledged or said(job).rows_spilled_bytes), "nothing waits")
    assert codes == [0] and slow.refused
    assert sum(waits("store").counts) == sum(waits("acknowledge").counts) == sum(waits("decode").counts)
    assert waits("store").total > waits("publish").total, "rows waited, alerts did not"
    for expected in ("rows wait in temporary files", "pulls no more messages", "pulls messages again"):
        assert [each for each in caplog.messages if expected in each], expected
    assert "no rows wait in temporary files any more" in caplog.messages
    result = reconciled(job)
    assert result.exit_code == 0, result.stdout


def test_a_stop_acknowledges_what_is_delivered_and_hands_back_the_rest(
    broker: Broker, job: Job, slow: SlowBigQuery, caplog: pytest.LogCaptureFixture
) -> None:
    slow.delay_s = 1.0
    with running(job) as codes:
        published(broker, history(market(), 300, seed=22))
        until(lambda: assessed(job) == 300, "assessed")
    assert codes == [0] and left(broker) == 0, "rows under way are waited for"
    with running(job) as codes:
        slow.refusal = grpc.StatusCode.RESOURCE_EXHAUSTED
        published(broker, history(market(), 600, seed=23, prefix="q"))
        until(lambda: assessed(job) == 900, "assessed")
    assert codes == [0]
    assert [each for each in caplog.messages if "600 messages not acknowledged" in each]
    reader = broker.names.reader(broker.names.events)
    with broker.server._engine.open() as engine:
        figures = engine.figures(0.0)[reader]
    assert (figures["num_undelivered_messages"], figures["num_outstanding_messages"]) == (600, 0)


def test_a_table_that_is_gone_ends_a_job_that_has_nothing_to_do(
    broker: Broker, job: Job, slow: SlowBigQuery
) -> None:
    errors: list[SinkRefused] = []

    def refused() -> None:
        with pytest.raises(SinkRefused) as error:
            run(job)
        errors.append(error.value)

    slow.refusal = grpc.StatusCode.UNAVAILABLE
    thread = threading.Thread(target=refused)
    thread.start()
    published(broker, history(market(), 10, seed=24))
    until(lambda: process_metrics.progress.waiting["bigquery"] == 1, "rows wait")
    slow.refusal = grpc.StatusCode.NOT_FOUND
    thread.join(60)
    assert len(errors) == 1 and left(broker) == 10
