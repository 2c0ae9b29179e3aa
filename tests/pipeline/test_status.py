"""Status says what is, and of what it cannot ask, why; never an exception."""

import json
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from commands.status import text_of
from export.policy import Level
from features.events import decode, make_batch
from features.kernel import advance
from pipeline.bigquery import client as bigquery
from pipeline.bigquery import schemas, tables
from pipeline.operations.settings import StatusSettings
from pipeline.operations.status import JobReport, Unknown, status
from pipeline.pubsub.client import Publication
from pipeline.runtime import process_metrics
from pipeline.runtime.errors import StoreUnavailable
from pipeline.stores import population
from pipeline.stores.readiness import Readiness
from pipeline.stores.redis_client import Reach
from pipeline.stores.redis_store import RedisStore
from pipeline.stores.store import record_keys
from tests.pipeline.broker import PROJECT, Broker, broker_of
from tests.pipeline.servers import RedisCluster, RedisServer, free_port
from tests.pipeline.shop import SHOP

NOW_US = 1_735_732_800_000_000  # 2025-01-01 12:00 UTC
STEM = f"riskstream:shop:{SHOP.fingerprint}:customer:"


@pytest.fixture
def broker() -> Iterator[Broker]:
    with broker_of(SHOP.name) as broker:
        yield broker


def fill(store: RedisStore, levels: dict[str, Level], prefix: str = "riskstream") -> None:
    """A record for each customer, as the job writes them."""
    sale = '{"sale_id": "%s", "who": "%s", "price": 1, "ordered_at": "2024-01-02T08:00:00Z"}'
    events = [("sale", decode(SHOP, "sale", (sale % (who, who)).encode(), NOW_US)) for who in levels]
    arrivals = make_batch(SHOP, events, [NOW_US] * len(events)).arrivals["customer"]
    found = advance(SHOP.plans["customer"], [None] * len(events), arrivals)
    found.status["level"] = [int(level) for level in levels.values()]
    found.store_outcomes(np.zeros(len(events), np.float32), np.zeros(len(events), np.uint8))
    keys = record_keys(prefix, SHOP.name, SHOP.fingerprint, "customer", arrivals.ids)
    assert all(store.commit(keys, found.before.tolist(), found.blobs()))


LEVELS = {
    f"c{i}": Level.HIGH if i % 10 == 0 else Level.MEDIUM if i % 10 < 4 else Level.LOW for i in range(1_500)
}
COUNTS = {"LOW": 900, "MEDIUM": 450, "HIGH": 150}


def test_customers_are_counted_by_their_level(redis_store: RedisStore, redis_server: RedisServer) -> None:
    fill(redis_store, LEVELS)
    fill(redis_store, {"other": Level.HIGH}, prefix="elsewhere")
    redis_server.client.set("riskstream:shop:0000000000000000:customer:c1", b"of another fingerprint")
    found = population.population(Reach(redis_server.url), STEM)
    assert (found.looked_at, found.complete, found.levels) == (1_500, True, COUNTS)
    size = len(redis_server.client.get(STEM + "c1"))
    assert found.bytes_per_customer is not None and size < found.bytes_per_customer < size + 200
    assert found.redis_bytes > 1_500 * size


def test_customers_of_a_cluster_are_on_all_its_nodes(
    cluster_store: RedisStore, redis_cluster: RedisCluster
) -> None:
    fill(cluster_store, LEVELS)
    found = population.population(Reach(redis_cluster.url, cluster=True), STEM)
    assert (found.looked_at, found.complete, found.levels) == (1_500, True, COUNTS)


