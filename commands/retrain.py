"""Retraining by a scheduler: retrain."""

from datetime import UTC, date, datetime
from typing import Annotated, Any

import typer

from commands.options import (
    BUNDLES,
    OFFBOARDING,
    AsJson,
    BundleRoot,
    Files,
    KeepsScores,
    Like,
    UseCase,
    examples,
)
from commands.terminal import show_json

app = typer.Typer()
CODES = {"promoted": 0, "waiting": 10, "rejected": 11}  # beside those of errors: see EXITS


@app.command(
    epilog=examples(
        "riskstream retrain build/history/users.csv build/history/transactions.csv",
        "riskstream retrain bq://project.bank.users bq://project.bank.transactions --since 2026-06-01",
        "riskstream retrain bq://project.bank.events --notify https://example.com/hooks/models --json",
    )
)
def retrain(
    files: Files,
    use_case: UseCase = OFFBOARDING,
    bundle: BundleRoot = BUNDLES,
    seed: Annotated[int, typer.Option(min=0, help="The same seed and files give the same model.")] = 1,
    since: Annotated[
        str | None,
        typer.Option(metavar="YYYY-MM-DD", help="The first day of the period that judges both models."),
    ] = None,
    notify: Annotated[
        str | None, typer.Option(metavar="URL", help="POST the result to this webhook, as JSON.")
    ] = None,
    scores: KeepsScores = True,
    like: Like = None,
    as_json: AsJson = False,
) -> None:
    """Train a challenger, compare it with the champion on the same held-out events, and promote it if it is better.

    The use case declares what it has to show (`model.gates`). It is promoted, waits in shadow for `riskstream approve`,
    or is rejected with the reasons: exit codes 0, 10 and 11. Bad rows are printed and left out. With --like, the
    challenger does without features that say nothing in the files to be scored.
    """
    import msgspec

    from commands.models import registry_of
    from commands.train import (
        read_history,
        recommended_facts,
        recommended_lines,
        training_options,
        write_report,
    )
    from features.usecase import load
    from training.retrain import retrain as run

    check_url(notify)
    loaded, now = load(use_case), datetime.now(UTC)
    cut_us = None if since is None else _day_us(since)
    registry = registry_of(use_case, bundle, new=True)  # first: reading and learning take long
    rows, cleaned = read_history(loaded, files)
    options = training_options("retrain", loaded, files, like, seed, now, cleaned, scores)
    result, report = run(loaded, rows, registry, options, cut_us=cut_us)
    pages = write_report(report, bundle, result.challenger)
    typer.echo("\n".join([report.run.evaluation.words, *pages]), err=True)
    facts = msgspec.to_builtins(result) | {"report": pages[0].removeprefix("report: ")}
    facts |= recommended_facts(report.run)
    show_json(facts) if as_json else typer.echo("\n".join([*recommended_lines(report.run), _words(facts)]))
    post(notify, facts)
    raise typer.Exit(CODES[result.verdict])


def check_url(notify: str | None) -> None:
    from commands.webhook import check

    try:
        if notify:
            check(notify)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--notify") from None


def post(notify: str | None, facts: dict[str, Any]) -> None:
    """Post facts to the webhook, if one is given; a failure is printed and changes nothing else."""
    from commands import webhook

    try:
        if notify:
            webhook.notify(notify, facts)
    except webhook.NotNotified as error:
        typer.echo(f"riskstream: {error}", err=True)


def _day_us(text: str) -> int:
    """Return the beginning of a day (UTC) in microseconds."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            f"found {text!r}, expected a day such as 2026-06-01", param_hint="--since"
        ) from None
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1_000_000


def _words(facts: dict[str, Any]) -> str:
    gates = [
        f"{'ok    ' if gate['passed'] else 'FAILED'} {gate['name']}: {gate['found']} (expected {gate['expected']})"
        for gate in facts["gates"]
    ]
    ended = f"{facts['challenger']} (version {facts['version']}) is {facts['verdict']}"
    accepted = "".join(f" --accept-gate {gate['name']}" for gate in facts["gates"] if not gate["passed"])
    then = {
        "waiting": f"It runs in shadow; `riskstream approve {facts['version']}{accepted} --approver NAME "
        "--reason REASON` makes it the champion.",
        "rejected": f"{facts['champion'] or 'No model'} stays in use.",
    }
    return "\n".join(
        [facts["split"], *gates, *facts["notes"], ended, *filter(None, [then.get(facts["verdict"])])]
    )
