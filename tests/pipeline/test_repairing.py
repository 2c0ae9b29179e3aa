"""A repair beside others: one at a time, with every writer paused, from the command line to the state in the end."""

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline.reconciliation.repair_run import RepairRefused, RepairTarget, repair
from pipeline.stores.integrity import DAMAGED, WHOLE, Integrity, Writer
from pipeline.stores.readiness import Readiness
from pipeline.stores.redis_store import RedisStore
from tests.commands import Ended, Run
from tests.pipeline.market import market
from tests.pipeline.servers import RedisServer
from tests.pipeline.test_reconcile import PROJECT, Told, assessed, logged, warm
from tests.pipeline.test_repair import contents, some_are_lost, without_numbers

pytestmark = pytest.mark.usefixtures("bigquery_server")

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class World:
    """A log, a store with its records, and the command line on them."""

    told: Told
    server: RedisServer
    store: RedisStore
    dataset: str
    run: Run
    file: Path

    @property
    def integrity(self) -> Integrity:
        return Integrity(self.store, "riskstream", self.told.use_case.name, self.told.use_case.fingerprint)

    @property
    def place(self) -> RepairTarget:
        return RepairTarget(
            self.told.use_case, PROJECT, self.dataset, self.told.root, self.store, "riskstream"
        )

    def __call__(self, verb: str, *words: object) -> Ended:
        where = [
            "--project",
            PROJECT,
            "--dataset",
            self.dataset,
            "--use-case",
            self.file,
            "--bundle",
            self.told.root,
        ]
        return self.run(verb, *where, "--redis-url", self.server.url, *words)

    def records(self) -> dict[bytes, bytes]:
        return {key: blob for key, blob in contents(self.server).items() if key in self.told.records}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    return recent(assessed(market("1m"), str(tmp_path_factory.mktemp("bundles")), 400, seed=3))


