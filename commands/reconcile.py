"""The log compared with the store: reconcile."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from commands.flags import with_settings
from commands.options import BUNDLES, OFFBOARDING, AsJson, BundleRoot, EventTime, UseCase, examples
from commands.terminal import echo_each, show_json, staged
from commands.times import as_us, now_us
from pipeline.bigquery.settings import BigQuerySettings
from pipeline.stores.settings import RedisSettings

if TYPE_CHECKING:
    from features.usecase import UseCase as Declared
    from pipeline.batch.backfill_basis import Basis
    from pipeline.stores.readiness import Marker

app = typer.Typer()
History = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FILE",
        help="A file or table that `riskstream backfill` read; give each one, in the same order.",
    ),
]
HistoryModel = Annotated[
    str,
    typer.Option(
        metavar="BUNDLE",
        help="The bundle of the backfill; needed if Redis has lost what it knew of the backfill.",
    ),
]


@app.command(
    epilog=examples(
        "riskstream reconcile",
        "riskstream reconcile --json | jq .holds",
        "riskstream reconcile --history build/history/users.csv",
    )
)
@with_settings
def reconcile(
    log: BigQuerySettings,
    redis: RedisSettings,
    use_case: UseCase = OFFBOARDING,
    bundle: BundleRoot = BUNDLES,
    history: History = None,
    default_event_time: EventTime = None,
    history_model: HistoryModel = "",
    as_json: AsJson = False,
) -> None:
    """Rebuild every record, vector, score and level from the log and compare them, bit for bit.

    Reads all assessments of the use case's present features; the models they name must be in the folder of bundles.
    Run it when nothing is under way. The exit code is 1 if anything differs.

    Events that `riskstream backfill` put into the records are not in the log: give their history, or customers with
    such events differ. Another history is refused.
    """
    from features.usecase import load
    from pipeline.reconciliation.compare import report_lines
    from pipeline.reconciliation.reconcile import reconcile
    from pipeline.stores.connect import store_of
    from pipeline.stores.readiness import Readiness

    loaded = load(use_case)
    with closing(store_of(redis)) as store:
        marker = Readiness(store, redis.prefix, loaded.name).markers().get(loaded.fingerprint)
        if marker and marker.events and not history:
            typer.echo(
                f"these records also hold {marker.events:,} events of a backfill ({marker.at}), not in the log: "
                "give its files with --history",
                err=True,
            )
        basis, _ = basis_of(
            loaded, bundle, redis.prefix, history or [], as_us(default_event_time), history_model, marker
        )
        done = reconcile(
            loaded, project=log.project, dataset=log.dataset, bundle=bundle, store=store, prefix=redis.prefix,
            basis=basis,
        )  # fmt: skip
    show_json(asdict(done)) if as_json else echo_each(report_lines(done.checks))
    raise typer.Exit(0 if done.holds else 1)


def basis_of(
    use_case: "Declared", bundle: str, prefix: str, files: Sequence[str], dated_us: int | None, model: str,
    marker: "Marker | None",
) -> "tuple[Basis, dict[str, object]]":  # fmt: skip
    """Replay the given history; return the records it implies, and the note for a store that has lost its own."""
    from pipeline.batch import backfill_basis
    from pipeline.files import place
    from pipeline.files.history import history
    from pipeline.reconciliation.reconcile import engines

    if not files:
        return backfill_basis.NOTHING, {}
    by_model = model or (marker.model if marker else "")
    if not by_model:
        raise typer.BadParameter(
            "Redis does not know which model has backfilled: name its bundle", param_hint="--history-model"
        )
    engine = engines(use_case, bundle)(by_model)
    engine.prefix = prefix
    with (
        staged() as progress,
        history(use_case, list(map(place, files)), now_us(), dated_us, progress) as events,
    ):
        backfill_basis.check(events, marker)
        basis = backfill_basis.basis(engine, events, progress)
        return basis, {"events": len(events), "digest": events.digest, "model": by_model}
