"""BigQuery slow or refusing in the middle of a stream: alerts go on, kills lose nothing, memory stays bounded."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import grpc
import pytest

from pipeline.bigquery.client import STORAGE_EMULATOR
from pipeline.certification.publishing import publish_over
from pipeline.pubsub.ordered_publisher import Lanes
from tests.chaos.account import settle
from tests.chaos.job import Job, Place, job_of, wait_for
from tests.chaos.stream import stream
from tests.pipeline.slow_bigquery import SlowBigQuery, slow_bigquery

MEMORY_MIB = 32  # of rows; what comes beyond goes to files
SLACK_BYTES = 200 << 20  # ack ids, allocators, and appends under way


@pytest.fixture
def slow(stack_folder: Path) -> Iterator[SlowBigQuery]:
    with slow_bigquery() as proxy:
        yield proxy


@contextmanager
def slow_job(place: Place, slow: SlowBigQuery, **flags: str) -> Iterator[Job]:
    """A job that appends through the proxy; this process does not."""
    with job_of(place, **flags) as job:
        job.environment = {**os.environ, STORAGE_EMULATOR: slow.address}
        yield job


@pytest.mark.chaos
def test_a_kill_while_appends_are_refused_loses_nothing(
    place: Callable[..., Place], slow: SlowBigQuery, tmp_path: Path
) -> None:
    sent = stream(tmp_path, 4_000, days=60, seed=31, lateness_share=1.0)
    home = place(sent.use_case)
    parts = [sent.messages[first : first + 1_000] for first in range(0, 4_000, 1_000)]
    with slow_job(home, slow, batch="500") as job, Lanes(home.names.events, 1) as lanes:
        job.start()
        publish_over(lanes, parts[0], 1.0)
        job.wait_until_at_work()
        for part in parts[1:3]:
            slow.refusal = grpc.StatusCode.RESOURCE_EXHAUSTED
            wanted = job.events() + len(part)
            publish_over(lanes, part, 0)
            wait_for(partial(assessed, job, wanted), "assessed")
            assert home.unacknowledged() >= len(part)
            job.kill()
            slow.refusal, slow.delay_s = None, 0.6
            job.start()
        publish_over(lanes, parts[3], 1.0)
        lanes.finish()
        home.wait_until_drained()
        job.stop()
    print(f"\n{settle(home, sent)}, {slow.refused} appends refused")


@pytest.mark.parametrize(
    ("messages", "seconds"),
    [
        pytest.param(20_000, 30.0, id="short", marks=[pytest.mark.chaos]),
        pytest.param(240_000, 600.0, id="whole", marks=[pytest.mark.chaos, pytest.mark.timeout(3_600)]),
    ],
)
def test_appends_are_refused_for_long(
    place: Callable[..., Place], slow: SlowBigQuery, tmp_path: Path, messages: int, seconds: float
) -> None:
    """The subscription's deadline is 10 s, and no message comes twice; all alerts are out before any row is stored."""
    sent = stream(tmp_path, messages, days=120, seed=32, lateness_share=1.0)
    home = place(sent.use_case)
    with (
        slow_job(home, slow, rows_in_memory_mib=str(MEMORY_MIB)) as job,
        Lanes(home.names.events, 1) as lanes,
    ):
        job.start()
        publish_over(lanes, sent.messages[:1_000], 1.0)
        home.wait_until_drained()
        slow.refusal = grpc.StatusCode.RESOURCE_EXHAUSTED
        began_bytes, rows = memory(job), home.rows()
        publish_over(lanes, sent.messages[1_000:], seconds)
        lanes.finish()
        wait_for(lambda: job.events() >= messages, "all are assessed")
        assert job.events() == messages, "each once"
        status = job.status()
        wait_for(
            lambda: home.unacknowledged(home.names.alerts) == job.status().alerts, "their alerts are out"
        )
        grown_bytes = memory(job) - began_bytes
        assert (home.rows(), home.unacknowledged()) == (rows, messages - 1_000)
        slow.refusal = None
        home.wait_until_drained()
        assert job.events() == messages, "none came a second time"
        job.stop()
    account = settle(home, sent)
    print(
        f"\n{messages} messages, appends refused for {seconds:g} s, memory grew by {grown_bytes >> 20} MiB with "
        f"{status.rows_waiting_bytes >> 20} MiB of rows in it and {status.rows_spilled_bytes >> 20} in files, {account}"
    )
    assert grown_bytes < (MEMORY_MIB << 20) + SLACK_BYTES
    assert account.rows == messages


def assessed(job: Job, messages: int) -> bool:
    return job.events() >= messages


def memory(job: Job) -> int:
    """Resident bytes of the job's process."""
    pages = int(Path(f"/proc/{job.running().pid}/statm").read_text().split()[1])
    return pages * 4_096
