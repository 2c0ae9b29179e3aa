"""Records that cannot be read: their customers' events are set aside, all others go on, and nothing ends."""

import logging
from collections.abc import Callable

import numpy as np
import pytest

from features.kernel import Disposition
from features.record import BadRecord
from pipeline.engine.assess import assess
from pipeline.engine.assessments import Assessments
from pipeline.engine.rejects import too_late, unreadable
from pipeline.job.instrumentation import log_rejects
from pipeline.outputs import publications, rows
from pipeline.pubsub.message import Message
from pipeline.stores.redis_store import RedisStore
from pipeline.stores.store import DryStore, MemoryStore, RecordStore, record_keys
from tests.pipeline.market import START_US, Sent, batched, columns, history, market, payment
from tests.pipeline.models import engine
from tests.pipeline.servers import RedisServer

MARKET = market()
EVENTS = history(MARKET, 400, seed=31)
BEFORE, AFTER = EVENTS[:200], EVENTS[200:]
ABSENT = Disposition.ABSENT


def key_of(entity: str, id: str) -> bytes:
    return record_keys("riskstream", MARKET.name, MARKET.fingerprint, entity, [id])[0]


def entities_of(event: Sent) -> dict[str, str]:
    batch = batched(MARKET, [event])
    return {entity: arrivals.ids[0] for entity, arrivals in batch.arrivals.items() if len(arrivals.ids)}


def said_in(store: RecordStore, events: list[Sent] = AFTER) -> Assessments:
    return assess(engine(MARKET, store), batched(MARKET, events))


@pytest.fixture
def redis(redis_server: RedisServer) -> RedisStore:
    redis_server.client.flushall()
    store = RedisStore(redis_server.url)
    said_in(store, BEFORE)
    return store


STRINGS: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "garbage": lambda _: b"garbage",
    "long garbage": lambda _: b"x" * 5_000,
    "another layout": lambda blob: blob[:3] + b"\x02" + blob[4:],
    "another fingerprint": lambda blob: blob[:4] + bytes(8) + blob[12:],
    "cut": lambda blob: blob[:-8],
    "level": lambda blob: blob[:48] + b"\x07" + blob[49:],
}
TYPES: dict[str, tuple[str, ...]] = {
    "list": ("RPUSH", "x"), "hash": ("HSET", "a", "b"), "set": ("SADD", "x"), "sorted set": ("ZADD", "1", "x"),
    "stream": ("XADD", "*", "a", "b"),
}  # fmt: skip
FAULTS = (*STRINGS, *TYPES)


def spoil(redis: RedisStore, key: bytes, fault: str) -> None:
    """Puts something else under a key."""
    if fault in STRINGS:
        blob = redis.read([key])[0] or b"RSR\x01" + bytes(60)
        redis.call("SET", key, STRINGS[fault](blob))
        return
    name, *words = TYPES[fault]
    redis.call("DEL", key)
    redis.call(name, key, *words)


def without(rows_left_out: list[int]) -> list[Sent]:
    return [event for i, event in enumerate(AFTER) if i not in set(rows_left_out)]


@pytest.mark.parametrize("entity", ["customer", "merchant"])
@pytest.mark.parametrize("fault", FAULTS)
def test_the_events_of_an_unreadable_record_are_set_aside_and_all_others_go_on(
    redis: RedisStore, fault: str, entity: str
) -> None:
    if entity == "merchant" and fault == "level":
        pytest.skip("only a customer's record has a level")
    id = next(found[entity] for found in map(entities_of, AFTER) if entity in found)
    key = key_of(entity, id)
    spoil(redis, key, fault)
    said = said_in(redis)
    expected = [i for i, event in enumerate(AFTER) if entities_of(event).get(entity) == id]
    assert sorted(said.unreadable) == expected != []
    assert {(each.key, each.entity, each.id) for each in said.unreadable.values()} == {(key, entity, id)}
    assert (said.disposition[expected] == ABSENT).all() and not said.accepted[expected].any()
    assert np.isnan(said.score[expected]).all() and np.isnan(said.vectors[expected]).all()
    assert (said.seq[expected] == 0).all() and not said.exact[expected].any()
    others = np.setdiff1d(np.arange(len(AFTER)), expected)
    assert said.accepted[others].all() and (said.seq[others] > 0).all()
    if fault in STRINGS:  # nothing of them was counted anywhere: the rest is as if they had not come
        clean = MemoryStore()
        said_in(clean, BEFORE)
        found, alone = columns([said]), columns([said_in(clean, without(expected))])
        for name, column in alone.items():
            np.testing.assert_array_equal(found[name][others], column, name)


