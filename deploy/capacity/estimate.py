"""Workers, Redis, Pub/Sub, BigQuery and money for a load. Pure: measured figures and prices in, an estimate out.

Every assumption is a row of ASSUMPTIONS, with its reason; what was measured and what was not is told apart there.
GiB are 2**30 bytes, as Google bills them; MB/s are 10**6 bytes. A month has 730 hours.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from deploy.capacity.files import Measured, Points, Prices

GIB, TIB = 2**30, 2**40
HOURS_A_MONTH = 730
MONTH_S = HOURS_A_MONTH * 3_600
MONTH_DAYS = HOURS_A_MONTH / 24
MEMORY_DAYS = 30  # of the events that a record's size is measured by
MEMORY_HOURS = MEMORY_DAYS * 24
RING, MOST_RING = (
    64,
    1_024,
)  # events a record holds one by one: always, and if all came within the lateness of 1 h
TIERS_GB = {4: "m1", 10: "m2", 35: "m3", 100: "m4", math.inf: "m5"}  # of Memorystore, by the most they hold
SMALLEST_GB = 5
FEWEST_SHARDS = 3


class Assumption(NamedTuple):
    value: float
    unit: str
    why: str


ASSUMPTIONS: Mapping[str, Assumption] = {
    "peak_to_mean": Assumption(
        3.0, "", "the busiest quarter of an hour against the month; `--peak` gives your own"
    ),
    "runner_overhead": Assumption(
        3.0, "x", "NOT measured: Dataflow hands messages to Python one by one; a load test replaces it"
    ),
    "worker_utilisation": Assumption(
        0.6, "", "of a processor at the peak: the rest works off a backlog after an outage"
    ),
    "worker_vcpus": Assumption(2, "vCPU", "n1-standard-2, the machine recommended with Streaming Engine"),
    "worker_memory_gb": Assumption(7.5, "GB", "n1-standard-2"),
    "worker_disk_gb": Assumption(30, "GB", "the boot disk with Streaming Engine"),
    "fewest_workers": Assumption(2, "workers", "one may die, or its zone"),
    "entities": Assumption(1, "records/event", "off-boarding keeps the customer only; each more adds records"),
    "redis_overhead": Assumption(
        1.2, "x", "over the size of single records: the table of keys, fragmentation"
    ),
    "dormant_record": Assumption(1, "x", "of an active customer's: a record stays as its last event left it"),
    "redis_memory_utilisation": Assumption(
        0.7, "", "nothing may be evicted: room for growth, replication buffers"
    ),
    "redis_cpu_utilisation": Assumption(
        0.5, "", "of one processor at the peak: above it answers queue, and a replica has to catch up"
    ),
    "redis_network_utilisation": Assumption(
        0.5, "", "of 16 Gbit/s at the peak: replicas are sent what is written; nodes of a cluster taken for as fast"
    ),
    "streaming_passes": Assumption(
        2, "x", "Streaming Engine counts a message when it comes and when it is de-duplicated by its id"
    ),
    "alert_bytes": Assumption(1_000, "bytes", "a change of level with its reasons, rounded up"),
    "kept_days": Assumption(7, "days", "topics keep events as long, to be read again after a mistake"),
    "row_days": Assumption(1_830, "days", "assessments are kept for five years; storage is that of the sixth"),
    "active_days": Assumption(90, "days", "BigQuery's own rule for long-term storage"),
}  # fmt: skip


def assumed(name: str) -> float:
    return ASSUMPTIONS[name].value


@dataclass(frozen=True)
class Load:
    """A mean over the month, and how much more the busiest time is. Records of `dormant` customers are only kept."""

    events_per_s: float
    customers: int
    peak_to_mean: float = ASSUMPTIONS["peak_to_mean"].value
    dormant: int = 0

    @property
    def peak_per_s(self) -> float:
        return self.events_per_s * self.peak_to_mean

    @property
    def events_a_customer(self) -> float:
        """In 30 days."""
        return self.events_per_s * MEMORY_HOURS * 3_600 / self.customers


@dataclass(frozen=True)
class Workers:
    vcpus_at_peak: float  # busy, all of them
    at_peak: int
    paid: int  # on average: the autoscaler follows the day


@dataclass(frozen=True)
class Redis:
    """`shards` 1 is one instance of the Standard tier; more are primaries of a cluster; a replica each."""

    record_bytes: float
    data_gib: float
    dormant_gib: float  # of it, for customers without events
    shards: int
    gib: float  # bought, without replicas
    keys_per_s: float  # read and written, each, at the peak
    mb_per_s: float  # to and from the workers, at the peak
    cpus: float  # busy at the peak, of all primaries


@dataclass(frozen=True)
class PubSub:
    gib_a_month: float  # published and delivered
    kept_gib: float
    mb_per_s: float  # published at the peak


@dataclass(frozen=True)
class BigQuery:
    gib_a_month: float
    stored_gib: float  # when as much is deleted as is written
    mb_per_s: float  # at the peak


class Limit(NamedTuple):
    """A resource with an end, and its use at the peak."""

    what: str
    used: float
    most: float
    unit: str
    remedy: str

    @property
    def breaks_at(self) -> float:
        """Return the multiple of this load that reaches the limit."""
        return self.most / self.used


@dataclass(frozen=True)
class Estimate:
    load: Load
    workers: Workers
    redis: Redis
    pubsub: PubSub
    bigquery: BigQuery
    usd_a_month: Mapping[str, float]
    limits: tuple[Limit, ...]  # the first to be reached first

    @property
    def total_usd(self) -> float:
        return sum(self.usd_a_month.values())


def estimate(load: Load, measured: Measured, prices: Prices) -> Estimate:
    redis = redis_for(load, measured, prices)
    workers = workers_for(load, measured, redis)
    pubsub, bigquery = pubsub_for(load, measured), bigquery_for(load, measured)
    return Estimate(
        load, workers, redis, pubsub, bigquery, money(workers, redis, pubsub, bigquery, prices),
        limits(workers, redis, pubsub, bigquery, prices),
    )  # fmt: skip


def record_bytes(events: float, measured: Measured, peak_to_mean: float = 1.0) -> float:
    """Return the bytes of a record of a customer with so many events in 30 days.

    Straight lines between what was measured, in logarithms. Below the first the first (an upper bound); above the last
    the last, and one event's bytes for each that the ring must hold because it came within the lateness. Customers are
    unequal, and sizes grow ever slower: the mean of unequal ones is below that of equal ones.
    """
    points = sorted(measured.record_bytes.items())
    (first, smallest), (second, larger) = points[:2]
    if events <= first:
        return smallest
    for (low, below), (high, above) in pairwise(points):
        if events <= high:
            part = math.log(events / low) / math.log(high / low)
            return float(below * (above / below) ** part)
    in_an_hour = events / MEMORY_HOURS * peak_to_mean
    held = min(max(in_an_hour, RING), MOST_RING) - RING
    return points[-1][1] + held * (larger - smallest) / (second - first)


def by_size(size: float, points: Points) -> float:
    """On the straight line through two sizes that were measured; below the smaller one as there."""
    (small, less), (large, more) = sorted(points.items())
    return less + max(0.0, size - small) * (more - less) / (large - small)


def redis_for(load: Load, measured: Measured, prices: Prices) -> Redis:
    """One node as long as its memory, half a processor and half its network do; then a cluster, a command a record."""
    size = record_bytes(load.events_a_customer, measured, load.peak_to_mean)
    entities = assumed("entities")
    a_customer_gib = entities * size * assumed("redis_overhead") / GIB
    dormant_gib = load.dormant * a_customer_gib * assumed("dormant_record")
    data_gib = load.customers * a_customer_gib + dormant_gib
    needed_gib = data_gib / assumed("redis_memory_utilisation")
    keys_per_s = load.peak_per_s * entities
    mb_per_s = 2 * keys_per_s * size / 1e6
    by_network = math.ceil(
        mb_per_s / prices.limit("redis_node_mb_per_s") / assumed("redis_network_utilisation")
    )
    cpus = keys_per_s * by_size(size, measured.redis_cpu_us) / 1e6
    shards, gib = 1, float(max(SMALLEST_GB, math.ceil(needed_gib)))
    if gib > prices.limit("redis_node_gib") or cpus > assumed("redis_cpu_utilisation") or by_network > 1:
        cpus = keys_per_s * by_size(size, measured.cluster_cpu_us) / 1e6
        node_gib = prices.limit("redis_cluster_node_gib")
        by_cpu = math.ceil(cpus / assumed("redis_cpu_utilisation"))
        shards = max(FEWEST_SHARDS, math.ceil(needed_gib / node_gib), by_cpu, by_network)
        gib = shards * node_gib
    return Redis(size, data_gib, dormant_gib, shards, gib, keys_per_s, mb_per_s, cpus)


def workers_for(load: Load, measured: Measured, redis: Redis) -> Workers:
    """Return the CPU seconds of one event, as measured with records of this size, times the runner's factor."""
    client = measured.cluster_client_cpu_us if redis.shards > 1 else measured.redis_client_cpu_us
    more_us = (
        by_size(redis.record_bytes, client) - measured.redis_client_cpu_us[min(measured.redis_client_cpu_us)]
    )
    event_us = measured.worker_cpu_us + more_us * assumed("entities")
    busy = load.events_per_s * event_us * assumed("runner_overhead") / 1e6
    a_worker = assumed("worker_vcpus") * assumed("worker_utilisation")
    fewest = int(assumed("fewest_workers"))
    at_peak, on_average = (math.ceil(each / a_worker) for each in (busy * load.peak_to_mean, busy))
    return Workers(busy * load.peak_to_mean, max(fewest, at_peak), max(fewest, on_average))


