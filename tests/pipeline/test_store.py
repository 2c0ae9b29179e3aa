"""One suite for every RecordStore, then what only Redis can do: restart, freeze, move slots, refuse."""

import multiprocessing
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from redis import Redis
from redis import RedisCluster as ClusterClient
from redis.crc import key_slot

from deploy.local.gcp.server import serve
from export import storage
from pipeline.runtime.errors import StoreUnavailable
from pipeline.stores import redis_store as redis_store_module
from pipeline.stores import round_trip
from pipeline.stores.redis_store import RedisStore
from pipeline.stores.round_trip import GROUP
from pipeline.stores.store import RecordStore, record_keys
from tests.pipeline.failover import Pair, pair
from tests.pipeline.servers import EXECUTABLES, RedisCluster, RedisServer, behind_tls, certificate, free_port
from tests.pipeline.small_records import (
    HOT_KEYS,
    ROUNDS,
    WRITERS,
    add_from_another_process,
    add_to_all,
    record,
    seq_of,
)

NO_EXPIRY = -1  # Redis' answer for a key that does not expire
ABOVE_DOUBLES = 2**53 + 1  # a double cannot tell it from 2**53


# Every store


def test_what_was_written_is_read_and_the_rest_is_absent(store: RecordStore) -> None:
    assert store.commit([b"a", b"b"], [0, 0], [record(1, b"x"), record(2, b"y")]) == [True, True]
    assert store.read([b"b", b"nobody", b"a"]) == [record(2, b"y"), None, record(1, b"x")]


def test_nothing_to_do_is_nothing_done(store: RecordStore) -> None:
    assert store.read([]) == []
    assert store.commit([], [], []) == []


def test_the_same_key_may_be_read_twice(store: RecordStore) -> None:
    store.commit([b"a"], [0], [record(1)])
    assert store.read([b"a", b"a"]) == [record(1)] * 2


def test_keys_and_records_are_any_bytes(store: RecordStore) -> None:
    keys = [bytes(range(256)), b"{tag}", b"{}", b"with space\r\n", "käse:北京".encode(), b"\x00"]
    blobs = [record(i + 1, bytes(range(256)) * i) for i in range(len(keys))]
    assert store.commit(keys, [0] * len(keys), blobs) == [True] * len(keys)
    assert store.read(keys) == blobs


def test_a_record_is_written_only_over_the_seq_that_was_read(store: RecordStore) -> None:
    store.commit([b"a", b"b", b"c"], [0, 0, 0], [record(5), record(6), record(7)])
    written = store.commit(
        [b"a", b"b", b"c", b"new", b"gone"],
        [5, 5, 7, 0, 3],
        [record(8, b"a"), record(8, b"b"), record(8, b"c"), record(1, b"new"), record(4, b"gone")],
    )
    assert written == [True, False, True, True, False]
    assert store.read([b"a", b"b", b"c", b"new", b"gone"]) == [
        record(8, b"a"), record(6), record(8, b"c"), record(1, b"new"), None,
    ]  # fmt: skip


def test_a_record_that_is_there_is_not_taken_for_absent(store: RecordStore) -> None:
    store.commit([b"a"], [0], [record(1)])
    assert store.commit([b"a"], [0], [record(1, b"second")]) == [False]
    assert store.read([b"a"]) == [record(1)]


@pytest.mark.parametrize("seq", [1, 255, 256, 2**32, ABOVE_DOUBLES, 2**63 - 1])
def test_seqs_are_compared_to_the_last_bit(store: RecordStore, seq: int) -> None:
    store.commit([b"a"], [0], [record(seq)])
    assert store.commit([b"a"], [seq - 1 or 2], [record(9)]) == [False]
    assert store.commit([b"a"], [seq], [record(9)]) == [True]


