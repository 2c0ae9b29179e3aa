"""Training of a bundle from a history: train."""

import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

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
from commands.terminal import report_lines, show_json, table, tell_bad_rows

if TYPE_CHECKING:
    from features.replay import Replayed
    from features.usecase import UseCase as Declared
    from training.data.cleaning import CleaningCount
    from training.data.files import EventRows
    from training.report.page import Report
    from training.report.run import Run
    from training.steps import TrainingOptions

app = typer.Typer()
SHOWN_BAD_ROWS = 100
REJECTED = 11  # the exit code: see EXITS


def read_history(use_case: "Declared", files: Sequence[str]) -> "tuple[EventRows, list[CleaningCount]]":
    """Return the cleaned rows of files and tables with the counts of the rules; bad rows go to stderr."""
    from training.data.cleaning import clean
    from training.data.files import read_all

    typer.echo(f"reading {', '.join(files)}", err=True)
    rows = read_all(use_case, files, time.time_ns() // 1000)
    typer.echo(f"{len(rows):,} events, {len(rows.bad):,} bad rows", err=True)
    tell_bad_rows(rows.bad[:SHOWN_BAD_ROWS], len(rows.bad))
    rows, cleaned = clean(use_case, rows)
    for each in cleaned:
        typer.echo(str(each), err=True)
    return rows, cleaned


@app.command(
    epilog=examples(
        "riskstream train build/history/users.csv build/history/transactions.csv",
        "riskstream train build/history/users.csv build/history/transactions.csv --bundle gs://bucket/bundles --seed 2",
        "riskstream train bq://project.bank.users bq://project.bank.transactions",
        "riskstream train build/u.csv build/t.csv --like build/new/u.csv --like build/new/t.csv",
    )
)
def train(
    files: Files,
    use_case: UseCase = OFFBOARDING,
    bundle: BundleRoot = BUNDLES,
    seed: Annotated[int, typer.Option(min=0, help="The same seed and files give the same model.")] = 1,
    allow_no_signal: Annotated[
        bool,
        typer.Option("--allow-no-signal", help="Promote a model no better than chance or a small rule."),
    ] = False,
    scores: KeepsScores = True,
    like: Like = None,
    as_json: AsJson = False,
) -> None:
    """Learn from history, write a report and promote the bundle, which running jobs then adopt.

    Rows are replayed through the kernel of the stream in event-time order. The columns of a file tell which events it
    has. Bad rows are printed with their line and left out; the exit code is then 1. Rows that the use case's `clean`
    rules leave out are counted.

    A model no better than chance or a small rule is registered and not promoted; the exit code is then 11. The output
    shows what the policy would have done with held-out customers, with warnings where a level misses its target or
    nobody is recommended. The last line is the bundle.
    """
    import msgspec

    from commands.models import registry_of
    from export import bundle as bundles
    from features.usecase import load
    from training.data.replaying import replay_rows
    from training.report.words import first_lines
    from training.train import train as run

    loaded, now = load(use_case), datetime.now(UTC)
    registry = registry_of(use_case, bundle, new=True)
    rows, cleaned = read_history(loaded, files)
    options = training_options("train", loaded, files, like, seed, now, cleaned, scores)
    path, report = run(loaded, replay_rows(loaded, rows), registry, options, allow_no_signal=allow_no_signal)
    manifest = bundles.load(path).manifest
    pages = write_report(report, bundle, manifest.id)
    typer.echo("\n".join([*first_lines(report.run), *pages]), err=True)
    facts = msgspec.structs.asdict(manifest) | recommended_facts(report.run)
    show_json(facts) if as_json else typer.echo("\n".join([*recommended_lines(report.run), path]))
    if report.run.verdict == "rejected":
        raise typer.Exit(REJECTED)
    raise typer.Exit(1 if rows.bad else 0)


def training_options(
    verb: str, use_case: "Declared", files: Sequence[str], like: Sequence[str] | None, seed: int, now: datetime,
    cleaned: "Sequence[CleaningCount]", keeps_scores: bool,
) -> "TrainingOptions":  # fmt: skip
    """Return the options of a training that shows its stages on stderr."""
    from training.origin import origin
    from training.steps import TrainingOptions

    return TrainingOptions(
        seed=seed, created_at=now, cleaning=tuple(cleaned), origin=origin(verb, files), keeps_scores=keeps_scores,
        to_be_scored=replayed_like(use_case, like), progress=lambda stage: typer.echo(stage, err=True),
    )  # fmt: skip


def write_report(report: "Report", root: str, bundle_id: str) -> list[str]:
    """Write the report of a bundle beside the bundles; return lines that name its files."""
    from export.storage import join
    from training.report.page import write

    return report_lines(write(report, join(root, "reports", bundle_id)))


def recommended_facts(run: "Run") -> dict[str, object]:
    """Return what the replayed policy did, and the warnings, for JSON; figures that cannot be had are null."""
    import msgspec

    from training.report.levels import warnings

    plain = msgspec.json.decode(msgspec.json.encode(run.evaluation.recommendations))
    return {"recommendations": plain, "warnings": warnings(run)}


def recommended_lines(run: "Run") -> list[str]:
    """Return a short table of what the replayed policy did, and the warnings."""
    from training.report.levels import rows, warnings

    titles = ("the policy, replayed over held-out scores", "")
    recommendations = run.evaluation.recommendations
    shown = [table(titles, rows(recommendations))] if recommendations else []
    return [*shown, *(f"WARNING: {warning}" for warning in warnings(run))]


def replayed_like(use_case: "Declared", files: Sequence[str] | None) -> "Iterable[Replayed] | None":
    """Return the replayed events of files that are to be scored; None without files. Bad rows go to stderr."""
    from training.data.files import read_all
    from training.data.replaying import replay_rows

    if not files:
        return None
    rows = read_all(use_case, files, time.time_ns() // 1000)
    tell_bad_rows(rows.bad[:SHOWN_BAD_ROWS], len(rows.bad))
    return replay_rows(use_case, rows)
