"""Two worker processes on one subscription and one Redis, or a cluster of three that is changed under them.

They share the customers, so they meet all the time; what was published is accounted for to the last record all
the same.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from pipeline.certification.publishing import publish_over
from pipeline.pubsub.ordered_publisher import Lanes
from pipeline.pubsub.topics import ACK_DEADLINE_S
from tests.chaos.account import settle
from tests.chaos.job import Job, Place, job_of, wait_for
from tests.chaos.stream import Stream, stream
from tests.pipeline.servers import RedisCluster, RedisServer

WORKERS = "2"
BATCH = "200"  # most customers are in it: two batches at once meet
ALL_IN_TIME = (
    1.0  # workers take a backlog in no order: nothing may be too late for one and in time for the other
)
PARTS = 3
FIRST = 20  # messages a time, until both workers have had some
MESSAGES, DAYS = 4_000, 60


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[RedisCluster]:
    """Start a cluster whose nodes keep what they confirmed when they are killed and started again."""
    cluster = RedisCluster(tmp_path / "cluster", "--appendonly", "yes", "--appendfsync", "no")
    yield cluster
    cluster.stop()


@pytest.mark.parametrize(
    "messages",
    [
        pytest.param(MESSAGES, id="short"),
        pytest.param(60_000, id="whole", marks=[pytest.mark.chaos, pytest.mark.timeout(1_800)]),
    ],
)
def test_two_workers_count_every_event_once(
    place: Callable[..., Place], tmp_path: Path, messages: int
) -> None:
    sent = stream(tmp_path, messages, DAYS, seed=14, lateness_share=ALL_IN_TIME)
    own = place(sent.use_case, ACK_DEADLINE_S)
    with job_of(own, batch=BATCH, workers=WORKERS) as job, Lanes(own.names.events, 1) as lanes:
        for _ in parts(job, lanes, sent):
            pass
        job.stop()
    shares, conflicts = [each.events for each in job.worker_statuses()], conflicts_of(job)
    print(f"\n{messages} messages, workers took {shares}, {conflicts} conflicts, {settle(own, sent)}")
    assert conflicts > 0, "the test needs workers that meet"


@pytest.mark.chaos
def test_two_workers_go_on_while_a_cluster_changes(
    place: Callable[..., Place], tmp_path: Path, cluster: RedisCluster
) -> None:
    """Slots with records in them move to another node, and a node is killed and comes back."""
    sent = stream(tmp_path, MESSAGES, DAYS, seed=15, lateness_share=ALL_IN_TIME)
    own = replace(place(sent.use_case, ACK_DEADLINE_S), cluster_url=cluster.url)
    with job_of(own, batch=BATCH, workers=WORKERS) as job, Lanes(own.names.events, 1) as lanes:
        for part in parts(job, lanes, sent):
            if part == 0:
                moved = reshard(cluster, *cluster.nodes[:2])
            if part == 1:
                restart(cluster, cluster.nodes[2])
        job.stop()
    sizes = [node.client.dbsize() for node in cluster.nodes]
    print(f"\n{moved} records moved, {sizes} at the end, {conflicts_of(job)} conflicts, {settle(own, sent)}")
    assert moved > 0 and sizes[0] == 0
    assert sizes[1] >= moved and sizes[2] > 0


def parts(job: Job, lanes: Lanes, sent: Stream) -> Iterator[int]:
    """Starts the job and publishes part after part; each is under way when its number is given."""
    begun = both_at_work(job, lanes, sent)
    bounds = np.linspace(begun, len(sent.messages), PARTS + 1).astype(int).tolist()
    for part, (first, last) in enumerate(pairwise(bounds)):
        publish_over(lanes, sent.messages[first:last], 0)
        yield part
    lanes.finish()
    job.place.wait_until_drained()


def both_at_work(job: Job, lanes: Lanes, sent: Stream) -> int:
    """Starts the job and publishes little by little until each worker has assessed some; how many messages.

    One may be up long before the other: what is published then comes again and again, which harms nobody.
    """
    job.start()
    wait_for(lambda: len(job.worker_statuses()) == int(WORKERS) and bool(job.running()), "both workers start")
    published = 0

    def each_has_some() -> bool:
        nonlocal published
        job.running()
        if job.place.unacknowledged() == 0:
            published = min(published + FIRST, len(sent.messages) // 4)
            publish_over(lanes, sent.messages[published - FIRST : published], 0)
        return sum(each.events > 0 for each in job.worker_statuses()) == int(WORKERS)

    wait_for(each_has_some, "both workers work")
    return published


def conflicts_of(job: Job) -> int:
    return sum(each.conflicts for each in job.worker_statuses())


def reshard(cluster: RedisCluster, source: RedisServer, target: RedisServer) -> int:
    """Moves every slot of a node that holds records, record by record; how many records."""
    moved = 0
    while keys := source.client.keys("*"):
        slot = int(source.client.execute_command("CLUSTER KEYSLOT", keys[0]))
        with cluster.moving(slot, source, target):
            while found := source.client.execute_command("CLUSTER GETKEYSINSLOT", slot, 1):
                cluster.move_key(found[0], source, target)
                moved += 1
    return moved


def restart(cluster: RedisCluster, node: RedisServer) -> None:
    """kill -9, and the same node with its data again."""
    node.stop()
    node.start()
    cluster.wait()