@pytest.mark.parametrize("n", [GROUP - 1, GROUP, GROUP + 1, 5_000])
def test_many_records_in_one_commit(store: RecordStore, n: int) -> None:
    keys = [b"key:%d" % i for i in range(n)]
    first = [record(1 + i % 3, b"%d" % i) for i in range(n)]
    assert store.commit(keys, [0] * n, first) == [True] * n
    assert store.read(keys[::-1]) == first[::-1]
    second = [record(9, b"%d" % i) for i in range(n)]
    won = [i % 3 == 1 for i in range(n)]
    assert store.commit(keys, [2] * n, second) == won
    assert store.read(keys) == [second[i] if won[i] else first[i] for i in range(n)]


def test_lists_of_unequal_length_are_refused(store: RecordStore) -> None:
    with pytest.raises(ValueError):
        store.commit([b"a", b"b"], [0, 0], [record(1)])
    assert store.read([b"a", b"b"]) == [None, None]


def assert_nothing_lost_or_doubled(store: RecordStore) -> None:
    every_mark = sorted(bytes([w, n]) for w in range(WRITERS) for n in range(ROUNDS))
    for blob in store.read(HOT_KEYS):
        assert blob is not None
        assert seq_of(blob) == WRITERS * ROUNDS
        assert sorted(blob[i : i + 2] for i in range(20, len(blob), 2)) == every_mark


def test_threads_on_the_same_records_lose_and_double_nothing(store: RecordStore) -> None:
    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(lambda writer: add_to_all(store, writer), range(WRITERS)))
    assert_nothing_lost_or_doubled(store)


# Redis


@pytest.fixture(params=["redis", "cluster"])
def shared_store(request: pytest.FixtureRequest) -> RedisStore:
    return request.getfixturevalue(f"{request.param}_store")


def test_processes_on_the_same_records_lose_and_double_nothing(
    shared_store: RedisStore, request: pytest.FixtureRequest
) -> None:
    cluster = request.node.callspec.params["shared_store"] == "cluster"
    url = request.getfixturevalue("redis_cluster" if cluster else "redis_server").url
    spawn = multiprocessing.get_context("spawn")
    arguments = [(url, cluster, writer) for writer in range(WRITERS)]
    writers = [spawn.Process(target=add_from_another_process, args=a) for a in arguments]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0] * WRITERS
    assert_nothing_lost_or_doubled(shared_store)


def test_a_good_server_passes_the_check(shared_store: RedisStore) -> None:
    shared_store.check()


def test_each_record_expires_as_it_was_told(shared_store: RedisStore, request: pytest.FixtureRequest) -> None:
    """In one commit some keys expire and others never do, in groups that hold both."""
    n, day_ms = 2 * GROUP + 1, 86_400_000
    keys = [b"key:%d" % i for i in range(n)]
    expiry_ms = [(i % 3) * 400 * day_ms for i in range(n)]
    assert all(shared_store.commit(keys, [0] * n, [record(1)] * n, expiry_ms))
    with pytest.raises(ValueError, match="1 expiries"):
        shared_store.commit(keys[:2], [1, 1], [record(2)] * 2, [0])
    client = client_of(request)
    for key, expected_ms in zip(keys, expiry_ms, strict=True):
        left_ms = client.pttl(key)
        assert (0 <= expected_ms - left_ms < 60_000) if expected_ms else left_ms == NO_EXPIRY


def test_a_write_takes_away_the_expiry_that_an_older_program_set(
    shared_store: RedisStore, request: pytest.FixtureRequest
) -> None:
    shared_store.commit([b"a", b"b"], [0, 0], [record(1)] * 2, [1_000_000, 1_000_000])
    assert shared_store.commit([b"a", b"b"], [1, 7], [record(2)] * 2) == [True, False]
    assert client_of(request).pttl(b"a") == NO_EXPIRY
    assert client_of(request).pttl(b"b") > 0, "what was not written is as it was"


def client_of(request: pytest.FixtureRequest) -> Redis | ClusterClient:
    if request.node.callspec.params["shared_store"] == "redis":
        return request.getfixturevalue("redis_server").client
    return ClusterClient.from_url(request.getfixturevalue("redis_cluster").url)


