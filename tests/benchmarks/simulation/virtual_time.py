"""A discrete-event simulation: agents that run one at a time, in the order of a virtual clock.

An agent is a thread, so that code which knows nothing of the simulation can be suspended in the middle. Exactly one
thread runs at any moment: an agent that waits hands over to the one that is due next, so a run is deterministic.
Times are virtual microseconds.
"""

import heapq
import threading
from collections.abc import Callable
from dataclasses import dataclass, field


class SimulationEnded(BaseException):
    """Raised inside agents that still wait when the simulation is over; no agent handles it."""


class Agent:
    """One thread of a simulation; it runs only while it holds the turn."""

    def __init__(self, simulation: "Simulation", work: Callable[[], None], name: str) -> None:
        self.simulation, self.work = simulation, work
        self.turn = threading.Semaphore(0)
        self.entry = 0  # this agent's entry in the calendar that counts; earlier ones are void
        self.thread = threading.Thread(target=self._run, name=name, daemon=True)

    def _run(self) -> None:
        self.turn.acquire()
        try:
            if not self.simulation.is_over:
                self.work()
        except SimulationEnded:
            return
        except BaseException as error:  # noqa: BLE001 - it ends the simulation, whose caller gets it
            self.simulation.end(error)
            return
        self.simulation.leave()


@dataclass
class Simulation:
    """A virtual clock and the calendar of the agents that wait for it."""

    now_us: float = 0.0
    is_over: bool = False
    error: BaseException | None = None
    _calendar: list[tuple[float, int, Agent]] = field(default_factory=list)
    _entries: int = 0
    _agents: list[Agent] = field(default_factory=list)
    _running: Agent | None = None
    _ended: threading.Event = field(default_factory=threading.Event)

    @property
    def running(self) -> Agent:
        """The agent whose turn it is."""
        assert self._running is not None
        return self._running

    def add(self, work: Callable[[], None], name: str, at_us: float = 0.0) -> Agent:
        """Add an agent that begins its work at `at_us`."""
        agent = Agent(self, work, name)
        self._agents.append(agent)
        self.wake(agent, at_us)
        agent.thread.start()
        return agent

    def run(self) -> None:
        """Run until no agent is due any more. Raises what an agent raised."""
        self.leave()
        self._ended.wait()
        for agent in self._agents:
            agent.turn.release()
            agent.thread.join()
        if self.error is not None:
            raise self.error

    def wait_until(self, at_us: float) -> None:
        """Suspend the running agent until that time."""
        if self.is_over:
            raise SimulationEnded
        if not self._calendar or at_us < self._calendar[0][0]:
            self.now_us = max(self.now_us, at_us)  # nobody else is due before
            return
        self.wake(self.running, at_us)
        self.wait()

    def wait(self) -> None:
        """Suspend the running agent until another one wakes it."""
        agent = self.running
        if self.is_over:
            raise SimulationEnded
        self.leave()
        agent.turn.acquire()
        if self.is_over:
            raise SimulationEnded

    def wake(self, agent: Agent, at_us: float) -> None:
        """Make an agent due at that time, instead of any other time at which it was due."""
        self._entries += 1
        agent.entry = self._entries
        heapq.heappush(self._calendar, (max(at_us, self.now_us), agent.entry, agent))

    def leave(self) -> None:
        """Hand the turn to the agent that is due next; the simulation is over if there is none."""
        while self._calendar:
            at_us, entry, agent = heapq.heappop(self._calendar)
            if entry == agent.entry:
                agent.entry = 0
                self.now_us, self._running = at_us, agent
                agent.turn.release()
                return
        self.end(None)

    def end(self, error: BaseException | None) -> None:
        """End the simulation; agents that wait are not resumed."""
        self.error, self.is_over = self.error or error, True
        self._ended.set()


@dataclass
class Resource:
    """A processor or a server that does one thing at a time, in the order in which it is asked."""

    simulation: Simulation
    slice_us: float = float("inf")  # longer work lets others in between
    free_at_us: float = 0.0
    busy_us: float = 0.0

    def reserve(self, cost_us: float, earliest_us: float) -> float:
        """Return the time at which work is done that takes `cost_us` and cannot begin before `earliest_us`."""
        self.free_at_us = max(self.free_at_us, earliest_us) + cost_us
        self.busy_us += cost_us
        return self.free_at_us

    def work(self, cost_us: float) -> None:
        """Suspend the running agent until its work is done."""
        while cost_us > 0:
            part_us = min(cost_us, self.slice_us)
            self.simulation.wait_until(self.reserve(part_us, self.simulation.now_us))
            cost_us -= part_us
