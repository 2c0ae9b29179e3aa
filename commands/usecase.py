"""Use case files: usecase check."""

from collections.abc import Callable, Iterator
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from commands.options import AsJson, examples, use_case_file
from commands.terminal import show_json, table

app = typer.Typer()
WRONG = 3  # the exit code: see EXITS
usecase = typer.Typer(help="Look at a use case file.", no_args_is_help=True)
app.add_typer(usecase, name="usecase", epilog=examples("riskstream usecase check usecases/offboarding.yaml"))


@usecase.command(
    epilog=examples(
        "riskstream usecase check offboarding",
        "riskstream usecase check usecases/offboarding.yaml --json | jq -r .fingerprint",
    )
)
def check(
    file: Annotated[
        Path,
        typer.Argument(
            parser=use_case_file,
            metavar="NAME_OR_FILE",
            help="The use case: a file, or the name of a packaged one.",
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Read a use case file and print its features, in the order of the vector, and their fingerprint.

    A wrong file is not: every fault of it is printed with its line and what was probably meant, and the exit code is 3.
    """
    from features.usecase import feature_rows, in_order, kept, load

    if faults := list(faults_of(file)):
        if not as_json:
            raise in_order(faults)
        show_json({"faults": [asdict(fault) for fault in in_order(faults).faults]})
        raise typer.Exit(WRONG)
    found = load(file)
    titles = ("feature", "entity", "window", "fields", "meaning")
    rows = [(row.feature, row.entity, row.window, row.fields, row.meaning) for row in feature_rows(found)]
    if as_json:
        facts = {"use_case": found.name, "fingerprint": found.fingerprint, "entities": found.entities}
        facts["records_kept"] = kept(found.plans)
        show_json(facts | {"features": [dict(zip(titles, row, strict=True)) for row in rows]})
        return
    typer.echo(table(titles, rows))
    records = ", ".join(f"{entity} {words}" for entity, words in kept(found.plans).items())
    typer.echo(
        f"\n{found.name}: {len(rows)} features, fingerprint {found.fingerprint}; records kept: {records}"
    )


def faults_of(file: Path) -> Iterator[Any]:
    """Collect the faults that every room finds in its own sections of the file."""
    from export.policy import terms
    from features.usecase import BadUseCase, look

    try:
        found = look(file)
    except BadUseCase as error:
        yield from error.faults
        return
    yield from found.faults
    for read in (
        lambda: terms(found.policy, str(file), found.features),
        *_readers_of_model(found, str(file)),
    ):
        try:
            read()
        except BadUseCase as error:
            yield from error.faults


def _readers_of_model(found: Any, file: str) -> tuple[Callable[[], object], ...]:
    """Nothing where the training packages are not installed: nobody can use the section there either."""
    if find_spec("sklearn") is None:
        return ()
    from training.champion.gates import GateSettings
    from training.data.splits import SplitSettings
    from training.models.parameters import Parameters

    model, usual = found.model, "both" if found.label_is_known_later else "group"
    return (
        lambda: Parameters.of(model, file),
        lambda: GateSettings.of(model.get("gates"), file),
        lambda: SplitSettings.read(file, model.get("split"), usual),
    )
