"""A stream of generated events as it really comes: some twice, some late, a few far too late.

Months pass in minutes here, so what is late by the ten seconds after which Pub/Sub delivers again is late by weeks of
event time. The use case therefore gets a lateness to match: LATENESS_SHARE of the stream's whole time.
"""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from features.times import rfc3339
from features.usecase import UseCase, load
from pipeline.files import Chunk, read
from pipeline.pubsub.client import Publication
from training.generate import generate
from training.generate.dataset import FIRST_DAY

OFFBOARDING = Path(__file__).parents[2] / "usecases" / "offboarding.yaml"
START_US = int(np.datetime64(FIRST_DAY, "us").astype(np.int64))
NOW_US = START_US + timedelta(days=3_650) // timedelta(microseconds=1)  # after everything generated
EVENTS_A_CUSTOMER_AND_DAY = 0.8  # of the generator, at least
MOST_EVENTS = 800  # of a customer: fewer than a record can hold one by one
DUPLICATES = 0.1  # of all messages
MOVED = 0.1  # of all messages, by up to MOVED_BY of the stream
MOVED_BY = 0.03
REPEATED_WITHIN = 0.05
LATENESS_SHARE = 0.6
TOO_LATE = 0.002
TOO_LATE_BY = 0.8
BUSY_EVENTS = 100  # of a customer, of which the record then closes over the first ones


@dataclass(frozen=True)
class Stream:
    """Messages to publish, in this order, and the use case (a file) for them."""

    use_case: UseCase
    messages: list[Publication]
    event_ids: frozenset[tuple[str, str]]  # by type


def stream(folder: Path, n: int, days: int, seed: int, lateness_share: float = LATENESS_SHARE) -> Stream:
    """n messages of `days` days. With a share of 1 nothing is too late, in whatever order it comes."""
    rng = np.random.default_rng(seed)
    use_case = forgiving(folder, days, lateness_share)
    generate(round(n / days / EVENTS_A_CUSTOMER_AND_DAY), days, seed, folder)
    users, transactions = (events(use_case, folder, name) for name in ("customer", "transaction"))
    once = n - round(n * DUPLICATES)
    found = users + spread(transactions, once - len(users))
    messages = [found[i].message for i in arrival(rng, found, n)]
    ids = frozenset((m.attributes["event_type"], m.attributes["event_id"]) for m in messages)
    return Stream(use_case, messages, ids)


def forgiving(folder: Path, days: int, share: float = LATENESS_SHARE) -> UseCase:
    """The off-boarding use case, in a file of its own, with a lateness for a stream of so many days."""
    file = folder / "offboarding.yaml"
    lateness = f"allowed_lateness: {round(days * share)}d"
    file.write_text(OFFBOARDING.read_text().replace("allowed_lateness: 1h", lateness))
    return load(file)


@dataclass(frozen=True)
class Found:
    """An event of the files."""

    customer: str
    message: Publication


def events(use_case: UseCase, folder: Path, event_type: str) -> list[Found]:
    """A file's events, in its order."""
    file = folder / {"customer": "users.csv", "transaction": "transactions.csv"}[event_type]
    chunks = read(use_case, event_type, file, NOW_US, START_US)
    return [found for chunk in chunks for found in publications(event_type, chunk)]


def publications(event_type: str, chunk: Chunk) -> list[Found]:
    rows = zip(chunk.bodies, chunk.ids, chunk.subjects, chunk.time_us.tolist(), strict=True)
    return [
        Found(
            subject,
            Publication(body, {"event_type": event_type, "event_id": id, "event_time": rfc3339(time_us)}),
        )
        for body, id, subject, time_us in rows
    ]


def spread(found: list[Found], count: int) -> list[Found]:
    """So many of these, of the whole time, without the rest of the busiest customers."""
    left = {one.customer: MOST_EVENTS for one in found}
    few: list[Found] = []
    for one in found:
        left[one.customer] -= 1
        if left[one.customer] >= 0:
            few.append(one)
    assert len(few) >= count, f"{len(few)} events generated, {count} wanted"
    chosen = np.linspace(0, len(few) - 1, count).astype(int)
    return [few[i] for i in chosen]


def arrival(rng: np.random.Generator, found: list[Found], n: int) -> NDArray[np.intp]:
    """Return the event of each of n messages: all in turn, but for those that come late, and those that come again."""
    once = len(found)
    place = np.arange(once, dtype=float)
    moved = rng.random(once) < MOVED
    place[moved] += rng.uniform(0, MOVED_BY * n, moved.sum())
    place[far_too_late(rng, found)] += TOO_LATE_BY * n
    again = rng.choice(once, n - once, replace=False)
    places = np.concatenate([place, place[again] + rng.uniform(0, REPEATED_WITHIN * n, len(again))])
    return np.concatenate([np.arange(once), again])[np.argsort(places, kind="stable")]


def far_too_late(rng: np.random.Generator, found: list[Found]) -> list[int]:
    """Some of the first events of busy customers."""
    counts: dict[str, int] = {}
    for one in found:
        counts[one.customer] = counts.get(one.customer, 0) + 1
    first = [
        i
        for i, one in enumerate(found[: len(found) // 10])
        if counts[one.customer] > BUSY_EVENTS and one.message.attributes["event_type"] == "transaction"
    ]
    wanted = min(len(first), max(1, round(TOO_LATE * len(found))))
    return sorted(rng.choice(first, wanted, replace=False).tolist())
