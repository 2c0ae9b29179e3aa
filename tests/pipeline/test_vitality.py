"""The state of a store and who writes to it: on one server and in a cluster."""

from datetime import UTC, datetime

import msgspec
import pytest
from redis.crc import key_slot

from pipeline.stores.integrity import ALIVE_MS, PARTS, SLOTS, Integrity, Writer, tags
from pipeline.stores.redis_store import RedisStore
from pipeline.stores.store import StoreDamaged, record_keys
from tests.pipeline.servers import RedisCluster

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
JOB = Writer(at=0, paused=False, undelivered=0, verified=(), host="h", pid=1, kind="job")


@pytest.fixture(params=["redis", "cluster"])
def integrity(request: pytest.FixtureRequest) -> Integrity:
    store: RedisStore = request.getfixturevalue(f"{request.param}_store")
    return Integrity(store, "riskstream", "shop", "00ff")


def test_a_store_that_nothing_has_filled_has_no_state(integrity: Integrity) -> None:
    assert integrity.state() is None and integrity.writers() == {} and integrity.is_untouched()


def test_each_filling_begins_a_new_life_on_the_servers_of_the_moment(integrity: Integrity) -> None:
    first, second = integrity.mark_whole(NOW), integrity.mark_whole(NOW)
    assert first.life != second.life
    assert integrity.state() == second
    assert (second.status, second.since) == ("whole", "2026-01-02T03:04:05Z")
    assert set(second.histories) == integrity.look().histories
    assert not integrity.is_untouched()
    integrity.forget()
    assert integrity.is_untouched()


def test_the_first_damage_is_the_one_that_is_told(integrity: Integrity) -> None:
    whole = integrity.mark_whole(NOW)
    assert integrity.mark_damaged("emptied", NOW) and not integrity.mark_damaged("evicted", NOW)
    state = integrity.state()
    assert state and (state.status, state.why, state.life) == ("damaged", "emptied", whole.life)


def test_damage_of_a_store_without_a_state_is_noted_too(integrity: Integrity) -> None:
    assert integrity.mark_damaged("emptied", NOW)
    state = integrity.state()
    assert state and state.status == "damaged"


def test_a_repair_does_not_end_what_somebody_else_has_noted_meanwhile(integrity: Integrity) -> None:
    whole = integrity.mark_whole(NOW)
    repairing = integrity.mark_repairing(NOW)
    assert repairing.status == "repairing" and repairing.life == whole.life
    integrity.mark_damaged("evicted", NOW)
    with pytest.raises(StoreDamaged, match="no longer repairing"):
        integrity.mark_whole(NOW, over=repairing)
    state = integrity.state()
    assert state and state.status == "damaged"
    again = integrity.mark_repairing(NOW)
    assert integrity.mark_whole(NOW, over=again).life != whole.life


def test_servers_are_confirmed_only_in_the_state_that_was_read(integrity: Integrity) -> None:
    integrity.mark_whole(NOW)
    seen = integrity.look()
    assert seen.text is not None
    integrity.mark_damaged("evicted", NOW)
    assert integrity.confirm(seen.text, frozenset({"another"})) is None
    integrity.mark_whole(NOW)
    seen = integrity.look()
    assert seen.text is not None
    text = integrity.confirm(seen.text, frozenset({"b", "a"}))
    state = integrity.state()
    assert state and state.histories == ("a", "b") and text == msgspec.json.encode(state)


def test_writers_report_by_the_servers_clock_until_they_sign_off(integrity: Integrity) -> None:
    now_ms = integrity.now_ms()
    alive = msgspec.structs.replace(JOB, at=now_ms)
    dead = msgspec.structs.replace(JOB, at=now_ms - ALIVE_MS - 1)
    integrity.report("a", alive)
    integrity.report("b", dead)
    assert integrity.writers() == {"a": alive, "b": dead}
    assert alive.is_alive(now_ms) and not dead.is_alive(now_ms)
    integrity.sign_off("a")
    assert set(integrity.writers()) == {"b"}


def test_every_primary_of_a_cluster_has_a_witness(
    redis_cluster: RedisCluster, cluster_store: RedisStore
) -> None:
    integrity = Integrity(cluster_store, "riskstream", "shop", "00ff")
    state = integrity.mark_whole(NOW)
    witnesses = integrity.witnesses()
    assert sorted(witnesses.values()) == sorted(f"127.0.0.1:{node.port}" for node in redis_cluster.nodes)
    assert cluster_store.read(list(witnesses)) == [state.life.encode()] * 3


def test_there_is_a_tag_in_each_part_of_a_cluster() -> None:
    assert [key_slot(tag) * PARTS // SLOTS for tag in tags()] == list(range(PARTS))


@pytest.mark.parametrize("entity", ["life", "writers", "life{10}"])
def test_no_record_has_a_key_of_the_state(integrity: Integrity, entity: str) -> None:
    keys = record_keys("riskstream", "shop", "00ff", entity, ["", "x", ":"])
    assert not {integrity.state_key, integrity.writers_key, integrity.state_key + tags()[0]} & set(keys)
