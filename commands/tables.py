"""Tables and views in BigQuery: tables."""

from pathlib import Path
from typing import Annotated

import typer

from commands.flags import with_settings
from commands.options import AsJson, examples, use_case_file
from commands.terminal import show_outcomes
from pipeline.bigquery.settings import BigQuerySettings

app = typer.Typer()


@app.command(
    epilog=examples(
        "riskstream tables --project my-project --dataset risk",
        "riskstream tables --realised-view offboarding",
    )
)
@with_settings
def tables(
    log: BigQuerySettings,
    location: Annotated[str, typer.Option(help="The location of a dataset that has to be created.")] = "EU",
    realised_view: Annotated[
        Path | None,
        typer.Option(
            parser=use_case_file,
            metavar="NAME_OR_FILE",
            help="Also create the view realised_USE_CASE of this use case: how its decisions turned out.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Create the tables and views in BigQuery, add missing columns and replace outdated views. Idempotent."""
    from features.usecase import load
    from pipeline.bigquery import client as bigquery
    from pipeline.bigquery import tables
    from pipeline.operations import realised

    use_case, client = realised_view and load(realised_view), bigquery.query_client(log.project)
    outcomes = tables.create(client, log.dataset, location)
    if use_case:
        outcomes.append(realised.create_view(client, log.dataset, use_case))
    show_outcomes(outcomes, as_json)
