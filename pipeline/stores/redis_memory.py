"""Redis's memory: how much is used, how much is allowed, and what happens to records when it is full."""

import logging
from collections.abc import Mapping
from typing import Any, NamedTuple

from redis import RedisCluster

from pipeline.runtime.errors import StoreUnavailable
from pipeline.stores.redis_client import Client

KEEPS_RECORDS = "noeviction"  # the one policy under which a full server refuses writes and drops nothing
EVICTS = (
    "Redis at {address}: found maxmemory-policy {policy}, expected noeviction: when its memory is full it would drop "
    "records, and nothing would be assessed until they are repaired. Set maxmemory-policy noeviction, or accept that "
    "with --allow-eviction"
)
UNSAID = "Redis at %s does not say its maxmemory-policy; make sure that it is noeviction"

logger = logging.getLogger(__name__)


class RedisMemory(NamedTuple):
    """Memory of all primaries together."""

    used_bytes: int
    limit_bytes: int  # 0: no limit


def memory(client: Client) -> RedisMemory:
    """Ask all primaries for their memory. Raises RedisError."""
    if isinstance(client, RedisCluster):
        answers = list(client.info("memory", target_nodes=RedisCluster.PRIMARIES).values())
    else:
        answers = [client.info("memory")]
    used, limit = (sum(answer[name] for answer in answers) for name in ("used_memory", "maxmemory"))
    return RedisMemory(used, limit)


def check_eviction(info: Mapping[str, Any], address: str, allow_eviction: bool) -> None:
    """Check by a server's INFO that it keeps records when its memory is full.

    Raises StoreUnavailable if it may drop them, unless that is allowed. A server that does not show its policy, as
    some managed ones, is logged.
    """
    policy = info.get("maxmemory_policy")
    if policy is None:
        logger.warning(UNSAID, address)
    elif info.get("maxmemory") and policy != KEEPS_RECORDS and not allow_eviction:
        raise StoreUnavailable(EVICTS.format(address=address, policy=policy))
