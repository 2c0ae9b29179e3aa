"""Records rebuilt from the log: repair."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from commands.flags import with_settings
from commands.options import BUNDLES, OFFBOARDING, AsJson, BundleRoot, EventTime, UseCase, examples
from commands.reconcile import History, HistoryModel, basis_of
from commands.terminal import echo_each, show_json, staged
from commands.times import as_us
from pipeline.bigquery.settings import BigQuerySettings
from pipeline.stores.settings import RedisSettings

if TYPE_CHECKING:
    from pipeline.reconciliation.repair_run import RepairReport
    from pipeline.stores.readiness import Marker

app = typer.Typer()


BestEffort = Annotated[
    bool,
    typer.Option(
        "--best-effort", help="Also rebuild records whose events are only partly in the log, from those."
    ),
]


@app.command(
    epilog=examples(
        "riskstream repair --dry-run",
        "riskstream repair",
        "riskstream repair --history build/history/users.csv",
        "riskstream repair --timeout 600 --json",
    )
)
@with_settings
def repair(
    log: BigQuerySettings,
    redis: RedisSettings,
    use_case: UseCase = OFFBOARDING,
    bundle: BundleRoot = BUNDLES,
    history: History = None,
    default_event_time: EventTime = None,
    history_model: HistoryModel = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would be rebuilt; write and stop nothing.")
    ] = False,
    best_effort: BestEffort = False,
    timeout: Annotated[
        float, typer.Option(min=0, help="Seconds within which jobs and services have to pause.")
    ] = 60.0,
    as_json: AsJson = False,
) -> None:
    """Rebuild from the log every record that Redis has lost or that is older than the log, bit for bit.

    Jobs and services pause meanwhile and continue by themselves once the store is whole; nothing is lost. Records that
    are ahead of the log are kept: their rows are still to come. The models that the log names must be in the folder of
    bundles. A store that was filled by `riskstream backfill` needs the same history.

    Idempotent. The exit code is 1 if a record is not right in the end, or, with --dry-run, if one is not right now.
    """
    from features.usecase import load
    from pipeline.reconciliation import repair_run
    from pipeline.stores.connect import store_of
    from pipeline.stores.readiness import Readiness

    loaded = load(use_case)
    with closing(store_of(redis)) as store:
        marker = Readiness(store, redis.prefix, loaded.name).markers().get(loaded.fingerprint)
        _demand_history(marker, history)
        basis, filled = basis_of(
            loaded, bundle, redis.prefix, history or [], as_us(default_event_time), history_model, marker
        )
        place = repair_run.RepairTarget(
            loaded, log.project, log.dataset, bundle, store, redis.prefix, basis, filled
        )
        with staged() as progress:
            if dry_run:
                done = repair_run.check(place, progress=progress)
            else:
                done = repair_run.repair(place, timeout, best_effort, progress)
    show_json(_facts(done)) if as_json else echo_each(_lines(done, dry_run))
    raise typer.Exit(0 if done.is_whole else 1)


def _demand_history(marker: "Marker | None", history: list[str] | None) -> None:
    if marker and marker.events and not history:
        raise typer.BadParameter(
            f"a backfill ({marker.at}) has filled these records with {marker.events:,} events that are not in the "
            "log: give the files that it has read",
            param_hint="--history",
        )


def _facts(done: "RepairReport") -> dict[str, object]:
    from msgspec import to_builtins

    return asdict(done) | {"state": to_builtins(done.state), "is_whole": done.is_whole}


def _lines(done: "RepairReport", dry_run: bool) -> Iterator[str]:
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
            yield f"    {each.changed:,} not rebuilt: they were written to meanwhile; run it again"
        if each.unlogged:
            yield f"    {each.unlogged:,} more of which the log knows nothing: left alone"
    yield _verdict(done, dry_run)


def _verdict(done: "RepairReport", dry_run: bool) -> str:
    if dry_run:
        wrong = sum(each.wrong for each in done.tallies.values())
        return f"{wrong:,} records to rebuild: run `riskstream repair`" if wrong else "every record is right"
    state = done.state
    if state is None:
        return "the store has no state yet; jobs and services wait"
    if done.is_whole:
        return f"the store is whole (life {state.life}); jobs and services continue by themselves"
    return f"the store is {state.status}: {state.why}; jobs and services wait"
