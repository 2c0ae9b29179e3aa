"""Throughput on one backlog: the local runner, a Flink of one task manager, and of two.

A figure of this machine on this day; that the three end with the same assessments is what is tested.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from deploy.flink import cluster
from pipeline.certification.publishing import publish_over
from pipeline.pubsub.ordered_publisher import Lanes
from tests.chaos.account import settle
from tests.chaos.job import Place, job_of, wait_for
from tests.chaos.stream import stream

pytestmark = [pytest.mark.flink, pytest.mark.timeout(1_800), pytest.mark.usefixtures("fetched")]
MESSAGES, DAYS = 100_000, 120
FROM, TO = 0.8, 0.1  # shares that are left when the clock starts and stops: it is no start that is timed
ACK_DEADLINE_S = 60  # as in a real subscription: nothing is to come again


@pytest.fixture(scope="module")
def figures() -> Iterator[dict[str, float]]:
    """Collect figures by runner; they are printed together at the end."""
    found: dict[str, float] = {}
    yield found
    print("\n" + "\n".join(f"{name:30} {rate:>8,.0f} events/s" for name, rate in found.items()))


@pytest.mark.parametrize(
    ("name", "task_managers"),
    [("local runner, one process", 0), ("Flink, one task manager", 1), ("Flink, two task managers", 2)],
)
def test_the_same_backlog_on_each_runner(
    place: Callable[..., Place], tmp_path: Path, figures: dict[str, float], name: str, task_managers: int
) -> None:
    sent = stream(tmp_path, MESSAGES, DAYS, seed=29)
    own = place(sent.use_case, ACK_DEADLINE_S)
    with Lanes(own.names.events, 1) as lanes:
        publish_over(lanes, sent.messages, 0)
        lanes.finish()
    with ExitStack() as running:
        flags: list[str] = []
        if task_managers:
            flink = running.enter_context(cluster.running(tmp_path / "flink", task_managers))
            flags = flink.beam_flags(parallelism=task_managers)
        job = running.enter_context(job_of(own, flags, workers=str(max(1, task_managers))))
        job.start()
        figures[name] = rate(own)
        own.wait_until_drained()
        job.stop()
    settle(own, sent)


def rate(place: Place) -> float:
    """Messages acknowledged a second, over most of the backlog."""

    def moment(share: float) -> tuple[float, int]:
        wait_for(lambda: place.unacknowledged() <= share * MESSAGES, f"{share:.0%} of the backlog is left")
        return time.monotonic(), place.unacknowledged()

    (from_s, before), (to_s, after) = moment(FROM), moment(TO)
    return (before - after) / (to_s - from_s)
