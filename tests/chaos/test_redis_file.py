"""The local Redis keeps what it has confirmed across kill -9: acknowledged events are in its records."""

import threading
import time
from pathlib import Path

import numpy as np
import pytest
import redis

from deploy.local import stack
from tests.chaos.conftest import VARIABLES
from tests.deploy import outages

KEYS = 500
GROUP = 10
VALUE_BYTES = 20_000  # 50 MB and more a second: an fsync takes long enough to be met


@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=[pytest.mark.chaos, pytest.mark.timeout(600)])])
def test_a_killed_redis_loses_no_confirmed_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kills: int
) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    rng = np.random.default_rng(3)
    with stack.running(tmp_path, ["redis"]) as up:
        writer = Writer(up.environment["REDIS_URL"])
        for _ in range(kills):
            thread = threading.Thread(target=writer.write_until_lost)
            thread.start()
            time.sleep(rng.uniform(0.5, 2.0))
            outages.kill(tmp_path, "redis")
            thread.join()
            stack.up(tmp_path, ["redis"])
            assert writer.lost() == []


class Writer:
    """Writes numbers under few keys, again and again, as fast as they are confirmed."""

    def __init__(self, url: str) -> None:
        self.client = redis.Redis.from_url(url)
        self.confirmed = 0
        self.filler = b"x" * VALUE_BYTES

    def write_until_lost(self) -> None:
        try:
            while True:
                pipeline = self.client.pipeline(transaction=False)
                for number in range(self.confirmed, self.confirmed + GROUP):
                    pipeline.set(f"key-{number % KEYS}", b"%d:%b" % (number, self.filler))
                pipeline.execute()
                self.confirmed += GROUP
        except redis.RedisError:
            return

    def lost(self) -> list[int]:
        """Return those of the latest confirmed numbers that are not there any more."""
        assert self.confirmed > 0
        numbers = range(max(0, self.confirmed - KEYS), self.confirmed)
        found = self.client.mget([f"key-{number % KEYS}" for number in numbers])
        return [
            number
            for number, value in zip(numbers, found, strict=True)
            if value is None or int(value.partition(b":")[0]) < number
        ]
