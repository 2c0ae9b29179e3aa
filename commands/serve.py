"""The REST service: serve."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from commands.options import BUNDLES, OFFBOARDING, STACK, BundleRoot, Project, UseCase, by_name, examples
from commands.stream import (  # fmt: skip
    REDIS,
    AllowEviction,
    Prefix,
    RedisCaFile,
    RedisCertFile,
    RedisCluster,
    RedisKeyFile,
    RedisReplicas,
)

EMAILS, SUBJECTS = "RISKSTREAM_CALLER_EMAILS", "RISKSTREAM_CALLER_SUBJECTS"
GROUPS = "RISKSTREAM_CALLER_GROUPS"
ROLES = "viewer, scorer, analyst or admin"

app = typer.Typer()


@app.command(
    epilog=examples(
        "riskstream serve",
        "riskstream serve --port 8000 --metrics-port 9464",
        "riskstream serve --host 0.0.0.0 --root-path /ai --issuer https://accounts.google.com "
        "--audience https://prod.deblock.com/ai/ "
        "--caller-emails payments@bank-production.iam.gserviceaccount.com=scorer,ann@bank.example=analyst",
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
    redis_cert_file: RedisCertFile = None,
    redis_key_file: RedisKeyFile = None,
    redis_cluster: RedisCluster = False,
    redis_replicas: RedisReplicas = 0,
    allow_eviction: AllowEviction = False,
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
    caller_emails: Annotated[
        str | None,
        typer.Option(
            envvar=EMAILS, help=f"Who may ask: verified EMAIL=ROLE, with commas; the role is {ROLES}."
        ),
    ] = None,
    caller_subjects: Annotated[
        str | None,
        typer.Option(
            envvar=SUBJECTS,
            help="Who else may ask: SUBJECT=ROLE, of tokens, with commas.",
        ),
    ] = None,
    caller_groups: Annotated[
        str | None,
        typer.Option(
            envvar=GROUPS, help="Who else may ask: GROUP=ROLE, of the groups in tokens, with commas."
        ),
    ] = None,
    groups_claim: Annotated[
        str, typer.Option(envvar="RISKSTREAM_GROUPS_CLAIM", help="The claim of a token that lists groups.")
    ] = "groups",
    other_callers: Annotated[
        str,
        typer.Option(
            envvar="RISKSTREAM_OTHER_CALLERS",
            help=f"The role of the issuer's callers who are in no list: {ROLES}; default: they are refused.",
        ),
    ] = "",
    dataset: Annotated[
        str, typer.Option(help="The dataset in BigQuery with the audit trail.")
    ] = "riskstream",
    audit_folder: Annotated[
        Path,
        typer.Option(
            envvar="RISKSTREAM_AUDIT_FOLDER", help="Where records of the audit trail wait for BigQuery."
        ),
    ] = STACK / "audit",
    audit_mib: Annotated[
        int,
        typer.Option(
            min=1, help="Room for these records, in MiB; when it is used up, only events are taken."
        ),
    ] = 128,
    no_audit: Annotated[
        bool, typer.Option("--no-audit", help="Keep no audit trail; only where no other machine can ask.")
    ] = False,
    allow_unauthenticated: Annotated[
        bool, typer.Option("--allow-unauthenticated", help="Without tokens, although other machines can ask.")
    ] = False,
    max_in_flight: Annotated[
        int, typer.Option(min=1, help="Requests at once; others are told to come back.")
    ] = 256,
    allow_empty_store: Annotated[
        bool,
        typer.Option(
            "--allow-empty-store", help="Start although nothing has filled the records of these features."
        ),
    ] = False,
) -> None:
    """Answer over HTTP: assess an event, try one, tell how a customer stands.

    An event is published to the topic first and then assessed in Redis, as the streaming job does it; the job finds
    it counted, and writes its row and its alert. So run a job beside it. What is sent twice is counted once.

    curl --json @event.json 'http://127.0.0.1:8080/v1/events/transaction?reasons=true' assesses an event,
    /v1/scores/transaction tries it, GET /v1/customers/ID tells how a customer stands, GET /docs which routes and
    fields there are, /health/ready and /health/parts whether it and what it needs are well. Ends on SIGTERM and
    Ctrl-C, when all that is in flight is answered.
    """
    access = access_of(
        issuer, audience, caller_emails, caller_subjects, caller_groups, groups_claim, other_callers
    )
    from serving.issuers import is_loopback

    if not access and not allow_unauthenticated and not is_loopback(host):
        raise typer.BadParameter(
            f"found {host}, where other machines can ask: give --issuer and --audience, or --allow-unauthenticated",
            param_hint="--host",
        )
    if no_audit and (access or not is_loopback(host)):
        raise typer.BadParameter("other machines can ask, so a trail has to be kept", param_hint="--no-audit")
    from features.usecase import load
    from serving.server import run
    from serving.settings import Settings

    found = load(use_case)
    run(
        Settings(
            use_case=found, bundle=bundle, redis_url=redis_url, project=project, topic=topic or f"{found.name}-events",
            redis_secret=redis_secret, redis_ca_file=redis_ca_file, redis_cert_file=redis_cert_file,
            redis_key_file=redis_key_file,
            redis_replicas=redis_replicas, allow_eviction=allow_eviction, redis_cluster=redis_cluster, prefix=prefix,
            host=host, port=port, root_path=root_path, metrics_host=metrics_host, metrics_port=metrics_port,
            access=access, max_in_flight=max_in_flight,
            allow_empty_store=allow_empty_store, dataset="" if no_audit else dataset,
            audit_folder=audit_folder, audit_bytes=audit_mib << 20,
        )
    )  # fmt: skip


def access_of(
    issuer: str,
    audience: str,
    emails: str | None,
    subjects: str | None,
    groups: str | None,
    groups_claim: str,
    others: str,
) -> Any:
    """Which tokens are accepted; None: none are asked for."""
    from serving.settings import Access

    named = callers(emails, EMAILS), callers(subjects, SUBJECTS), callers(groups, GROUPS)
    for email in named[0]:
        if not email.strip("@").count("@"):
            raise typer.BadParameter(
                f"found {email!r}, expected e-mail addresses; subjects go to --caller-subjects",
                param_hint="--caller-emails",
            )
    if not issuer and not audience and not any(named) and not others:
        return None
    if not issuer or not audience:
        raise typer.BadParameter(
            "give both, or neither and no callers either", param_hint="--issuer, --audience"
        )
    try:
        return Access(
            issuer, audience, *named, groups_claim, role(others, "--other-callers") if others else None
        )
    except ValueError as error:
        raise typer.BadParameter(
            str(error), param_hint="--issuer, --caller-emails, --caller-subjects, --caller-groups"
        ) from error


def callers(text: str | None, variable: str) -> dict[str, Any]:
    """The roles in a list of NAME=ROLE with commas. An empty list is refused: it must not mean everybody."""
    text = os.environ.get(variable) if text is None else text  # the parser takes an empty variable for none
    option = f"--{variable.removeprefix('RISKSTREAM_').lower().replace('_', '-')}"
    entries = [entry.strip() for entry in (text or "").split(",") if entry.strip()]
    if text is not None and not entries:
        raise typer.BadParameter("found an empty list: name callers, or leave it out", param_hint=option)
    found: dict[str, Any] = {}
    for entry in entries:
        name, _, of = entry.rpartition("=")
        if not name.strip():
            raise typer.BadParameter(
                f"found {entry!r}, expected NAME=ROLE, the role being {ROLES}", param_hint=option
            )
        if name.strip() in found:
            raise typer.BadParameter(f"found {name.strip()} twice, expected one role each", param_hint=option)
        found[name.strip()] = role(of.strip(), option)
    return found


def role(text: str, option: str) -> Any:
    """The role of this name."""
    from serving.roles import Role

    if text not in list(Role):
        raise typer.BadParameter(f"found the role {text!r}, expected {ROLES}", param_hint=option)
    return Role(text)