@pytest.mark.parametrize("fault", ["garbage", "list"])
def test_after_a_repair_their_messages_are_counted(redis: RedisStore, fault: str) -> None:
    id = entities_of(AFTER[0])["customer"]
    key = key_of("customer", id)
    (whole,) = redis.read([key])
    spoil(redis, key, fault)
    aside = [AFTER[i] for i in sorted(said_in(redis).unreadable)]
    redis.call("SET", key, whole) if whole else redis.call("DEL", key)
    again = said_in(redis, aside)
    assert not again.unreadable and again.accepted.all()
    all_at_once = MemoryStore()
    said_in(all_at_once, BEFORE)
    said_in(all_at_once, AFTER)
    assert redis.read([key]) == all_at_once.read([key])


def test_a_trial_on_an_unreadable_record_is_told_so(redis: RedisStore) -> None:
    new = payment(MARKET, "p-new", START_US, "somebody new", "m1", 5.0)
    redis.call("RPUSH", key_of("customer", "somebody new"), "x")
    assert list(said_in(DryStore(redis), [new]).unreadable) == [0]


def test_whoever_must_not_go_on_without_any_event_is_stopped(redis: RedisStore) -> None:
    id = entities_of(AFTER[0])["customer"]
    for fault in ("garbage", "hash"):
        spoil(redis, key_of("customer", id), fault)
        with pytest.raises(
            BadRecord, match=f"customer:{id}: the record of customer {id} cannot be read: not a record"
        ):
            assess(engine(MARKET, redis), batched(MARKET, AFTER), strict=True)


def test_a_dead_letter_names_its_reason_and_the_log_its_key(
    redis: RedisStore, caplog: pytest.LogCaptureFixture
) -> None:
    id = entities_of(AFTER[0])["customer"]
    spoil(redis, key_of("customer", id), "garbage")
    said = said_in(redis)
    messages = [Message(b"{}", {"event_type": event.event_type}, str(i), 0) for i, event in enumerate(AFTER)]
    rejects = unreadable(messages, said)
    assert {reject.reason for reject in rejects} == {"bad_record"} and len(rejects) == len(said.unreadable)
    assert (
        "cannot be read: not a record: 7 bytes" in rejects[0].detail
        and "riskstream repair" in rejects[0].detail
    )
    assert rows.assessment_rows(messages, said, 0).num_rows == len(AFTER) - len(rejects)
    with caplog.at_level(logging.WARNING):
        log_rejects(rejects)
    assert key_of("customer", id).decode() in caplog.text


def test_random_bytes_under_a_key_end_nothing(redis: RedisStore) -> None:
    """Whole values, and records with some bytes changed: they are set aside or read, and nothing else happens."""
    rng, plain = np.random.default_rng(5), engine(MARKET, redis)
    keys = [key_of(entity, id) for event in BEFORE[:40] for entity, id in entities_of(event).items()]
    for round in range(60):
        blobs = dict(zip(keys, redis.read(keys), strict=True))
        for key in rng.choice(len(keys), 5, replace=False):
            blob = blobs[keys[key]] or b"RSR\x01"
            if round % 3 == 0:
                blob = rng.bytes(int(rng.integers(0, 400)))
            else:
                damaged = bytearray(blob)
                for at in rng.integers(0, min(len(blob), 120) if round % 3 == 1 else len(blob), 3):
                    damaged[at] = int(rng.integers(0, 256))
                blob = bytes(damaged)
            redis.call("SET", keys[key], blob)
        some = [*BEFORE[:40], *AFTER[:60]]
        messages = [
            Message(b"{}", {"event_type": event.event_type}, str(i), 0) for i, event in enumerate(some)
        ]
        said = assess(plain, batched(MARKET, some))
        rejects = [*unreadable(messages, said), *too_late(messages, said)]
        assert len(rejects) + rows.assessment_rows(messages, said, 0).num_rows == 100
        publications.alerts(messages, said, 0)
        for key in keys:
            if blobs[key] is not None:
                redis.call("SET", key, blobs[key])
