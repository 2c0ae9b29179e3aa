"""The job on Dataflow, started or replaced: launch, update."""

import re
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from commands.flags import Given, with_settings
from commands.options import AsJson, examples
from commands.terminal import show_json, table
from pipeline.dataflow.settings import DataflowSettings, labels_of
from pipeline.runtime.errors import BadSettings

if TYPE_CHECKING:
    from pipeline.dataflow.jobs import Facts
    from pipeline.dataflow.plan import Plan
    from pipeline.dataflow.preflight import Replacement

app = typer.Typer()
Env = Annotated[
    Path | None,
    typer.Option("--env", metavar="FILE", help="A file with settings (deploy/env); flags win over it."),
]
OnlyPlan = Annotated[bool, typer.Option("--plan", help="Print the plan with its checks, and stop.")]
Wait = Annotated[bool, typer.Option("--wait", help="Wait until Dataflow has done it.")]
OVERLAP = "10m"  # workers take one to three minutes to come up, the rest is to look at them
FAILED = 8  # the exit code: see EXITS
UNENDED = 1  # the exit code when the replaced job has not drained

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

    All that can be seen from here is checked first, and each check is shown with its result: bundle, subscription,
    topics, tables, Redis, staging, name, graph. If one of them fails, nothing is submitted (exit code 8).
    """
    _submitted(_plan(flags, env), only_plan, wait, as_json)


@app.command(
    epilog=examples(
        "riskstream update --env deploy/env/production.yaml --plan",
        "riskstream update --env deploy/env/production.yaml --wait",
        "riskstream update --env deploy/env/production.yaml --map Assess=Score",
        "riskstream update --env deploy/env/production.yaml --parallel --wait",
        "riskstream update --env deploy/env/production.yaml --parallel --overlap 30m --plan",
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
    parallel: Annotated[
        bool,
        typer.Option("--parallel", help="Start the new job beside the running one, then drain that one."),
    ] = False,
    overlap: Annotated[
        str | None,
        typer.Option(
            metavar="DURATION",
            help="How long both jobs run at least with --parallel, such as 90s, 10m or 1h.",
            show_default=OVERLAP,
        ),
    ] = None,
    only_plan: OnlyPlan = False,
    wait: Wait = False,
    as_json: AsJson = False,
) -> None:
    """Replace the running job of the same name, in place or by one that starts beside it.

    In place, events wait for the minutes in which Dataflow stops the old job and starts the new one. Refused, with the
    reason, when the new graph cannot take over: another label or coder of a step, another use case.

    With --parallel, no event waits: both jobs read the subscription until the new one has run for the overlap, then
    Dataflow drains the old one. Records count every event once, whichever job gets it. Steps need not fit each other,
    but features must be the same. With --wait the command ends once the old job has drained, with exit code 1 if it
    has ended otherwise.

    Other features are other records in Redis: fill them with `riskstream backfill` first, or give --allow-empty-store.
    """
    renamed = _pairs(mapping or [])
    overlap = _overlap(parallel, overlap, renamed)

    def replacement(settings: DataflowSettings) -> "Replacement":
        from pipeline.dataflow.preflight import Replacement

        return Replacement(_running(settings), renamed, overlap)

    _submitted(_plan(flags, env, replacement), only_plan, wait, as_json)


def _overlap(parallel: bool, overlap: str | None, mapping: dict[str, str]) -> str:
    """Return how long both jobs are to run; empty: the new one takes over in place. Raises BadSettings."""
    if not parallel:
        if overlap is not None:
            raise BadSettings("--overlap: given without --parallel, which runs both jobs for so long")
        return ""
    if mapping:
        raise BadSettings("--map: found with --parallel, where no step takes over from another; leave it out")
    duration = overlap or OVERLAP
    if not re.fullmatch(r"[1-9]\d{0,5}[smh]", duration):
        raise BadSettings(f"--overlap: found {duration!r}, expected a duration such as 90s, 10m or 1h")
    return duration


def _plan(
    flags: dict[str, Any],
    env: Path | None,
    replacement: "Callable[[DataflowSettings], Replacement] | None" = None,
) -> "Plan":
    """Return the plan of a launch, or of an update by the job's replacement."""
    labels = flags["labels"] and labels_of(flags["labels"])
    settings = DataflowSettings.resolved(flags | {"labels": labels}, env)
    if "://" not in settings.use_case:
        from features.usecase import load

        load(settings.use_case_file)  # a wrong file is refused before Beam is imported, which takes seconds
    from pipeline.dataflow import jobs, plan

    jobs.demand_credentials()
    replaces = replacement(settings) if replacement else None
    return plan.plan(plan.launch_of(settings, replaces))


def _running(settings: DataflowSettings) -> "Facts":
    """Find the job that is to be replaced. Raises NoSuchJob."""
    from pipeline.dataflow import jobs

    try:
        return jobs.find(jobs.Place(settings.project, settings.region), settings.name)
    except jobs.NoSuchJob as error:
        raise jobs.NoSuchJob(f"{error}; `riskstream launch` starts one") from None


def _submitted(plan: "Plan", only_plan: bool, wait: bool, as_json: bool) -> None:
    """Show the plan, and submit it unless the plan was all that was wanted."""
    from pipeline.dataflow.submit import submit
    from pipeline.runtime.checks import FAILED as WRONG

    facts, replaces = plan.facts(), plan.launch.replaces
    is_bad = any(each["result"] == WRONG for each in facts["checks"])
    if not as_json:
        typer.echo(_words(facts, only_plan), err=not only_plan)
    elif only_plan or is_bad:
        show_json(facts)
    if only_plan:
        raise typer.Exit(FAILED if is_bad else 0)

    def show_state(job: "Facts") -> None:
        is_old = replaces is not None and job.id == replaces.old.id
        typer.echo(f"{job.name}{f' ({job.id}, the old job)' if is_old else ''}: {job.state}", err=True)

    submitted = submit(plan, wait=wait, on_state=show_state)
    if as_json:
        show_json(facts | asdict(submitted))
    else:
        typer.echo(f"{submitted.job.name}  {submitted.job.state}  {submitted.job.id}\n{submitted.console}")
    if submitted.replaced and not submitted.is_done:
        _show_unended(submitted.replaced)
        raise typer.Exit(UNENDED)


def _show_unended(old: "Facts") -> None:
    typer.echo(
        f"{old.name} ({old.id}, the old job): found {old.state}, expected DRAINED; look at its page, or end it with "
        f"`riskstream cancel {old.id}`",
        err=True,
    )


def _words(facts: dict[str, Any], is_detailed: bool) -> str:
    """Return the checks as text, with `is_detailed` also the job's settings, notes, steps and options."""
    checks = table(
        ("check", "result", "found"), [(e["name"], e["result"], e["detail"]) for e in facts["checks"]]
    )
    if not is_detailed:
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
    pairs = [pair.partition("=") for pair in mapping]
    if wrong := [old for old, sign, _ in pairs if not sign or not old]:
        raise BadSettings(f"--map: found {wrong[0]!r}, expected OLD=NEW, both labels of steps")
    return {old: new for old, _, new in pairs}
