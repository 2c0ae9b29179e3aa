"""A customer silent for 400 days, with an override, a profile and features over `ever`, through every program.

Replay, batch, the job's graph on Redis and the REST service must say the same, bit for bit: all is remembered, or all
is forgotten if the use case says so, whether Redis still has the record or has dropped it.
"""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from export.bundle import promote, save
from export.policy import Level, level_after
from features.replay import replay
from features.times import rfc3339
from features.usecase import UseCase, load
from pipeline.job import worker
from pipeline.job.job import Job
from pipeline.stores.redis_store import RedisStore
from pipeline.stores.store import MemoryStore, record_keys
from serving.configuration import Configuration
from tests.pipeline.market import (
    MARKET,
    MINUTE_US,
    START_US,
    Sent,
    assess_in,
    batched,
    columns,
    payment,
    sent,
)
from tests.pipeline.models import engine, trained
from tests.pipeline.servers import RedisServer
from tests.pipeline.test_graph import collected, messages
from tests.pipeline.vital import begun
from tests.serving.conftest import Serving

DAY_US = 24 * 60 * MINUTE_US
SILENCE_DAYS, KEPT_DAYS = 400, 200
MONTH_DAYS = 31  # how long a message may be on its way


Row = tuple[list[float | None], float | None, str, int]  # vector, score, level and number of an event


@dataclass(frozen=True)
class Told:
    """Assessments of the customer's events, in their order; NaN vectors where nothing is scored."""

    vectors: NDArray[np.float32]
    score: NDArray[np.float32]
    level: list[str]
    seq: list[int]


def assert_same(left: Told, right: Told) -> None:
    assert left.vectors.tobytes() == right.vectors.tobytes()
    assert left.score.tobytes() == right.score.tobytes()
    assert (left.level, left.seq) == (right.level, right.seq)


def use_case_of(folder: Path, forgets: bool) -> UseCase:
    forget_after = f"forget_after: {KEPT_DAYS}d\n" if forgets else ""
    file = folder / "market.yaml"
    file.write_text(
        MARKET.read_text().replace("allowed_lateness: 24h\n", f"allowed_lateness: 24h\n{forget_after}")
    )
    return load(file)


