"""kill -9 of the job at random moments, in the middle of its work: nothing is lost, nothing is counted twice."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipeline.certification.publishing import publish_over
from pipeline.pubsub.ordered_publisher import Lanes
from tests.chaos.account import settle
from tests.chaos.job import Job, Place, job_of
from tests.chaos.stream import Stream, stream

LONGEST_LIFE_S = 2.0  # at work
STILLBORN = 0.2  # of the lives end before there is work to be seen
HEAD = 0.3  # of what is published in a life waits for the job when it starts
KILLS_IN_A_ROW = 7  # then it may drain: what comes again is never later than the use case allows for
BATCH = "500"  # small, so that there are many moments between reading, committing, sending, acknowledging


@pytest.mark.parametrize(
    ("messages", "days", "kills", "parts"),
    [
        pytest.param(4_000, 60, 2, 4, id="short"),
        pytest.param(100_000, 120, 20, 22, id="whole", marks=[pytest.mark.chaos, pytest.mark.timeout(1_800)]),
    ],
)
def test_nothing_is_lost_or_doubled_by_killing_the_job(
    place: Callable[..., Place], tmp_path: Path, messages: int, days: int, kills: int, parts: int
) -> None:
    sent = stream(tmp_path, messages, days, seed=11)
    own = place(sent.use_case)
    with job_of(own, batch=BATCH) as job:
        in_the_middle = live_and_die(job, sent, kills, parts)
        job.stop()
    account = settle(own, sent)
    again = account.rows - messages
    print(f"\n{messages} messages, {kills} kills, {in_the_middle} unacknowledged at them, {account}")
    assert account.refused > 0
    assert again >= 0


def live_and_die(job: Job, sent: Stream, kills: int, parts: int) -> list[int]:
    """Publishes it in so many parts, each while the job works; what the job had not done with at each kill."""
    rng = np.random.default_rng(5)
    unfinished = []
    job.start()
    with Lanes(job.place.names.events, 1) as lanes:
        bounds = np.linspace(0, len(sent.messages), parts + 1).astype(int).tolist()
        for life in range(kills):
            if life % KILLS_IN_A_ROW == 0:
                job.place.wait_until_drained()
            part = sent.messages[bounds[life] : bounds[life + 1]]
            head = round(HEAD * len(part))
            publish_over(lanes, part[:head], 0)
            job.wait_until_checked() if rng.random() < STILLBORN else job.wait_until_at_work()
            publish_over(lanes, part[head:], rng.uniform(0, LONGEST_LIFE_S))
            unfinished.append(job.place.unacknowledged())
            job.kill()
            job.start()
        job.place.wait_until_drained()
        publish_over(lanes, sent.messages[bounds[kills] :], 0)
        lanes.finish()
        job.place.wait_until_drained()
    return unfinished
