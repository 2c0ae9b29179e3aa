"""The REST service: serve."""

from ipaddress import ip_address
from typing import Annotated, Any

import typer

from commands.frame import BUNDLES, OFFBOARDING, BundleRoot, Project, UseCase, by_name, examples
from commands.streaming import REDIS, Prefix, RedisCaFile, RedisCluster

app = typer.Typer()


@app.command(
    epilog=examples(
        "riskstream serve",
        "riskstream serve --port 8000 --metrics-port 9464",
        "riskstream serve --host 0.0.0.0 --root-path /ai --issuer https://accounts.google.com "
        "--audience https://prod.deblock.com/ai/",
    )
)
def serve(
    project: Project,
    redis_url: Annotated[str, typer.Option(envvar="REDIS_URL", help=REDIS)],
    use_case: UseCase = OFFBOARDING,
    bundle: BundleRoot = BUNDLES,
    topic: Annotated[str, by_name("events", "Where events are published before they are assessed.")] = "",
    redis_secret: Annotated[
        str,
        typer.Option(
            envvar="RISKSTREAM_REDIS_SECRET", help="Redis's password in Secret Manager, by its name."
        ),
    ] = "",
    redis_ca_file: RedisCaFile = None,
    redis_cluster: RedisCluster = False,
    prefix: Prefix = "riskstream",
    host: Annotated[str, typer.Option(help="The address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65_535, help="The port to listen at.")] = 8080,
    root_path: Annotated[str, typer.Option(help="What a gateway takes off the path, /ai.")] = "",
    metrics_port: Annotated[
        int | None, typer.Option(min=1, max=65_000, help="Serve metrics for Prometheus there.")
    ] = None,
    metrics_host: Annotated[str, typer.Option(help="Where the metrics' port is opened.")] = "127.0.0.1",
    issuer: Annotated[
        str,
        typer.Option(
            envvar="RISKSTREAM_ISSUER", help="Take bearer tokens of this OpenID Connect provider only."
        ),
    ] = "",
    audience: Annotated[
        str, typer.Option(envvar="RISKSTREAM_AUDIENCE", help="Whom the tokens are made for.")
    ] = "",
    callers: Annotated[
        str,
        typer.Option(
            envvar="RISKSTREAM_CALLERS", help="Who may ask, e-mails or subjects with commas; default: all."
        ),
    ] = "",
    open_to_all: Annotated[
        bool, typer.Option("--open", help="Without tokens, although other machines can ask.")
    ] = False,
    most_in_flight: Annotated[
        int, typer.Option(min=1, help="Requests at once; others are told to come back.")
    ] = 256,
    cold: Annotated[
        bool, typer.Option("--cold", help="Start although nothing has filled the records of these features.")
    ] = False,
) -> None:
    """Answer over HTTP: assess an event, try one, tell how a customer stands.

    An event is published to the topic first and then assessed in Redis, as the streaming job does it; the job finds
    it counted, and writes its row and its alert. So run a job beside it. What is sent twice is counted once.

    curl -d @event.json 'http://127.0.0.1:8080/v1/events/transaction?reasons=true' assesses an event,
    /v1/scores/transaction tries it, GET /v1/customers/ID tells how a customer stands, GET /docs which routes and
    fields there are, /health/ready and /health/parts whether it and what it needs are well. Ends on SIGTERM and
    Ctrl-C, when all that is in flight is answered.
    """
    access = access_of(issuer, audience, callers)
    if not access and not open_to_all and not is_loopback(host):
        raise typer.BadParameter(
            f"found {host}, where other machines can ask: give --issuer and --audience, or --open",
            param_hint="--host",
        )
    from features.usecase import load
    from serving.run import run
    from serving.settings import Settings

    found = load(use_case)
    run(
        Settings(
            use_case=found, bundle=bundle, redis_url=redis_url, project=project, topic=topic or f"{found.name}-events",
            redis_secret=redis_secret, redis_ca_file=redis_ca_file, redis_cluster=redis_cluster, prefix=prefix,
            host=host, port=port, root_path=root_path, metrics_host=metrics_host, metrics_port=metrics_port,
            access=access, most_in_flight=most_in_flight, cold=cold,
        )
    )  # fmt: skip


def access_of(issuer: str, audience: str, callers: str) -> Any:
    """What tokens are asked for; None: none."""
    from serving.settings import Access

    if not issuer and not audience and not callers:
        return None
    if not issuer or not audience:
        raise typer.BadParameter("give both, or neither", param_hint="--issuer, --audience")
    return Access(issuer, audience, frozenset(filter(None, map(str.strip, callers.split(",")))))


def is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
