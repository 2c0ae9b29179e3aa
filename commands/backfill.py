"""History into the store and out of it again: backfill, drop; and unlabelled customers scored at once: score."""

import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from commands.options import BUNDLES, FILES, OFFBOARDING, AsJson, BundleRoot, UseCase, examples
from commands.publish import TIMES, optional_us
from commands.stream import (
    REDIS,
    AllowEviction,
    Prefix,
    RedisCaFile,
    RedisCertFile,
    RedisCluster,
    RedisKeyFile,
    RedisReplicas,
)
from commands.terminal import show_json, staged, table, tell_bad_rows

app = typer.Typer()
SHOWN_CUSTOMERS = 20  # of the off-boarding list: a screen; the file has all
RedisUrl = Annotated[str, typer.Option(envvar="REDIS_URL", help=REDIS)]
Files = Annotated[list[str] | None, FILES]
EventTime = Annotated[
    datetime | None,
    typer.Option(
        formats=TIMES,
        metavar="TIME",
        help="When events without a time happened; default: with the earliest of the others.",
    ),
]


@app.command(
    epilog=examples(
        "riskstream backfill build/history/*.csv --default-event-time 2024-07-01T00:00:00Z",
        "riskstream backfill build/history/*.csv --use-case usecases/next.yaml --bundle gs://bucket/next",
        "riskstream backfill --drop 0123456789abcdef",
    )
)
def backfill(
    redis_url: RedisUrl,
    files: Files = None,
    use_case: UseCase = OFFBOARDING,
    bundle: BundleRoot = BUNDLES,
    redis_ca_file: RedisCaFile = None,
    redis_cert_file: RedisCertFile = None,
    redis_key_file: RedisKeyFile = None,
    redis_cluster: RedisCluster = False,
    redis_replicas: RedisReplicas = 0,
    allow_eviction: AllowEviction = False,
    prefix: Prefix = "riskstream",
    default_event_time: EventTime = None,
    batch: Annotated[int, typer.Option(min=1, max=20_000, help="Events assessed at once.")] = 16_000,
    dropped: Annotated[
        str | None,
        typer.Option("--drop", metavar="FINGERPRINT", help="Delete the records of these features instead."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Fill Redis from history, so that a new version of a use case, or an empty store, starts warm.

    Events are assessed as the stream assesses them, in event-time order, and nothing is published: the records
    are those that the stream would have left. Killed, it goes on where it was when it is run again. An event
    that also comes through the stream is counted once, if `riskstream publish` had the same --default-event-time.
    Fill the records of new features before a job uses them: history that comes behind the stream is refused as
    too late. Bad rows are told; the exit code is then 1.
    """
    from contextlib import closing

    from features.usecase import load
    from pipeline.stores.readiness import Warmth
    from pipeline.stores.redis_store import RedisStore

    if bool(files) == bool(dropped):
        raise typer.BadParameter("give files of history, or --drop, not both", param_hint="FILES")
    found = load(use_case)
    with closing(
        RedisStore(redis_url, redis_ca_file, redis_cluster, redis_cert_file, redis_key_file, redis_replicas)
    ) as store:
        warmth = Warmth(store, prefix, found.name)
        if dropped:
            from pipeline.batch.backfill import drop

            with staged() as progress:
                n = drop(store.reach, warmth, dropped, progress)
            show_json({"dropped": dropped, "records": n}) if as_json else typer.echo(f"{n:,} records deleted")
            return
        store.check(allow_eviction)
        done = filled(found, files or [], bundle, store, warmth, prefix, default_event_time, batch)
    tell_bad_rows(done.bad_rows, done.bad)
    show_json(summary(done)) if as_json else typer.echo(told(done))
    raise typer.Exit(1 if done.bad else 0)


@app.command(
    epilog=examples(
        "riskstream score --customers build/users.csv --transactions build/transactions.csv --out scores.csv",
        "riskstream score build/users.csv build/transactions.csv --out scores.parquet --report scores.html --json",
    )
)
def score(
    out: Annotated[Path, typer.Option(help="The file to write: .csv or .parquet.")],
    files: Files = None,
    customers: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="One of the files: who they are.")
    ] = None,
    transactions: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="One of the files: what they did.")
    ] = None,
    use_case: UseCase = OFFBOARDING,
    bundle: BundleRoot = BUNDLES,
    default_event_time: EventTime = None,
    report: Annotated[Path | None, typer.Option(help="Also write a page for people: .html.")] = None,
    as_json: AsJson = False,
) -> None:
    """Score customers in files at once, without Redis: a row for each, with level, recommendation and reasons.

    Events go through the stream's own assessment and policy in event-time order, so scores and levels are those
    that the stream would have come to. Which events a file has is told by its columns; no label is needed. The
    report has the segments and the off-boarding list, of which the first are printed. Bad rows are told; the exit
    code is then 1.
    """
    from export import bundle as bundles
    from features.usecase import load
    from pipeline.batch import customer_table, differences
    from pipeline.batch import summary as counts
    from pipeline.batch.score import score
    from pipeline.files import place
    from pipeline.files.history import history

    given = [*map(place, files or []), *(each for each in (customers, transactions) if each)]
    if not given:
        raise typer.BadParameter("give files, or --customers and --transactions", param_hint="FILES")
    customer_table.check(out)
    if report:
        customer_table.check(report, (".html",))
    started_s, use = time.monotonic(), load(use_case)
    loaded = bundles.load_in_use(bundle, use.name)
    with staged() as progress, history(use, given, now_us(), optional_us(default_event_time),
                                       progress) as found:  # fmt: skip
        scored = score(use, loaded, found, progress)
    customer_table.write(customer_table.table(scored), out)
    facts = counts.summary(scored) | {"out": str(out), "report": str(report) if report else None}
    if report:
        from training.pages import segments_page

        segments_page.write(scored, facts, differences.sentences(facts["differences"]), report)
    tell_bad_rows(found.bad_rows, found.bad)
    facts |= {"seconds": round(time.monotonic() - started_s, 3)}
    if as_json:
        show_json(facts | {"off_boarding": customer_table.off_boarding(scored)})
    else:
        typer.echo("\n".join([*off_boarding_list(scored, out), "", *counts.sentences(facts)]))
    raise typer.Exit(1 if found.bad else 0)


def off_boarding_list(scored: Any, out: Path) -> list[str]:
    """The first of it as a table, and how many more there are."""
    from pipeline.batch import customer_table

    titles, rows = customer_table.listing(scored, SHOWN_CUSTOMERS)
    if not rows:
        return ["off-boarding recommended: nobody"]
    more = len(customer_table.recommended(scored)) - len(rows)
    return [
        "off-boarding recommended, the highest customer's score first:",
        table(titles, rows),
        *([f"and {more:,} more in {out}"] if more else []),
    ]


def filled(
    use_case: Any, files: list[str], root: str, store: Any, warmth: Any, prefix: str,
    default_event_time: datetime | None,
    batch: int,
) -> Any:  # fmt: skip
    from export import bundle as bundles
    from pipeline.batch.backfill import backfill
    from pipeline.engine.engine import Engine
    from pipeline.engine.start_check import filling
    from pipeline.files import place
    from pipeline.files.history import history

    loaded = bundles.load_in_use(root, use_case.name)
    places, dated_us = (
        list(map(place, files)),
        optional_us(default_event_time),
    )
    with (
        staged() as progress,
        history(use_case, places, now_us(), dated_us, progress) as found,
        filling(store, use_case, prefix) as guarded,
    ):
        engine = Engine.of(use_case, loaded, guarded, prefix)
        return backfill(engine, found, warmth, datetime.now(UTC), progress, batch)


def now_us() -> int:
    return time.time_ns() // 1_000


def summary(done: Any) -> dict[str, Any]:
    bad_rows = [{"file": str(file), **asdict(row)} for file, row in done.bad_rows]
    return asdict(done) | {"bad_rows": bad_rows, "events_per_s": round(done.events_per_s, 1)}


def told(done: Any) -> str:
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
    return "\n".join(lines)