def before_and_after(use_case: UseCase) -> tuple[list[Sent], list[Sent]]:
    """Ann's events before her silence, which ends with an override far beyond it, and after it."""
    until = "2028-01-01T00:00:00Z"
    first = [sent(use_case, "profile", START_US, customer="ann", vip=True, born="1980-02-29")]
    first += [
        payment(use_case, f"p{i}", START_US + i * DAY_US // 3, "ann", f"m{i % 2}", 30.0 + 9 * i)
        for i in range(9)
    ]
    first.append(
        sent(use_case, "override", START_US + 3 * DAY_US, customer="ann", level="HIGH", author="eva", reason="seen",
             until=until)
    )  # fmt: skip
    again_us = START_US + SILENCE_DAYS * DAY_US
    then = [
        payment(use_case, f"q{i}", again_us + i * MINUTE_US, "ann", f"m{i % 2}", 5.0 + i) for i in range(4)
    ]
    return first, then


def in_replay(use_case: UseCase, events: Sequence[Sent]) -> NDArray[np.float32]:
    """Vectors of the scored events."""
    return np.concatenate([each.vectors[each.batch.scored] for each in replay([batched(use_case, events)])])


def in_batch(use_case: UseCase, events: Sequence[Sent], size: int) -> Told:
    found = columns(assess_in(engine(use_case, MemoryStore()), events, [size] * len(events)))
    levels = [Level(level).name for level in level_after(found["outcome"]).tolist()]
    return Told(found["vectors"], found["score"], levels, found["seq"].tolist())


def in_stream(job: Job, events: Sequence[Sent]) -> list[Row]:
    """Through the graph on Beam's runner, by a worker of its own."""
    try:
        tables = [each.rows["assessments"] for each in collected(job, [messages(list(events))])]
    finally:
        worker.close(job)
    rows = [row for table in tables for row in table.to_pylist()]
    return [(row["features"], row["score"], row["level"], row["seq"]) for row in rows]


def told(rows: Sequence[Row]) -> Told:
    width = max(len(vector) for vector, *_ in rows)
    vectors = [[np.nan if x is None else x for x in vector] or [np.nan] * width for vector, *_ in rows]
    scores = [np.nan if score is None else score for _, score, *_ in rows]
    return Told(
        np.array(vectors, np.float32), np.array(scores, np.float32), [row[2] for row in rows], [row[3] for row in rows]
    )  # fmt: skip


def ask(
    serving: Serving, settings: Configuration, parts: Sequence[Sequence[Sent]], drop: Sequence[bytes]
) -> tuple[Told, dict[str, Any]]:
    """Over HTTP, and how ann stands then; the keys in `drop` are gone before the second part, as if expired."""
    with serving(**vars(settings)) as served:
        answers = [served.told(event, features=True) for event in parts[0]]
    with closing(RedisStore(settings.redis_url)) as store:
        assert [store.call("DEL", key) for key in drop] == [1] * len(drop)
    with serving(**vars(settings)) as served:
        answers += [served.told(event, features=True) for event in parts[1]]
        standing = served.client.get("/v1/customers/ann").json()
    said = told([(list((a["features"] or {}).values()), a["score"], a["level"], a["seq"]) for a in answers])
    return said, standing


def keys_of(use_case: UseCase) -> list[bytes]:
    return [
        key
        for entity, ids in (("customer", ["ann"]), ("merchant", ["m0", "m1"]))
        for key in record_keys("riskstream", use_case.name, use_case.fingerprint, entity, ids)
    ]


@pytest.mark.parametrize(
    ("forgets", "dropped"), [(False, False), (True, False), (True, True)], ids=["kept", "forgotten", "expired"]
)  # fmt: skip
def test_every_program_remembers_the_same_of_a_dormant_customer(
    forgets: bool, dropped: bool, serving: Serving, settings: Configuration, redis_server: RedisServer, tmp_path: Path
) -> None:  # fmt: skip
    use_case = use_case_of(tmp_path, forgets)
    save(trained(use_case), settings.bundle)
    promote(settings.bundle, trained(use_case).manifest.id)
    begun(redis_server.url, use_case)
    first, then = before_and_after(use_case)
    drop = keys_of(use_case)[0 if dropped else 1 :]  # merchants, who have only windows, may always be dropped
    batch = in_batch(use_case, [*first, *then], 1_000)
    assert_same(in_batch(use_case, [*first, *then], 1), batch)
    is_scored = ~np.isnan(batch.score)
    assert in_replay(use_case, [*first, *then]).tobytes() == batch.vectors[is_scored].tobytes()
    said, standing = ask(serving, replace(settings, use_case=use_case), (first, then), drop)
    assert_same(said, batch)
    until = rfc3339(then[-1].event._time_us + KEPT_DAYS * DAY_US) if forgets else None
    assert (standing["events"], standing["forgotten_after"]) == (4 if forgets else 15, until)
    assert (standing["override"] is None) == forgets

    redis_server.client.flushall()
    begun(redis_server.url, use_case)
    job = Job.load(
        use_case.file, bundle=settings.bundle, redis_url=redis_server.url, project="p"
    ).with_paths()
    rows = in_stream(job, first)
    assert expiries_days(redis_server, keys_of(use_case)) == [
        KEPT_DAYS + MONTH_DAYS if forgets else None, 2 + MONTH_DAYS, 2 + MONTH_DAYS
    ]  # fmt: skip
    redis_server.client.delete(*drop)
    rows += in_stream(job, then)
    assert_same(told(rows), batch)

    column = {name: batch.vectors[-4:, i].tolist() for i, name in enumerate(use_case.features)}
    if forgets:
        assert column["any_count_ever"] == [1, 2, 3, 4] and np.isnan(column["vip"]).all()
        assert batch.level[-4:] != ["HIGH"] * 4, "nobody's word is in force any more"
    else:
        assert column["any_count_ever"] == [10, 11, 12, 13] and column["vip"] == [1, 1, 1, 1]
        assert batch.level[-4:] == ["HIGH"] * 4 and batch.score[-4:].max() < 0.4, (
            "an analyst's word still holds"
        )


def expiries_days(server: RedisServer, keys: Sequence[bytes]) -> list[int | None]:
    left_s = [server.client.ttl(key) for key in keys]
    return [None if seconds == -1 else seconds // 86_400 for seconds in left_s]
