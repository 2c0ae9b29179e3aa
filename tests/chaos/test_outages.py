"""Redis, Pub/Sub and BigQuery away in the middle of a stream: the job waits, goes on by itself, and all adds up."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from deploy.local import stack
from pipeline.certification.publishing import publish_over
from pipeline.pubsub.client import Publication
from pipeline.pubsub.ordered_publisher import Lanes
from tests.chaos.account import settle
from tests.chaos.job import Job, Place, job_of
from tests.chaos.stream import stream
from tests.deploy import outages

BATCH = "500"
FLOWING_S = 1.0  # before an outage, so that it meets batches at every stage


@contextmanager
def frozen(folder: Path, name: str) -> Iterator[None]:
    outages.freeze(folder, name)
    try:
        yield
    finally:
        outages.thaw(folder, name)


@contextmanager
def killed(folder: Path, name: str) -> Iterator[None]:
    outages.kill(folder, name)
    try:
        yield
    finally:
        stack.up(folder, [name])


OUTAGES = (
    (frozen, "redis"),
    (killed, "redis"),
    (frozen, "pubsub"),
    (frozen, "bigquery"),
    (killed, "bigquery"),
)


@pytest.mark.parametrize(
    ("messages", "seconds"),
    [
        pytest.param(4_000, 2.0, id="short", marks=[pytest.mark.chaos]),
        pytest.param(30_000, 10.0, id="whole", marks=[pytest.mark.chaos, pytest.mark.timeout(1_800)]),
    ],
)
def test_the_job_outlives_what_it_needs(
    place: Callable[..., Place], stack_folder: Path, tmp_path: Path, messages: int, seconds: float
) -> None:
    sent = stream(tmp_path, messages, days=60, seed=12)
    own = place(sent.use_case)
    bounds = np.linspace(0, messages, len(OUTAGES) + 2).astype(int).tolist()
    parts = [sent.messages[first:last] for first, last in pairwise(bounds)]
    with job_of(own, batch=BATCH) as job, Lanes(own.names.events, 1) as lanes:
        job.start()
        for (outage, name), part in zip(OUTAGES, parts, strict=False):
            half = len(part) // 2
            publish_over(lanes, part[:half], FLOWING_S)
            job.wait_until_at_work()
            with outage(stack_folder, name):
                wait_out(job, name, lanes, part[half:], seconds)
            own.wait_until_drained()
            job.running()
        publish_over(lanes, parts[-1], FLOWING_S)
        lanes.finish()
        own.wait_until_drained()
        job.stop()
    print(f"\n{messages} messages, {len(OUTAGES)} outages of {seconds:g} s, {settle(own, sent)}")


def wait_out(job: Job, name: str, lanes: Lanes, messages: Sequence[Publication], seconds: float) -> None:
    """The outage of a part: what is published in it cannot be stored or delivered, so it must not be acknowledged."""
    publish_over(lanes, messages, 0)
    time.sleep(seconds)
    if name != "pubsub":
        assert job.place.unacknowledged() >= len(messages)
