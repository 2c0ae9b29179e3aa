"""A simulated crew: workers with a processor each, which assess a backlog together."""

import gc
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from pipeline.engine.assess import assess
from pipeline.engine.assessments import Assessments
from pipeline.engine.engine import Engine
from pipeline.job.translate import decode, encode
from pipeline.owners.asking import RecordOwners
from pipeline.owners.member import LINGER_S, TAKE_S
from pipeline.owners.owner import Owner
from pipeline.pubsub.message import Message
from pipeline.stores.store import Expiry, MemoryStore
from tests.benchmarks.simulation.costs import Costs
from tests.benchmarks.simulation.payments import MerchantPayments
from tests.benchmarks.simulation.servers import Servers
from tests.benchmarks.simulation.thread import (
    SimulatedExchange,
    SimulatedLock,
    SimulatedStore,
    SimulatedThread,
)
from tests.benchmarks.simulation.virtual_time import Agent, Resource, Simulation

STAGGER_US = 15_000  # workers begin within about the time that a batch takes
STEADY = 0.8  # of the batches: after these, workers begin to find nothing more to do


class Setting(NamedTuple):
    """The shape of a run."""

    workers: int
    shards: int
    batch: int = 1_000
    has_owners: bool = False  # of the merchants' records; without them workers race
    by_customer: bool = False  # all messages of a customer go to one worker
    apart: bool = False  # each worker has a Redis of its own, so that nobody meets


class Done(NamedTuple):
    """A batch, when it was finished (virtual time), and how long `assess` took."""

    at_us: float
    spent_us: float
    events: int
    conflicts: int


@dataclass
class CrewRun:
    """The outcome of one run."""

    setting: Setting
    events: int
    threads: list[SimulatedThread]
    servers: Servers
    done: list[Done] = field(default_factory=list)
    messages: int = 0  # between workers

    @property
    def records(self) -> Mapping[bytes, bytes]:
        """The records at the end."""
        return self.servers.records.records

    @property
    def cpu_us(self) -> float:
        """Processor time of an event in all threads of all workers, from the message to the encoded row."""
        return sum(thread.cpu_us for thread in self.threads) / self.events

    @property
    def decode_encode_us(self) -> float:
        """The part of `cpu_us` that decodes and encodes, which no other worker can make dearer."""
        parts = (each.measured_s["pull"] + each.measured_s["assessed"] for each in self.threads)
        return 1e6 * sum(parts) / self.events

    @property
    def assess_us(self) -> float:
        """The part of `cpu_us` that assesses, owners and messages between workers included."""
        return self.cpu_us - self.decode_encode_us

    @property
    def redis_us(self) -> float:
        """Virtual time of an event in all shards."""
        return sum(shard.busy_us for shard in self.servers.shards) / self.events

    @property
    def attempts(self) -> float:
        """Times that an event is assessed."""
        return 1 + sum(each.conflicts for each in self.done) / self.events

    @property
    def events_per_s(self) -> float:
        """Events in a second of virtual time, while all workers have something to do."""
        done = sorted(self.done)[: max(1, int(STEADY * len(self.done)))]
        return 1e6 * sum(each.events for each in done) / done[-1].at_us

    @property
    def batch_ms(self) -> float:
        """Mean virtual time of a batch in `assess`."""
        return sum(each.spent_us for each in self.done) / len(self.done) / 1_000


@dataclass
class ThreadsStore:
    """The store of a worker with several threads, each of which has a way to Redis of its own."""

    simulation: Simulation
    threads: Mapping[Agent, SimulatedThread]

    @property
    def way(self) -> SimulatedStore:
        """The way of the thread that runs."""
        return SimulatedStore(self.threads[self.simulation.running])

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        return self.way.read(keys)

    def commit(
        self, keys: Sequence[bytes], before: Sequence[int], blobs: Sequence[bytes], expiry_ms: Expiry = None
    ) -> list[bool]:
        return self.way.commit(keys, before, blobs, expiry_ms)

    def holds_other(self, keys: Sequence[bytes]) -> list[bool]:
        return self.way.holds_other(keys)


