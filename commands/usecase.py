"""Use case files: usecase check, usecase init."""

from collections.abc import Callable, Iterator
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from commands.options import AsJson, examples, use_case_file
from commands.terminal import show_json, table
from commands.times import now_us
from commands.verbs import Group

if TYPE_CHECKING:
    from features.usecase import Fault, Look
    from training.draft import Draft

app = typer.Typer()
WRONG = 3  # the exit code: see EXITS
usecase = typer.Typer(cls=Group, help="Draft and check use case files.", no_args_is_help=True)
app.add_typer(usecase, name="usecase", epilog=examples("riskstream usecase check usecases/offboarding.yaml"))
IdColumns = Annotated[
    list[str] | None,
    typer.Option(metavar="COLUMN", help="A column of an event's id; repeat the flag for several."),
]
TimeColumns = Annotated[
    list[str] | None,
    typer.Option(
        metavar="COLUMN", help="The column that dates an event; once for each file, if they differ."
    ),
]


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

    For a wrong file, every fault is printed with its line and what was probably meant, and the exit code is 3.
    """
    from features.usecase import feature_rows, in_order, kept, load

    if faults := list(faults_of(file)):
        if not as_json:
            raise in_order(faults)
        show_json({"faults": [asdict(fault) for fault in in_order(faults).faults]})
        raise typer.Exit(WRONG)
    loaded = load(file)
    titles = ("feature", "entity", "window", "fields", "meaning")
    rows = [(row.feature, row.entity, row.window, row.fields, row.meaning) for row in feature_rows(loaded)]
    if as_json:
        facts = {"use_case": loaded.name, "fingerprint": loaded.fingerprint, "entities": loaded.entities}
        show_json(
            facts
            | {"records_kept": kept(loaded.plans)}
            | {"features": [dict(zip(titles, row, strict=True)) for row in rows]}
        )
        return
    typer.echo(table(titles, rows))
    records = ", ".join(f"{entity} {words}" for entity, words in kept(loaded.plans).items())
    typer.echo(
        f"\n{loaded.name}: {len(rows)} features, fingerprint {loaded.fingerprint}; records kept: {records}"
    )


@usecase.command(
    epilog=examples(
        "riskstream usecase init build/payments.csv --name payments",
        "riskstream usecase init build/users.csv build/payments.csv --subject user_id --label fraud=1 --out bank.yaml",
    )
)
def init(
    files: Annotated[
        list[Path],
        typer.Argument(
            exists=True,
            dir_okay=False,
            metavar="FILE",
            help="CSV, JSONL or Parquet files; each is one type of events.",
        ),
    ],
    name: Annotated[
        str, typer.Option(help="The name of the use case.", show_default="that of the first file")
    ] = "",
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The file to write.", show_default="NAME.yaml")
    ] = None,
    subject: Annotated[
        str, typer.Option(metavar="COLUMN", help="The column that names the customer; all files need it.")
    ] = "",
    id: IdColumns = None,
    time: TimeColumns = None,
    label: Annotated[
        str, typer.Option(metavar="COLUMN=VALUE", help="The column to predict, and its positive value.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Draft a use case from files of events.

    Types, formats and missing values are read from the data. The command asks for what the data cannot tell. What it
    assumes is printed and stands as a comment in the file. TYPE.COLUMN names a column of one file, where TYPE is the
    name of the file.
    """
    from training.draft import Asked, CannotDraft, draft, sample

    first = sample(files[0])
    name = name or first.event_type
    if (out := out or Path(f"{name}.yaml")).exists():
        raise typer.BadParameter(f"{out} exists; remove it, or name another file", param_hint="--out")
    try:
        asked = Asked(subject, tuple(id or ()), tuple(time or ()), label)
        made = draft([first, *map(sample, files[1:])], name, asked, now_us())
    except CannotDraft as error:
        raise typer.BadParameter(str(error)) from None
    out.write_text(made.text, encoding="utf-8")
    show_json(_facts(made, out)) if as_json else typer.echo("\n".join(_lines(made, out)))


def _facts(made: "Draft", out: Path) -> dict[str, object]:
    checked = [
        {"file": str(each.path), "event_type": each.event_type, "good": each.good, "bad": each.bad}
        for each in made.checked
    ]
    return {"use_case": str(out), "assumed": list(made.assumed), "checked": checked}


def _lines(made: "Draft", out: Path) -> Iterator[str]:
    for text in made.assumed:
        yield f"assumed: {text}"
    for each in made.checked:
        refused = f", {each.bad:,} rows do not fit ({each.first})" if each.bad else ""
        yield f"{each.path}: {each.good:,} rows fit {each.event_type}{refused}"
    named = " ".join(f"{each.event_type}={each.path}" for each in made.checked)
    yield f"\nwrote {out}; next: read it, then\n  riskstream usecase check {out}"
    yield f"  riskstream profile {named} --use-case {out}\n  riskstream train {named} --use-case {out}"


def faults_of(file: Path) -> "Iterator[Fault]":
    """Collect the faults that every room finds in its own sections of the file."""
    from export.policy import terms
    from features.usecase import BadUseCase, look

    try:
        looked = look(file)
    except BadUseCase as error:
        yield from error.faults
        return
    yield from looked.faults
    for read in (
        lambda: terms(looked.policy, str(file), looked.features),
        *_readers_of_model(looked, str(file)),
    ):
        try:
            read()
        except BadUseCase as error:
            yield from error.faults


def _readers_of_model(looked: "Look", file: str) -> tuple[Callable[[], object], ...]:
    """Return the readers of `model`; none where the training packages, which alone use it, are not installed."""
    if find_spec("sklearn") is None:
        return ()
    from training.champion.gates import GateSettings
    from training.data.splits import SplitSettings
    from training.models.parameters import Parameters

    model, usual = looked.model, "both" if looked.label_is_known_later else "group"
    return (
        lambda: Parameters.of(model, file),
        lambda: GateSettings.of(model.get("gates"), file),
        lambda: SplitSettings.read(file, model.get("split"), usual),
    )
