"""The job on Dataflow: launch, update, drain, cancel, jobs."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from commands.flags import Given, option, with_settings
from commands.options import AsJson, examples
from commands.terminal import show_json, table
from pipeline.bigquery.settings import PROJECT
from pipeline.dataflow.settings import DataflowSettings, labels_of
from pipeline.runtime.errors import BadSettings
from pipeline.runtime.settings import flag

if TYPE_CHECKING:
    from pipeline.dataflow.jobs import Facts, Place
    from pipeline.dataflow.plan import Plan

app = typer.Typer()
Env = Annotated[
    Path | None,
    typer.Option("--env", metavar="FILE", help="A file with settings (deploy/env); flags win over it."),
]
OnlyPlan = Annotated[bool, typer.Option("--plan", help="Print the plan with its checks, and stop.")]
Wait = Annotated[bool, typer.Option("--wait", help="Until Dataflow has done it.")]
Project = Annotated[str | None, option(PROJECT)]
Region = Annotated[str | None, typer.Option(help="Where the job runs.")]
JobName = Annotated[
    str | None, typer.Argument(metavar="[JOB]", help="Its name or id; default: that of --env.")
]
FAILED = 8  # the exit code: see EXITS
END_TIMEOUT_S = 3_600.0  # a drain works off what it has pulled, some minutes at most
UNENDED = 1  # the exit code when a job has not ended as it was asked to


Flags = Annotated[dict[str, Any], Given(DataflowSettings)]


@app.command(
    epilog=examples(
        "riskstream launch --env deploy/env/production.yaml --plan",
        "riskstream launch --env deploy/env/production.yaml --max-workers 20",
        "riskstream launch --env deploy/env/staging.yaml --subscription replay-riskstream --job-name replay",
    )
)
@with_settings
def launch(
    flags: Flags,
    env: Env = None,
    only_plan: OnlyPlan = False,
    wait: Wait = False,
    as_json: AsJson = False,
) -> None:
    """Start the streaming job on Dataflow.

    Looks first at all that can be seen from here, and tells each part with its result: bundle, subscription,
    topics, tables, Redis, staging, name, graph. Nothing is submitted unless all of it is well (exit code 8).
    """
    _submitted(_plan(flags, env), only_plan, wait, as_json)


@app.command(
    epilog=examples(
        "riskstream update --env deploy/env/production.yaml --plan",
        "riskstream update --env deploy/env/production.yaml --wait",
        "riskstream update --env deploy/env/production.yaml --map Assess=Score",
    )
)
@with_settings
def update(
    flags: Flags,
    env: Env = None,
    mapping: Annotated[
        list[str] | None,
        typer.Option(
            "--map", metavar="OLD=NEW", help="What a step of the running job is called now; OLD=: gone."
        ),
    ] = None,
    only_plan: OnlyPlan = False,
    wait: Wait = False,
    as_json: AsJson = False,
) -> None:
    """Replace the running job of the same name in place, without a gap.

    Refused, with the reason, when the new graph cannot take over: another label or coder of a step, another use case.
    Other features are other records in Redis: fill them with `riskstream backfill` first, or give --allow-empty-store.
    """
    _submitted(_plan(flags, env, _pairs(mapping or [])), only_plan, wait, as_json)


@app.command(
    epilog=examples(
        "riskstream jobs --region europe-west1", "riskstream jobs --env deploy/env/production.yaml --all"
    )
)
def jobs(
    env: Env = None,
    project: Project = None,
    region: Region = None,
    label: Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help="Only those with it.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Also those that have ended.")] = False,
    as_json: AsJson = False,
) -> None:
    """List riskstream's jobs on Dataflow, the newest first."""
    wanted = labels_of(label or []).items()
    place, _ = _where(env, project, region, None)
    from pipeline.dataflow import jobs

    found = [each for each in jobs.listed(place, ended=everything) if wanted <= each.labels.items()]
    if as_json:
        show_json(map(asdict, found))
        return
    if not found:
        kind = "such job" if everything else "active one; --all shows those that have ended"
        typer.echo(f"{place}: no {kind}", err=True)
        return
    rows = [(each.name, each.state, each.use_case, each.model, each.created_at, each.id) for each in found]
    typer.echo(table(("name", "state", "use case", "started with model", "started", "id"), rows))


@app.command(epilog=examples("riskstream drain --env deploy/env/production.yaml --wait"))
def drain(
    job: JobName = None,
    env: Env = None,
    project: Project = None,
    region: Region = None,
    wait: Wait = False,
    as_json: AsJson = False,
) -> None:
    """End a job on Dataflow once it has done what it has pulled; the rest stays in the subscription."""
    _end("drain", job, env, project, region, wait, as_json)


@app.command(epilog=examples("riskstream cancel riskstream-offboarding --region europe-west1"))
def cancel(
    job: JobName = None,
    env: Env = None,
    project: Project = None,
    region: Region = None,
    wait: Wait = False,
    as_json: AsJson = False,
) -> None:
    """End a job on Dataflow at once. What it was doing comes again to the next job, which counts it once."""
    _end("cancel", job, env, project, region, wait, as_json)


