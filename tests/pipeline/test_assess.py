"""Assess as a whole: splits, stores, duplicates, late events, crashes, lost races, overrides, the breaker."""

import csv
import multiprocessing
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from export.manifest import BundleMismatch
from export.onnx import Scorer
from export.policy import Breaker, Level, Policy, Transition, level_after, level_before, transition
from features.events import from_row
from features.kernel import Disposition
from features.record import loads
from features.times import rfc3339
from features.usecase import UseCase, load
from pipeline.engine.assess import assess
from pipeline.engine.challenger import Challenger
from pipeline.engine.engine import Engine
from pipeline.runtime.errors import StoreUnavailable
from pipeline.stores.redis_store import RedisStore
from pipeline.stores.store import Expiry, MemoryStore, RecordStore, record_keys
from tests.pipeline.market import (
    MINUTE_US,
    START_US,
    Sent,
    assert_same,
    assess_in,
    batched,
    columns,
    history,
    market,
    numbers,
    offboarding,
    payment,
    sent,
    switching,
)
from tests.pipeline.models import engine, trained
from tests.pipeline.rebuild import rebuilt
from tests.pipeline.servers import RedisServer
from tests.pipeline.workers import work
from training.generate.dataset import generate

APPLIED, DUPLICATE, TOO_LATE = Disposition.APPLIED, Disposition.DUPLICATE, Disposition.TOO_LATE
MARKET = market()


def key_of(use_case: UseCase, entity: str, id: str) -> bytes:
    return record_keys("riskstream", use_case.name, use_case.fingerprint, entity, [id])[0]


def run(store: RecordStore, events: Sequence[Sent], sizes: Sequence[int] = (), use_case: UseCase = MARKET):
    return assess_in(engine(use_case, store), events, sizes)


@pytest.mark.parametrize("sizes", [(1, 1, 1, 1), (4,)])
def test_the_legs_of_a_transfer_count_as_two_events_of_what_they_share(sizes: Sequence[int]) -> None:
    """Payer and payee report one id; a copy of a leg is still a duplicate, in one batch and over several."""
    legs = [payment(MARKET, "transfer-1", START_US, customer, "m1", 20.0) for customer in ("payer", "payee")]
    store = MemoryStore()
    found = columns(run(store, [*legs, *legs], sizes))
    assert found["disposition"].tolist() == [APPLIED, APPLIED, DUPLICATE, DUPLICATE]
    assert found["seq"].tolist() == [1, 1, 1, 1] and found["merchant"].tolist() == numbers(
        START_US, 1, 2, 1, 2
    )
    merchant = loads(MARKET.plans["merchant"], store.records[key_of(MARKET, "merchant", "m1")])
    assert merchant.events == 2 and len({event.key for event in merchant.ring}) == 2
    assert found["vectors"][1, MARKET.features.index("taken_count_24h")] == 2


# One result, however it was come by


def test_a_batch_says_something_of_every_event_in_its_order() -> None:
    events = history(MARKET, 600, seed=1)
    (found,) = run(MemoryStore(), events)
    scored = found.batch.scored
    assert found.batch.event_id == batched(MARKET, events).event_id
    assert set(found.disposition.tolist()) == {APPLIED, DUPLICATE}
    np.testing.assert_array_equal(np.isnan(found.score), ~scored)
    assert found.vectors.shape == (600, len(MARKET.features)) and found.vectors.dtype == np.float32
    assert not np.isnan(found.vectors[scored, MARKET.features.index("taken_count_24h")]).all()
    assert len(set(level_after(found.outcome).tolist())) == 3, (
        "the test needs a model that tells customers apart"
    )
    assert {Transition.NONE, Transition.RECOMMENDED, Transition.RETRACTED} <= set(
        transition(found.outcome).tolist()
    )
    assert found.conflicts == 0 and found.fingerprint == MARKET.fingerprint
    assert found.model_version == trained(MARKET).manifest.id
    assert found.seconds.keys() == {"read", "advance", "vectors", "score", "decide", "commit"}


