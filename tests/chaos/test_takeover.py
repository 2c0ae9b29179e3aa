"""A new job takes over from an old one on the same subscription: nothing is lost or counted twice."""

from collections.abc import Callable
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from export.bundle import save
from pipeline.certification.publishing import publish_over
from pipeline.pubsub.ordered_publisher import Lanes
from tests.chaos.account import settle
from tests.chaos.job import Job, Place, job_of, wait_for
from tests.chaos.stream import Stream, stream
from tests.pipeline.models import trained

BATCH = "200"  # most customers are in it: both jobs meet in records
ALL_IN_TIME = 1.0  # two jobs take the messages in no order
HEAD = 0.1  # of the messages, for the old job alone
LIFE_S = 12.0  # of both jobs, between two kills
FIRST = 20  # messages a time, until both jobs have had some


@pytest.mark.parametrize(
    ("messages", "days", "kills"),
    [
        pytest.param(3_000, 60, 0, id="short"),
        pytest.param(60_000, 120, 2, id="kills", marks=[pytest.mark.chaos, pytest.mark.timeout(1_800)]),
        pytest.param(300_000, 360, 40, id="whole", marks=[pytest.mark.chaos, pytest.mark.timeout(3_600)]),
    ],
)
def test_a_new_job_takes_over_from_an_old_one(
    place: Callable[..., Place], tmp_path: Path, messages: int, days: int, kills: int
) -> None:
    """The new job has another bundle. With 40 kills both jobs share the subscription for ten minutes."""
    sent = stream(tmp_path, messages, days, seed=41, lateness_share=ALL_IN_TIME)
    furnished = place(sent.use_case)
    newer = trained(sent.use_case, datetime(2026, 1, 2, tzinfo=UTC))
    save(newer, furnished.bundles)
    bundle = f"{furnished.bundles}/{newer.manifest.id}"
    with job_of(furnished, batch=BATCH) as old, job_of(furnished, batch=BATCH, bundle=bundle) as new:
        new.folder = tmp_path / "new"
        new.folder.mkdir()
        with Lanes(furnished.names.events, 1) as lanes:
            begun = both_at_work(old, new, lanes, sent)
            share(old, new, lanes, sent, begun, kills)
            old.stop()
            publish_over(lanes, sent.messages[-messages // 10 :], 0)
            lanes.finish()
        furnished.wait_until_drained()
        new.stop()
    models = models_in(furnished)
    print(f"\n{messages} messages, {kills} kills, events by model {models}, {settle(furnished, sent)}")
    assert len(models) == 2 and min(models.values()) > 0, "both jobs have scored"


def both_at_work(old: Job, new: Job, lanes: Lanes, sent: Stream) -> int:
    """Start the old job, and the new one beside it, and publish until both have assessed; how many messages."""
    old.start()
    published = round(HEAD * len(sent.messages))
    publish_over(lanes, sent.messages[:published], 0)
    old.wait_until_at_work()
    new.start()
    new.wait_until_checked()

    def each_has_some() -> bool:
        nonlocal published
        old.running()
        if old.place.unacknowledged() == 0:
            published = min(published + FIRST, len(sent.messages) // 2)
            publish_over(lanes, sent.messages[published - FIRST : published], 0)
        return new.events() > 0

    wait_for(each_has_some, "the new job works")
    return published


def share(old: Job, new: Job, lanes: Lanes, sent: Stream, begun: int, kills: int) -> None:
    """Publish all but the last tenth while both jobs work and one of them is killed now and then."""
    rng = np.random.default_rng(6)
    end = len(sent.messages) - len(sent.messages) // 10
    bounds = np.linspace(begun, end, kills + 2).astype(int).tolist()
    for life, (first, last) in enumerate(pairwise(bounds)):
        publish_over(lanes, sent.messages[first:last], LIFE_S * rng.uniform(0.5, 1.5) if kills else 0)
        if life < kills:
            killed = (old, new)[life % 2]
            killed.kill()
            killed.start()
            killed.wait_until_checked()


def models_in(place: Place) -> dict[str, int]:
    """Return the number of assessments by the model that made them."""
    query = (
        f"SELECT model, COUNT(*) AS n FROM `{place.project}.{place.dataset}.assessments_unique` "
        "WHERE model IS NOT NULL GROUP BY model"
    )
    return {row["model"]: row["n"] for row in place.query(query)}
