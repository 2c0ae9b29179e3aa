"""A store that is not what it was is noticed before anything is assessed on it, and used again once it is whole."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from redis.exceptions import ResponseError

from pipeline.engine.assess import assess
from pipeline.engine.assessments import Assessments
from pipeline.engine.engine import Engine
from pipeline.runtime.errors import StoreUnavailable
from pipeline.stores import guard as guards
from pipeline.stores.guard import Guard
from pipeline.stores.guarded_store import GuardedStore
from pipeline.stores.integrity import Integrity, Writer
from pipeline.stores.redis_store import RedisStore
from pipeline.stores.store import StoreDamaged
from tests.pipeline.failover import Pair, pair
from tests.pipeline.market import batched, history, market
from tests.pipeline.models import engine
from tests.pipeline.servers import LOCAL_REDIS, NEWER_REDIS, RedisCluster, RedisServer

USE_CASE = market()
EVENTS = history(USE_CASE, 400, seed=1)
NOW = datetime(2026, 1, 2, tzinfo=UTC)
NOTICED_S = 5.0


class Process:
    """One process of the job: a guarded store, an engine on it, and its place in the history."""

    def __init__(self, url: str, cluster: bool = False, kind: str = "job", first: int = 0) -> None:
        store = RedisStore(url, cluster=cluster)
        self.guard = Guard(store, USE_CASE, "riskstream", kind)
        self.store = GuardedStore(store, self.guard)
        self.engine: Engine = engine(USE_CASE, self.store)
        self.at = first

    def work(self, n: int = 20) -> Assessments:
        """Assess the next events. They stay the next ones if the store cannot be used."""
        assessments = assess(self.engine, batched(USE_CASE, EVENTS[self.at : self.at + n]))
        self.at += n
        return assessments

    def refused(self) -> str:
        with pytest.raises(StoreDamaged) as caught:
            self.work()
        return str(caught.value)

    def works_again(self) -> None:
        until(lambda: self.tried())

    def tried(self) -> bool:
        try:
            self.work()
        except StoreUnavailable:
            return False
        return True


def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    until_s = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until_s, f"not within {seconds} s"
        time.sleep(0.02)


def vitality_of(url: str, cluster: bool = False) -> Integrity:
    return Integrity(RedisStore(url, cluster=cluster), "riskstream", USE_CASE.name, USE_CASE.fingerprint)


@contextmanager
def working(*processes: Process) -> Iterator[None]:
    """Processes that have assessed something."""
    try:
        for process in processes:
            process.work()
        yield
    finally:
        for process in processes:
            process.store.close()


def killed(integrity: Integrity) -> None:
    """Leave a writer's last report, as one on another machine does that has just been killed."""
    integrity.report("dead", Writer(integrity.now_ms(), False, 0, (), "elsewhere", 1, "job", True))


def damage(integrity: Integrity) -> str:
    state = integrity.state()
    return state.why if state and state.status == "damaged" else ""


@pytest.fixture(params=["redis", "cluster"])
def place(request: pytest.FixtureRequest) -> tuple[str, bool]:
    request.getfixturevalue(f"{request.param}_store")  # emptied
    is_cluster = request.param == "cluster"
    return request.getfixturevalue("redis_cluster" if is_cluster else "redis_server").url, is_cluster


def test_a_store_that_nothing_has_filled_is_not_used(place: tuple[str, bool]) -> None:
    process = Process(*place)
    with closing(process.store):
        assert "nothing has filled it" in process.refused()
        vitality_of(*place).mark_whole(NOW)
        process.works_again()


def test_nothing_is_assessed_on_a_store_that_was_emptied(
    redis_server: RedisServer, redis_store: RedisStore
) -> None:
    integrity = vitality_of(redis_server.url)
    integrity.mark_whole(NOW)
    job, service = Process(redis_server.url), Process(redis_server.url, kind="service", first=200)
    with working(job, service):
        redis_server.client.flushall()
        assert "emptied" in job.refused() and service.refused()
        assert not list(redis_server.client.scan_iter("*:customer:*")), "not one record"
        until(lambda: bool(damage(integrity)), NOTICED_S)
        assert "emptied" in damage(integrity)
        until(lambda: "riskstream repair" in job.refused(), NOTICED_S)
        integrity.mark_whole(NOW)
        job.works_again()
        service.works_again()


