"""Faults that a run puts the job through; each is a context that begins the fault and ends it.

The user's servers are never stopped. Outages happen to the job alone, in the proxies between it and the servers; kills
meet processes that the run itself has started; a failover only happens if it is allowed.
"""

import os
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from typing import NamedTuple

from redis import RedisCluster
from redis.cluster import ClusterNode
from redis.exceptions import RedisClusterException, RedisError

from features.errors import Refused
from pipeline.certification.job_process import JobProcess
from pipeline.certification.proxies import Gate, GoogleProxy, RedisProxy, has_proxy
from pipeline.certification.settings import CertifySettings
from pipeline.stores.redis_client import client_of
from pipeline.stores.redis_store import RedisStore

TIMEOUT_S = 5.0
COMMAND_TIMEOUT_S = 900.0  # a managed server may take minutes to fail over


class FailoverFailed(Refused):
    """The failover that was asked for did not happen."""


@dataclass(frozen=True)
class FaultySystem:
    """The parts that faults are put into. A proxy is None where none can stand in the way."""

    job: JobProcess
    redis: RedisProxy | None
    google: GoogleProxy | None
    store: RedisStore  # beside the job's way to it
    settings: CertifySettings


Inject = Callable[[FaultySystem], AbstractContextManager[None]]


class PlannedFault(NamedTuple):
    """A fault of the plan."""

    name: str
    description: str
    inject: Inject


class FaultPlan(NamedTuple):
    """The faults in their order, and those that are left out, with the reason."""

    faults: tuple[PlannedFault, ...]
    left_out: tuple[str, ...]


def fault_plan(settings: CertifySettings) -> FaultPlan:
    """Return the faults that these settings and this environment allow."""
    left_out: list[str] = []
    kills = [KILL] * settings.kills
    outages: list[PlannedFault] = []
    if not settings.kills:
        left_out.append("kill -9 of the job: --kills is 0")
    if not settings.outage_s:
        left_out.append("outages: --outage-s is 0")
    else:
        outages += _outages(settings, left_out)
    failovers: list[PlannedFault] = []
    if not settings.allow_failover:
        left_out.append("failover of Redis: --allow-failover is not given")
    elif settings.redis_cluster or settings.failover_command:
        failovers.append(FAILOVER)
    else:
        left_out.append("failover of Redis: it is no cluster, and --failover-command is not given")
    if settings.redis_cluster:
        left_out.append("balances while the job is at work: a cluster cannot be read at one moment")
    faults = [each for pair in _interleaved(kills, outages) for each in pair]
    return FaultPlan((*faults, *failovers), tuple(left_out))


def _outages(settings: CertifySettings, left_out: list[str]) -> Iterator[PlannedFault]:
    if can_proxy_redis(settings):
        yield from OUTAGES_OF_REDIS
    else:
        left_out.append("outages of Redis: clients of a cluster, or of a socket, find their way past a proxy")
    if has_proxy(os.environ):
        left_out.append("outages of Pub/Sub and BigQuery: this environment has a proxy of its own")
    else:
        yield from OUTAGES_OF_GOOGLE


def can_proxy_redis(settings: CertifySettings) -> bool:
    """Tell whether the job's way to Redis can lead through a proxy."""
    return not settings.redis_cluster and not settings.redis_url.startswith("unix:")


def _interleaved(left: list[PlannedFault], right: list[PlannedFault]) -> Iterator[list[PlannedFault]]:
    """Yield both lists in turn, so that kills and outages meet different moments of the stream."""
    for i in range(max(len(left), len(right))):
        yield [*left[i : i + 1], *right[i : i + 1]]


@contextmanager
def _killed(system: FaultySystem) -> Iterator[None]:
    system.job.kill()
    system.job.start()
    yield


@contextmanager
def _failed_over(system: FaultySystem) -> Iterator[None]:
    if system.settings.failover_command:
        _run(system.settings.failover_command)
    else:
        _fail_over_cluster(system.store)
    yield


def _run(command: str) -> None:
    try:
        done = subprocess.run(
            shlex.split(command), capture_output=True, text=True, check=False, timeout=COMMAND_TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise FailoverFailed(f"--failover-command: {error}") from error
    if done.returncode:
        raise FailoverFailed(f"--failover-command: exit code {done.returncode}: {done.stderr.strip()[-500:]}")


def _fail_over_cluster(store: RedisStore) -> None:
    """Ask a replica of each primary that has one to take over; the primary hands over without loss."""
    try:
        with closing(client_of(store.reach, TIMEOUT_S)) as client:
            assert isinstance(client, RedisCluster)
            by_primary = _a_replica_of_each(client)
            for replica in by_primary.values():
                client.execute_command("CLUSTER FAILOVER", target_nodes=replica)  # type: ignore[no-untyped-call]
    except (RedisError, RedisClusterException) as error:
        raise FailoverFailed(f"{store.address}: CLUSTER FAILOVER: {error}") from error
    if not by_primary:
        raise FailoverFailed(f"{store.address}: found no replica that could take over")


def _a_replica_of_each(client: RedisCluster) -> dict[str, ClusterNode]:
    """Return a replica of each primary that has one, by the range of slots that they share."""
    slots = client.nodes_manager.slots_cache.values()
    pairs = {nodes[0].name: nodes[1] for nodes in slots if len(nodes) > 1}
    return dict(sorted(pairs.items()))


def _gated(close: Callable[[Gate], None], gate_of: Callable[[FaultySystem], Gate | None]) -> Inject:
    """Return a fault that closes a gate for as long as an outage lasts."""

    @contextmanager
    def closed(system: FaultySystem) -> Iterator[None]:
        gate = gate_of(system)
        assert gate is not None, "the plan has outages only where there is a proxy"
        close(gate)
        try:
            time.sleep(system.settings.outage_s)
        finally:
            gate.open()
        yield

    return closed


def _redis(system: FaultySystem) -> Gate | None:
    return system.redis.gate if system.redis else None


def _pubsub(system: FaultySystem) -> Gate | None:
    return system.google.pubsub if system.google else None


def _bigquery(system: FaultySystem) -> Gate | None:
    return system.google.bigquery if system.google else None


KILL = PlannedFault("kill", "kill -9 of all processes of the job, which is then started again", _killed)
FAILOVER = PlannedFault("failover", "a replica of Redis takes over", _failed_over)
OUTAGES_OF_REDIS = (
    PlannedFault("redis-cut", "connections to Redis are reset and refused", _gated(Gate.cut, _redis)),
    PlannedFault("redis-stall", "Redis answers nothing", _gated(Gate.stall, _redis)),
)
OUTAGES_OF_GOOGLE = (
    PlannedFault("pubsub-cut", "connections to Pub/Sub are reset and refused", _gated(Gate.cut, _pubsub)),
    PlannedFault(
        "bigquery-cut", "connections to BigQuery are reset and refused", _gated(Gate.cut, _bigquery)
    ),
)
