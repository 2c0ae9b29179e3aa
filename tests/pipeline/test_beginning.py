"""Filling a store: no job begins on one that is half filled, and a loss in the middle does not end as a whole store."""

from datetime import UTC, datetime

import pytest

from pipeline.engine.assess import assess
from pipeline.engine.start_check import check_store, filling
from pipeline.runtime.errors import ColdStore
from pipeline.stores.integrity import Integrity, State
from pipeline.stores.readiness import Readiness
from pipeline.stores.redis_store import RedisStore
from pipeline.stores.store import StoreDamaged
from tests.pipeline.market import batched, history, market
from tests.pipeline.models import engine
from tests.pipeline.servers import RedisServer

USE_CASE = market()
EVENTS = batched(USE_CASE, history(USE_CASE, 100, seed=1))
NOW = datetime(2026, 1, 2, tzinfo=UTC)


def state(store: RedisStore) -> State | None:
    return Integrity(store, "riskstream", USE_CASE.name, USE_CASE.fingerprint).state()


def filled_warmth(store: RedisStore) -> Readiness:
    readiness = Readiness(store, "riskstream", USE_CASE.name)
    readiness.mark(USE_CASE.fingerprint, "backfill", NOW, 100)
    return readiness


def test_a_store_is_whole_once_it_was_filled(redis_store: RedisStore) -> None:
    with filling(redis_store, USE_CASE, "riskstream") as guarded:
        assess(engine(USE_CASE, guarded), EVENTS)
        found = state(redis_store)
        assert found and found.status == "filling"
        with pytest.raises(ColdStore, match="backfill is filling it"):
            check_store(redis_store, USE_CASE, "riskstream", allow_empty_store=True)
        filled_warmth(redis_store)
    found = state(redis_store)
    assert found and found.status == "whole"
    check_store(redis_store, USE_CASE, "riskstream", allow_empty_store=False)


def test_a_store_that_is_emptied_while_it_is_filled_is_not_whole(
    redis_store: RedisStore, redis_server: RedisServer
) -> None:
    """Before, the backfill went on and marked what it had left as warm."""
    with pytest.raises(StoreDamaged), filling(redis_store, USE_CASE, "riskstream") as guarded:
        assess(engine(USE_CASE, guarded), EVENTS)
        redis_server.client.flushall()
        assess(engine(USE_CASE, guarded), EVENTS)
    found = state(redis_store)
    assert found is None or found.status == "damaged"


def test_whole_stays_whole_beside_a_stream(redis_store: RedisStore) -> None:
    before = Integrity(redis_store, "riskstream", USE_CASE.name, USE_CASE.fingerprint).mark_whole(NOW)
    with filling(redis_store, USE_CASE, "riskstream") as guarded:
        assess(engine(USE_CASE, guarded), EVENTS)
    assert state(redis_store) == before


def test_a_store_of_an_older_version_is_taken_over(redis_store: RedisStore) -> None:
    filled_warmth(redis_store)
    check_store(redis_store, USE_CASE, "riskstream", allow_empty_store=False)
    with filling(redis_store, USE_CASE, "riskstream"):
        found = state(redis_store)
        assert found and found.status == "whole"


def test_a_state_that_is_gone_is_not_taken_for_an_older_version(
    redis_store: RedisStore, redis_server: RedisServer
) -> None:
    filled_warmth(redis_store)
    with filling(redis_store, USE_CASE, "riskstream") as guarded:
        assess(engine(USE_CASE, guarded), EVENTS)
        redis_server.client.delete(f"riskstream:{USE_CASE.name}:{USE_CASE.fingerprint}:life")
        with pytest.raises(StoreDamaged, match="its state is gone"):
            check_store(redis_store, USE_CASE, "riskstream", allow_empty_store=False)


def test_nobody_begins_on_a_damaged_store(redis_store: RedisStore) -> None:
    readiness = filled_warmth(redis_store)
    integrity = Integrity(redis_store, "riskstream", USE_CASE.name, USE_CASE.fingerprint)
    integrity.mark_damaged("2 keys were evicted", NOW)
    for allow_empty_store in (True, False):
        with pytest.raises(StoreDamaged, match=r"2 keys were evicted.*riskstream repair"):
            check_store(redis_store, USE_CASE, "riskstream", allow_empty_store=allow_empty_store)
    with pytest.raises(StoreDamaged), filling(redis_store, USE_CASE, "riskstream"):
        pass
    readiness.forget(USE_CASE.fingerprint)
    assert state(redis_store) is None, "what is dropped is begun anew"
