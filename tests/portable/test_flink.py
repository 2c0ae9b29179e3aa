"""The job on a real Flink: a task manager is killed in the middle of a stream, and nothing is lost or counted twice."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deploy.flink import cluster
from deploy.flink.cluster import Cluster
from pipeline.certification.publishing import publish_over
from pipeline.pubsub.ordered_publisher import Lanes
from tests.chaos.account import settle
from tests.chaos.job import Place, job_of, wait_for
from tests.chaos.stream import stream

pytestmark = [pytest.mark.flink, pytest.mark.timeout(1_800), pytest.mark.usefixtures("fetched")]
PULLERS = "4"
CHECKPOINTS = "--checkpointing_interval=700"  # ms
BATCH = "500"  # small, so that a kill finds many batches under way
MESSAGES, DAYS = 30_000, 120
PUBLISHED_OVER_S = 30.0


def test_nothing_is_lost_or_doubled_by_killing_a_task_manager(
    place: Callable[..., Place], tmp_path: Path
) -> None:
    sent = stream(tmp_path, MESSAGES, DAYS, seed=23)
    own = place(sent.use_case)
    with (
        cluster.running(tmp_path / "flink", task_managers=2) as flink,
        job_of(own, [*flink.beam_flags(2), CHECKPOINTS], batch=BATCH, workers=PULLERS) as job,
        Lanes(own.names.events, 1) as lanes,
    ):
        job.start()
        wait_for(lambda: len(places(flink)) == 2, "tasks run in both task managers")
        third = len(sent.messages) // 3
        publish_over(lanes, sent.messages[:third], PUBLISHED_OVER_S / 3)
        wait_for(lambda: own.rows() > 0, "the job works")
        publish_over(lanes, sent.messages[third : third + third // 2], PUBLISHED_OVER_S / 6)
        unfinished = own.unacknowledged()
        flink.kill(flink.task_managers[0])
        publish_over(lanes, sent.messages[third + third // 2 :], PUBLISHED_OVER_S / 2)
        lanes.finish()
        own.wait_until_drained()
        restarts = sum(task["attempt"] for task in tasks(flink))
        job.stop()
    account = settle(own, sent)
    print(f"\n{MESSAGES} messages, {unfinished} unacknowledged at the kill, {restarts} restarts, {account}")
    assert restarts >= 1
    assert account.refused > 0


def places(flink: Cluster) -> set[str]:
    """Task managers with a task that runs."""
    return {task["taskmanager-id"] for task in tasks(flink) if task["status"] == "RUNNING"}


def tasks(flink: Cluster) -> list[dict[str, Any]]:
    """The latest attempt at each."""
    return [
        task
        for job in flink.asked("jobs")["jobs"]
        for vertex in flink.asked(f"jobs/{job['id']}")["vertices"]
        for task in flink.asked(f"jobs/{job['id']}/vertices/{vertex['id']}")["subtasks"]
    ]
