"""Gauges that no step counts: answers of Redis and of the local Pub/Sub server.

A value that cannot be read is None.
"""

import logging
from collections.abc import Mapping

from pipeline.operations import status
from pipeline.runtime import metrics
from pipeline.runtime.errors import StoreUnavailable
from pipeline.runtime.metrics import Metric
from pipeline.stores.guarded_store import GuardedStore

logger = logging.getLogger(__name__)


def redis_memory(store: GuardedStore) -> Mapping[Metric, float | None]:
    """Return the memory that Redis uses and its limit, in bytes."""
    try:
        memory = store.memory()
    except StoreUnavailable as error:
        logger.info("no figures of Redis: %s", error)
        return {metrics.REDIS_USED: None, metrics.REDIS_LIMIT: None}
    return {metrics.REDIS_USED: memory.used_bytes, metrics.REDIS_LIMIT: memory.limit_bytes}


def backlog(subscription: str) -> Mapping[Metric, float | None]:
    """Return the number of waiting messages and the age of the oldest one in seconds.

    Pub/Sub itself tells them to Cloud Monitoring only.
    """
    try:
        waiting = status.backlogs().get(subscription)
    except status.Away:
        waiting = None
    if waiting is None:
        return {metrics.BACKLOG: None, metrics.OLDEST: None}
    return {metrics.BACKLOG: waiting.messages, metrics.OLDEST: waiting.oldest_s}
