"""Owners: what they fold is what each worker would have folded, whoever is killed, late or gone."""

import multiprocessing
import os
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.process import BaseProcess

import numpy as np
import pytest

from features.kernel import Disposition
from features.usecase import UseCase
from pipeline.owners.member import Member
from pipeline.owners.membership import SLOTS, Membership, owner_of_slot
from pipeline.runtime.process_metrics import progress
from pipeline.stores.redis_store import RedisStore
from pipeline.stores.store import Expiry, MemoryStore, RecordStore, record_keys
from tests.pipeline.crew import PREFIX, members, owned
from tests.pipeline.market import Sent, assert_same, assess_in, columns, history, market, payment, switching
from tests.pipeline.models import engine
from tests.pipeline.rebuild import rebuilt
from tests.pipeline.servers import RedisServer, wait_for
from tests.pipeline.test_assess import Overtaken
from tests.pipeline.workers import own_until_killed

SIZES = [7, 1, 100, 50, 200, 3]
MARKET = market()


@pytest.mark.parametrize(
    ("name", "use_case"),
    [("redis_store", market("1m")), ("redis_store", switching()), ("cluster_store", MARKET)],
    ids=["late", "switching", "cluster"],
)
def test_owners_fold_what_the_worker_would_have_folded(
    name: str, use_case: UseCase, request: pytest.FixtureRequest
) -> None:
    """Outcomes, vectors, numbers and records are the same to the bit, with duplicates and late events."""
    store = request.getfixturevalue(name)
    events = history(use_case, 600, seed=4, merchants=9)
    asked, unanswered = progress.owners_asked, progress.owners_unanswered
    with members(use_case, store, 3) as crew:
        assessed = columns(assess_in(owned(use_case, store, crew[0]), events, SIZES))
    assert_as_alone(use_case, store, events, assessed)
    assert Disposition.DUPLICATE in assessed["disposition"]
    assert progress.owners_asked - asked > 400 and progress.owners_unanswered == unanswered


def assert_as_alone(
    use_case: UseCase, store: RecordStore, events: list[Sent], assessed: dict[str, np.ndarray], sizes: list[int] = SIZES
) -> None:  # fmt: skip
    """Compare with one worker that has nobody beside it, bit for bit."""
    memory = MemoryStore()
    assert_same(assessed, columns(assess_in(engine(use_case, memory), events, sizes)))
    assert store.read(list(memory.records)) == list(memory.records.values())


def test_workers_that_share_merchants_lose_no_race(redis_store: RedisStore) -> None:
    """Three workers have customers of their own and one merchant of all; the log gives every record again."""
    events = [e for e in history(MARKET, 900, seed=6, customers=30, merchants=3) if e.event_type == "payment"]
    shares = [[e for e in events if int(e.event.customer[1:]) % 3 == worker] for worker in range(3)]  # type: ignore[attr-defined]
    unanswered = progress.owners_unanswered
    with members(MARKET, redis_store, 3) as crew, ThreadPoolExecutor(3) as pool:
        engines = [owned(MARKET, redis_store, member) for member in crew]
        runs = [pool.submit(assess_in, *each, [20] * 20) for each in zip(engines, shares, strict=True)]
        results = [result for run in runs for result in run.result()]
    assessed, arrived = columns(results), [event for share in shares for event in share]
    conflicts = sum(result.conflicts for result in results)
    assert conflicts == 0 or progress.owners_unanswered > unanswered
    applied = np.flatnonzero(assessed["disposition"] == Disposition.APPLIED)
    seqs = {"customer": assessed["seq"][applied], "merchant": assessed["merchant"][applied]}
    records, vectors, score, outcome = rebuilt(engines[0], [arrived[i] for i in applied], seqs)
    assert redis_store.read(list(records)) == list(records.values())
    for name, column in (("vectors", vectors), ("score", score), ("outcome", outcome)):
        assert assessed[name][applied].tobytes() == column.tobytes(), name


@pytest.fixture
def another(redis_server: RedisServer) -> Iterator[BaseProcess]:
    """A process that owns a share of the merchants."""
    redis_server.client.flushall()
    context = multiprocessing.get_context("spawn")
    started = context.Event()
    process = context.Process(target=own_until_killed, args=(redis_server.url, started))
    process.start()
    started.wait()
    yield process
    process.kill()
    process.join()