class Crew:
    """Workers on one Redis in virtual time; with owners, each has a second thread, which answers the others."""

    def __init__(
        self, engine: Engine, setting: Setting, records: Mapping[bytes, bytes], costs: Costs
    ) -> None:
        self.engine, self.setting = engine, setting
        self.simulation = Simulation()
        self.costs, self.initial = costs, records
        self.servers = self._servers(setting.shards)
        self.members = tuple(f"worker {i:02d}" for i in range(setting.workers))
        self.threads: dict[Agent, SimulatedThread] = {}
        self.exchanges: list[SimulatedExchange] = []

    def _servers(self, shards: int) -> Servers:
        """Return a Redis with the records as they are at the beginning."""
        resources = [Resource(self.simulation) for _ in range(shards)]
        return Servers(self.simulation, self.costs, resources, MemoryStore(dict(self.initial)))

    def run(self, payments: MerchantPayments, kept: list[Assessments] | None = None) -> CrewRun:
        """Assess all payments; the assessments are added to `kept`, if that is given."""
        lanes = self.setting.workers if self.setting.by_customer else 1
        batches = payments.batches(self.setting.batch, lanes)
        run = CrewRun(self.setting, len(payments), [], self.servers)
        for i, member in enumerate(self.members):
            self._add_worker(run, member, i, batches[i % lanes], kept)
        gc.collect()
        gc.freeze()
        try:
            self.simulation.run()
        finally:
            gc.unfreeze()
        run.threads, run.messages = list(self.threads.values()), sum(each.messages for each in self.exchanges)
        return run

    def _add_worker(
        self,
        run: CrewRun,
        member: str,
        i: int,
        batches: Iterator[list[Message]],
        kept: list[Assessments] | None,
    ) -> None:
        processor = Resource(self.simulation, self.servers.costs.slice_us)
        servers = self._servers(1) if self.setting.apart else self.servers
        thread = SimulatedThread(servers, processor, "worker")
        engine = replace(self.engine, store=SimulatedStore(thread))
        if self.setting.has_owners:
            engine = self._with_owners(thread, member)
        begins_us = STAGGER_US * i / self.setting.workers

        def work() -> None:
            for messages in batches:
                assessments = self._work(run, thread, engine, messages)
                if kept is not None:
                    kept.append(assessments)

        self.threads[self.simulation.add(work, member, begins_us)] = thread

    def _work(
        self, run: CrewRun, thread: SimulatedThread, engine: Engine, messages: list[Message]
    ) -> Assessments:
        """Decode, assess and encode a batch."""
        thread.resume("pull", len(messages))
        decoded = decode(engine.use_case, messages)
        thread.pause()
        assert decoded.events is not None
        began_us = self.simulation.now_us
        thread.resume("decoded")
        assessments = assess(engine, decoded.events)
        thread.pause()
        spent_us = self.simulation.now_us - began_us
        run.done.append(Done(self.simulation.now_us, spent_us, len(messages), assessments.conflicts))
        thread.resume("assessed", len(messages))
        encode(decoded, assessments, messages[-1].publish_us)
        thread.pause()
        return assessments

    def _with_owners(self, worker: SimulatedThread, member: str) -> Engine:
        """Add the thread that answers as an owner, and return the engine of the one that assesses."""
        thread = SimulatedThread(self.servers, worker.processor, "owner")
        store = ThreadsStore(self.simulation, self.threads)
        owner = Owner(self.engine.use_case, store, self.engine.prefix)
        owner._lock = SimulatedLock(self.simulation, self.threads)  # a real one would stop the virtual clock
        answering, asking = SimulatedExchange(thread, member), SimulatedExchange(worker, member)
        self.exchanges += [answering, asking]
        agent = self.simulation.add(lambda: self._answer(thread, answering, owner), f"owner, {member}")
        self.threads[agent] = thread
        owners = RecordOwners(
            member, owner, asking, lambda: self.members, clock=lambda: self.simulation.now_us / 1e6
        )
        return replace(self.engine, store=store, owners=owners)

    def _answer(self, thread: SimulatedThread, exchange: SimulatedExchange, owner: Owner) -> None:
        """Answer requests as `Member` does, in virtual time."""
        began_us, linger_us = float("-inf"), 1e6 * LINGER_S * len(self.members)
        thread.resume("begin")
        while True:
            bodies = exchange.take(TAKE_S)
            if began_us + linger_us > self.simulation.now_us:
                thread.pause()
                self.simulation.wait_until(began_us + linger_us)
                thread.resume("linger")
                bodies += exchange.take(0)
            began_us = self.simulation.now_us
            exchange.reply(owner.answer(bodies))