def test_a_restarted_server_knows_its_records_and_learns_the_script(tmp_path: Path) -> None:
    server = RedisServer(tmp_path / "redis", "--appendonly", "yes", "--appendfsync", "always")
    store = RedisStore(server.url)
    keys = [b"key:%d" % i for i in range(2 * GROUP)]
    store.commit(keys, [0] * len(keys), [record(1)] * len(keys))
    server.stop()
    with pytest.raises(StoreUnavailable, match="Is it running"):
        store.read(keys)
    with pytest.raises(StoreUnavailable, match="Is it running"):
        store.commit(keys, [1] * len(keys), [record(2)] * len(keys))
    server.start()
    assert store.read(keys) == [record(1)] * len(keys)
    assert all(store.commit(keys, [1] * len(keys), [record(2)] * len(keys)))
    server.client.script_flush()
    assert all(store.commit(keys, [2] * len(keys), [record(3)] * len(keys)))
    server.stop()


def test_a_frozen_server_is_unavailable_in_time_and_its_late_answer_harms_nobody(
    redis_server: RedisServer, redis_store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_store_module, "TIMEOUT_S", 0.3)
    redis_store.commit([b"a", b"b"], [0, 0], [record(1, b"first")] * 2)
    began_s = time.monotonic()
    with redis_server.frozen():
        with pytest.raises(StoreUnavailable, match=f"127.0.0.1:{redis_server.port}.*Timeout.*frozen"):
            redis_store.commit([b"a", b"b"], [1, 1], [record(2, b"second")] * 2)
        with pytest.raises(StoreUnavailable, match="Timeout"):
            redis_store.read([b"a"])
        with pytest.raises(StoreUnavailable, match="Timeout"):
            redis_store.check()
    assert time.monotonic() - began_s < 4
    # The server now finds the commit in its socket: it was written although nobody was told.
    deadline_s = time.monotonic() + 5
    while redis_store.read([b"a", b"b"]) != [record(2, b"second")] * 2:
        assert time.monotonic() < deadline_s
    assert redis_store.commit([b"a", b"b"], [1, 1], [record(2, b"second")] * 2) == [False, False]


def test_answers_of_a_broken_exchange_are_not_taken_for_those_of_the_next(
    redis_server: RedisServer, redis_store: RedisStore
) -> None:
    """A refused command in the middle of many: whoever asks next gets the answers to what was asked."""
    redis_store.commit([b"a"], [0], [record(1)])
    redis_server.client.acl_setuser("half", enabled=True, nopass=True, commands=["+@all"], keys=["a"])
    half = RedisStore(redis_server.url.replace("://", "://half:x@"))
    keys = [b"other"] + [b"a"] * (3 * GROUP)
    with pytest.raises(StoreUnavailable, match=r"NOPERM|permission"):
        half.commit(keys, [0] * len(keys), [record(1)] * len(keys))
    assert half.read([b"a"]) == [record(1)]
    half.close()
    redis_server.client.acl_deluser("half")


def test_a_value_of_another_type_is_left_alone_and_the_others_of_its_group_are_written(
    redis_server: RedisServer, redis_store: RedisStore
) -> None:
    redis_store.commit([b"a"], [0], [record(1)])
    redis_server.client.rpush(b"list", b"no record")
    redis_server.client.set(b"text", b"")
    assert redis_store.read([b"list", b"a"]) == [None, record(1)]
    written = redis_store.commit([b"b", b"list", b"a"], [0, 0, 1], [record(1), record(1), record(2)])
    assert written == [True, False, True]
    assert redis_store.holds_other([b"list", b"a", b"text", b"nothing"]) == [True, False, False, False]
    assert redis_store.seqs([b"list", b"nothing"]) == [2**64 - 1, 0]


# What the check says


def refusal(make: Callable[[], RedisStore]) -> str:
    began_s = time.monotonic()
    with pytest.raises(StoreUnavailable) as caught:
        make().check()
    assert time.monotonic() - began_s < 2.5
    assert "secret" not in str(caught.value)
    return str(caught.value)


def test_an_address_where_nothing_listens() -> None:
    port = free_port()
    said = refusal(lambda: RedisStore(f"redis://:secret@127.0.0.1:{port}/0"))
    assert f"Redis at 127.0.0.1:{port}/0" in said
    assert "refused" in said and "Is it running" in said


