"""The note of a job that begins with an empty store, without which nobody uses the store."""

from contextlib import closing
from datetime import UTC, datetime

from features.usecase import UseCase
from pipeline.stores.integrity import Integrity, State
from pipeline.stores.redis_store import RedisStore

BEGUN = datetime(2026, 1, 1, tzinfo=UTC)


def begun(url: str, use_case: UseCase, prefix: str = "riskstream", cluster: bool = False) -> State:
    """Mark the store whole."""
    with closing(RedisStore(url, cluster=cluster)) as store:
        return Integrity(store, prefix, use_case.name, use_case.fingerprint).mark_whole(BEGUN)