def test_one_emptied_primary_of_a_cluster_is_enough(
    redis_cluster: RedisCluster, cluster_store: RedisStore
) -> None:
    integrity = vitality_of(redis_cluster.url, True)
    integrity.mark_whole(NOW)
    process = Process(redis_cluster.url, True)
    for node in redis_cluster.nodes:
        with working(process):
            node.client.flushall()
            process.refused()
            until(lambda: bool(damage(integrity)), NOTICED_S)
            integrity.mark_whole(NOW)
            process.works_again()


def test_a_restart_with_everything_goes_on_by_itself(tmp_path: Path) -> None:
    server = RedisServer(tmp_path / "redis", "--appendonly", "yes", "--appendfsync", "always")
    integrity = vitality_of(server.url)
    integrity.mark_whole(NOW)
    first, second = Process(server.url), Process(server.url, first=200)
    with working(first, second):
        server.stop()
        server.start()
        first.works_again()
        second.works_again()
        assert not damage(integrity)
    server.stop()


def test_a_restart_without_data_is_noticed(tmp_path: Path) -> None:
    server = RedisServer(tmp_path / "redis")
    integrity = vitality_of(server.url)
    integrity.mark_whole(NOW)
    process = Process(server.url)
    with working(process):
        server.stop()
        server.start()
        for _ in range(20):
            assert not process.tried()
            time.sleep(0.02)
        until(lambda: "emptied" in damage(integrity), NOTICED_S)
        assert server.client.dbsize() == 2, "the state and the writers, no records"
        integrity.mark_whole(NOW)
        process.works_again()
    server.stop()


@pytest.fixture(params=[LOCAL_REDIS, NEWER_REDIS], ids=["local", "redis 8.2"])
def servers(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Pair]:
    with pair(tmp_path, request.param) as made:
        vitality_of(made.line.url).mark_whole(NOW)
        yield made


def test_a_failover_that_loses_nothing_goes_on_by_itself(servers: Pair) -> None:
    integrity = vitality_of(servers.line.url)
    job, service = Process(servers.line.url), Process(servers.line.url, kind="service", first=200)
    with working(job, service):
        before = integrity.state()
        servers.catch_up()
        servers.fail_over()
        began_s = time.monotonic()
        job.works_again()
        service.works_again()
        assert time.monotonic() - began_s < NOTICED_S
        state = integrity.state()
        assert before and state and state.life == before.life and state.status == "whole"
        assert set(state.histories).isdisjoint(before.histories)


def test_a_failover_that_loses_writes_stops_every_writer(servers: Pair) -> None:
    integrity = vitality_of(servers.line.url)
    job, service = Process(servers.line.url), Process(servers.line.url, kind="service", first=200)
    with working(job, service):
        servers.catch_up()
        servers.link.lead(None)
        service.work()  # only the service loses something; the job has no way to see that
        servers.fail_over()
        before = servers.replica.client.dbsize()
        until(lambda: not job.tried() and "took over" in damage(integrity), NOTICED_S)
        assert "of the latest" in damage(integrity)
        until(lambda: "riskstream repair" in job.refused(), NOTICED_S)
        until(lambda: "riskstream repair" in service.refused(), NOTICED_S)
        assert servers.replica.client.dbsize() == before
        integrity.mark_whole(NOW)
        job.works_again()
        service.works_again()


def test_a_primary_that_comes_back_is_another_server(servers: Pair) -> None:
    """Its process has never ended: only its history tells that it took another's data in between."""
    integrity = vitality_of(servers.line.url)
    process = Process(servers.line.url)
    with working(process):
        servers.line.lead(None)  # nobody writes what the replica would lack
        servers.catch_up()
        servers.replica.client.replicaof("NO", "ONE")
        servers.primary.client.replicaof("127.0.0.1", servers.replica.port)
        servers.line.lead(servers.replica.port)
        process.works_again()
        until(lambda: servers.primary.client.info("replication")["master_link_status"] == "up")
        servers.primary.client.replicaof("NO", "ONE")
        process.work()
        servers.line.lead(servers.primary.port)
        until(lambda: not process.tried() and bool(damage(integrity)), NOTICED_S)


def test_a_writer_that_died_around_a_failover_leaves_the_store_in_doubt(
    servers: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guards, "GRACE_S", 1.0)
    integrity = vitality_of(servers.line.url)
    alive = Process(servers.line.url)
    with working(alive):
        killed(integrity)
        servers.catch_up()
        servers.fail_over()
        assert not alive.tried()
        until(lambda: "cannot say" in damage(integrity))