@pytest.mark.parametrize("cluster", [False, True])
@pytest.mark.parametrize("url", ["http://:secret@localhost:1", "localhost", "redis://:secret@h:port", ""])
def test_a_url_that_is_none(url: str, cluster: bool) -> None:
    assert "redis://" in refusal(lambda: RedisStore(url, cluster=cluster))


def test_passwords_that_are_wrong_missing_or_not_wanted(tmp_path: Path, redis_server: RedisServer) -> None:
    server = RedisServer(tmp_path / "redis", "--requirepass", "the-right-one")
    host = f"127.0.0.1:{server.port}"
    wrong = refusal(lambda: RedisStore(f"redis://:secret-but-wrong@{host}"))
    assert host in wrong and "Check the user and the password" in wrong
    assert "Put the password into the URL" in refusal(lambda: RedisStore(f"redis://{host}"))
    store = RedisStore(f"redis://:the-right-one@{host}")
    store.check()
    assert store.commit([b"a"], [0], [record(1)]) == [True]
    store.close()
    server.stop()
    assert "take it out" in refusal(lambda: RedisStore(f"redis://:secret@127.0.0.1:{redis_server.port}"))


def test_a_cluster_is_not_a_node_and_a_node_not_a_cluster(
    redis_server: RedisServer, redis_cluster: RedisCluster
) -> None:
    assert "Use cluster mode" in refusal(lambda: RedisStore(redis_cluster.url))
    assert "leave out cluster mode" in refusal(lambda: RedisStore(redis_server.url, cluster=True))
    with pytest.raises(StoreUnavailable, match="use cluster mode"):
        RedisStore(redis_cluster.url).read([b"%d" % i for i in range(20)])


def test_a_server_that_may_evict_records_is_refused(tmp_path: Path) -> None:
    server = RedisServer(tmp_path / "redis", "--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru")
    assert "expected noeviction" in refusal(lambda: RedisStore(server.url))
    RedisStore(server.url).check(allow_eviction=True)
    server.client.config_set("maxmemory", 0)
    RedisStore(server.url).check()  # without a limit nothing is evicted
    server.stop()


def test_a_full_server_says_so(tmp_path: Path) -> None:
    server = RedisServer(tmp_path / "redis", "--maxmemory", "1mb", "--maxmemory-policy", "noeviction")
    store = RedisStore(server.url)
    with pytest.raises(StoreUnavailable, match="memory is full"):
        for i in range(10):
            store.commit([b"%d" % i], [0], [record(1, bytes(200_000))])
    server.stop()


def test_tls_is_used_and_the_server_must_be_trusted(redis_server: RedisServer, tmp_path: Path) -> None:
    certificate_file, key_file = certificate(tmp_path)
    redis_server.client.flushall()
    with behind_tls(redis_server, certificate_file, key_file) as url:
        store = RedisStore(url, ca_file=str(certificate_file))
        store.check()
        keys = [b"key:%d" % i for i in range(3 * GROUP)]
        assert all(store.commit(keys, [0] * len(keys), [record(1, bytes(2_000))] * len(keys)))
        assert store.read(keys) == [record(1, bytes(2_000))] * len(keys)
        store.close()
        assert "certificate authority" in refusal(lambda: RedisStore(url))
    assert "rediss://" in refusal(lambda: RedisStore(redis_server.url, ca_file=str(certificate_file)))


