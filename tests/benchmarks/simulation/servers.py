"""Redis in virtual time: shards that serve one call after another, with the records and the lists that they hold."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from zlib import crc32

from pipeline.stores.store import MemoryStore
from tests.benchmarks.simulation.costs import Costs, Line
from tests.benchmarks.simulation.virtual_time import Agent, Resource, Simulation

Visit = tuple[
    float, list[int]
]  # the time at which a shard has served its keys, and these by place in the call


@dataclass
class Servers:
    """The shards of one Redis. A call to several shards is served by each at its own time."""

    simulation: Simulation
    costs: Costs
    shards: list[Resource]
    records: MemoryStore
    lists: dict[str, list[bytes]] = field(default_factory=dict)
    waiting: dict[str, tuple[Agent, int]] = field(default_factory=dict)  # by list: who waits for how many

    def visits(self, line: Line, keys: Sequence[str | bytes], kb: Sequence[float]) -> list[Visit]:
        """Return when each shard serves its part of a call that the running agent makes now, in that order."""
        arrives_us = self.simulation.now_us + self.costs.round_trip_us / 2
        parts: dict[int, list[int]] = {}
        for place, key in enumerate(keys):
            digest = crc32(key if isinstance(key, bytes) else key.encode())
            parts.setdefault(digest % len(self.shards), []).append(place)
        visits = []
        for shard, places in parts.items():
            cost_us = line.us(len(places), sum(kb[place] for place in places))
            visits.append((self.shards[shard].reserve(cost_us, arrives_us), places))
        return sorted(visits)

    def travel(self) -> None:
        """Let the running agent's call, or the answer to it, be half a round trip under way."""
        self.simulation.wait_until(self.simulation.now_us + self.costs.round_trip_us / 2)

    def push(self, name: str, body: bytes) -> None:
        """Append to a list, and wake the agent that waits for so many."""
        bodies = self.lists.setdefault(name, [])
        bodies.append(body)
        agent, wanted = self.waiting.get(name, (None, 0))
        if agent is not None and len(bodies) >= wanted:
            del self.waiting[name]
            self.simulation.wake(agent, self.simulation.now_us)

    def wait_for(self, name: str, wanted: int, timeout_us: float | None) -> None:
        """Suspend the running agent until a list has so many; without a timeout, for ever."""
        if len(self.lists.get(name, ())) >= wanted:
            return
        agent = self.simulation.running
        self.waiting[name] = (agent, wanted)
        if timeout_us is not None:
            self.simulation.wake(agent, self.simulation.now_us + timeout_us)
        self.simulation.wait()
        self.waiting.pop(name, None)

    def pop_all(self, name: str) -> list[bytes]:
        """Take everything out of a list."""
        return self.lists.pop(name, [])
