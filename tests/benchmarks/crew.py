"""Simulated crews of 1 to 64 workers: processor time and attempts of an event, throughput in virtual time.

Decoding, `assess`, owners and encoding are the job's. Redis, its network and the clock are simulated.
The busiest merchant has a tenth of the events, so it is in every batch of every worker.
"""

import ctypes
import tempfile

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
SETTINGS = {**DIRECT, **UNSHARDED, **OWNERS, **BY_CUSTOMER}


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
    one = measure(engine, DIRECT["direct_1"], store, backlog[:FEWEST_EVENTS])
    return [
        row
        for name, setting in SETTINGS.items()
        for row in rows(
            name, measure(engine, setting, store, backlog[: _events(setting, events_a_worker)]), one
        )
    ]


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
    return max(FEWEST_EVENTS, events_a_worker * setting.workers)


def rows(name: str, run: CrewRun, one: CrewRun) -> list[Row]:
    """Return the figures of a run, beside those of one worker without owners."""
    setting, stem = run.setting, f"crew_{name}"
    setting_of_run = (
        f"simulated: {setting.workers} workers, a processor each, {setting.shards} shards, round trip 1 ms, batches of "
        f"{setting.batch:,}; {run.events:,} events of {CUSTOMERS:,} customers, the busiest merchant in 10 %; "
        f"CPU {run.cpu_us:.1f} us an event, of it {run.decode_encode_us:.1f} to decode and encode, "
        f"and {run.redis_us:.1f} in Redis; {run.batch_ms:.0f} ms a batch, "
        f"{run.messages / run.events:.3f} messages between workers an event"
    )
    print(
        f"{stem}: CPU x {run.cpu_us / one.cpu_us:.2f}, attempts {run.attempts:.3f}; {setting_of_run}",
        flush=True,
    )
    assessing = "the part that assesses, owners and messages included, against that of one worker"
    return [
        Row(
            f"{stem}_cpu_ratio",
            run.cpu_us / one.cpu_us,
            "x",
            f"CPU an event against one worker; {setting_of_run}",
        ),
        Row(f"{stem}_assess_cpu_ratio", run.assess_us / one.assess_us, "x", assessing),
        Row(f"{stem}_attempts_per_event", run.attempts, "attempts/event", "times that an event is assessed"),
        Row(f"{stem}_events_per_s", run.events_per_s, "events/s", "in virtual time"),
    ]