def recent(told: Told) -> Told:
    """The same, assessed just now: Redis has not had the time to drop any record."""

    def edit(values: list) -> None:
        values[:] = [time.time_ns() // 1_000] * len(values)

    return told.with_column("assessed_at", edit)


@pytest.fixture(scope="module")
def dataset(told: Told, bigquery_server: None) -> str:
    return logged(told)


def world_of(
    told: Told, dataset: str | None, server: RedisServer, store: RedisStore, run: Run, folder: Path,
    environment: Mapping[str, str],
) -> World:  # fmt: skip
    for name, value in environment.items():
        run.monkeypatch.setenv(name, value)
    file = folder / "market.yaml"
    file.write_text(told.use_case.text)
    server.client.mset(told.records)
    return World(told, server, store, dataset or logged(told), run, file)


@pytest.fixture
def world(
    told: Told, dataset: str, redis_server: RedisServer, redis_store: RedisStore, run: Run, tmp_path: Path,
    bigquery_environment: Mapping[str, str],
) -> World:  # fmt: skip
    return world_of(told, dataset, redis_server, redis_store, run, tmp_path, bigquery_environment)


def test_the_command_rebuilds_what_is_lost_and_reconcile_holds(world: World) -> None:
    world.integrity.mark_whole(NOW)
    world.integrity.mark_damaged("a test took records away", NOW)
    lost = some_are_lost(world.server, world.told.records)
    seen = world("repair", "--dry-run", "--json")
    facts = json.loads(seen.out)
    assert (
        seen.code == 1
        and sum(each["findings"].get("missing", 0) for each in facts["tallies"].values()) == lost
    )
    assert facts["is_whole"] is False and facts["state"]["status"] == DAMAGED
    assert world.integrity.state().why == "a test took records away", "a check changes nothing"
    told = world("repair", "--dry-run")
    assert told.code == 1 and told.out.endswith(f"{lost} records to rebuild: run `riskstream repair`\n")
    done = world("repair")
    assert done.code == 0, done
    assert "missing\n    missing: " in done.out and "the store is whole (life " in done.out
    assert world.records() == world.told.records
    assert world.integrity.state().status == WHOLE
    again = json.loads(world("repair", "--json").out)
    assert again["is_whole"] and all(each["rebuilt"] == 0 for each in again["tallies"].values())
    assert world("reconcile").code == 0


def test_an_emptied_store_is_whole_again_and_a_job_may_start(world: World) -> None:
    world.server.client.flushall()
    assert world("reconcile").code == 1
    assert world("repair").code == 0
    assert world.records() == world.told.records
    marker = Readiness(world.store, "riskstream", world.told.use_case.name).markers()[
        world.told.use_case.fingerprint
    ]
    assert marker.how == "repair"
    assert world("reconcile").code == 0


def test_records_that_cannot_be_rebuilt_leave_the_store_damaged(
    told: Told, redis_server: RedisServer, redis_store: RedisStore, run: Run, tmp_path: Path,
    bigquery_environment: Mapping[str, str],
) -> None:  # fmt: skip
    gapped = without_numbers(told, "c1", 1, 2, 3)
    world = world_of(gapped, None, redis_server, redis_store, run, tmp_path, bigquery_environment)
    world.integrity.mark_whole(NOW)
    world.server.client.flushall()
    done = world("repair")
    assert done.code == 1 and "not all of their events are in the log" in done.out and "--history" in done.out
    state = world.integrity.state()
    assert state.status == DAMAGED and "could not be rebuilt" in state.why
    best = world("repair", "--best-effort")
    assert best.code == 0 and world.integrity.state().status == WHOLE


# Others


def test_only_one_repairs_at_a_time(world: World) -> None:
    """The second is told who repairs, and what the first one marked stays."""
    key = f"riskstream:{world.told.use_case.name}:{world.told.use_case.fingerprint}:repair"
    with reporting(world, Writer(0, False, 0, (), "host", 7, "job")):
        first = threading.Thread(target=refused_repair, args=(world.place, 5.0))
        first.start()
        while not world.server.client.exists(key):
            time.sleep(0.01)
        refused = world("repair")
        first.join()
    assert refused.code == 8 and "found a repair under way (" in refused.err
    assert not world.server.client.exists(key), "the lock is given back"
    world.server.client.set(key, '{"token":"t","by":"host:1","since":"now"}', px=1_000)
    assert world("repair").code == 8
    time.sleep(1.1)
    assert world("repair").code == 0, "the lock of a killed repair expires"


def refused_repair(place: RepairTarget, wait_s: float) -> None:
    with pytest.raises(RepairRefused):
        repair(place, wait_s)


@contextmanager
def reporting(world: World, writer: Writer, name: str = "w") -> Iterator[list[Writer]]:
    """A writer that reports ten times a second, as it says in the list; it is gone in the end."""
    says, ended = [writer], threading.Event()
    store = RedisStore(world.server.url)
    integrity = Integrity(store, "riskstream", world.told.use_case.name, world.told.use_case.fingerprint)

    def report() -> None:
        while not ended.wait(0.1):
            own = says[-1]
            integrity.report(
                name, Writer(integrity.now_ms(), own.paused, own.undelivered, (), own.host, own.pid, own.kind)
            )

    integrity.report(
        name, Writer(integrity.now_ms(), *(getattr(writer, each) for each in writer.__struct_fields__[1:]))
    )
    thread = threading.Thread(target=report)
    thread.start()
    try:
        yield says
    finally:
        ended.set()
        thread.join()
        integrity.sign_off(name)
        store.close()


def test_writers_are_waited_for_until_they_pause_and_have_delivered(world: World) -> None:
    world.integrity.mark_whole(NOW)
    stages: list[tuple[str, int, int | None]] = []
    with reporting(world, Writer(0, False, 3, (), "pod-1", 7, "job")) as says:
        with pytest.raises(RepairRefused, match=r"within 0.5 s: job 7 on pod-1: it has not paused.*--wait"):
            repair(world.place, 0.5)
        assert world.integrity.state().status == WHOLE, "writers go on"

        def say() -> None:
            time.sleep(0.4)
            says.append(Writer(0, True, 2, (), "pod-1", 7, "job"))
            time.sleep(0.4)
            says.append(Writer(0, True, 0, (), "pod-1", 7, "job"))

        threading.Thread(target=say).start()
        done = repair(world.place, 60.0, progress=lambda *stage: stages.append(stage))
    assert done.is_whole and done.state.status == WHOLE
    waited = [stage for stage in stages if stage[0] == "waiting for writers"]
    assert (waited[0][1:], waited[-1][1:]) == ((0, 1), (1, 1))
    assert [stage for stage, *_ in stages].index("reading the log") == len(waited), "read only then"


def test_a_writer_that_died_is_not_waited_for_and_signed_off(world: World) -> None:
    world.integrity.report("dead", Writer(world.integrity.now_ms() - 60_000, False, 5, (), "pod-2", 8, "job"))
    assert repair(world.place, 0.5).is_whole
    assert world.integrity.writers() == {}


def test_a_repair_that_is_broken_off_leaves_the_state_as_it_was(world: World) -> None:
    def interrupt(stage: str, *_: object) -> None:
        if stage == "reading the log":
            raise KeyboardInterrupt

    world.integrity.mark_whole(NOW)
    with pytest.raises(KeyboardInterrupt):
        repair(world.place, 5.0, progress=interrupt)
    assert world.integrity.state().status == WHOLE
    world.integrity.mark_damaged("a failover", NOW)
    with pytest.raises(KeyboardInterrupt):
        repair(world.place, 5.0, progress=interrupt)
    assert (world.integrity.state().status, world.integrity.state().why) == (DAMAGED, "a failover")


def test_a_backfill_under_way_is_left_alone(world: World) -> None:
    world.integrity.mark_filling(NOW)
    with pytest.raises(RepairRefused, match="found a backfill filling the store since 2026-01-01T00:00:00Z"):
        repair(world.place, 5.0)


# After a backfill


def test_an_emptied_store_that_a_backfill_had_filled_is_rebuilt_from_its_history(
    redis_server: RedisServer, redis_store: RedisStore, run: Run, tmp_path: Path,
    bigquery_environment: Mapping[str, str],
) -> None:  # fmt: skip
    past = warm(market("1m"), tmp_path / "past", 600)
    past = replace(past, told=recent(past.told))
    world = world_of(past.told, None, redis_server, redis_store, run, tmp_path, bigquery_environment)
    notes, own = Readiness(redis_store, "riskstream", past.told.use_case.name), past.told.use_case
    notes.mark(own.fingerprint, "backfill", NOW, past.marker.events, past.marker.digest, past.marker.model)
    assert world("repair").code == 2, (
        "without its history, records would be rebuilt from half of their events"
    )
    given = ("--history", past.file(tmp_path))
    assert world("reconcile", *given).code == 0
    assert "not in the log: give its files with --history" in world("reconcile").err
    redis_server.client.flushall()
    unsure = world("repair", *given)
    assert unsure.code == 2 and "--history-model" in unsure.err
    blind = world("repair")
    assert blind.code == 1 and "Give the history of the backfill" in blind.out
    assert world("repair", *given, "--history-model", past.marker.model).code == 0
    assert world.records() == past.told.records
    assert notes.markers()[own.fingerprint].digest == past.marker.digest
    assert world("reconcile", *given).code == 0
    other = past.file(tmp_path, "other.jsonl")
    other.write_bytes(b"".join(other.read_bytes().splitlines(keepends=True)[:-1]))
    refused = world("repair", "--history", other)
    assert refused.code == 2 and "digest" in refused.err
