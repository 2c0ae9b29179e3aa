"""The log against the store: reconcile, which compares them, and repair, which rebuilds records from the log."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict
from datetime import datetime
from functools import partial
from typing import Annotated, Any

import typer

from commands.backfill import EventTime, RedisUrl, now_us
from commands.options import BUNDLES, OFFBOARDING, AsJson, BundleRoot, Dataset, Project, UseCase, examples
from commands.publish import optional_us
from commands.stream import Prefix, RedisCaFile, RedisCertFile, RedisCluster, RedisKeyFile, echo_each
from commands.terminal import show_json, staged

app = typer.Typer()
History = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FILE",
        help="The history that `riskstream backfill` has read: a file or bq://PROJECT.DATASET.TABLE; give each one, in "
        "the same order.",
    ),
]
HistoryModel = Annotated[
    str,
    typer.Option(
        metavar="MODEL",
        help="The bundle that backfilled; needed if Redis has lost what it knew of the backfill.",
    ),
]


@app.command(
    epilog=examples(
        "riskstream reconcile",
        "riskstream reconcile --json | jq .holds",
        "riskstream reconcile --history build/history/users.csv --history build/history/transactions.csv "
        "--default-event-time 2024-07-01",
    )
)
def reconcile(
    project: Project,
    redis_url: RedisUrl,
    use_case: UseCase = OFFBOARDING,
    bundle: BundleRoot = BUNDLES,
    dataset: Dataset = "riskstream",
    redis_ca_file: RedisCaFile = None,
    redis_cert_file: RedisCertFile = None,
    redis_key_file: RedisKeyFile = None,
    redis_cluster: RedisCluster = False,
    prefix: Prefix = "riskstream",
    history: History = None,
    default_event_time: EventTime = None,
    history_model: HistoryModel = "",
    as_json: AsJson = False,
) -> None:
    """Rebuild every record, vector, score and level from the log and compare them, bit for bit.

    Reads all assessments of the use case's present features; the models they name must be in the bundles' folder.
    Ask when nothing is under way. The exit code is 1 if anything differs. What `riskstream backfill` put into the
    records is not in the log: give its history, or customers with such events differ. Another history is refused.
    """
    from features.usecase import load
    from pipeline.reconciliation.compare import lines
    from pipeline.reconciliation.reconcile import reconcile
    from pipeline.stores.readiness import Warmth
    from pipeline.stores.redis_store import RedisStore

    found = load(use_case)
    with closing(
        RedisStore(redis_url, redis_ca_file, redis_cluster, redis_cert_file, redis_key_file)
    ) as store:
        marker = Warmth(store, prefix, found.name).markers().get(found.fingerprint)
        if marker and marker.events and not history:
            typer.echo(
                f"these records also hold {marker.events:,} events of a backfill ({marker.at}), not in the log: "
                "give its files with --history",
                err=True,
            )
        basis, _ = based_on(found, bundle, prefix, history or [], default_event_time, history_model, marker)
        done = reconcile(
            found, project=project, dataset=dataset, bundle=bundle, store=store, prefix=prefix, basis=basis
        )
    show_json(asdict(done)) if as_json else echo_each(lines(done.checks))
    raise typer.Exit(0 if done.holds else 1)


@app.command(
    epilog=examples(
        "riskstream repair --dry-run",
        "riskstream repair",
        "riskstream repair --history build/history/users.csv --history build/history/transactions.csv "
        "--default-event-time 2024-07-01",
        "riskstream repair --timeout 600 --json",
    )
)
def repair(
    project: Project,
    redis_url: RedisUrl,
    use_case: UseCase = OFFBOARDING,
    bundle: BundleRoot = BUNDLES,
    dataset: Dataset = "riskstream",
    redis_ca_file: RedisCaFile = None,
    redis_cert_file: RedisCertFile = None,
    redis_key_file: RedisKeyFile = None,
    redis_cluster: RedisCluster = False,
    prefix: Prefix = "riskstream",
    history: History = None,
    default_event_time: EventTime = None,
    history_model: HistoryModel = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Write nothing, stop nobody: only tell what would be rebuilt.")
    ] = False,
    best_effort: Annotated[
        bool,
        typer.Option(
            "--best-effort",
            help="Also rebuild records whose events are not all in the log, from those that are.",
        ),
    ] = False,
    timeout: Annotated[
        float, typer.Option(min=0, help="Seconds that jobs and services may take to pause.")
    ] = 60.0,
    as_json: AsJson = False,
) -> None:
    """Rebuild from the log every record that Redis has lost or that is older than the log, bit for bit.

    Jobs and services pause while it works and go on by themselves once the store is whole; nothing is lost meanwhile.
    Records that are ahead of the log are kept: their rows are still to come. The models that the log names must be in
    the bundles' folder. A store that was filled by `riskstream backfill` needs the same history. The exit code is 1 if
    a record is not right in the end, or, with --dry-run, if one is not right now. Run it again at any time.
    """
    from features.usecase import load
    from pipeline.reconciliation import repair_run
    from pipeline.stores.readiness import Warmth
    from pipeline.stores.redis_store import RedisStore

    found = load(use_case)
    with closing(
        RedisStore(redis_url, redis_ca_file, redis_cluster, redis_cert_file, redis_key_file)
    ) as store:
        marker = Warmth(store, prefix, found.name).markers().get(found.fingerprint)
        if marker and marker.events and not history:
            raise typer.BadParameter(
                f"a backfill ({marker.at}) has filled these records with {marker.events:,} events that are not in the "
                "log: give the files that it has read",
                param_hint="--history",
            )
        basis, filled = based_on(
            found, bundle, prefix, history or [], default_event_time, history_model, marker
        )
        place = repair_run.Place(found, project, dataset, bundle, store, prefix, basis, filled)
        with staged() as progress:
            mend = (
                repair_run.check
                if dry_run
                else partial(repair_run.repair, wait_s=timeout, best_effort=best_effort)
            )
            done = mend(place, progress=progress)
    show_json(facts(done)) if as_json else echo_each(told(done, dry_run))
    raise typer.Exit(0 if done.is_whole else 1)


def based_on(
    use_case: Any,
    bundle: str,
    prefix: str,
    files: list[str],
    default_event_time: datetime | None,
    model: str,
    marker: Any,
) -> tuple[Any, dict[str, Any]]:
    """Replay the history given; return the records it implies and what to note of it in a store that lost its notes."""
    from pipeline.batch import backfill_basis as basis
    from pipeline.files import place
    from pipeline.files.history import history
    from pipeline.reconciliation.reconcile import engines

    if not files:
        return basis.NOTHING, {}
    by_model = model or (marker.model if marker else "")
    if not by_model:
        raise typer.BadParameter(
            "Redis does not know which model has backfilled: name its bundle", param_hint="--history-model"
        )
    engine = engines(use_case, bundle)(by_model)
    engine.prefix = prefix
    dated_us = optional_us(default_event_time)
    with (
        staged() as progress,
        history(use_case, list(map(place, files)), now_us(), dated_us, progress) as past,
    ):
        basis.check(past, marker)
        found = basis.basis(engine, past, progress)
        return found, {"events": len(past), "digest": past.digest, "model": by_model}


def facts(done: Any) -> dict[str, Any]:
    """The report for programs."""
    from msgspec import to_builtins

    return asdict(done) | {"state": to_builtins(done.state), "is_whole": done.is_whole}


def told(done: Any, dry_run: bool) -> Iterator[str]:
    """The report for people."""
    yield f"{done.use_case} {done.fingerprint}: {done.events:,} events in the log; {done.seconds:.1f} s"
    for entity, each in done.tallies.items():
        counts = ", ".join(f"{n:,} {finding}" for finding, n in each.findings.items())
        yield f"{entity}: {counts or 'no records'}"
        for finding, ids in each.examples.items():
            yield f"    {finding}: {', '.join(ids)}{' ...' if each.findings[finding] > len(ids) else ''}"
        if each.rebuilt:
            yield f"    rebuilt {each.rebuilt:,}"
        if each.inexact:
            yield (
                f"    {each.inexact:,} not rebuilt: not all of their events are in the log as they were counted. Give "
                "the history of the backfill (--history), or accept what the log has (--best-effort)"
            )
        if each.changed:
            yield f"    {each.changed:,} not rebuilt: somebody wrote to them meanwhile; run it again"
        if each.unlogged:
            yield f"    {each.unlogged:,} more of which the log knows nothing: left alone"
    yield verdict(done, dry_run)


def verdict(done: Any, dry_run: bool) -> str:
    if dry_run:
        wrong = sum(each.wrong for each in done.tallies.values())
        return f"{wrong:,} records to rebuild: run `riskstream repair`" if wrong else "every record is right"
    if done.is_whole:
        return f"the store is whole (life {done.state.life}); jobs and services go on by themselves"
    return f"the store is {done.state.status}: {done.state.why}; jobs and services wait"
