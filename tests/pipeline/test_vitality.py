"""The state of a store and who writes to it: on one server and in a cluster."""

from datetime import UTC, datetime

import msgspec
import pytest
from redis.crc import key_slot

from pipeline.stores.integrity import ALIVE_MS, PARTS, SLOTS, Vitality, Writer, tags
from pipeline.stores.redis_store import RedisStore
from pipeline.stores.store import StoreDamaged, record_keys
from tests.pipeline.servers import RedisCluster

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
JOB = Writer(at=0, paused=False, undelivered=0, verified=(), host="h", pid=1, kind="job")


@pytest.fixture(params=["redis", "cluster"])
def vitality(request: pytest.FixtureRequest) -> Vitality:
    store: RedisStore = request.getfixturevalue(f"{request.param}_store")
    return Vitality(store, "riskstream", "shop", "00ff")


def test_a_store_that_nothing_has_filled_has_no_state(vitality: Vitality) -> None:
    assert vitality.state() is None and vitality.writers() == {} and vitality.is_untouched()


def test_each_filling_begins_a_new_life_on_the_servers_of_the_moment(vitality: Vitality) -> None:
    first, second = vitality.mark_whole(NOW), vitality.mark_whole(NOW)
    assert first.life != second.life
    assert vitality.state() == second
    assert (second.status, second.since) == ("whole", "2026-01-02T03:04:05Z")
    assert set(second.histories) == vitality.look().histories
    assert not vitality.is_untouched()
    vitality.forget()
    assert vitality.is_untouched()


def test_the_first_damage_is_the_one_that_is_told(vitality: Vitality) -> None:
    whole = vitality.mark_whole(NOW)
    assert vitality.mark_damaged("emptied", NOW) and not vitality.mark_damaged("evicted", NOW)
    state = vitality.state()
    assert state and (state.status, state.why, state.life) == ("damaged", "emptied", whole.life)


def test_damage_of_a_store_without_a_state_is_noted_too(vitality: Vitality) -> None:
    assert vitality.mark_damaged("emptied", NOW)
    state = vitality.state()
    assert state and state.status == "damaged"


def test_a_repair_does_not_end_what_somebody_else_has_noted_meanwhile(vitality: Vitality) -> None:
    whole = vitality.mark_whole(NOW)
    repairing = vitality.mark_repairing(NOW)
    assert repairing.status == "repairing" and repairing.life == whole.life
    vitality.mark_damaged("evicted", NOW)
    with pytest.raises(StoreDamaged, match="no longer repairing"):
        vitality.mark_whole(NOW, over=repairing)
    state = vitality.state()
    assert state and state.status == "damaged"
    again = vitality.mark_repairing(NOW)
    assert vitality.mark_whole(NOW, over=again).life != whole.life


def test_servers_are_confirmed_only_in_the_state_that_was_read(vitality: Vitality) -> None:
    vitality.mark_whole(NOW)
    seen = vitality.look()
    assert seen.text is not None
    vitality.mark_damaged("evicted", NOW)
    assert vitality.confirm(seen.text, frozenset({"another"})) is None
    vitality.mark_whole(NOW)
    seen = vitality.look()
    assert seen.text is not None
    text = vitality.confirm(seen.text, frozenset({"b", "a"}))
    state = vitality.state()
    assert state and state.histories == ("a", "b") and text == msgspec.json.encode(state)


def test_writers_report_by_the_servers_clock_until_they_sign_off(vitality: Vitality) -> None:
    now_ms = vitality.now_ms()
    alive = msgspec.structs.replace(JOB, at=now_ms)
    dead = msgspec.structs.replace(JOB, at=now_ms - ALIVE_MS - 1)
    vitality.report("a", alive)
    vitality.report("b", dead)
    assert vitality.writers() == {"a": alive, "b": dead}
    assert alive.is_alive(now_ms) and not dead.is_alive(now_ms)
    vitality.sign_off("a")
    assert set(vitality.writers()) == {"b"}


def test_every_primary_of_a_cluster_has_a_witness(
    redis_cluster: RedisCluster, cluster_store: RedisStore
) -> None:
    vitality = Vitality(cluster_store, "riskstream", "shop", "00ff")
    state = vitality.mark_whole(NOW)
    witnesses = vitality.witnesses()
    assert sorted(witnesses.values()) == sorted(f"127.0.0.1:{node.port}" for node in redis_cluster.nodes)
    assert cluster_store.read(list(witnesses)) == [state.life.encode()] * 3


def test_there_is_a_tag_in_each_part_of_a_cluster() -> None:
    assert [key_slot(tag) * PARTS // SLOTS for tag in tags()] == list(range(PARTS))


@pytest.mark.parametrize("entity", ["life", "writers", "life{10}"])
def test_no_record_has_a_key_of_the_state(vitality: Vitality, entity: str) -> None:
    keys = record_keys("riskstream", "shop", "00ff", entity, ["", "x", ":"])
    assert not {vitality.state_key, vitality.writers_key, vitality.state_key + tags()[0]} & set(keys)