@pytest.mark.parametrize("lateness", ["24h", "1m"])
@pytest.mark.parametrize("seed", range(4))
def test_any_split_into_batches_gives_the_same(seed: int, lateness: str) -> None:
    use_case = market(lateness)
    events = history(use_case, 900, seed)
    whole, split = MemoryStore(), MemoryStore()
    expected = columns(run(whole, events, (), use_case))
    sizes = np.random.default_rng(seed).integers(1, 120, 30).tolist()
    found = columns(run(split, events, sizes, use_case))
    assert split.records == whole.records
    known = expected.pop("exact") & found.pop("exact")
    assert known[expected["disposition"] == APPLIED].all()
    for unlike in ("vectors", "merchant"):  # a duplicate's merchant may have forgotten it by then
        np.testing.assert_array_equal(expected.pop(unlike)[known], found.pop(unlike)[known])
    assert_same(found, expected)
    assert (expected["disposition"] == TOO_LATE).any() == (lateness == "1m")


@pytest.mark.parametrize("name", ["redis_store", "cluster_store"])
def test_every_store_gives_the_same(name: str, request: pytest.FixtureRequest) -> None:
    events, memory = history(MARKET, 500, seed=3), MemoryStore()
    store = request.getfixturevalue(name)
    assert_same(columns(run(store, events, [7, 100, 50])), columns(run(memory, events, [7, 100, 50])))
    assert store.read(list(memory.records)) == list(memory.records.values())


def test_records_are_what_the_sequence_numbers_say() -> None:
    events, store = history(MARKET, 700, seed=5), MemoryStore()
    results = run(store, events, [90] * 8)
    assert_rebuilt(engine(MARKET, store), events, columns(results))


def test_changes_are_counted_alike_by_stream_and_replay_whatever_the_batches() -> None:
    """Records of each customer and each merchant agree bit for bit, with late events and duplicates."""
    use_case = switching()
    events, whole, split = history(use_case, 900, seed=2), MemoryStore(), MemoryStore()
    expected = columns(run(whole, events, (), use_case))
    found = columns(run(split, events, [7, 1, 100, 50] * 5, use_case))
    assert split.records == whole.records
    assert_rebuilt(engine(use_case, split), events, found)
    switched = [i for i, name in enumerate(use_case.features) if name.endswith("switched_count_1h")]
    assert len(switched) == 2 and (np.nanmax(expected["vectors"][:, switched], axis=0) > 5).all()
    known = expected["exact"] & found["exact"]
    np.testing.assert_array_equal(
        expected["vectors"][known][:, switched], found["vectors"][known][:, switched]
    )


def assert_rebuilt(eng: Engine, events: Sequence[Sent], found: dict[str, np.ndarray]) -> None:
    applied = np.flatnonzero(found["disposition"] == APPLIED)
    seqs = {"customer": found["seq"][applied], "merchant": found["merchant"][applied]}
    records, vectors, score, outcome = rebuilt(eng, [events[i] for i in applied], seqs)
    assert eng.store.read(list(records)) == list(records.values())
    scored = ~np.isnan(score)
    assert np.isnan(found["vectors"][applied][~scored]).all()
    assert vectors[scored].tobytes() == found["vectors"][applied][scored].tobytes()
    assert score.tobytes() == found["score"][applied].tobytes()
    assert outcome.tobytes() == found["outcome"][applied].tobytes()


def test_the_benchmarks_use_case_runs(redis_store: RedisStore) -> None:
    use_case = load(Path(__file__).parents[1] / "benchmarks" / "sixteen.yaml")
    rng = np.random.default_rng(2)
    fixed = {"currency": "EUR", "direction": "IN", "channel": "CARD", "merchant": "m", "reference": "r"}
    events = [
        sent(
            use_case, "transaction", at, id=f"t{i}", customer=f"c{rng.integers(0, 40)}", time=rfc3339(at),
            amount=float(rng.integers(1, 999)), **fixed,
        )
        for i in range(500)
        for at in [START_US + i * MINUTE_US]
    ]  # fmt: skip
    memory = MemoryStore()
    found = columns(run(redis_store, events, [100] * 4, use_case))
    assert_same(found, columns(run(memory, events, [300], use_case)))
    assert redis_store.read(list(memory.records)) == list(memory.records.values())
    count = use_case.features.index("amount_count_1h")
    assert found["vectors"][:, count].max() > 2


