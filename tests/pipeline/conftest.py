"""Stores under test: memory, one redis-server, a cluster of three."""

from collections.abc import Iterator

import pytest

from pipeline.redis_store import RedisStore
from pipeline.store import MemoryStore, RecordStore
from tests.pipeline.servers import RedisCluster, RedisServer
from tests.pipeline.small_records import TTL


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def redis_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    cluster = RedisCluster(tmp_path_factory.mktemp("cluster"))
    yield cluster
    cluster.stop()


@pytest.fixture
def redis_store(redis_server: RedisServer) -> Iterator[RedisStore]:
    redis_server.client.flushall()
    store = RedisStore(redis_server.url, TTL)
    yield store
    store.close()


@pytest.fixture
def cluster_store(redis_cluster: RedisCluster) -> Iterator[RedisStore]:
    for node in redis_cluster.nodes:
        node.client.flushall()
    store = RedisStore(redis_cluster.url, TTL, cluster=True)
    yield store
    store.close()


@pytest.fixture(params=["memory", "redis", "cluster"])
def store(request: pytest.FixtureRequest) -> RecordStore:
    if request.param == "memory":
        return MemoryStore()
    return request.getfixturevalue(f"{request.param}_store")
