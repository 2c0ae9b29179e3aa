"""Two million events through one job: it is as fast, and as large, at the end as after the first tenth.

The first tenth is left out: records fill up in it. Others who use the machine can only make a tenth look slower,
so the best of three early tenths is held against the best of the last three; what wears out is slow in all of
those. Processor time, which others disturb less, is compared more strictly.
"""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from features.usecase import load
from pipeline.pubsub.topics import ACK_DEADLINE_S
from tests.chaos.job import ROOT, Job, Place, job_of, wait_for

EVENTS = 2_000_000
TENTHS = 10
EARLY, LATE = slice(1, 4), slice(7, 10)  # tenths that are compared
SLOWER = 0.20  # at most, by the clock
BUSIER = 0.10  # at most, in processor time an event
LARGER = 0.10  # at most, of what it has in memory
PATIENCE_S = 7_200.0
SIXTEEN = ROOT / "tests" / "benchmarks" / "sixteen.yaml"


class Sample(NamedTuple):
    """The job at one moment."""

    at_s: float
    events: int
    cpu_s: float
    rss_bytes: int


class Tenth(NamedTuple):
    events_per_s: float
    cpu_us: float  # an event
    rss_mb: float  # mean


@pytest.mark.soak
@pytest.mark.timeout(PATIENCE_S)
def test_the_job_stays_as_it_is(place: Callable[..., Place], stack_folder: Path) -> None:
    own = place(load(SIXTEEN), ACK_DEADLINE_S)
    with job_of(own) as job:
        job.start()
        job.wait_until_checked()
        flood = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.flood", own.project, str(EVENTS)], cwd=ROOT
        )
        try:
            samples = observed(job)
            assert flood.wait(60) == 0
        finally:
            flood.kill()
        own.wait_until_drained()
        job.stop()
    tenths = [tenth(samples, k) for k in range(TENTHS)]
    for number, one in enumerate(tenths, 1):
        print(
            f"tenth {number:2}: {one.events_per_s:8,.0f} events/s {one.cpu_us:6.1f} us each {one.rss_mb:7.1f} MB"
        )
    early, late = tenths[EARLY], tenths[LATE]
    assert own.count("assessments_unique") == EVENTS
    assert own.count("dead_letters") == 0
    assert max(one.events_per_s for one in late) >= max(one.events_per_s for one in early) * (1 - SLOWER)
    assert min(one.cpu_us for one in late) <= min(one.cpu_us for one in early) * (1 + BUSIER)
    assert tenths[-1].rss_mb <= tenths[1].rss_mb * (1 + LARGER)


def observed(job: Job) -> list[Sample]:
    """Samples until it has assessed everything."""
    samples = [sample(job)]
    while samples[-1].events < EVENTS:
        wait_for(lambda: job.events() > samples[-1].events, "the job gets on")
        samples.append(sample(job))
    return samples


def sample(job: Job) -> Sample:
    process = psutil.Process(job.running().pid)
    cpu = process.cpu_times()
    return Sample(time.monotonic(), job.events(), cpu.user + cpu.system, process.memory_info().rss)


def tenth(samples: list[Sample], k: int) -> Tenth:
    """Cut a tenth out: from the first sample in it to the first one after it."""
    first = next(s for s in samples if s.events >= k * EVENTS // TENTHS)
    last = next(s for s in samples if s.events >= (k + 1) * EVENTS // TENTHS)
    inside = [s.rss_bytes for s in samples if first.events < s.events <= last.events]
    events = last.events - first.events
    return Tenth(
        events / (last.at_s - first.at_s),
        1e6 * (last.cpu_s - first.cpu_s) / events,
        sum(inside) / len(inside) / 1e6,
    )