def test_off_boarding_runs_on_generated_customers(tmp_path: Path) -> None:
    use_case = offboarding()
    generate(30, 40, 11, tmp_path, start=date(2024, 1, 1))
    transactions = rows(use_case, "transaction", tmp_path / "transactions.csv")
    born = min(e.published_us for e in transactions)
    events = rows(use_case, "customer", tmp_path / "users.csv", born) + transactions
    whole, split = MemoryStore(), MemoryStore()
    expected = columns(run(whole, events, (), use_case))
    assert_same(columns(run(split, events, [250] * 20, use_case)), expected)
    assert split.records == whole.records
    assert (expected["disposition"] == APPLIED).mean() > 0.99


def rows(use_case: UseCase, event_type: str, path: Path, published_us: int | None = None) -> list[Sent]:
    with path.open(newline="") as file:
        events = [from_row(use_case, event_type, row, published_us) for row in csv.DictReader(file)]
    found = [Sent(event_type, e, e._time_us if published_us is None else published_us) for e in events]
    return sorted(found, key=lambda e: e.published_us)


# Duplicates and late events


def test_duplicates_answer_as_the_first_time(store: RecordStore) -> None:
    events = history(MARKET, 400, seed=8)
    first = columns(run(store, events, [100] * 3))
    second = columns(run(store, events, [37] * 9))
    assert set(second["disposition"].tolist()) == {DUPLICATE}
    assert second["exact"].all()
    for name in ("disposition", "exact"):
        first.pop(name), second.pop(name)
    assert_same(second, first)


def test_a_repetition_in_the_batch_answers_as_the_first_and_counts_once() -> None:
    one = payment(MARKET, "p1", START_US, "c1", "m1", 12.0)
    other = payment(MARKET, "p2", START_US + MINUTE_US, "c2", "m1", 20.0)
    store = MemoryStore()
    (found,) = run(store, [one, other, one, one])
    assert found.disposition.tolist() == [APPLIED, APPLIED, DUPLICATE, DUPLICATE]
    assert found.seq.tolist() == [1, 1, 1, 1]
    assert found.other_seqs["merchant"].tolist() == numbers(START_US, 1, 2, 1, 1)
    for row in (2, 3):
        assert found.vectors[row].tobytes() == found.vectors[0].tobytes()
        assert (found.score[row], found.outcome[row]) == (found.score[0], found.outcome[0])
    assert loads(MARKET.plans["merchant"], store.records[key_of(MARKET, "merchant", "m1")]).events == 2


def hot_merchant(use_case: UseCase) -> list[Sent]:
    """One payment each of 300 customers with one merchant, ten minutes apart: its ring keeps the last 64."""
    return [
        payment(use_case, f"p{i}", START_US + 10 * i * MINUTE_US, f"c{i}", "m1", 10.0 + i % 40)
        for i in range(300)
    ]


def test_a_merchant_that_forgot_an_event_does_not_count_it_again() -> None:
    use_case, store = market("1m"), MemoryStore()
    events = hot_merchant(use_case)
    first = columns(run(store, events, [50] * 5, use_case))
    before = dict(store.records)
    (again,) = run(store, events[:40] + events[-40:], (), use_case)
    assert store.records == before
    assert set(again.disposition.tolist()) == {DUPLICATE}
    assert again.exact.tolist() == [False] * 40 + [True] * 40
    assert again.other_seqs["merchant"].tolist() == [0] * 40 + numbers(START_US, *range(261, 301))
    np.testing.assert_array_equal(again.score, np.concatenate([first["score"][:40], first["score"][-40:]]))
    np.testing.assert_array_equal(again.vectors[40:], first["vectors"][-40:])


