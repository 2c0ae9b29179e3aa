"""Stated costs of a simulation, in virtual microseconds.

The processor time that a run reports is measured. Virtual time needs costs that are the same in every run, or chance
would decide who wins a race: there, processor time is replaced by lines through earlier measurements. Redis and its
client do not run in the simulation; their costs are those of `python -m tests.benchmarks --only redis`.
"""

from collections.abc import Mapping
from typing import NamedTuple


class Line(NamedTuple):
    """A cost that grows with the number of things and with their kilobytes."""

    base_us: float
    each_us: float = 0.0
    kb_us: float = 0.0

    def us(self, n: int, kb: float = 0.0) -> float:
        """Return the cost of n things that have so many kilobytes together."""
        return self.base_us + self.each_us * n + self.kb_us * kb


# A thread's processor time between two calls, by role and by the call before (things are that call's keys, messages
# or events). Fitted to thread_time on an AMD EPYC, 2026-11-29; what is not here takes SHORT.
WORK: Mapping[tuple[str, str], Line] = {
    ("worker", "pull"): Line(200.0, each_us=2.5),
    ("worker", "read"): Line(900.0, each_us=1.5, kb_us=4.0),
    ("worker", "collect"): Line(300.0, kb_us=60.0),
    ("worker", "commit"): Line(500.0, each_us=0.4),
    ("worker", "assessed"): Line(500.0, each_us=3.0),
    ("owner", "read"): Line(150.0, each_us=2.0, kb_us=5.0),
    ("owner", "commit"): Line(150.0),
    ("owner", "take"): Line(50.0, each_us=10.0),
}
SHORT = Line(50.0)


class Costs(NamedTuple):
    """Costs of a machine and its network."""

    round_trip_us: float = 1_000.0
    # Redis's processor, and its client's in the worker, for a call: a half of what a read and a write of a key cost.
    server: Line = Line(10.0, each_us=0.85, kb_us=0.7)
    client: Line = Line(50.0, each_us=0.3, kb_us=0.8)
    # The same for messages between workers.
    server_messages: Line = Line(10.0, each_us=2.0, kb_us=0.7)
    client_messages: Line = Line(50.0, each_us=2.0, kb_us=0.8)
    work: Mapping[tuple[str, str], Line] = WORK
    slice_us: float = 5_000.0  # Python's switch interval: another thread of the process then has its turn
