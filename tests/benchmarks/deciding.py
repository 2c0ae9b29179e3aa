"""The policy's compiled walk alone: events decided a second by one thread."""

import time

import numpy as np

from export.policy import Policy, decide
from features.record import STATUS
from tests.benchmarks.report import Row, medians

HOUR_US = 3_600_000_000
START_US = 1_700_000_000_000_000
CUSTOMERS = 5_000
RUNS = 5
POLICY = Policy(medium=0.4, high=0.8, exit_ratio=0.75, cooldown_us=24 * HOUR_US, in_a_row=3, min_events=5)


def deciding(events: int) -> list[Row]:
    """Decide events of scores between 0 and 1, nine tenths of them new."""
    rng = np.random.default_rng(1)
    arguments = {
        "record": rng.integers(0, CUSTOMERS, events).astype(np.int32),
        "score": rng.random(events, np.float32),
        "time_us": START_US + np.sort(rng.integers(0, 720 * HOUR_US, events)),
        "evidence": np.arange(events) // CUSTOMERS,
        "applied": rng.random(events) < 0.9,
    }
    decide(POLICY, np.zeros(CUSTOMERS, STATUS), **arguments)  # loads or compiles
    setting = f"{events:,} events of {CUSTOMERS:,} customers, in one call"
    runs = []
    for _ in range(RUNS):
        began_s = time.perf_counter()
        decide(POLICY, np.zeros(CUSTOMERS, STATUS), **arguments)
        runs.append(
            [Row("decide_events_per_s", events / (time.perf_counter() - began_s), "events/s", setting)]
        )
    return medians(runs)