def test_a_writer_that_ended_in_good_order_is_not_asked(servers: Pair) -> None:
    integrity = vitality_of(servers.line.url)
    alive, ended = Process(servers.line.url), Process(servers.line.url, first=200)
    with working(alive):
        with working(ended):
            pass
        servers.catch_up()
        servers.fail_over()
        alive.works_again()
        assert not damage(integrity)


def test_the_death_of_a_writer_alone_harms_nobody(redis_server: RedisServer, redis_store: RedisStore) -> None:
    integrity = vitality_of(redis_server.url)
    integrity.mark_whole(NOW)
    alive = Process(redis_server.url)
    with working(alive):
        killed(integrity)
        alive.work()
        time.sleep(1.5)
        alive.work()
        assert not damage(integrity)


def test_an_evicted_key_is_a_loss(tmp_path: Path) -> None:
    server = RedisServer(tmp_path / "redis", "--maxmemory", "3mb", "--maxmemory-policy", "allkeys-random")
    integrity = vitality_of(server.url)
    integrity.mark_whole(NOW)
    process = Process(server.url)
    with working(process):
        for i in range(200):
            server.client.set(f"other:{i}", bytes(20_000))
        until(lambda: bool(damage(integrity)) or integrity.state() is None, NOTICED_S)
        until(lambda: not process.tried(), NOTICED_S)
    server.stop()


def test_records_that_somebody_deletes_are_missed(redis_server: RedisServer, redis_store: RedisStore) -> None:
    integrity = vitality_of(redis_server.url)
    integrity.mark_whole(NOW)
    process = Process(redis_server.url)
    with working(process):
        redis_server.client.delete(*redis_server.client.scan_iter("*:customer:*"))
        until(lambda: "missing or older" in damage(integrity), NOTICED_S)
        until(lambda: "riskstream repair" in process.refused(), NOTICED_S)


def test_writers_tell_when_they_have_paused(redis_server: RedisServer, redis_store: RedisStore) -> None:
    integrity = vitality_of(redis_server.url)
    integrity.mark_whole(NOW)
    process = Process(redis_server.url)
    with working(process):
        (writer,) = integrity.writers().values()
        assert not writer.paused and writer.kind == "job" and writer.is_alive(integrity.now_ms())
        repairing = integrity.mark_repairing(NOW)
        until(lambda: all(each.paused for each in integrity.writers().values()), NOTICED_S)
        assert "being repaired" in process.refused()
        integrity.mark_whole(NOW, over=repairing)
        process.works_again()
    assert integrity.writers() == {}


def test_a_planned_failover_of_a_cluster_goes_on_by_itself(tmp_path: Path) -> None:
    cluster = RedisCluster(tmp_path / "cluster")
    options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "2000")
    replica = RedisServer(tmp_path / "replica", *options)
    primary = cluster.nodes[0].client
    replica.client.execute_command("CLUSTER MEET", "127.0.0.1", cluster.nodes[0].port)
    name = primary.execute_command("CLUSTER MYID").decode()
    until(lambda: name in str(replica.client.execute_command("CLUSTER NODES")))
    until(lambda: followed(replica, name))
    until(lambda: replica.client.info("replication").get("master_link_status") == "up")
    integrity = vitality_of(cluster.url, True)
    before = integrity.mark_whole(NOW)
    process = Process(cluster.url, True)
    with working(process):
        until(lambda: taken_over(replica))
        process.works_again()
        until(lambda: len(set(histories(integrity)) - set(before.histories)) == 1)
        process.work()
        assert not damage(integrity)
    replica.stop()
    cluster.stop()


def taken_over(replica: RedisServer) -> bool:
    """Asks again until the others, who have to know it first, have voted."""
    if replica.client.info("replication")["role"] == "master":
        return True
    replica.client.execute_command("CLUSTER FAILOVER")
    time.sleep(0.5)
    return False


def followed(replica: RedisServer, name: str) -> bool:
    try:
        return bool(replica.client.execute_command("CLUSTER REPLICATE", name))
    except ResponseError:  # it does not know the node yet
        return False


def histories(integrity: Integrity) -> tuple[str, ...]:
    state = integrity.state()
    return state.histories if state else ()
