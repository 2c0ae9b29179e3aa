"""Faults: which ones a run has, and that each of them does what it says to the job and to nobody else."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from commands.errors import codes
from pipeline.certification.faults import FAILOVER, FailoverFailed, FaultySystem, fault_plan
from pipeline.certification.job_process import CANNOT_START, JobProcess, wait_for
from pipeline.certification.proxies import GoogleProxy, RedisProxy
from pipeline.certification.settings import CertifySettings
from pipeline.runtime.errors import CannotStart
from pipeline.stores.redis_client import Reach, tls_context
from pipeline.stores.redis_store import RedisStore
from tests.pipeline.servers import RedisCluster, RedisServer, behind_tls, certificate

URL = "redis://127.0.0.1:6379"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path / "redis")
    yield server
    server.stop()


def test_a_job_that_cannot_start_is_known_by_its_exit_code() -> None:
    assert codes()[CannotStart] == CANNOT_START


def names(**given: object) -> list[str]:
    return [each.name for each in fault_plan(CertifySettings(redis_url=URL, project="p", **given)).faults]


def test_kills_and_outages_take_turns() -> None:
    assert names(kills=2) == ["kill", "redis-cut", "kill", "redis-stall", "pubsub-cut", "bigquery-cut"]
    assert names(kills=0, outage_s=0.0) == []
    assert names(kills=1, outage_s=0.0, redis_cluster=True, allow_failover=True) == ["kill", "failover"]
    assert names(kills=0, outage_s=0.0, allow_failover=True, failover_command="true") == ["failover"]


def test_faults_that_cannot_be_are_left_out_with_their_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    settings = CertifySettings(redis_url=URL, project="p", redis_cluster=True, kills=0, allow_failover=False)
    plan = fault_plan(settings)
    assert plan.faults == ()
    parts = [reason.partition(":")[0] for reason in plan.left_out]
    assert parts == [
        "kill -9 of the job", "outages of Redis", "outages of Pub/Sub and BigQuery", "failover of Redis",
        "balances while the job is at work",
    ]  # fmt: skip
    no_command = CertifySettings(redis_url=URL, project="p", allow_failover=True)
    assert any("--failover-command is not given" in reason for reason in fault_plan(no_command).left_out)


def test_a_gate_cuts_and_stalls_the_clients_of_its_proxy_only(server: RedisServer) -> None:
    with RedisProxy(server.url, None) as proxy:
        client = Redis.from_url(proxy.url, socket_timeout=0.2, retry=None)
        assert client.set("key", "value")
        proxy.gate.cut()
        with pytest.raises(RedisConnectionError):
            client.get("key")
        assert server.client.get("key") == b"value"
        proxy.gate.open()
        assert client.get("key") == b"value"
        proxy.gate.stall()
        with pytest.raises(RedisTimeoutError):
            client.get("key")
        assert server.client.get("key") == b"value"
        proxy.gate.open()
        assert client.get("key") == b"value"


def test_the_password_and_the_database_stay_in_the_jobs_url() -> None:
    login = "user:secret"  # pragma: allowlist secret
    with RedisProxy(f"rediss://{login}@10.0.0.3:6378/2?health_check_interval=1", None) as proxy:
        assert proxy.url == f"redis://{login}@127.0.0.1:{proxy.port}/2?health_check_interval=1"


def test_each_service_of_google_has_its_gate() -> None:
    environment = {"PUBSUB_EMULATOR_HOST": "127.0.0.1:1", "BIGQUERY_STORAGE_EMULATOR_HOST": "127.0.0.1:2"}
    with GoogleProxy(environment) as proxy:
        assert (
            proxy.gate("127.0.0.1:1") is proxy.gate("europe-west1-pubsub.googleapis.com:443") is proxy.pubsub
        )
        storage, rest = "bigquerystorage.googleapis.com:443", "bigquery.googleapis.com:443"
        assert proxy.gate("127.0.0.1:2") is proxy.gate(storage) is proxy.gate(rest) is proxy.bigquery
        assert proxy.gate("oauth2.googleapis.com:443") not in (proxy.pubsub, proxy.bigquery)
        assert proxy.gate("pubsub.example.com:443") is not proxy.pubsub


def system(tmp_path: Path, store: RedisStore, **given: object) -> FaultySystem:
    settings = CertifySettings(redis_url=URL, project="p", allow_failover=True, **given)
    return FaultySystem(JobProcess(tmp_path, []), None, None, store, settings)


def test_a_failover_command_is_run_and_its_failure_told(tmp_path: Path) -> None:
    store, file = RedisStore(URL), tmp_path / "done"
    with FAILOVER.inject(system(tmp_path, store, failover_command=f"touch {file}")):
        assert file.exists()
    with pytest.raises(FailoverFailed, match="exit code 1"):
        FAILOVER.inject(system(tmp_path, store, failover_command="false")).__enter__()


@pytest.mark.chaos
def test_the_replicas_of_a_cluster_take_over_and_have_everything(tmp_path: Path) -> None:
    cluster = RedisCluster(tmp_path / "cluster")
    replicas = [replica_of(cluster, number, tmp_path) for number in range(3)]
    wait_for(lambda: all(knows_three_replicas(node) for node in cluster.nodes), "all nodes know all replicas")
    store = RedisStore(cluster.url, cluster=True)
    try:
        for number in range(100):
            store.call("SET", f"key-{number}", number)
        with FAILOVER.inject(system(tmp_path, store, redis_cluster=True)):
            wait_for(
                lambda: all(each.client.info()["role"] == "master" for each in replicas), "they take over"
            )
        fresh = RedisStore(replicas[0].url, cluster=True)
        assert [int(fresh.call("GET", f"key-{number}")) for number in range(100)] == list(range(100))
        fresh.close()
    finally:
        store.close()
        for each in replicas:
            each.stop()
        cluster.stop()


def replica_of(cluster: RedisCluster, number: int, folder: Path) -> RedisServer:
    """A replica of the cluster's primary of this number, that has caught up."""
    primary = cluster.nodes[number]
    options = (
        "--cluster-enabled",
        "yes",
        "--cluster-node-timeout",
        "2000",
        "--repl-diskless-sync-delay",
        "0",
    )
    replica = RedisServer(folder / f"replica-{number}", *options)
    replica.client.execute_command("CLUSTER MEET", "127.0.0.1", primary.port)
    id = primary.client.execute_command("CLUSTER MYID").decode()
    wait_for(
        lambda: id in str(replica.client.execute_command("CLUSTER NODES")), "the replica knows its primary"
    )
    wait_for(lambda: follows(replica, id), "the replica follows")
    return replica


