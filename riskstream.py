"""The command line. A verb imports what it runs only when it runs: `riskstream --help` takes no half second.

Results go to stdout (as JSON with --json), everything else to stderr. An error of a known kind ends as one
line and the exit code of the table EXITS; anything else is a defect and keeps its traceback.
"""

import json
import logging
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer


class Exit(NamedTuple):
    """An exit code, what it means, and the errors (by module and name, not imported here) that end in it."""

    code: int
    meaning: str
    errors: tuple[str, ...] = ()


EXITS = (
    Exit(0, "done"),
    Exit(1, "done, but something is wrong: rows that cannot be used, figures that do not reconcile"),
    Exit(2, "wrong flags or arguments", ("BadSettings",)),
    Exit(3, "the use case file is wrong", ("BadUseCase",)),
    Exit(4, "the bundle is damaged, or is not for this use case", ("BundleMismatch", "ParityError")),
    Exit(
        5,
        "Redis, Pub/Sub or BigQuery cannot be reached",
        ("StoreUnavailable", "SinkUnavailable", "PubSubUnavailable", "ServiceUnavailable", "RetryError"),
    ),
    Exit(
        6,
        "topics, tables or the local stack are missing or are others, or they may not be used",
        ("TableMismatch", "SinkRefused", "PubSubUnusable", "PubSubRefused", "StackError", "GoogleAPICallError",
         "DefaultCredentialsError"),
    ),
    Exit(7, "there is nothing to learn from in these files", ("BadHistory",)),
    Exit(130, "interrupted"),
)  # fmt: skip


def examples(*lines: str) -> str:
    return "\n".join(("\b", "Examples:", *(f"  {line}" for line in lines)))


