"""Simulated crews of 1 to 64 workers: processor time and attempts of an event, throughput in virtual time.

Decoding, `assess`, owners and encoding are the job's. Redis, its network and the clock are simulated.
The busiest merchant has a tenth of the events, so it is in every batch of every worker.

All workers run on one real processor, so its cache serves one worker after another, and the more there are the less it
helps: decoding, which no other worker can make dearer, takes up to half as long again. Workers that share nothing, each
with a Redis of its own, show that part: their cost is what other costs at the same number of workers are set against.
"""

import ctypes
import tempfile
from collections.abc import Mapping

import pyarrow as pa

from export import bundle as bundles
from features.usecase import load
from pipeline.engine.assess import assess
from pipeline.engine.engine import Engine
from pipeline.stores.store import MemoryStore
from tests.benchmarks import workloads
from tests.benchmarks.report import Row
from tests.benchmarks.simulation.costs import Costs
from tests.benchmarks.simulation.crew import Crew, CrewRun, Setting
from tests.benchmarks.simulation.payments import (
    CUSTOMERS,
    MERCHANTS_FILE,
    MerchantPayments,
    merchant_payments,
)

M_ARENA_MAX = -8  # of mallopt(3)
WARM_EVENTS = 100_000  # the busiest merchants' rings are full then
WARM_BATCH = 10_000
TRAINED_ON = 60_000
FEWEST_EVENTS = 20_000
COUNTS = (1, 4, 16, 64)
DIRECT = {f"direct_{n}": Setting(n, shards=n) for n in COUNTS}
UNSHARDED = {f"direct_unsharded_{n}": Setting(n, shards=1) for n in (4, 16)}
OWNERS = {f"owners_{n}": Setting(n, shards=n, has_owners=True) for n in COUNTS}
BY_CUSTOMER = {
    f"owners_by_customer_{n}": Setting(n, shards=n, has_owners=True, by_customer=True) for n in (16, 64)
}
APART = {f"apart_{n}": Setting(n, shards=1, apart=True) for n in COUNTS}
SETTINGS = {**APART, **DIRECT, **UNSHARDED, **OWNERS, **BY_CUSTOMER}


def crew(events_a_worker: int) -> list[Row]:
    """Run every setting on the same backlog; the records are those of WARM_EVENTS before it."""
    one_pool()
    use_case = load(MERCHANTS_FILE)
    most = max(_events(setting, events_a_worker) for setting in SETTINGS.values())
    payments = merchant_payments(use_case, WARM_EVENTS + most)
    store = MemoryStore()
    with tempfile.TemporaryDirectory() as folder:
        workloads.train(payments.history[:TRAINED_ON], folder)
        engine = Engine.from_bundle(use_case, bundles.load_in_use(folder, use_case.name), store)
    for batch in payments.history[:WARM_EVENTS].batches(WARM_BATCH):
        assess(engine, batch)
    backlog = payments[WARM_EVENTS:]
    measure(engine, OWNERS["owners_4"], store, backlog[:FEWEST_EVENTS])  # all code is loaded
    runs: dict[str, CrewRun] = {}
    for name, setting in SETTINGS.items():
        runs[name] = measure(engine, setting, store, backlog[: _events(setting, events_a_worker)])
        print_run(name, runs)
    return [row for name in runs for row in rows(name, runs)]


def one_pool() -> None:
    """Let all threads allocate from one pool: a worker of few batches would else work in memory that is never warm."""
    pa.set_memory_pool(pa.system_memory_pool())
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # of glibc
    if mallopt is not None:
        mallopt(M_ARENA_MAX, 1)


def measure(engine: Engine, setting: Setting, store: MemoryStore, payments: MerchantPayments) -> CrewRun:
    """Run a crew on a copy of the records."""
    return Crew(engine, setting, store.records, Costs()).run(payments)


def _events(setting: Setting, events_a_worker: int) -> int:
    """Return the events of a run: fewer for workers that race, which do them many times."""
    races = not (setting.has_owners or setting.apart)
    return max(FEWEST_EVENTS, (events_a_worker // 3 if races else events_a_worker) * setting.workers)


def _ratios(name: str, runs: Mapping[str, CrewRun]) -> tuple[float, float, float]:
    """Return CPU an event, and its assessing part, against as many workers apart; and CPU against one worker."""
    run, apart = runs[name], runs[f"apart_{runs[name].setting.workers}"]
    ratio = run.cpu_us / apart.cpu_us
    return ratio, run.assess_us / apart.assess_us, run.cpu_us / runs["apart_1"].cpu_us


def print_run(name: str, runs: Mapping[str, CrewRun]) -> None:
    """Print a run that has ended."""
    ratio, _, against_one = _ratios(name, runs)
    print(
        f"crew_{name}: CPU x {ratio:.2f} (against one worker x {against_one:.2f}), attempts "
        f"{runs[name].attempts:.3f}; {_setting(runs[name])}",
        flush=True,
    )


def _setting(run: CrewRun) -> str:
    setting = run.setting
    return (
        f"simulated: {setting.workers} workers, a processor each, {setting.shards} shards, round trip 1 ms, batches of "
        f"{setting.batch:,}; {run.events:,} events of {CUSTOMERS:,} customers, the busiest merchant in 10 %; "
        f"CPU {run.cpu_us:.1f} us an event, of it {run.decode_encode_us:.1f} to decode and encode, "
        f"and {run.redis_us:.1f} in Redis; {run.batch_ms:.0f} ms a batch, "
        f"{run.messages / run.events:.3f} messages between workers an event"
    )


def rows(name: str, runs: Mapping[str, CrewRun]) -> list[Row]:
    """Return the figures of a run, beside those of as many workers that share nothing, and of one."""
    run, stem = runs[name], f"crew_{name}"
    ratio, assess_ratio, against_one = _ratios(name, runs)
    apart = f"against that of {run.setting.workers} workers that share nothing"
    return [
        Row(f"{stem}_cpu_ratio", ratio, "x", f"CPU an event {apart}; {_setting(run)}"),
        Row(
            f"{stem}_assess_cpu_ratio",
            assess_ratio,
            "x",
            f"the part that assesses, owners and messages included, {apart}",
        ),
        Row(
            f"{stem}_cpu_ratio_to_one",
            against_one,
            "x",
            "CPU an event against that of one worker, which has the cache to itself",
        ),
        Row(f"{stem}_attempts_per_event", run.attempts, "attempts/event", "times that an event is assessed"),
        Row(f"{stem}_events_per_s", run.events_per_s, "events/s", "in virtual time"),
    ]
