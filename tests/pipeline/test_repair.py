"""Repair: a store damaged in whatever way is again what the log implies, bit for bit; what is right is not touched."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest

from features.record import loads
from features.usecase import UseCase, parse
from pipeline.bigquery.assessment_log import Log
from pipeline.engine.assess import assess
from pipeline.reconciliation.damage import ImpliedRecord, RecordState, judge
from pipeline.reconciliation.reconcile import engines, first_copies
from pipeline.reconciliation.repair import EntityReport, Repair
from pipeline.stores.redis_store import RedisStore
from pipeline.stores.store import MemoryStore, record_keys
from tests.pipeline.market import MARKET, START_US, batched, history, market, payment
from tests.pipeline.models import engine
from tests.pipeline.servers import RedisServer
from tests.pipeline.test_reconcile import LIMITED, UNLIMITED, Told, assessed

Damage = Callable[[RedisServer, dict[bytes, bytes]], int]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    """A stream of two entities and two models, with a breaker that holds back."""
    use_case = parse(
        MARKET.read_text().replace("24h\n", "1m\n", 1).replace(UNLIMITED, LIMITED), "limited.yaml"
    )
    return assessed(use_case, str(tmp_path_factory.mktemp("bundles")), 600, seed=3)


@pytest.fixture
def stored(told: Told, redis_store: RedisStore, redis_server: RedisServer) -> RedisServer:
    redis_server.client.mset(told.records)
    return redis_server


def walked(
    told: Told, store: RedisStore, write: bool = True, now_us: int = START_US, **more: object
) -> dict[str, EntityReport]:
    order, _ = first_copies(Log(told.assessments))
    walk = Repair(
        told.use_case, Log(told.assessments).take(order), store, "riskstream", now_us=now_us, write=write,
        **more,  # type: ignore[arg-type]
    )  # fmt: skip
    return walk.run(engines(told.use_case, told.root))


def contents(server: RedisServer) -> dict[bytes, bytes]:
    keys = server.client.keys("*")
    return dict(zip(keys, server.client.mget(keys), strict=True)) if keys else {}


def some(records: dict[bytes, bytes], share: float, seed: int = 1) -> list[bytes]:
    keys = sorted(records)
    return [keys[i] for i in np.random.default_rng(seed).permutation(len(keys))[: int(share * len(keys)) + 1]]


def all_are_lost(server: RedisServer, records: dict[bytes, bytes]) -> int:
    server.client.flushall()
    return len(records)


def some_are_lost(server: RedisServer, records: dict[bytes, bytes]) -> int:
    return int(server.client.delete(*some(records, 0.3)))


def a_value_is_garbage(server: RedisServer, records: dict[bytes, bytes]) -> int:
    keys = some(records, 0.1)
    for i, key in enumerate(keys):
        server.client.set(key, [b"garbage", b"\0" * 100, records[key][:-3], b"x" + records[key][1:]][i % 4])
    return len(keys)


def a_value_is_of_another_type(server: RedisServer, records: dict[bytes, bytes]) -> int:
    (key,) = some(records, 0.0)
    server.client.delete(key)
    server.client.lpush(key, "1", "2")
    return 1


def a_byte_is_another(server: RedisServer, records: dict[bytes, bytes]) -> int:
    keys = [key for key in some(records, 0.5) if b":customer:" in key]
    for key in keys:
        blob = bytearray(records[key])
        blob[40] ^= 1  # in the status
        server.client.set(key, bytes(blob))
    return len(keys)


@pytest.mark.parametrize(
    "damage", [all_are_lost, some_are_lost, a_value_is_garbage, a_value_is_of_another_type, a_byte_is_another]
)  # fmt: skip
def test_whatever_was_damaged_is_rebuilt_to_the_bit_and_nothing_else_is_written(
    told: Told, stored: RedisServer, redis_store: RedisStore, damage: Damage
) -> None:
    n = damage(stored, told.records)
    seen = walked(told, redis_store, write=False)
    assert sum(each.wrong for each in seen.values()) == n > 0
    assert sum(each.rebuilt for each in seen.values()) == 0
    assert contents(stored) != told.records if damage is not a_value_is_of_another_type else True
    done = walked(told, redis_store)
    assert sum(each.rebuilt for each in done.values()) == n
    assert contents(stored) == told.records
    again = walked(told, redis_store)
    assert all(each.wrong == each.rebuilt == 0 for each in again.values()), "a second repair finds nothing"
    assert set(again["customer"].findings) == {RecordState.EQUAL}


def test_a_cluster_is_repaired_on_all_its_nodes(told: Told, cluster_store: RedisStore) -> None:
    keys, (new,) = (
        list(told.records),
        record_keys("riskstream", "market", told.use_case.fingerprint, "customer", ["new"]),
    )
    cluster_store.commit(
        [*keys, new],
        [0] * (len(keys) + 1),
        [*told.records.values(), next(b for k, b in told.records.items() if b":customer:" in k)],
    )
    for i, key in enumerate(keys[::2]):
        cluster_store.call("SET", key, b"garbage") if i % 2 else cluster_store.call("DEL", key)
    done = walked(told, cluster_store)
    assert sum(each.rebuilt for each in done.values()) == len(keys[::2])
    assert sum(each.unlogged for each in done.values()) == 1
    assert cluster_store.read(keys) == list(told.records.values())


# Rolled back, ahead, unknown


@dataclass(frozen=True)
class Moment:
    """The records after some events and after all of them."""

    use_case: UseCase
    before: dict[bytes, bytes]
    after: dict[bytes, bytes]


@pytest.fixture(scope="module")
def moment() -> Moment:
    use_case, store = market("1m"), MemoryStore()
    own, events = engine(use_case, store), history(market("1m"), 500, seed=9)
    assess(own, batched(use_case, events[:430]))
    before = dict(store.records)
    assess(own, batched(use_case, events[430:]))
    return Moment(use_case, before, dict(store.records))


def test_records_that_were_rolled_back_are_rebuilt(
    told: Told, stored: RedisServer, redis_store: RedisStore
) -> None:
    """Those of an earlier moment of the same stream, as a promoted replica has them."""
    early = replace(told, assessments=told.assessments.slice(0, 400))
    redis_store_of(early, stored, redis_store)
    stale = contents(stored)
    differ = sum(stale.get(key) != blob for key, blob in told.records.items())
    assert differ > 10
    done = walked(told, redis_store)
    assert sum(each.rebuilt for each in done.values()) == differ
    assert done["customer"].findings[RecordState.BEHIND] > 0
    assert contents(stored) == told.records


def redis_store_of(told: Told, server: RedisServer, store: RedisStore) -> None:
    """Fill Redis with what the log implies and nothing else."""
    server.client.flushall()
    walked(told, store)


def test_a_record_ahead_of_the_log_is_kept(told: Told, stored: RedisServer, redis_store: RedisStore) -> None:
    """Its rows are still to come. One that is ahead and lacks an event of the log is rebuilt."""
    early = replace(told, assessments=told.assessments.slice(0, 400))
    done = walked(early, redis_store)
    assert sum(each.rebuilt for each in done.values()) == 0
    assert (
        done["customer"].findings[RecordState.AHEAD] > 5 and done["merchant"].findings[RecordState.AHEAD] > 0
    )
    assert contents(stored) == told.records


def test_a_record_that_went_another_way_is_rebuilt(moment: Moment) -> None:
    """Rolled back and written again, it has other events under the numbers of the log."""
    use_case, store = moment.use_case, MemoryStore(dict(moment.before))
    plan, key = (
        use_case.plans["customer"],
        record_keys("riskstream", "market", moment.use_case.fingerprint, "customer", ["c1"])[0],
    )
    day_us = START_US + 600 * 60_000_000
    others = [payment(use_case, f"other{i}", day_us + i, "c1", None, 9.0) for i in range(100)]
    for n in (1, 5, 60, 100):
        assess(engine(use_case, store), batched(use_case, others[:n]))
        found = judge(plan, store.records[key], ImpliedRecord(moment.after[key]))
        assert found in (RecordState.BEHIND, RecordState.OTHER)
    assert judge(plan, moment.after[key], ImpliedRecord(moment.before[key])) is RecordState.AHEAD


def test_what_the_log_does_not_know_is_left_alone_unless_nobody_can_read_it(
    told: Told, stored: RedisServer, redis_store: RedisStore
) -> None:
    own, blob = told.use_case, next(blob for key, blob in told.records.items() if b":customer:" in key)
    new, broken = record_keys("riskstream", own.name, own.fingerprint, "customer", ["new*", "bro:ken"])
    stored.client.mset({new: blob, broken: b"garbage", b"riskstream:other": b"mine"})
    done = walked(told, redis_store)
    assert (done["customer"].unlogged, done["customer"].rebuilt, done["merchant"].unlogged) == (1, 1, 0)
    assert done["customer"].examples == {RecordState.UNREADABLE: ["bro:ken"]}
    assert contents(stored) == told.records | {new: blob, b"riskstream:other": b"mine"}


def test_a_record_that_is_written_meanwhile_is_not_overwritten(
    told: Told, stored: RedisServer, redis_store: RedisStore
) -> None:
    key = next(key for key in told.records if b":customer:" in key)
    stored.client.set(key, b"garbage")
    order, _ = first_copies(Log(told.assessments))

    class Racing(Repair):
        def rebuild(self, entity: str, wrong: object) -> None:
            stored.client.set(key, b"other")
            super().rebuild(entity, wrong)  # type: ignore[arg-type]

    walk = Racing(told.use_case, Log(told.assessments).take(order), redis_store, "riskstream", write=True)
    done = walk.run(engines(told.use_case, told.root))["customer"]
    assert (done.rebuilt, done.changed, stored.client.get(key)) == (0, 1, b"other")


def test_a_record_that_may_have_expired_is_not_missed(
    told: Told, stored: RedisServer, redis_store: RedisStore
) -> None:
    """Windows alone are kept of a merchant; by then the kernel would begin anew."""
    some_are_lost(stored, told.records)
    left, year_us = contents(stored), 365 * 86_400_000_000
    lost = sum(b":merchant:" in key for key in told.records.keys() - left.keys())
    later = walked(told, redis_store, now_us=START_US + year_us)
    assert later["merchant"].findings[RecordState.FORGOTTEN] == lost > 0 == later["merchant"].rebuilt
    assert later["customer"].rebuilt == later["customer"].findings[RecordState.MISSING] > 0


# A log that does not have everything


def without_numbers(told: Told, customer: str, *numbers: int) -> Told:
    """The log without some rows of a customer."""
    rows = zip(*(told.assessments[name].to_pylist() for name in ("customer", "seq")), strict=True)
    kept = [i for i, (who, seq) in enumerate(rows) if not (who == customer and seq in numbers)]
    return replace(told, assessments=told.assessments.take(kept))


def test_with_gaps_in_the_log_a_good_record_is_kept_and_a_lost_one_is_told(
    told: Told, stored: RedisServer, redis_store: RedisStore
) -> None:
    """Rebuilt from half of its events it would be wrong without a sign."""
    gapped = without_numbers(told, "c1", 1, 2, 3)
    key = record_keys("riskstream", told.use_case.name, told.use_case.fingerprint, "customer", ["c1"])[0]
    kept = walked(gapped, redis_store)["customer"]
    assert kept.wrong == kept.rebuilt == 0 and kept.findings[RecordState.CONSISTENT] >= 1
    assert contents(stored) == told.records
    stored.client.delete(key)
    refused = walked(gapped, redis_store)["customer"]
    assert (refused.wrong, refused.inexact, refused.rebuilt) == (1, 1, 0)
    assert refused.examples == {RecordState.MISSING: ["c1"]}
    assert stored.client.get(key) is None
    best = walked(gapped, redis_store, best_effort=True)["customer"]
    assert (best.wrong, best.inexact, best.rebuilt) == (1, 0, 1)
    plan = told.use_case.plans["customer"]
    assert loads(plan, stored.client.get(key)).seq == loads(plan, told.records[key]).seq - 3
