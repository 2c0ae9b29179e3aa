"""A thread of a simulated worker: its processor time, and its ways to Redis."""

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from pipeline.owners.exchange import Reply
from pipeline.stores.store import Expiry
from tests.benchmarks.simulation.costs import SHORT, Line
from tests.benchmarks.simulation.servers import Servers
from tests.benchmarks.simulation.virtual_time import Agent, Resource, Simulation


@dataclass
class SimulatedThread:
    """The work of one agent on the processor of its worker.

    Between two calls it is measured; the virtual clock goes on by a fitted line, at the beginning of the next call.
    """

    servers: Servers
    processor: Resource
    role: str
    measured_s: Counter[str] = field(default_factory=Counter)  # by the call before
    stated_us: float = 0.0  # of Redis's client, which does not run here
    _after: tuple[str, int, float] = ("begin", 0, 0.0)
    _began_s: float = 0.0

    def resume(self, after: str, n: int = 0, kb: float = 0.0) -> None:
        """Go on measuring after a call about n things of so many kilobytes."""
        self._after, self._began_s = (after, n, kb), time.thread_time()

    def pause(self) -> None:
        """Stop measuring, and let the virtual time of the work go by."""
        after, n, kb = self._after
        self.measured_s[after] += time.thread_time() - self._began_s
        self.processor.work(self.servers.costs.work.get((self.role, after), SHORT).us(n, kb))

    def state(self, line: Line, n: int, kb: float) -> None:
        """Let the virtual time of work go by that is not done here."""
        cost_us = line.us(n, kb)
        self.stated_us += cost_us
        self.processor.work(cost_us)

    @property
    def cpu_us(self) -> float:
        """Processor time: measured, and stated for the client."""
        return 1e6 * self.measured_s.total() + self.stated_us


@dataclass
class SimulatedStore:
    """The records in Redis as one thread reads and writes them: a RecordStore."""

    thread: SimulatedThread

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        records, blobs = self.thread.servers.records, [None] * len(keys)
        sizes = [len(blob or b"") / 1_000 for blob in records.read(keys)]
        with self._call("read", keys, sizes) as visits:
            for places in visits:
                for place, blob in zip(places, records.read([keys[i] for i in places]), strict=True):
                    blobs[place] = blob
        return blobs

    def commit(
        self, keys: Sequence[bytes], before: Sequence[int], blobs: Sequence[bytes], expiry_ms: Expiry = None
    ) -> list[bool]:
        records, written = self.thread.servers.records, [False] * len(keys)
        with self._call("commit", keys, [len(blob) / 1_000 for blob in blobs]) as visits:
            for places in visits:
                columns = ([column[i] for i in places] for column in (keys, before, blobs))
                for place, is_written in zip(places, records.commit(*columns), strict=True):
                    written[place] = is_written
        return written

    def holds_other(self, keys: Sequence[bytes]) -> list[bool]:
        return self.thread.servers.records.holds_other(keys)

    @contextmanager
    def _call(self, name: str, keys: Sequence[bytes], kb: Sequence[float]) -> Iterator[Iterator[list[int]]]:
        """Yield each shard's keys, by place, at the time at which the shard serves them."""
        thread, servers = self.thread, self.thread.servers
        thread.pause()
        yield _served(servers, servers.costs.server, keys, kb)
        servers.travel()
        thread.state(servers.costs.client, len(keys), sum(kb))
        thread.resume(name, len(keys), sum(kb))


@dataclass
class SimulatedExchange:
    """The lists in Redis through which one thread sends and takes messages: an Exchange."""

    thread: SimulatedThread
    member: str
    rounds: int = 0
    messages: int = 0  # sent

    def address(self) -> str:
        self.rounds += 1
        return f"replies to {self.member}, {self.rounds}"

    def send(self, requests: Mapping[str, bytes]) -> set[str]:
        self._push("send", [inbox(member) for member in requests], list(requests.values()))
        return set(requests)

    def reply(self, replies: Sequence[Reply]) -> None:
        self._push("reply", [each.address for each in replies], [each.body for each in replies])

    def collect(self, address: str, expected: int, timeout_s: float) -> list[bytes]:
        self.thread.pause()
        self._wait(address, expected, 1e6 * timeout_s)
        return self._pop_all("collect", address)

    def take(self, timeout_s: float) -> list[bytes]:
        """Take the requests to this member. One that waits for a first request waits for ever: nothing else ends it."""
        self.thread.pause()
        if timeout_s:
            self._wait(inbox(self.member), 1, None)
        return self._pop_all("take", inbox(self.member))

    def _push(self, call: str, names: Sequence[str], bodies: Sequence[bytes]) -> None:
        thread, servers, kb = self.thread, self.thread.servers, [len(body) / 1_000 for body in bodies]
        thread.pause()
        thread.state(servers.costs.client_messages, len(bodies), sum(kb))
        self.messages += len(bodies)
        for places in _served(servers, servers.costs.server_messages, names, kb):
            for place in places:
                servers.push(names[place], bodies[place])
        servers.travel()
        thread.resume(call, len(bodies), sum(kb))

    def _wait(self, name: str, wanted: int, timeout_us: float | None) -> None:
        self.thread.servers.wait_for(name, wanted, timeout_us)
        self.thread.servers.travel()

    def _pop_all(self, call: str, name: str) -> list[bytes]:
        servers = self.thread.servers
        servers.travel()
        bodies = servers.pop_all(name)
        servers.travel()
        kb = sum(map(len, bodies)) / 1_000
        self.thread.state(servers.costs.client_messages, len(bodies), kb)
        self.thread.resume(call, len(bodies), kb)
        return bodies


@dataclass
class SimulatedLock:
    """A lock between the threads of one worker."""

    simulation: Simulation
    threads: Mapping[Agent, SimulatedThread]
    is_held: bool = False
    queue: list[Agent] = field(default_factory=list)

    def __enter__(self) -> None:
        thread = self.threads[self.simulation.running]
        thread.pause()
        if self.is_held:
            self.queue.append(self.simulation.running)
            self.simulation.wait()
        self.is_held = True
        thread.resume("lock")

    def __exit__(self, *_: object) -> None:
        thread = self.threads[self.simulation.running]
        thread.pause()
        self.is_held = bool(self.queue)
        if self.queue:
            self.simulation.wake(self.queue.pop(0), self.simulation.now_us)
        thread.resume("unlock")


def inbox(member: str) -> str:
    """Return the name of the list of requests to a member."""
    return f"requests to {member}"


def _served(
    servers: Servers, line: Line, keys: Sequence[str | bytes], kb: Sequence[float]
) -> Iterator[list[int]]:
    """Yield the keys of a call, by place, shard after shard, each at its virtual time."""
    for at_us, places in servers.visits(line, keys, kb):
        servers.simulation.wait_until(at_us)
        yield places
