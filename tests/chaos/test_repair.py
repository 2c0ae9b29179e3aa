"""A store that is lost under a stream, once whole and once in part, and repaired from the log beside the same job.

Two workers never end. Nothing is lost, nothing is counted twice, every record equals a replay of the log in the end,
and the job's log tells what happened.
"""

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pipeline.certification.publishing import publish_over
from pipeline.pubsub.client import Publication
from pipeline.pubsub.ordered_publisher import Lanes
from pipeline.pubsub.topics import ACK_DEADLINE_S
from tests.chaos.account import settle
from tests.chaos.job import ROOT, Job, Place, job_of, wait_for
from tests.chaos.stream import stream
from tests.pipeline.failover import Pair, pair

DAYS = 60
WORKERS, ALL_IN_TIME = 2, 1.0  # two workers take a backlog in no order
STOPPED, GOES_ON = "nothing is assessed or acknowledged", "the store is whole, going on"
EMPTIED, ROLLED_BACK = "it was emptied", "a server took over without the last writes"
PATIENCE_S = 900.0
FLOOD_S = 20.0
LOST_BYTES = 300_000


@pytest.mark.chaos
@pytest.mark.timeout(3_600)
def test_a_store_lost_twice_is_repaired_twice_and_everything_reconciles(
    place: Callable[..., Place], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty restart, then a failover to a replica that lacks the last writes."""
    events = 200_000
    sent = stream(tmp_path, events, DAYS, seed=31, lateness_share=ALL_IN_TIME)
    own = place(sent.use_case, ACK_DEADLINE_S)
    with pair(tmp_path) as servers:
        monkeypatch.setenv("REDIS_URL", servers.line.url)
        with job_of(own, workers=str(WORKERS), batch="2000") as job, Lanes(own.names.events, 1) as lanes:
            job.start()
            job.wait_until_checked()
            first, second = events * 2 // 5, events * 4 // 5
            with flooding(lanes, sent.messages[:first]):
                wait_for(lambda: job.events() > events // 5, "a fifth is assessed")
                servers.primary.stop()
                servers.primary.start()
                emptied = repaired(job, EMPTIED)
            servers.follow()
            with flooding(lanes, sent.messages[first:second]):
                lose_the_last_writes(servers)
                rolled_back = repaired(job, ROLLED_BACK)
            publish_over(lanes, sent.messages[second:], 0)
            lanes.finish()
            wait_for(lambda: own.unacknowledged() == 0, "everything acknowledged", PATIENCE_S)
            job.stop()
        found = settle(own, sent)
    story = [line for line in job.log.read_text().splitlines() if STOPPED in line or GOES_ON in line]
    print("\n" + "\n".join(story))
    print(f"emptied: {told(emptied)}; rolled back: {told(rolled_back)}; {found}")
    assert rebuilt(emptied) == sum(emptied["tallies"]["customer"]["findings"].values()) > 100, "all were gone"
    assert 0 < rebuilt(rolled_back) <= sum(rolled_back["tallies"]["customer"]["findings"].values())
    assert sum(STOPPED in line for line in story) >= 2 and sum(GOES_ON in line for line in story) >= 2


@contextmanager
def flooding(lanes: Lanes, messages: Sequence[Publication]) -> Iterator[None]:
    """Messages are published at an even pace while the block runs, and to the last when it ends."""
    flood = threading.Thread(target=publish_over, args=(lanes, messages, FLOOD_S))
    flood.start()
    try:
        yield
    finally:
        flood.join()


def lose_the_last_writes(servers: Pair) -> None:
    """The replica is cut off, the primary takes some more writes, then the replica takes over."""
    wait_for(lambda: written(servers) > LOST_BYTES, "the primary is written to")
    servers.catch_up()
    servers.link.lead(None)
    before = written(servers)
    wait_for(lambda: written(servers) > before + LOST_BYTES, "the primary goes on alone")
    servers.fail_over()


def written(servers: Pair) -> int:
    """Bytes that the primary has had for its replica since it has one."""
    return int(servers.primary.client.info("replication")["master_repl_offset"])


def repaired(job: Job, why: str) -> dict[str, Any]:
    """Return the report of `riskstream repair`, once the job has said why it stopped; then it works again."""
    wait_for(lambda: why in job.log.read_text(), f"the job tells: {why}")
    own, went_on = job.place, job.log.read_text().count(GOES_ON)
    done = subprocess.run(
        [sys.executable, "-m", "riskstream", "repair", "--project", own.project, "--use-case",
         str(own.use_case.file), "--bundle", own.bundles, "--prefix", own.project, "--timeout", "120", "--json"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done
    report: dict[str, Any] = json.loads(done.stdout)
    assert report["is_whole"] and report["state"]["status"] == "whole"
    wait_for(lambda: job.log.read_text().count(GOES_ON) >= went_on + WORKERS, "both workers go on")
    job.running()
    return report


def rebuilt(report: dict[str, Any]) -> int:
    return int(report["tallies"]["customer"]["rebuilt"])


def told(report: dict[str, Any]) -> str:
    return (
        f"{report['tallies']['customer']['findings']}, {report['events']:,} events, {report['seconds']:.1f} s"
    )