def test_a_server_that_wants_a_certificate_is_shown_one(
    redis_server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate_file, key_file = certificate(tmp_path)
    with behind_tls(redis_server, certificate_file, key_file, client_ca_file=certificate_file) as url:
        ca = str(certificate_file)
        assert "--redis-cert-file" in refusal(lambda: RedisStore(url, ca))
        with serve() as cloud:
            for name, value in cloud.environment.items():
                monkeypatch.setenv(name, value)
            cloud.storage.buckets["bank"] = {}
            storage.write("gs://bank/client.pem", certificate_file.read_bytes())
            storage.write("gs://bank/client.key", key_file.read_bytes())
            for cert, key in ((ca, str(key_file)), ("gs://bank/client.pem", "gs://bank/client.key")):
                store = RedisStore(url, ca, cert_file=cert, key_file=key)
                store.check()
                store.close()
        assert "together" in refusal(lambda: RedisStore(url, ca, cert_file=ca))
        assert "no such file" in refusal(lambda: RedisStore(url, ca, cert_file="/nowhere", key_file=ca))


# Replicas


@pytest.fixture(params=EXECUTABLES)
def servers(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Pair]:
    with pair(tmp_path, request.param) as made:
        yield made


def test_a_commit_counts_when_a_replica_has_it(servers: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(round_trip, "CONFIRM_MS", 100)
    store = RedisStore(servers.line.url, replicas=1)
    assert store.commit([b"a"], [0], [record(1)]) == [True]
    with servers.replica.frozen():
        with pytest.raises(StoreUnavailable, match=r"0 of 1 replicas have confirmed.*--redis-replicas"):
            store.commit([b"a"], [1], [record(2)])
        assert servers.primary.client.get("a") == record(2), "written all the same"
        with pytest.raises(StoreUnavailable, match="0 of 1 replicas"):
            store.read([b"a"])  # the events of a batch that is done again would answer as duplicates
    assert store.read([b"a"]) == [record(2)]
    assert servers.replica.client.get("a") == record(2)
    servers.primary.client.script_flush()
    assert store.commit([b"a", b"b"], [2, 0], [record(3), record(1)]) == [True, True]
    store.close()


def test_more_replicas_than_there_are_never_confirm(servers: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(round_trip, "CONFIRM_MS", 100)
    store = RedisStore(servers.line.url, replicas=2)
    with pytest.raises(StoreUnavailable, match="1 of 2 replicas"):
        store.commit([b"a"], [0], [record(1)])
    store.close()


# Cluster


def test_records_are_found_while_and_after_their_slot_moves(
    redis_cluster: RedisCluster, cluster_store: RedisStore
) -> None:
    keys = [b"{moving}:%d" % i for i in range(2)] + [b"staying:%d" % i for i in range(50)]
    cluster_store.commit(keys[1:], [0] * 51, [record(1)] * 51)
    slot = key_slot(keys[0])
    source = redis_cluster.owner(slot)
    target = next(node for node in redis_cluster.nodes if node is not source)
    with redis_cluster.moving(slot, source, target):
        redis_cluster.move_key(keys[1], source, target)
        assert cluster_store.read(keys[1:]) == [record(1)] * 51
        assert all(cluster_store.commit(keys[1:], [1] * 51, [record(2)] * 51))
        assert cluster_store.commit(keys[:1], [0], [record(1)]) == [True]

    assert cluster_store.read(keys) == [record(1)] + [record(2)] * 51
    assert all(cluster_store.commit(keys, [1] + [2] * 51, [record(3)] * 52))
    assert target.client.get(keys[0]) == record(3)


def test_a_cluster_that_lost_a_node_is_unavailable_until_it_is_back(
    redis_cluster: RedisCluster, cluster_store: RedisStore
) -> None:
    keys = [b"key:%d" % i for i in range(100)]
    cluster_store.commit(keys, [0] * 100, [record(1)] * 100)
    lost = redis_cluster.nodes[0]
    lost.stop()
    with pytest.raises(StoreUnavailable, match=r"Redis at 127\.0\.0\.1"):
        cluster_store.read(keys)
    lost.start()
    redis_cluster.wait()
    kept = [blob for blob in cluster_store.read(keys) if blob is not None]
    assert 0 < len(kept) < 100


# Keys


def test_keys_say_whose_record_of_which_features_they_are() -> None:
    assert record_keys("riskstream", "offboarding", "00ff", "customer", ["u1", "ü:2"]) == [
        b"riskstream:offboarding:00ff:customer:u1",
        "riskstream:offboarding:00ff:customer:ü:2".encode(),
    ]
