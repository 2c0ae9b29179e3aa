"""History into the store: backfill."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from commands.flags import with_settings
from commands.options import (
    BUNDLES,
    OFFBOARDING,
    AsJson,
    BundleRoot,
    EventTime,
    Files,
    UseCase,
    examples,
)
from commands.terminal import show_json, staged, tell_bad_rows
from commands.times import as_us, now_us
from pipeline.stores.settings import RedisWriterSettings

if TYPE_CHECKING:
    from features.usecase import UseCase as Declared
    from pipeline.batch.backfill import Backfilled

app = typer.Typer()


@app.command(
    epilog=examples(
        "riskstream backfill build/history/users.csv build/history/transactions.csv",
        "riskstream backfill build/history/*.csv --default-event-time 2024-07-01T00:00:00Z",
        "riskstream backfill build/history/*.csv --bundle gs://bucket/next",
    )
)
@with_settings
def backfill(
    files: Files,
    redis: RedisWriterSettings,
    use_case: UseCase = OFFBOARDING,
    bundle: BundleRoot = BUNDLES,
    default_event_time: EventTime = None,
    batch: Annotated[int, typer.Option(min=1, max=20_000, help="Events assessed at once.")] = 16_000,
    as_json: AsJson = False,
) -> None:
    """Fill Redis from history, so that a new version of a use case, or an empty store, starts warm.

    Events are assessed as the stream assesses them, in event-time order, and nothing is published: the records become
    those that the stream would have left. A run that was interrupted continues where it stopped. An event that also
    comes through the stream is counted once, if `riskstream publish` had the same --default-event-time.

    Fill the records of new features before a job uses them: history that comes after the stream is refused as too
    late. Bad rows are printed; the exit code is then 1.
    """
    from features.usecase import load

    done = _filled(load(use_case), files, bundle, redis, as_us(default_event_time), batch)
    tell_bad_rows(done.bad_rows, done.bad)
    show_json(_facts(done)) if as_json else typer.echo("\n".join(_lines(done)))
    raise typer.Exit(1 if done.bad else 0)


def _filled(
    use_case: "Declared", files: Sequence[str], root: str, redis: RedisWriterSettings, dated_us: int | None,
    batch: int,
) -> "Backfilled":  # fmt: skip
    from export import bundle as bundles
    from pipeline.batch.backfill import backfill
    from pipeline.engine.engine import Engine
    from pipeline.engine.start_check import filling
    from pipeline.files import place
    from pipeline.files.history import history
    from pipeline.stores.connect import store_of
    from pipeline.stores.readiness import Readiness

    loaded, places = bundles.load_in_use(root, use_case.name), list(map(place, files))
    with closing(store_of(redis)) as store:
        store.check(redis.allow_eviction)
        readiness = Readiness(store, redis.prefix, use_case.name)
        with (
            staged() as progress,
            history(use_case, places, now_us(), dated_us, progress) as events,
            filling(store, use_case, redis.prefix) as guarded,
        ):
            engine = Engine.from_bundle(use_case, loaded, guarded, redis.prefix)
            return backfill(engine, events, readiness, datetime.now(UTC), progress, batch)


def _facts(done: "Backfilled") -> dict[str, object]:
    bad_rows = [{"file": str(file), **asdict(row)} for file, row in done.bad_rows]
    return asdict(done) | {"bad_rows": bad_rows, "events_per_s": round(done.events_per_s, 1)}


def _lines(done: "Backfilled") -> list[str]:
    lines = [
        f"{done.use_case} {done.fingerprint}: {done.events:,} events, {done.applied:,} applied, "
        f"{done.duplicates:,} duplicates, {done.too_late:,} too late, {done.bad:,} bad rows; "
        f"{done.seconds:.1f} s, {done.events_per_s:,.0f} events/s"
    ]
    if done.resumed_at:
        lines.append(f"an earlier run had done the first {done.resumed_at:,} of them")
    if done.too_late:
        lines.append(
            "too late: the records already hold later events; fill the records of new features before a job uses them"
        )
    return lines
