"""The stream: topics, tables, run, publish, alerts, status."""

from typing import Annotated

import typer

from commands.frame import (
    BUNDLES,
    OFFBOARDING,
    STACK,
    AsJson,
    BundleRoot,
    Dataset,
    Location,
    Project,
    UseCase,
    by_name,
    examples,
)  # fmt: skip
from commands.output import show_outcomes

app = typer.Typer()


@app.command(epilog=examples("riskstream topics --project my-project"))
def topics(project: Project, use_case: UseCase = OFFBOARDING, as_json: AsJson = False) -> None:
    """Make the use case's topics and subscriptions in Pub/Sub: events, alerts, dead letters. May be repeated."""
    from features.usecase import load
    from pipeline import topics

    show_outcomes(topics.create(topics.Names(project, load(use_case).name)), as_json)


@app.command(epilog=examples("riskstream tables --project my-project --dataset risk"))
def tables(
    project: Project, dataset: Dataset = "riskstream", location: Location = "EU", as_json: AsJson = False
) -> None:
    """Make the tables and views in BigQuery, add columns that are missing. May be repeated."""
    from pipeline import bigquery, tables

    show_outcomes(tables.create(bigquery.query_client(project), dataset, location), as_json)


@app.command(
    epilog=examples(
        "riskstream run",
        "riskstream run --workers 2 --redis-url rediss://:secret@10.0.0.3:6378",
        "riskstream run -- --runner PrismRunner",
    )
)
def run(
    project: Project,
    redis_url: Annotated[str, typer.Option(envvar="REDIS_URL", help="redis://, or rediss:// for TLS.")],
    use_case: UseCase = OFFBOARDING,
    bundle: BundleRoot = BUNDLES,
    subscription: Annotated[str, by_name("events-riskstream", "Where events come from.")] = "",
    alerts_topic: Annotated[str, by_name("alerts", "Where changes of level go.")] = "",
    dead_letters_topic: Annotated[str, by_name("dead-letters", "Where unusable messages go.")] = "",
    dataset: Dataset = "riskstream",
    redis_ca_file: Annotated[str | None, typer.Option(help="Trust this certificate authority.")] = None,
    redis_cluster: Annotated[bool, typer.Option("--redis-cluster", help="Redis is a cluster.")] = False,
    prefix: Annotated[str, typer.Option(help="Of all keys in Redis.")] = "riskstream",
    batch: Annotated[int, typer.Option(help="Messages assessed at once, at most.")] = 4_000,
    workers: Annotated[int, typer.Option(help="Processes on this machine.")] = 1,
    generation_s: Annotated[
        float, typer.Option(help="Seconds until the local pipeline is built anew.")
    ] = 300,
    state: Annotated[
        str, typer.Option(help="The folder of job.json, which `riskstream status` reads.")
    ] = str(STACK),
    beam: Annotated[list[str], typer.Argument(metavar="[-- BEAM_FLAGS]", help="Beam's own flags.")] = [],  # noqa: B006
) -> None:
    """Run the streaming job until SIGTERM or Ctrl-C.

    Reads events, assesses them, writes assessments, alerts and dead letters. Looks first whether everything
    it needs is there. A bundle that is promoted meanwhile is taken over without a restart.
    """
    from features.usecase import load
    from pipeline import options, run, topics

    names = topics.Names(project, load(use_case).name)
    job = options.Job.load(
        use_case, bundle=bundle, redis_url=redis_url, project=project, dataset=dataset, prefix=prefix, batch=batch,
        subscription=subscription or names.reader(names.events), alerts_topic=alerts_topic or names.alerts,
        dead_letters_topic=dead_letters_topic or names.dead_letters, redis_ca_file=redis_ca_file,
        redis_cluster=redis_cluster, workers=workers, generation_s=generation_s, state=state,
    )  # fmt: skip
    raise typer.Exit(run.run(job, beam))
