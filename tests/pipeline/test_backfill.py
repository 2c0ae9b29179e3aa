"""Backfill: the records that a stream would have left, once and only once, whoever writes beside it or dies."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from features.events import to_json
from features.usecase import UseCase
from pipeline.backfill import Backfilled, backfill
from pipeline.history import history
from pipeline.redis_store import RedisStore
from pipeline.store import MemoryStore
from pipeline.warmth import Warmth
from tests.pipeline.market import START_US, Sent, assess_in, market
from tests.pipeline.market import history as events_of
from tests.pipeline.models import engine
from tests.pipeline.servers import RedisServer

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NOW_US = START_US + 400 * 86_400_000_000
USE_CASE = market()


def sorted_events(n: int, seed: int, use_case: UseCase = USE_CASE) -> list[Sent]:
    """In event-time order; profiles, which have no time, come first and are dated with the first payment."""
    found = [e for e in events_of(use_case, n, seed) if e.event_type == "payment"]
    return sorted(found, key=lambda e: e.event._time_us)


def written(events: Sequence[Sent], folder: Path, name: str = "payments.jsonl") -> Path:
    file = folder / name
    file.write_bytes(b"".join(to_json(e.event) + b"\n" for e in events))
    return file


def filled(
    store: RedisStore, files: Sequence[Path], use_case: UseCase = USE_CASE, batch: int = 700
) -> Backfilled:
    with history(use_case, files, NOW_US) as found:
        warmth = Warmth(store, "riskstream", use_case.name)
        return backfill(engine(use_case, store), found, warmth, NOW, batch=batch)


def records(server: RedisServer, use_case: UseCase = USE_CASE) -> dict[bytes, bytes]:
    keys = server.client.keys(f"riskstream:{use_case.name}:{use_case.fingerprint}:*")
    return dict(zip(keys, server.client.mget(keys), strict=True)) if keys else {}


def test_records_equal_those_of_a_stream(
    redis_store: RedisStore, redis_server: RedisServer, tmp_path: Path
) -> None:
    events = sorted_events(3_000, seed=1)
    stream = MemoryStore()
    assess_in(engine(USE_CASE, stream), events, [100] * 50)
    done = filled(redis_store, [written(events, tmp_path)])
    assert records(redis_server) == stream.records
    assert done.applied + done.duplicates + done.too_late == done.events == len(events)
    assert done.duplicates > 0 and done.bad == 0 and done.resumed_at == 0
    marker = Warmth(redis_store, "riskstream", USE_CASE.name).markers()[USE_CASE.fingerprint]
    assert (marker.how, marker.events) == ("backfill", done.applied)
