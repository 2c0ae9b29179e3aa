"""The stream: topics, tables, run, alerts, status."""

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from commands.options import (  # fmt: skip
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
    use_case_file,
)
from commands.terminal import show_outcomes
from pipeline.runtime.printable import printable_lines

app = typer.Typer()
RedisCaFile = Annotated[str | None, typer.Option(help="Trust this certificate authority.")]
RedisCertFile = Annotated[str | None, typer.Option(help="Show Redis this certificate (PEM, local or gs://).")]
RedisKeyFile = Annotated[str | None, typer.Option(help="The certificate's key (PEM, local or gs://).")]
RedisReplicas = Annotated[
    int, typer.Option(min=0, max=5, help="Replicas that must have a commit before it counts (WAIT).")
]
AllowEviction = Annotated[
    bool, typer.Option("--allow-eviction", help="Start although Redis may drop records when it is full.")
]
RedisCluster = Annotated[bool, typer.Option("--redis-cluster", help="Redis is a cluster.")]
Prefix = Annotated[str, typer.Option(help="Of all keys in Redis.")]
State = Annotated[Path, typer.Option(help="The folder of job.json: what `run` writes and `status` reads.")]
REDIS = "redis://, or rediss:// for TLS."
WATCH_S = 2.0
NOT_SOUND = 5  # exit code, as for a Redis that cannot be reached