def _plan(flags: dict[str, Any], env: Path | None, mapping: dict[str, str] | None = None) -> "Plan":
    """The plan of a launch; with a mapping, though empty, of an update."""
    labels = flags["labels"] and labels_of(flags["labels"])
    settings = DataflowSettings.resolved(flags | {"labels": labels}, env)
    if "://" not in settings.use_case:
        from features.usecase import load

        load(
            settings.use_case_file
        )  # what is wrong with it is told before Beam is imported, which takes seconds
    from pipeline.dataflow import jobs, plan

    jobs.demand_credentials()
    old = None if mapping is None else _running(settings)
    return plan.plan(plan.launch_of(settings, old, mapping))


def _running(settings: DataflowSettings) -> "Facts":
    """The job that is to be replaced."""
    from pipeline.dataflow import jobs

    try:
        return jobs.find(jobs.Place(settings.project, settings.region), settings.name)
    except jobs.NoSuchJob as error:
        raise jobs.NoSuchJob(f"{error}; `riskstream launch` starts one") from None


def _submitted(plan: "Plan", only_plan: bool, wait: bool, as_json: bool) -> None:
    """Shows the plan, submits it unless that was all that was wanted."""
    from pipeline.dataflow.submit import submit
    from pipeline.runtime.checks import FAILED as WRONG

    facts = plan.facts()
    is_bad = any(each["result"] == WRONG for each in facts["checks"])
    if not as_json:
        typer.echo(_words(facts, only_plan), err=not only_plan)
    elif only_plan or is_bad:
        show_json(facts)
    if only_plan:
        raise typer.Exit(FAILED if is_bad else 0)
    done = submit(plan, wait=wait, tell=_tell)
    if as_json:
        show_json(facts | asdict(done))
    else:
        typer.echo(f"{done.job.name}  {done.job.state}  {done.job.id}\n{done.console}")


def _words(facts: dict[str, Any], whole: bool) -> str:
    """The checks; of the `whole` plan also what the job is told."""
    checks = table(
        ("check", "result", "found"), [(e["name"], e["result"], e["detail"]) for e in facts["checks"]]
    )
    if not whole:
        return checks
    settings = [
        (name, _plainly(value)) for name, value in {**facts["settings"], **facts["resources"]}.items()
    ]
    notes = table(("note", ""), list(facts["notes"].items()))
    steps = table(("step",), [(each,) for each in facts["steps"]])
    beam = "\n".join(facts["beam"])
    head = f"{facts['job_name']}: use case {facts['use_case']}, fingerprint {facts['fingerprint']}, " + (
        f"model {facts['model'] or 'unknown'}"
    )
    return "\n\n".join(
        (head, table(("setting", "value"), settings), notes, steps, f"options for Beam\n{beam}", checks)
    )


def _plainly(value: object) -> str:
    if isinstance(value, dict):
        return " ".join(f"{key}={each}" for key, each in value.items()) or "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value) or "-"


def _pairs(mapping: list[str]) -> dict[str, str]:
    found = [pair.partition("=") for pair in mapping]
    if wrong := [old for old, sign, _ in found if not sign or not old]:
        raise BadSettings(f"--map: found {wrong[0]!r}, expected OLD=NEW, both labels of steps")
    return {old: new for old, _, new in found}


def _where(
    env: Path | None, project: str | None, region: str | None, name: str | None
) -> "tuple[Place, str]":
    """Return a job's place and name, by flags, else by the file."""
    from pipeline.dataflow.jobs import Place

    flags = {"project": project, "region": region}
    if env:
        settings = DataflowSettings.resolved(flags, env)
        return Place(settings.project, settings.region), name or settings.name
    if missing := [flag(each) for each, value in flags.items() if not value]:
        raise BadSettings("\n".join(f"{each}: not given; --env names a file with it" for each in missing))
    return Place(str(project), str(region)), name or ""


def _end(
    how: str,
    job: str | None,
    env: Path | None,
    project: str | None,
    region: str | None,
    wait: bool,
    as_json: bool,
) -> None:
    place, name = _where(env, project, region, job)
    if not name:
        raise BadSettings("JOB: not given; name a job of `riskstream jobs`, or its file with --env")
    from pipeline.dataflow import jobs

    found = jobs.find(place, name)
    jobs.end(place, found.id, how)
    _, wanted = jobs.ENDINGS[how]
    if not wait:
        found = jobs.Facts.of(jobs.whole(place, found.id))
    else:
        found = jobs.wait(place, found.id, {wanted}, END_TIMEOUT_S, _tell)
    show_json(asdict(found)) if as_json else typer.echo(f"{found.name}  {found.state}  {found.id}")
    if wait and found.state != wanted:
        typer.echo(
            f"{found.name}: found {found.state}, expected {wanted}: {place.console(found.id)}", err=True
        )
        raise typer.Exit(UNENDED)


def _tell(job: "Facts") -> None:
    """A state of a job that is waited for."""
    typer.echo(f"{job.name}: {job.state}", err=True)
