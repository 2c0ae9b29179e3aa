"""The password of Redis out of Secret Manager, its certificate authority out of Cloud Storage."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.gcp.server import LocalCloud, serve
from export import storage
from pipeline.job.job import Job
from pipeline.runtime.errors import StoreUnavailable
from pipeline.stores.connect import store_of, with_password
from tests.pipeline.market import MARKET
from tests.pipeline.servers import RedisServer, behind_tls, certificate

SECRET = "projects/bank-tests/secrets/redis"
PASSWORD = "s3:cr/et@"  # pragma: allowlist secret - with what has a meaning in a URL


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalCloud]:
    with serve() as cloud:
        for name, value in cloud.environment.items():
            monkeypatch.setenv(name, value)
        cloud.storage.buckets["bank"] = {}
        cloud.secrets.values[SECRET] = PASSWORD + "\n"
        yield cloud


def test_a_worker_reaches_redis_with_secret_and_authority(cloud: LocalCloud, tmp_path: Path) -> None:
    server = RedisServer(tmp_path / "redis", "--requirepass", PASSWORD)
    certificate_file, key_file = certificate(tmp_path)
    storage.write("gs://bank/ca.pem", certificate_file.read_bytes())
    try:
        with behind_tls(server, certificate_file, key_file) as url:
            job = Job.load(MARKET, bundle="b", redis_url=url, project="p", redis_secret=SECRET,
                           redis_ca_file="gs://bank/ca.pem")  # fmt: skip
            store = store_of(job)
            store.check()
            assert store.commit([b"k"], [0], [bytes(20)]) == [True]
            store.close()
            assert PASSWORD not in repr(job) + repr(store)
    finally:
        server.stop()


def test_a_secret_that_cannot_be_had_is_named(cloud: LocalCloud) -> None:
    missing = Job.load(MARKET, bundle="b", redis_url="rediss://h:1", project="p", redis_secret=f"{SECRET}-2")
    with pytest.raises(StoreUnavailable, match="secrets/redis-2/versions/latest: 404"):
        store_of(missing)


def test_a_password_takes_its_place_in_the_url() -> None:
    assert with_password("rediss://10.0.0.3:6378/1", "a@b") == "rediss://:a%40b@10.0.0.3:6378/1"