def pubsub_for(load: Load, measured: Measured) -> PubSub:
    """Events and alerts, each published once and delivered once; publishers put some kB into a request."""
    bytes_per_event = measured.message_bytes + measured.alerts_per_event * assumed("alert_bytes")
    kept = load.events_per_s * measured.message_bytes * assumed("kept_days") * 86_400
    return PubSub(
        2 * load.events_per_s * bytes_per_event * MONTH_S / GIB,
        kept / GIB,
        load.peak_per_s * bytes_per_event / 1e6,
    )


def bigquery_for(load: Load, measured: Measured) -> BigQuery:
    """A row an event."""
    gib_a_month = load.events_per_s * measured.row_bytes * MONTH_S / GIB
    stored = gib_a_month * assumed("row_days") / MONTH_DAYS
    return BigQuery(gib_a_month, stored, load.peak_per_s * measured.row_bytes / 1e6)


def money(
    workers: Workers, redis: Redis, pubsub: PubSub, bigquery: BigQuery, prices: Prices
) -> Mapping[str, float]:
    """A month at list prices."""
    a_worker = (
        assumed("worker_vcpus") * prices.price("dataflow_vcpu_hour")
        + assumed("worker_memory_gb") * prices.price("dataflow_memory_gb_hour")
        + assumed("worker_disk_gb") * prices.price("dataflow_disk_gb_hour")
    )
    tier = next(name for most, name in TIERS_GB.items() if redis.gib <= most)
    gb_hour = prices.price("redis_cluster_gb_hour" if redis.shards > 1 else f"redis_gb_hour_{tier}")
    come_in_gib = pubsub.gib_a_month / 2
    active_gib = bigquery.stored_gib * assumed("active_days") / assumed("row_days")
    return {
        "Dataflow workers": workers.paid * a_worker * HOURS_A_MONTH,
        "Streaming Engine": come_in_gib * assumed("streaming_passes") * prices.price("dataflow_streaming_gb"),
        "Redis": redis.gib * gb_hour * HOURS_A_MONTH,
        "Pub/Sub": pubsub.gib_a_month * GIB / TIB * prices.price("pubsub_tib"),
        "Pub/Sub, kept": pubsub.kept_gib * prices.price("pubsub_kept_gib_month"),
        "BigQuery, written": bigquery.gib_a_month * prices.price("bigquery_written_gib"),
        "BigQuery, stored": active_gib * prices.price("bigquery_stored_gib_month")
        + (bigquery.stored_gib - active_gib) * prices.price("bigquery_long_stored_gib_month"),
    }  # fmt: skip