def test_an_owner_that_is_frozen_late_or_killed_changes_nothing(
    another: BaseProcess, redis_server: RedisServer
) -> None:
    """Whoever waits in vain folds by itself; what the owner folds later, it knows already."""
    store, client = RedisStore(redis_server.url), redis_server.client
    membership = Membership(store, PREFIX, MARKET.name, MARKET.fingerprint)
    wait_for(lambda: len(membership.members()) == 1)
    (name,) = membership.members()
    inbox = f"{PREFIX}:{MARKET.name}:{MARKET.fingerprint}:inbox{{{name}}}"
    events = history(MARKET, 400, seed=8, merchants=9)
    results = []

    def assess_part(member: Member) -> int:
        """Assess the next events; return how many of them had no answer."""
        at, before = 100 * len(results), progress.owners_unanswered
        results.extend(assess_in(owned(MARKET, store, member), events[at : at + 100], ()))
        return progress.owners_unanswered - before

    with members(MARKET, store, 2, besides=1) as (first, second):
        assess_part(first)
        os.kill(another.pid or 0, signal.SIGSTOP)
        assert assess_part(first) > 0 or name not in membership.members()
        os.kill(another.pid or 0, signal.SIGCONT)
        wait_for(lambda: not client.exists(inbox))
        assess_part(first)
        os.kill(another.pid or 0, signal.SIGKILL)
        assert assess_part(second) > 0 or name not in membership.members()
    assert_as_alone(MARKET, store, events, columns(results), [100] * 4)
    store.close()


def test_members_may_come_and_go(redis_store: RedisStore) -> None:
    events = history(MARKET, 500, seed=9, merchants=9)
    results = []
    with members(MARKET, redis_store, 1) as (first,):
        for at in range(0, 500, 100):
            with members(MARKET, redis_store, 1, besides=1):
                results += assess_in(owned(MARKET, redis_store, first), events[at : at + 50], ())
            results += assess_in(owned(MARKET, redis_store, first), events[at + 50 : at + 100], ())
    assert_as_alone(MARKET, redis_store, events, columns(results), [50] * 10)


def test_a_member_that_takes_no_requests_is_not_waited_for(redis_store: RedisStore) -> None:
    events, unanswered = history(MARKET, 300, seed=10, merchants=9), progress.owners_unanswered
    membership = Membership(redis_store, PREFIX, MARKET.name, MARKET.fingerprint)
    membership.renew("ghost")
    with members(MARKET, redis_store, 1, besides=1) as (first,):
        assessed = columns(assess_in(owned(MARKET, redis_store, first), events, SIZES))
    assert_as_alone(MARKET, redis_store, events, assessed)
    assert progress.owners_unanswered > unanswered


def test_a_subject_that_loses_twice_keeps_what_owners_have_answered(redis_store: RedisStore) -> None:
    """Merchants count an event once; of the events that lost, no owner is asked a second time."""
    mine = [
        payment(MARKET, f"p{i}", 1_700_000_000_000_000 + i, f"c{i % 3}", f"m{i % 2}", 9.0) for i in range(9)
    ]
    theirs = [[payment(MARKET, f"q{i}", 1_700_000_000_000_100 + i, f"c{i}", None, 9.0)] for i in (1, 2)]
    with members(MARKET, redis_store, 2) as (first, _):
        overtaken = Overtaken(redis_store, {1: theirs[0], 2: [*theirs[0], *theirs[1]]})
        asked = progress.owners_asked
        (result,) = assess_in(owned(MARKET, overtaken, first), mine, ())
    assert progress.owners_asked - asked == 9 and result.conflicts == 3
    assert sorted(result.other_seqs["merchant"].tolist()) == sorted(
        [1_700_000_000_000_000 + place for place in range(1, 6)]
        + [1_700_000_000_000_001 + place for place in range(1, 5)]
    )
    assert (result.disposition == Disposition.APPLIED).all() and result.exact.all()