def test_of_very_many_customers_some_are_looked_at(
    redis_store: RedisStore, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(population, "MOST_CUSTOMERS", 600)
    fill(redis_store, LEVELS)
    found = population.population(Reach(redis_server.url), STEM)
    assert (found.looked_at, found.complete, sum(found.levels.values())) == (600, False, 600)
    assert abs(found.levels["LOW"] / 600 - 0.6) < 0.1
    monkeypatch.setattr(population, "MOST_CUSTOMERS", 1_500)
    assert population.population(Reach(redis_server.url), STEM).complete


def test_names_are_no_patterns(redis_store: RedisStore, redis_server: RedisServer) -> None:
    fill(redis_store, {"c1": Level.HIGH}, prefix="risk")
    fill(redis_store, {"c1": Level.HIGH, "c2": Level.LOW}, prefix="r[i]*k")
    stem = STEM.removeprefix("riskstream")
    assert population.population(Reach(redis_server.url), f"r[i]*k{stem}").looked_at == 2
    assert population.population(Reach(redis_server.url), f"r*{stem}").looked_at == 0


def test_a_redis_that_is_away_is_told_without_its_password() -> None:
    with pytest.raises(StoreUnavailable, match="Redis") as told:
        population.population(Reach(f"redis://:secret@127.0.0.1:{free_port()}"), STEM)
    assert "secret" not in str(told.value)


def test_the_backlog_is_that_of_the_use_cases_subscriptions(broker: Broker, tmp_path: Path) -> None:
    broker.publish(broker.names.events, *(Publication(b"{}", {}) for _ in range(7)))
    found = status(SHOP, StatusSettings(project=PROJECT, state=str(tmp_path)))
    assert isinstance(found.backlog, tuple)
    assert [(one.subscription, one.messages) for one in found.backlog] == [
        ("shop-alerts-riskstream", 0), ("shop-dead-letters-riskstream", 0), ("shop-events-riskstream", 7),
    ]  # fmt: skip


def test_the_job_is_what_it_wrote_and_whether_it_still_writes(broker: Broker, tmp_path: Path) -> None:
    with process_metrics.reporting(tmp_path, SHOP.name):
        running = status(SHOP, StatusSettings(project=PROJECT, state=str(tmp_path))).job
    assert isinstance(running, JobReport) and running.running and running.status.use_case == SHOP.name
    file = tmp_path / process_metrics.FILE
    said = json.loads(file.read_text())
    file.write_text(json.dumps(said | {"written_at": "2024-01-02T09:00:00.000Z", "waiting_for": "redis"}))
    dead = status(SHOP, StatusSettings(project=PROJECT, state=str(tmp_path))).job
    assert isinstance(dead, JobReport) and not dead.running and dead.written_s_ago > 3_600
    file.write_text("{")
    broken = status(SHOP, StatusSettings(project=PROJECT, state=str(tmp_path))).job
    assert isinstance(broken, Unknown) and "job.json cannot be read" in broken.unknown


def test_what_is_away_is_told_part_by_part_and_soon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", f"127.0.0.1:{free_port()}")
    monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", f"http://127.0.0.1:{free_port()}")
    places = StatusSettings(
        project=PROJECT, redis_url=f"redis://127.0.0.1:{free_port()}", state=str(tmp_path)
    )
    started_s = time.monotonic()
    found = status(SHOP, places)
    assert time.monotonic() - started_s < 15
    for part, expected in (
        (found.backlog, "UNAVAILABLE"),
        (found.job, "riskstream run"),
        (found.customers, "refused"),
        (found.filled, "refused"),
        (found.dead_letters, "BigQuery cannot be reached"),
    ):
        assert isinstance(part, Unknown) and expected in part.unknown
    said = json.loads(found.to_json())
    assert all("unknown" in said[part] for part in ("backlog", "job", "customers", "dead_letters"))
    assert "no job has written" in text_of(found)


def test_pubsub_itself_is_said_not_to_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PUBSUB_EMULATOR_HOST", raising=False)
    monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", f"http://127.0.0.1:{free_port()}")
    found = status(SHOP, StatusSettings(project=PROJECT, state=str(tmp_path)))
    assert isinstance(found.backlog, Unknown) and "Cloud Monitoring" in found.backlog.unknown
    assert isinstance(found.customers, Unknown) and "REDIS_URL" in found.customers.unknown


def letters(*ids_and_reasons: tuple[str, str]) -> pa.RecordBatch:
    same = {"use_case": "shop", "detail": "x", "publish_time": NOW_US, "rejected_at": NOW_US}
    rows = [
        same | {"body": b"", "attributes": "{}"} | {"message_id": number, "reason": reason}
        for number, reason in ids_and_reasons
    ]
    return pa.RecordBatch.from_pylist(rows, schema=schemas.DEAD_LETTERS.rows)


def test_everything_together(
    broker: Broker,
    redis_store: RedisStore,
    redis_server: RedisServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    bigquery_environment: Mapping[str, str],
) -> None:
    fill(redis_store, LEVELS)
    readiness = Readiness(redis_store, "riskstream", SHOP.name)
    readiness.mark(SHOP.fingerprint, "backfill", datetime(2026, 1, 2, tzinfo=UTC), 1_234)
    readiness.mark("0123", "cold", datetime(2026, 1, 1, tzinfo=UTC))
    for name, value in bigquery_environment.items():
        monkeypatch.setenv(name, value)
    with process_metrics.reporting(tmp_path, SHOP.name):
        tables.create(bigquery.query_client(PROJECT), "risk")
        appender = bigquery.Appender(PROJECT, "risk", {"dead_letters": schemas.DEAD_LETTERS.rows})
        appender.append(
            "dead_letters", letters(("1", "invalid"), ("1", "invalid"), ("2", "too_late"), ("3", "invalid"))
        )
        appender.close()
        found = status(
            SHOP,
            StatusSettings(project=PROJECT, dataset="risk", redis_url=redis_server.url, state=str(tmp_path)),
        )
        missing = status(
            SHOP,
            StatusSettings(
                project=PROJECT, dataset="nowhere", redis_url=redis_server.url, state=str(tmp_path)
            ),
        )
    assert found.dead_letters == {"invalid": 2, "too_late": 1}
    assert isinstance(missing.dead_letters, Unknown) and "nowhere" in missing.dead_letters.unknown
    said = json.loads(found.to_json())
    assert (said["use_case"], said["fingerprint"]) == ("shop", SHOP.fingerprint)
    assert said["customers"]["levels"] == COUNTS
    assert said["job"]["status"]["events"] == process_metrics.progress.counts["events"]
    text = text_of(found)
    assert "LOW 900, MEDIUM 450, HIGH 150 (1,500 looked at, all" in text
    assert "invalid 2, too_late 1" in text
    assert f"{SHOP.fingerprint} (these features): backfill, 2026-01-02T00:00:00Z, 1,234 events" in text
    cold = {"how": "cold", "at": "2026-01-01T00:00:00Z", "events": 0}
    assert said["filled"]["0123"] == {**said["filled"]["0123"], **cold}
    assert said["store"]["status"] == "unnoted" and "filled by an older version" in text
    assert "running, 0 events/s" in text
