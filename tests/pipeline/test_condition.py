"""The health of the store in `riskstream status`, whose exit code says whether anything is lost."""

import json
from pathlib import Path

from typer.testing import CliRunner

import riskstream
from pipeline.stores.health import store_health
from pipeline.stores.integrity import Integrity, Writer
from pipeline.stores.readiness import Readiness
from pipeline.stores.redis_store import RedisStore
from tests.pipeline.market import MARKET, market
from tests.pipeline.servers import RedisServer
from tests.pipeline.vital import BEGUN, begun

USE_CASE = market()


def integrity(store: RedisStore) -> Integrity:
    return Integrity(store, "riskstream", USE_CASE.name, USE_CASE.fingerprint)


def status(store: RedisStore) -> tuple[str, bool]:
    found = store_health(store, USE_CASE, "riskstream")
    return found.status, found.is_sound


def test_a_store_is_whole_until_something_is_lost(redis_store: RedisStore) -> None:
    assert status(redis_store) == ("empty", True)
    Readiness(redis_store, "riskstream", USE_CASE.name).mark(USE_CASE.fingerprint, "cold", BEGUN)
    assert status(redis_store) == ("unnoted", True)
    integrity(redis_store).mark_filling(BEGUN)
    assert status(redis_store) == ("filling", False)
    integrity(redis_store).mark_whole(BEGUN)
    assert status(redis_store) == ("whole", True)
    integrity(redis_store).mark_damaged("evicted", BEGUN)
    assert status(redis_store) == ("damaged", False)
    integrity(redis_store).mark_repairing(BEGUN)
    assert status(redis_store) == ("repairing", False)


def test_writers_without_a_state_have_outlived_it(redis_store: RedisStore) -> None:
    integrity(redis_store).report("a", Writer(0, True, 0, (), "h", 1, "job"))
    assert status(redis_store) == ("emptied", False)


def test_status_ends_with_5_while_something_is_lost(
    redis_server: RedisServer, redis_store: RedisStore, tmp_path: Path
) -> None:
    command = ["status", "--project", "p", "--use-case", str(MARKET), "--state", str(tmp_path), "--json"]
    command += ["--redis-url", redis_server.url]
    begun(redis_server.url, USE_CASE)
    assert CliRunner().invoke(riskstream.app, command).exit_code == 0
    now_ms = integrity(redis_store).now_ms()
    integrity(redis_store).report("a", Writer(now_ms, True, 3, (), "h", 1, "job"))
    integrity(redis_store).mark_damaged("2 keys were evicted", BEGUN)
    answer = CliRunner().invoke(riskstream.app, command)
    store = json.loads(answer.stdout)["store"]
    assert answer.exit_code == 5 and "2 keys were evicted" in store["words"]
    assert "riskstream repair" in store["words"]
    assert store["writers"] == [{"name": "job 1 on h", "is_alive": True, "is_paused": True, "undelivered": 3}]
