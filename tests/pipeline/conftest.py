"""Stores under test: memory, one redis-server, a cluster of three. And BigQuery, which takes seconds to start."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from deploy.local import stack
from pipeline.stores.redis_store import RedisStore
from pipeline.stores.store import MemoryStore, RecordStore
from tests.pipeline.servers import NEWER_REDIS, RedisCluster, RedisServer


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


@pytest.fixture(scope="session")
def bigquery_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    """Return the environment of one BigQuery for all tests that do not stop it; each module has its own datasets."""
    folder = tmp_path_factory.mktemp("stack")
    try:
        with pytest.MonkeyPatch.context() as patch:
            for name in ("BIGQUERY_EMULATOR_HOST", "GOOGLE_CLOUD_PROJECT"):
                patch.delenv(name, raising=False)
            up = stack.up(folder, ["bigquery"])
        yield up.environment
    finally:
        stack.down(folder)


@pytest.fixture(scope="module")
def bigquery_server(bigquery_environment: Mapping[str, str]) -> Iterator[None]:
    """A module's environment names it."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in bigquery_environment.items():
            patch.setenv(name, value)
        yield


@pytest.fixture
def redis_store(redis_server: RedisServer) -> Iterator[RedisStore]:
    redis_server.client.flushall()
    store = RedisStore(redis_server.url)
    yield store
    store.close()


@pytest.fixture
def cluster_store(redis_cluster: RedisCluster) -> Iterator[RedisStore]:
    for node in redis_cluster.nodes:
        node.client.flushall()
    store = RedisStore(redis_cluster.url, cluster=True)
    yield store
    store.close()


@pytest.fixture
def newer_store(tmp_path: Path) -> Iterator[RedisStore]:
    server = RedisServer(tmp_path / "newer", executable=NEWER_REDIS)
    store = RedisStore(server.url)
    yield store
    store.close()
    server.stop()


@pytest.fixture(params=["memory", "redis", "newer", "cluster"])
def store(request: pytest.FixtureRequest) -> RecordStore:
    if request.param == "memory":
        return MemoryStore()
    return request.getfixturevalue(f"{request.param}_store")