def test_an_event_the_subject_refuses_is_counted_nowhere() -> None:
    use_case, store = market("1m"), MemoryStore()
    events = [payment(use_case, f"p{i}", START_US + i * 10 * MINUTE_US, "c1", "m1", 9.0) for i in range(100)]
    run(store, events, (), use_case)
    before = dict(store.records)
    late = [
        payment(use_case, f"late{i}", START_US + i, "c1", merchant, 9.0) for i, merchant in enumerate("mn")
    ]
    good = payment(use_case, "good", START_US + 1000 * MINUTE_US, "c2", "m2", 9.0)
    (found,) = run(store, [late[0], good, late[1]], (), use_case)
    assert found.disposition.tolist() == [TOO_LATE, APPLIED, TOO_LATE]
    assert found.seq.tolist() == [0, 1, 0]
    assert found.other_seqs["merchant"].tolist() == numbers(START_US + 1000 * MINUTE_US, 0, 1, 0)
    assert np.isnan(found.score).tolist() == [True, False, True]
    assert {key: blob for key, blob in store.records.items() if key in before} == before
    assert store.records.keys() - before.keys() == {
        key_of(use_case, "customer", "c2"),
        key_of(use_case, "merchant", "m2"),
    }


def test_a_batch_without_any_merchant() -> None:
    (found,) = run(MemoryStore(), [payment(MARKET, "p", START_US, "c", None, 1.0)])
    assert found.other_seqs["merchant"].tolist() == [0] and found.exact.all()


# The policy


def override(level: str, at_us: int, until_us: int) -> Sent:
    until = rfc3339(until_us)
    return sent(
        MARKET, "override", at_us, customer="c1", level=level, author="ann", reason="known", until=until
    )


@pytest.mark.parametrize("sizes", [(), (1, 1, 1, 1)])
def test_an_override_is_an_event_like_any_other(sizes: tuple[int, ...]) -> None:
    pay = [payment(MARKET, f"p{i}", START_US + 60 * i * MINUTE_US, "c1", "m1", 30.0) for i in range(4)]
    word = override("HIGH", START_US + 65 * MINUTE_US, START_US + 130 * MINUTE_US)
    found = columns(run(MemoryStore(), [pay[0], pay[1], word, pay[2], pay[3], word], sizes))
    outcome = found["outcome"]
    assert transition(outcome)[[2, 4]].tolist() == [Transition.OVERRIDDEN, Transition.RELEASED]
    assert level_after(outcome)[[2, 3]].tolist() == [Level.HIGH] * 2
    assert level_before(outcome)[2] == level_after(outcome)[1]
    assert found["disposition"][5] == DUPLICATE and outcome[5] == outcome[2]
    assert np.isnan(found["score"][[2, 5]]).all()


@pytest.mark.parametrize("sizes", [(), (30,) * 20])
def test_the_breaker_holds_recommendations_across_batches(sizes: tuple[int, ...]) -> None:
    events = history(MARKET, 600, seed=1)
    free = transition(columns(run(MemoryStore(), events, sizes))["outcome"])
    assert (free == Transition.RECOMMENDED).sum() > 3 and not (free == Transition.HELD).any()
    eng = engine(MARKET, MemoryStore())
    policy = replace(eng.policy, max_per_hour=1)
    eng = replace(eng, policy=policy, breaker=Breaker.of(policy))
    found = columns(assess_in(eng, events, sizes))
    held = transition(found["outcome"]) == Transition.HELD
    made = (transition(found["outcome"]) == Transition.RECOMMENDED) & (found["disposition"] == APPLIED)
    made_us = np.sort(batched(MARKET, events).time_us[made])
    assert held.any() and (np.diff(made_us) >= 60 * MINUTE_US).all()


def test_a_bundle_of_other_features_is_refused() -> None:
    with pytest.raises(BundleMismatch):
        Engine.from_bundle(offboarding(), trained(MARKET), MemoryStore())


# Crashes and lost races


class Crash(Exception):
    """A stand-in for kill -9 at a chosen commit."""


@dataclass
class Crashing:
    """The store of a process that dies before or after its nth commit."""

    store: RecordStore
    at: int
    is_written: bool
    commits: int = 0

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        return self.store.read(keys)

    def holds_other(self, keys: Sequence[bytes]) -> list[bool]:
        return self.store.holds_other(keys)

    def commit(
        self, keys: Sequence[bytes], before: Sequence[int], blobs: Sequence[bytes], expiry_ms: Expiry = None
    ) -> list[bool]:
        self.commits += 1
        if self.commits != self.at:
            return self.store.commit(keys, before, blobs, expiry_ms)
        if self.is_written:
            self.store.commit(keys, before, blobs, expiry_ms)
        raise Crash


