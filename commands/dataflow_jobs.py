"""Jobs on Dataflow, listed and ended: jobs, drain, cancel."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from commands.flags import option
from commands.options import AsJson, examples
from commands.terminal import show_json, table
from pipeline.bigquery.settings import PROJECT
from pipeline.dataflow.settings import DataflowSettings, labels_of
from pipeline.runtime.errors import BadSettings
from pipeline.runtime.settings import flag

if TYPE_CHECKING:
    from pipeline.dataflow.jobs import Facts, Place

app = typer.Typer()
Env = Annotated[Path | None, typer.Option("--env", metavar="FILE", help="A file with settings (deploy/env).")]
Wait = Annotated[bool, typer.Option("--wait", help="Wait until the job has ended.")]
Project = Annotated[str | None, option(PROJECT)]
Region = Annotated[str | None, typer.Option(help="Where the job runs.")]
JobName = Annotated[
    str | None, typer.Argument(metavar="[JOB]", help="Its name or id; default: that of --env.")
]
END_TIMEOUT_S = 3_600.0  # a drain works off what it has pulled, some minutes at most
UNENDED = 1  # the exit code when a job has not ended as it was asked to


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

    listed = [each for each in jobs.listed(place, ended=everything) if wanted <= each.labels.items()]
    if as_json:
        show_json(map(asdict, listed))
        return
    if not listed:
        kind = "such job" if everything else "active one; --all shows those that have ended"
        typer.echo(f"{place}: no {kind}", err=True)
        return
    rows = [(each.name, each.state, each.use_case, each.model, each.created_at, each.id) for each in listed]
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

    facts = jobs.find(place, name)
    jobs.end(place, facts.id, how)
    _, wanted = jobs.ENDINGS[how]
    if not wait:
        facts = jobs.Facts.of(jobs.whole(place, facts.id))
    else:
        facts = jobs.wait(place, facts.id, {wanted}, END_TIMEOUT_S, _show_state)
    show_json(asdict(facts)) if as_json else typer.echo(f"{facts.name}  {facts.state}  {facts.id}")
    if wait and facts.state != wanted:
        typer.echo(
            f"{facts.name}: found {facts.state}, expected {wanted}: {place.console(facts.id)}", err=True
        )
        raise typer.Exit(UNENDED)


def _show_state(job: "Facts") -> None:
    """Show a state of a job that is waited for."""
    typer.echo(f"{job.name}: {job.state}", err=True)