def follows(replica: RedisServer, id: str) -> bool:
    """Ask it to follow, and tell whether it has caught up and every node knows it."""
    if replica.client.info()["role"] == "master":
        replica.client.execute_command("CLUSTER REPLICATE", id)
        return False
    return replica.client.info("replication")["master_link_status"] == "up"


def knows_three_replicas(node: RedisServer) -> bool:
    slots = node.client.execute_command("CLUSTER SLOTS")
    return sum(len(nodes) > 1 for _, _, *nodes in slots) == 3


def test_a_stalled_gate_holds_new_connections_until_it_opens(server: RedisServer) -> None:
    with RedisProxy(server.url, None) as proxy:
        proxy.gate.stall()
        answers: list[bool] = []
        client = Redis.from_url(proxy.url, socket_timeout=30)
        asking = threading.Thread(target=lambda: answers.append(bool(client.ping())))
        asking.start()
        asking.join(0.2)
        assert answers == []
        proxy.gate.open()
        asking.join()
        assert answers == [True]


def test_the_relay_speaks_tls_to_a_server_that_it_trusts(server: RedisServer, tmp_path: Path) -> None:
    trusted, key = certificate(tmp_path)
    with behind_tls(server, trusted, key) as url:
        reach = Reach(url, ca_file=str(trusted))
        with RedisProxy(url, tls_context(reach)) as proxy:
            assert Redis.from_url(proxy.url).ping()
        with RedisProxy(url, tls_context(Reach(url))) as proxy, pytest.raises(RedisConnectionError):
            Redis.from_url(proxy.url, retry=None).ping()