@pytest.mark.parametrize("is_written", [False, True])
@pytest.mark.parametrize("at", [1, 2, 3, 4])
def test_a_crash_at_any_commit_leaves_no_trace_after_redelivery(at: int, is_written: bool) -> None:
    """A batch has two commits: merchants, then customers."""
    events = history(MARKET, 400, seed=21)
    calm, rough = MemoryStore(), MemoryStore()
    expected = columns(run(calm, events, [100] * 3))
    done = (at - 1) // 2  # batches before the crash
    with pytest.raises(Crash):
        run(Crashing(rough, at, is_written), events, [100] * 3)
    found = columns(run(rough, events[100 * done :], [100] * 3))
    assert rough.records == calm.records
    expected = {name: column[100 * done :] for name, column in expected.items()}
    was_stored = at % 2 == 0 and is_written
    disposition = found.pop("disposition")
    assert (disposition[:100] == DUPLICATE).all() == was_stored
    expected.pop("disposition")
    assert_same(found, expected)


@dataclass
class Overtaken:
    """The store of a process that another one overtakes: before chosen commits the other gets its turn."""

    store: RecordStore
    others: dict[int, Sequence[Sent]]
    commits: int = 0
    results: list = field(default_factory=list)

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        return self.store.read(keys)

    def holds_other(self, keys: Sequence[bytes]) -> list[bool]:
        return self.store.holds_other(keys)

    def commit(
        self, keys: Sequence[bytes], before: Sequence[int], blobs: Sequence[bytes], expiry_ms: Expiry = None
    ) -> list[bool]:
        self.commits += 1
        if events := self.others.get(self.commits):
            self.results += run(self.store, events)
        return self.store.commit(keys, before, blobs, expiry_ms)


@pytest.mark.parametrize("at", [1, 2])
@pytest.mark.parametrize("entities", [("c9", "m1"), ("c1", None), ("c1", "m1")])
def test_who_is_overtaken_does_only_those_events_again(entities: tuple[str, str | None], at: int) -> None:
    own = [payment(MARKET, f"p{i}", START_US + i, f"c{i % 3}", f"m{i % 3}", 10.0 + i) for i in range(6)]
    own += [payment(MARKET, "q", START_US + 10, "c2", "m1", 50.0)]
    theirs = [payment(MARKET, "theirs", START_US + 5, *entities, 33.0)]
    store = MemoryStore()
    overtaken = Overtaken(store, {at: theirs})
    results = run(overtaken, own) + overtaken.results
    found = columns(results)
    assert found["disposition"].tolist() == [APPLIED] * 8
    assert_rebuilt(engine(MARKET, store), own + theirs, found)
    hit = {("c9", "m1"): [5, 0], ("c1", None): [2, 2], ("c1", "m1"): [5, 2]}[entities][at - 1]
    assert results[0].conflicts == hit


def test_a_duplicate_in_a_lost_record_need_not_be_done_again() -> None:
    known = payment(MARKET, "known", START_US, "c1", "m1", 10.0)
    store = MemoryStore()
    run(store, [known])
    new = payment(MARKET, "new", START_US + 1, "c2", "m1", 10.0)
    theirs = payment(MARKET, "theirs", START_US + 2, "c3", "m1", 10.0)
    (found,) = run(Overtaken(store, {1: [theirs]}), [known, new])
    assert found.conflicts == 1
    assert found.disposition.tolist() == [DUPLICATE, APPLIED]
    assert found.other_seqs["merchant"].tolist() == numbers(START_US, 1, 3)