@dataclass
class OvertakenReader(Overtaken):
    """The store of a process that another one overtakes before chosen reads."""

    reads: int = 0

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        self.reads += 1
        if events := self.others.get(self.reads):
            self.results += assess_in(engine(MARKET, self.store), events, ())
        return self.store.read(keys)

    def commit(
        self, keys: Sequence[bytes], before: Sequence[int], blobs: Sequence[bytes], expiry_ms: Expiry = None
    ) -> list[bool]:
        return self.store.commit(keys, before, blobs, expiry_ms)


def test_subjects_are_read_late_where_many_races_are_lost(redis_store: RedisStore) -> None:
    """Events that others have written while owners were asked lose no race; what others have counted is a duplicate."""
    events = [e for e in history(MARKET, 120, seed=12, merchants=4) if e.event_type == "payment"]
    mine, theirs = events[:60], events[20:90]
    with members(MARKET, redis_store, 2) as (first, _):
        for _ in range(3):
            first.owners.note_losses(1.0)
        overtaken = OvertakenReader(redis_store, {2: theirs})
        (result,) = assess_in(owned(MARKET, overtaken, first), mine, ())
    assert first.owners.reads_subjects_late and result.conflicts == 0
    assert overtaken.results, "the other worker had its turn between the two reads of the subjects"
    assessed, arrived = columns([result, *overtaken.results]), [*mine, *theirs]
    applied = np.flatnonzero(assessed["disposition"] == Disposition.APPLIED)
    ids = np.array([event.event.id for event in arrived])  # type: ignore[attr-defined]
    assert sorted(ids[applied]) == sorted(set(ids.tolist()))
    seqs = {"customer": assessed["seq"][applied], "merchant": assessed["merchant"][applied]}
    records, vectors, _, _ = rebuilt(engine(MARKET, redis_store), [arrived[i] for i in applied], seqs)
    assert redis_store.read(list(records)) == list(records.values())
    assert assessed["exact"].all() and assessed["vectors"][applied].tobytes() == vectors.tobytes()
    first_row = {ids[row]: row for row in applied.tolist()}
    same = np.array([first_row[id] for id in ids])
    assert assessed["vectors"].tobytes() == assessed["vectors"][same].tobytes()


def test_a_merchant_that_cannot_be_read_sets_aside_its_events_alone(redis_store: RedisStore) -> None:
    events = history(MARKET, 200, seed=11, merchants=4)
    (key,) = record_keys(PREFIX, MARKET.name, MARKET.fingerprint, "merchant", ["m1"])
    alone = MemoryStore({key: b"no record"})
    redis_store.call("SET", key, b"no record")
    with members(MARKET, redis_store, 2) as (first, _):
        (assessed,) = assess_in(owned(MARKET, redis_store, first), events, ())
    (expected,) = assess_in(engine(MARKET, alone), events, ())
    assert assessed.unreadable == expected.unreadable and assessed.unreadable
    kept = sorted(set(range(200)) - set(assessed.unreadable))
    assert columns([assessed])["vectors"][kept].tobytes() == expected.vectors[kept].tobytes()
    assert redis_store.read(list(alone.records)) == list(alone.records.values())


def test_a_member_that_leaves_moves_its_own_share_alone() -> None:
    names = tuple(f"member{i}" for i in range(8))
    before, after = owner_of_slot(names), owner_of_slot(names[:-1])
    stays = before != 7
    np.testing.assert_array_equal(before[stays], after[stays])
    assert np.bincount(before, minlength=8).min() > SLOTS / 8 / 2


def test_of_many_members_an_eighth_own_records() -> None:
    names = tuple(f"member{i:03d}" for i in range(130))
    before = owner_of_slot(names)
    owners = np.unique(before)
    assert len(owners) == 16 and len(np.unique(owner_of_slot(names[:20]))) == 8
    other = next(i for i in range(130) if i not in owners)
    after = owner_of_slot(names[:other] + names[other + 1 :])
    np.testing.assert_array_equal(before - (before > other), after)  # one that owns nothing moves nothing
    after = owner_of_slot(names[: owners[0]] + names[owners[0] + 1 :])
    moved = np.count_nonzero(before - (before > owners[0]) != after)
    assert moved < SLOTS / 16 * 3  # the share of the owner that left, and that of the one that followed it