@app.command(epilog=examples("riskstream topics --project my-project", "riskstream topics --ordered"))
def topics(
    project: Project,
    use_case: UseCase = OFFBOARDING,
    ordered: Annotated[
        bool,
        typer.Option(
            "--ordered", help="Deliver each customer's events as they were published with an ordering key."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make the use case's topics and subscriptions in Pub/Sub: events, alerts, dead letters. Idempotent.

    Whether a subscription keeps order cannot be changed: one that is there and keeps none is refused with --ordered.
    """
    from features.usecase import load
    from pipeline.pubsub import topics

    show_outcomes(topics.create(topics.Names(project, load(use_case).name), ordered), as_json)


@app.command(
    epilog=examples(
        "riskstream tables --project my-project --dataset risk",
        "riskstream tables --realised-view usecases/offboarding.yaml",
    )
)
def tables(
    project: Project,
    dataset: Dataset = "riskstream",
    location: Location = "EU",
    realised_view: Annotated[
        Path | None,
        typer.Option(
            parser=use_case_file,
            metavar="NAME_OR_FILE",
            help="A use case with a label: also make its view of how decisions turned out, realised_USE_CASE.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make the tables and views in BigQuery; add columns that are missing, replace views of an earlier version.

    Idempotent.
    """
    from features.usecase import load
    from pipeline.bigquery import client as bigquery
    from pipeline.bigquery import tables
    from pipeline.operations import realised

    use_case, client = realised_view and load(realised_view), bigquery.query_client(project)
    outcomes = tables.create(client, dataset, location)
    if use_case:
        outcomes.append(realised.create_view(client, dataset, use_case))
    show_outcomes(outcomes, as_json)


@app.command(
    epilog=examples(
        "riskstream run",
        "riskstream run --allow-empty-store",
        "riskstream run --workers 2 --metrics-port 9464",
        "riskstream run --workers 2 --redis-url rediss://:secret@10.0.0.3:6378",
        "riskstream run --workers 4 -- --runner FlinkRunner --flink_master localhost:8081 --parallelism 2",
    )
)
def run(
    project: Project,
    redis_url: Annotated[str, typer.Option(envvar="REDIS_URL", help=REDIS)],
    use_case: UseCase = OFFBOARDING,
    bundle: BundleRoot = BUNDLES,
    subscription: Annotated[str, by_name("events-riskstream", "Where events come from.")] = "",
    alerts_topic: Annotated[str, by_name("alerts", "Where changes of level go.")] = "",
    dead_letters_topic: Annotated[str, by_name("dead-letters", "Where unusable messages go.")] = "",
    dataset: Dataset = "riskstream",
    redis_ca_file: RedisCaFile = None,
    redis_cert_file: RedisCertFile = None,
    redis_key_file: RedisKeyFile = None,
    redis_cluster: RedisCluster = False,
    redis_replicas: RedisReplicas = 0,
    allow_eviction: AllowEviction = False,
    prefix: Prefix = "riskstream",
    batch: Annotated[int, typer.Option(help="Messages assessed at once, at most.")] = 16_000,
    workers: Annotated[int, typer.Option(help="Processes on this machine; pullers on another runner.")] = 1,
    generation_s: Annotated[
        float, typer.Option(help="Seconds until the local pipeline is built anew.")
    ] = 300,
    metrics_port: Annotated[
        int | None,
        typer.Option(
            help="Serve metrics for Prometheus; each process takes the first free port from here on."
        ),
    ] = None,
    metrics_host: Annotated[str, typer.Option(help="Where the metrics' port is opened.")] = "127.0.0.1",
    state: State = STACK,
    allow_empty_store: Annotated[
        bool,
        typer.Option(
            "--allow-empty-store", help="Start although nothing has filled the records of these features."
        ),
    ] = False,
    beam: Annotated[list[str], typer.Argument(metavar="[-- BEAM_FLAGS]", help="Beam's own flags.")] = [],  # noqa: B006
) -> None:
    """Run the streaming job until SIGTERM or Ctrl-C.

    Reads events, assesses them, writes assessments, alerts and dead letters. Looks first whether everything
    it needs is there. A bundle that is promoted meanwhile is taken over without a restart. A store that neither
    `riskstream backfill` nor an earlier job has filled with these features is refused without --allow-empty-store.

    What follows -- goes to Beam. With --runner FlinkRunner the same job runs on Flink (docs/runners.md): messages are
    acknowledged after its checkpoints, one a second unless --checkpointing_interval (ms) is given. It is cancelled
    by SIGTERM and Ctrl-C; what was not acknowledged comes again.
    """
    from features.usecase import load
    from pipeline.job import run, settings
    from pipeline.pubsub import topics

    names = topics.Names(project, load(use_case).name)
    job = settings.Job.load(
        use_case, bundle=bundle, redis_url=redis_url, project=project, dataset=dataset, prefix=prefix, batch=batch,
        subscription=subscription or names.reader(names.events), alerts_topic=alerts_topic or names.alerts,
        dead_letters_topic=dead_letters_topic or names.dead_letters, redis_ca_file=redis_ca_file,
        redis_cert_file=redis_cert_file, redis_key_file=redis_key_file, redis_replicas=redis_replicas,
        allow_eviction=allow_eviction, redis_cluster=redis_cluster, workers=workers,
        generation_s=generation_s, metrics_port=metrics_port,
        metrics_host=metrics_host, state=str(state), allow_empty_store=allow_empty_store,
    )  # fmt: skip
    raise typer.Exit(run.run(job, beam))


@app.command(
    epilog=examples(
        "riskstream alerts", "riskstream alerts --json --limit 10", "riskstream alerts --seconds 60"
    )
)
def alerts(
    project: Project,
    use_case: UseCase = OFFBOARDING,
    topic: Annotated[str, by_name("alerts", "Where alerts come from.")] = "",
    subscription: Annotated[
        str | None, typer.Option(help="Read this one instead of one of one's own.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Stop after so many alerts.")] = None,
    seconds: Annotated[float | None, typer.Option(min=0, help="Stop after so many seconds.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the alerts as they are, one a line.")
    ] = False,
) -> None:
    """Follow the changes of level as they come.

    Reads from a subscription of its own, so nobody else misses what is shown here, and from now on.
    """
    from rich.console import Console

    from features.usecase import load
    from pipeline.operations import screen
    from pipeline.operations.follow_alerts import following
    from pipeline.pubsub import topics

    source = topic or topics.Names(project, load(use_case).name).alerts
    with following(project, source, subscription=subscription, limit=limit, seconds=seconds) as found:
        if as_json:
            echo_each(one.body.decode() for one in found)
        elif Console().is_terminal:
            screen.show_alerts(found, Console())
        else:
            echo_each(map(screen.alert_line, found))


def echo_each(lines: Iterable[str]) -> None:
    for line in lines:
        typer.echo(printable_lines(line))


@app.command(epilog=examples("riskstream status", "riskstream status --watch", "riskstream status --json"))
def status(
    project: Project,
    use_case: UseCase = OFFBOARDING,
    dataset: Dataset = "riskstream",
    redis_url: Annotated[str | None, typer.Option(envvar="REDIS_URL", help=REDIS)] = None,
    redis_ca_file: RedisCaFile = None,
    redis_cert_file: RedisCertFile = None,
    redis_key_file: RedisKeyFile = None,
    redis_cluster: RedisCluster = False,
    prefix: Prefix = "riskstream",
    state: State = STACK,
    watch: Annotated[bool, typer.Option("--watch", help="Again and again, until Ctrl-C.")] = False,
    as_json: AsJson = False,
) -> None:
    """Tell the backlog, the job's throughput, how Redis is, customers by level, and dead letters by reason.

    A part that cannot be asked says why; the others are told all the same. The exit code is 5 if Redis does not hold
    what was written to it: it was emptied, has lost records, or is being filled or repaired.
    """
    from rich.console import Console

    from features.usecase import load
    from pipeline.operations import screen
    from pipeline.operations.status import Places, status

    found = load(use_case)
    places = Places(
        project,
        dataset,
        redis_url,
        redis_ca_file,
        redis_cluster,
        redis_cert_file,
        redis_key_file,
        prefix,
        state,
    )
    if watch and not as_json:
        screen.watch(lambda: status(found, places), lambda: time.sleep(WATCH_S), Console())
    answer = status(found, places)
    typer.echo(answer.to_json()) if as_json else Console().print(screen.status(answer))
    raise typer.Exit(0 if answer.is_sound else NOT_SOUND)