def test_processes_on_the_same_customers_apply_every_event_once(redis_server: RedisServer) -> None:
    """Each gets most of the events, in its own order, in small batches, so that they meet all the time."""
    redis_server.client.flushall()
    n, workers = 1_200, 3
    rng = np.random.default_rng(4)
    orders = [rng.permutation(n)[: n * 3 // 4].tolist() for _ in range(workers)]
    rest = sorted(set(range(n)) - set(orders[0]) - set(orders[1]))
    orders[2] = list(dict.fromkeys(orders[2] + rest))
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        arguments = [(redis_server.url, trained(MARKET), n, 99, order, 25) for order in orders]
        found, conflicts = zip(*pool.starmap(work, arguments), strict=True)
    assert sum(conflicts) > 0, "the test needs workers that meet"
    events = history(MARKET, n, seed=99)
    said = {name: np.concatenate([one[name] for one in found]) for name in found[0]}
    arrived = [events[i] for order in orders for i in order]
    assert not (said["disposition"] == TOO_LATE).any()
    ids = np.array(batched(MARKET, arrived).event_id)
    applied = said["disposition"] == APPLIED
    assert sorted(ids[applied]) == sorted(set(batched(MARKET, events).event_id))
    assert_rebuilt(engine(MARKET, RedisStore(redis_server.url)), arrived, said)
    first = {id: row for row, id in enumerate(ids) if applied[row]}
    same = np.array([first[id] for id in ids])
    assert said["exact"].all()
    for name in ("vectors", "score", "outcome", "seq", "merchant"):
        assert said[name].tobytes() == said[name][same].tobytes(), name


def test_a_store_that_is_away_is_the_callers_business(tmp_path: Path) -> None:
    server = RedisServer(tmp_path / "redis", "--appendonly", "yes", "--appendfsync", "always")
    eng, events = engine(MARKET, RedisStore(server.url)), history(MARKET, 200, seed=13)
    first = columns(assess_in(eng, events[:100], ()))
    server.stop()
    with pytest.raises(StoreUnavailable):
        assess(eng, batched(MARKET, events[100:]))
    server.start()
    found = columns([*assess_in(eng, events[100:], ())])
    calm = columns(run(MemoryStore(), events, [100]))
    server.stop()
    assert_same({name: np.concatenate([first[name], found[name]]) for name in first}, calm)


def challenger(policy: Policy) -> Challenger:
    """The same model with other thresholds and under another name."""
    return Challenger(Scorer(trained(MARKET).model), policy, "challenger")


def test_a_challenger_is_asked_and_changes_nothing() -> None:
    events = history(MARKET, 400, seed=21)
    alone, watched = engine(MARKET, MemoryStore()), engine(MARKET, MemoryStore())
    watched.challenger = challenger(replace(watched.policy, medium=0.2, high=0.4))
    plain, shadowed = assess_in(alone, events, [100] * 4), assess_in(watched, events, [100] * 4)
    assert_same(columns(shadowed), columns(plain))
    assert alone.store.records == watched.store.records
    assert all(one.shadow is None and "shadow" not in one.seconds for one in plain)
    for said in shadowed:
        assert said.shadow.version == "challenger"
        has_vector = said.exact | (said.disposition == Disposition.APPLIED)
        asked = has_vector & ~np.isnan(said.score)
        assert said.shadow.score[asked].tobytes() == said.score[asked].tobytes()
        assert np.isnan(said.shadow.score[~asked]).all()
        duplicates = asked & (said.disposition == Disposition.DUPLICATE)
        assert duplicates.any(), "the REST service may have been first"
        for level, bounds in ((said.shadow.level, (0.2, 0.4)), (said.score_level, (0.4, 0.6))):
            expected = sum(said.score[asked].astype(np.float64) >= bound for bound in bounds)
            assert level[asked].tolist() == expected.tolist()


def test_a_challenger_that_breaks_is_told_once_and_let_go(caplog: pytest.LogCaptureFixture) -> None:
    watched = engine(MARKET, MemoryStore())
    of_another_width = trained(load("usecases/berka.yaml")).model
    watched.challenger = Challenger(Scorer(of_another_width), watched.policy, "broken")
    first, second = assess_in(watched, history(MARKET, 50, seed=22), [25, 25])
    assert first.shadow is None and (first.disposition == Disposition.APPLIED).any()
    assert caplog.text.count("challenger broken cannot score, going on without it") == 1
    assert watched.challenger.broken
    assert second.shadow is None
