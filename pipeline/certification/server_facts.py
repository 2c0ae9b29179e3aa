"""Facts about the servers that were certified: versions and settings, as far as they say."""

import os
import platform
import time
from collections.abc import Mapping
from importlib.metadata import version

import redis.exceptions

from pipeline.bigquery.client import REST_EMULATOR
from pipeline.certification.resources import CertificationRefused
from pipeline.certification.settings import CertifySettings
from pipeline.pubsub.client import EMULATOR
from pipeline.runtime.errors import StoreUnavailable
from pipeline.stores.redis_store import RedisStore

PACKAGES = (
    "riskstream",
    "apache-beam",
    "google-cloud-pubsub",
    "google-cloud-bigquery-storage",
    "grpcio",
    "redis",
)
OF_REDIS = (
    "redis_version", "valkey_version", "redis_mode", "role", "connected_slaves", "maxmemory", "maxmemory_policy",
    "used_memory", "aof_enabled", "rdb_last_bgsave_status", "cluster_enabled", "os",
)  # fmt: skip
SETTINGS = ("appendfsync", "save", "min-replicas-to-write")  # CONFIG is refused by managed servers
MOST_CLOCK_S = (
    60.0  # between this machine and Redis; event times must be within five minutes of Pub/Sub's clock
)
RECORD_BYTES = 16_384  # of a record with some hundred events in its ring, generously
RECORDS_PER_EVENT = 0.06  # six records for a hundred events


def server_facts(settings: CertifySettings, store: RedisStore) -> dict[str, Mapping[str, str]]:
    """Return facts by part. Raises StoreUnavailable."""
    pubsub, bigquery = os.environ.get(EMULATOR), os.environ.get(REST_EMULATOR)
    return {
        "redis": redis_facts(store),
        "pubsub": {"server": f"emulator at {pubsub}" if pubsub else "Google Cloud", "project": settings.project},
        "bigquery": {
            "server": f"emulator at {bigquery}" if bigquery else "Google Cloud", "location": settings.location,
        },
        "job": {
            "python": platform.python_version(), "machine": platform.machine(),
            "workers": str(settings.workers), "batch": str(settings.batch),
            **{package: version(package) for package in PACKAGES},
        },
    }  # fmt: skip


def redis_facts(store: RedisStore) -> dict[str, str]:
    """Return what Redis says of itself. Raises StoreUnavailable."""
    info = store.call("INFO")
    known = info if isinstance(info, dict) else {}
    facts = {"address": store.address, "primaries": str(len(store.servers()))}
    facts |= {name: str(known[name]) for name in OF_REDIS if name in known}
    for name in SETTINGS:
        try:
            answer = store.call("CONFIG", "GET", name)
        except StoreUnavailable as error:
            if not isinstance(error.__cause__, redis.exceptions.ResponseError):
                raise
            facts[name] = "not told"
            continue
        pairs = answer if isinstance(answer, dict) else dict(zip(answer[::2], answer[1::2], strict=True))
        facts |= {_text(key): _text(value) for key, value in pairs.items()}
    facts["clock_ahead_s"] = f"{clock_ahead_s(store):.3f}"
    return facts


def clock_ahead_s(store: RedisStore) -> float:
    """Return by how much the clock of Redis is ahead of this machine's. Raises StoreUnavailable."""
    before = time.time()
    seconds, microseconds = store.call("TIME")
    return int(seconds) + int(microseconds) / 1e6 - (before + time.time()) / 2


def check_bounds(settings: CertifySettings, store: RedisStore) -> None:
    """Check that the run fits its bounds and the server. Raises CertificationRefused, StoreUnavailable."""
    needed = memory_bytes(settings.events)
    if needed > settings.memory_mb * 1_000_000:
        raise CertificationRefused(
            f"--memory-mb: found {settings.memory_mb}, expected at least {-(-needed // 1_000_000)} for "
            f"{settings.events:,} events: publish fewer, or allow more"
        )
    memory = store.memory()
    free = memory.limit_bytes - memory.used_bytes
    if memory.limit_bytes and free < 2 * needed:
        raise CertificationRefused(
            f"{store.address}: found {free:,} bytes free, expected twice the {needed:,} that the run may take"
        )
    ahead_s = clock_ahead_s(store)
    if abs(ahead_s) > MOST_CLOCK_S:
        raise CertificationRefused(
            f"{store.address}: its clock is {ahead_s:+.0f} s off this machine's, expected within {MOST_CLOCK_S:.0f} s: "
            "events are dated by this machine's clock"
        )


def memory_bytes(events: int) -> int:
    """Return an upper bound of what the records of so many messages take in Redis."""
    return round(max(24, events * RECORDS_PER_EVENT) * RECORD_BYTES)


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