def limits(
    workers: Workers, redis: Redis, pubsub: PubSub, bigquery: BigQuery, prices: Prices
) -> tuple[Limit, ...]:
    """Return the limits, the nearest first."""
    of_redis = (
        Limit("Redis: processor of one node", redis.cpus, assumed("redis_cpu_utilisation"), "processors", "cluster"),
        Limit("Redis: memory of one node", redis.data_gib,
              prices.limit("redis_node_gib") * assumed("redis_memory_utilisation"), "GiB", "cluster"),
        Limit("Redis: network of one node", redis.mb_per_s,
              prices.limit("redis_node_mb_per_s") * assumed("redis_network_utilisation"), "MB/s", "cluster"),
    ) if redis.shards == 1 else (
        Limit("Redis: shards of a cluster", redis.shards, prices.limit("redis_cluster_shards"), "shards",
              "larger nodes (58 GB), or a cluster a use case"),
    )  # fmt: skip
    by_part = (
        *of_redis,
        Limit("BigQuery: appended", bigquery.mb_per_s, prices.limit("bigquery_mb_per_s"), "MB/s",
              "a dataset in the multi-region EU, or a higher quota"),
        Limit("Pub/Sub: published", pubsub.mb_per_s, prices.limit("pubsub_mb_per_s"), "MB/s", "a higher quota"),
        Limit("Dataflow: workers", workers.at_peak, prices.limit("dataflow_workers"), "workers", "larger machines"),
    )  # fmt: skip
    return tuple(sorted(by_part, key=lambda limit: limit.breaks_at))