app = typer.Typer(
    name="riskstream",
    help="Scores a bank's events as they come: rolling features in Redis, ONNX models, Apache Beam.",
    epilog="\n".join(("\b", "Exit codes:", *(f"  {each.code:>3}  {each.meaning}" for each in EXITS))),
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
usecase = typer.Typer(help="Look at a use case file.", no_args_is_help=True)
app.add_typer(usecase, name="usecase", epilog=examples("riskstream usecase check usecases/offboarding.yaml"))

UseCaseFile = Annotated[Path, typer.Argument(metavar="USE_CASE", help="The use case file.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Folder = Annotated[Path, typer.Option(help="Where the local stack keeps state, logs and data.")]
Project = Annotated[str, typer.Option(envvar="GOOGLE_CLOUD_PROJECT", help="The Google Cloud project.")]
Dataset = Annotated[str, typer.Option(help="The dataset in BigQuery.")]
Location = Annotated[str, typer.Option(help="Where the dataset is made if it is not there.")]
STACK = Path(".riskstream")


@app.callback()
def settings(
    context: typer.Context,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log what happens, to stderr.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of every error.")] = False,
) -> None:
    form = "%(asctime)s %(levelname)s %(name)s: %(message)s"
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, format=form)
    context.obj = debug


@app.command(epilog=examples('eval "$(riskstream up)"', "riskstream up --json"))
def up(folder: Folder = STACK, as_json: AsJson = False) -> None:
    """Start Redis, Pub/Sub and BigQuery on free ports of this machine; print the environment that finds them.

    May be repeated: what runs is kept, what died is started again. A service whose variable is set
    (REDIS_URL, PUBSUB_EMULATOR_HOST, BIGQUERY_EMULATOR_HOST) is used as it is and not started.
    """
    from deploy.local import stack

    found = stack.up(folder)
    if as_json:
        show_json({"services": map(asdict, found.services), "environment": found.environment})
        return
    rows = [(each.name, each.state, ", ".join(map(str, each.ports))) for each in found.services]
    typer.echo(table(("service", "state", "ports"), rows), err=True)
    typer.echo(stack.exports(found.environment))


@app.command(epilog=examples("riskstream down"))
def down(folder: Folder = STACK, as_json: AsJson = False) -> None:
    """Stop what `riskstream up` started, and nothing else; data stay for the next time."""
    from deploy.local import stack

    found = stack.down(folder)
    if as_json:
        show_json(map(asdict, found))
    elif found:
        typer.echo(table(("service", "was"), [(each.name, each.state) for each in found]))
    else:
        typer.echo(f"nothing was up in {folder}")


@app.command(epilog=examples('eval "$(riskstream env)"', "riskstream env --json"))
def env(folder: Folder = STACK, as_json: AsJson = False) -> None:
    """Print the environment with which clients find the local stack, for a shell to evaluate."""
    from deploy.local import stack

    found = stack.environment(folder)
    show_json(found) if as_json else typer.echo(stack.exports(found))


@usecase.command(
    epilog=examples(
        "riskstream usecase check usecases/offboarding.yaml",
        "riskstream usecase check usecases/offboarding.yaml --json | jq -r .fingerprint",
    )
)
def check(use_case: UseCaseFile, as_json: AsJson = False) -> None:
    """Read a use case file and print its features, in the order of the vector, and their fingerprint."""
    from export.terms import terms
    from features.usecase import feature_rows, load

    found = load(use_case)
    terms(found.policy, found.file)
    titles = ("feature", "entity", "window", "fields", "meaning")
    rows = [(row.feature, row.entity, row.window, row.fields, row.meaning) for row in feature_rows(found)]
    if as_json:
        facts = {"use_case": found.name, "fingerprint": found.fingerprint, "entities": found.entities}
        show_json(facts | {"features": [dict(zip(titles, row, strict=True)) for row in rows]})
        return
    typer.echo(table(titles, rows))
    typer.echo(f"\n{found.name}: {len(rows)} features, fingerprint {found.fingerprint}")


@app.command(
    epilog=examples(
        "riskstream generate --customers 2000 --days 120 --seed 7 --out build/history",
        "riskstream generate --out build/dirty --dirt duplicate_rows=0.035 --dirt late_rows=0.01",
    )
)
def generate(
    out: Annotated[Path, typer.Option(help="The folder to write to; it is made.")],
    customers: Annotated[int, typer.Option(min=1, help="How many customers.")] = 2000,
    days: Annotated[int, typer.Option(min=1, help="How many days of their lives.")] = 120,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same bytes.")] = 1,
    dirt: Annotated[list[str], typer.Option(metavar="NAME=RATE", help="What real exports do to rows.")] = [],  # noqa: B006
    as_json: AsJson = False,
) -> None:
    """Write synthetic customers and transactions in the off-boarding schema: users.csv, transactions.csv."""
    from training import generate as synthetic

    with bar("customers") as progress:
        found = synthetic.generate(customers, days, seed, out, dirt=rates(dirt), progress=progress)
    if as_json:
        show_json(asdict(found))
        return
    typer.echo(f"{found.customers} customers, {sum(found.suspended.values())} of them suspended")
    typer.echo(f"{found.transaction_rows} rows of {found.transaction_ids} transactions")
    typer.echo("\n".join(map(str, found.files)))


def rates(words: Sequence[str]) -> Any:
    """NAME=RATE ... as a Dirt."""
    from training.generate import Dirt

    try:
        return Dirt(**{name: float(rate) for name, _, rate in (word.partition("=") for word in words)})
    except (TypeError, ValueError) as error:
        names = ", ".join(Dirt.__dataclass_fields__)
        raise typer.BadParameter(
            f"{error}; expected a rate from 0 to 1 of one of: {names}", param_hint="--dirt"
        ) from None


@app.command(epilog=examples("riskstream topics usecases/offboarding.yaml --project my-project"))
def topics(use_case: UseCaseFile, project: Project, as_json: AsJson = False) -> None:
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


def show_outcomes(outcomes: Iterable[Any], as_json: bool) -> None:
    rows = [(each.action, each.kind, each.name) for each in outcomes]
    titles = ("action", "kind", "name")
    show_json([dict(zip(titles, row, strict=True)) for row in rows]) if as_json else typer.echo(
        table(titles, rows)
    )


def show_json(value: object) -> None:
    typer.echo(json.dumps(value, indent=2, default=plain))


def plain(value: object) -> Any:
    """What JSON does not know: mappings, iterables, and the rest by its name."""
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, Iterable) else str(value)


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns in line, for the eye and for awk."""
    lines = [titles, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


@contextmanager
def bar(unit: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on stderr for as long as the block lasts, if a person is looking; told (done, total)."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn(unit), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(unit, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def exit_code(error: BaseException) -> int | None:
    """The code for an error of a known kind, None for a defect."""
    names = [kind.__name__ for kind in type(error).__mro__]
    return next((each.code for name in names for each in EXITS if name in each.errors), None)


def main() -> None:
    """The console script."""
    try:
        app()
    except Exception as error:
        code = exit_code(error)
        if code is None or "--debug" in sys.argv:
            raise
        typer.echo(f"riskstream: {error}", err=True)
        sys.exit(code)


if __name__ == "__main__":
    main()
