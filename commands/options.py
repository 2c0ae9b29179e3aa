"""Options that mean the same for every verb, and examples in help texts."""

import os
import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

import usecases


class Log(StrEnum):
    """How the log looks."""

    TEXT = "text"
    JSON = "json"


def set_log(form: Log, verbose: bool) -> None:
    """For this process and those that it starts."""
    from pipeline.runtime import logging_setup

    os.environ[logging_setup.FORM] = form.value
    if verbose:
        os.environ[logging_setup.LEVEL] = "INFO"
    logging_setup.configure()


def examples(*lines: str) -> str:
    return "\n".join(("\b", "Examples:", *(f"  {line}" for line in lines)))


def by_name(kind: str, help: str) -> Any:
    """An option whose default is made from the use case's name."""
    return typer.Option(help=help, show_default=f"USE_CASE-{kind}")


def place(text: str) -> str:
    """A file that is there, or a table (bq://...), which is looked for when it is read; TYPE= may stand before it."""
    where = text if Path(text).is_file() else re.sub(r"^[A-Za-z]\w*=", "", text)
    if not where.startswith("bq://") and not Path(where).is_file():
        raise typer.BadParameter(f"found no file {text!r}; expected a file or bq://PROJECT.DATASET.TABLE")
    return text


def use_case_file(text: str) -> Path:
    """Return the file of a use case, given by name or path."""
    try:
        return usecases.find(text)
    except FileNotFoundError as error:
        raise typer.BadParameter(str(error)) from None


FILES: Any = typer.Argument(
    parser=place,
    metavar="FILE",
    help="CSV, JSONL or Parquet files, or bq://PROJECT.DATASET.TABLE; TYPE=FILE where the columns fit several "
    "event types.",
)
Files = Annotated[list[str], FILES]
UseCase = Annotated[
    Path,
    typer.Option(
        "--use-case",
        envvar="RISKSTREAM_USE_CASE",
        parser=use_case_file,
        metavar="NAME_OR_FILE",
        help=f"The use case: a file, or the name of a packaged one ({', '.join(usecases.names())}).",
    ),
]
OFFBOARDING = Path(usecases.DEFAULT)
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Folder = Annotated[Path, typer.Option(help="Where the local stack keeps state, logs and data.")]
Project = Annotated[str, typer.Option(envvar="GOOGLE_CLOUD_PROJECT", help="The Google Cloud project.")]
Dataset = Annotated[str, typer.Option(help="The dataset in BigQuery.")]
Location = Annotated[str, typer.Option(help="Where the dataset is made if it is not there.")]
BundleRoot = Annotated[
    str,
    typer.Option(envvar="RISKSTREAM_BUNDLE", help="The folder of bundles, or one bundle; local or gs://."),
]
BUNDLES = "build/bundles"
KeepsScores = Annotated[
    bool,
    typer.Option(
        "--scores/--no-scores",
        help="Keep the held-out scores of all rows, with ids of customers and events, beside the report and in the "
        "registry: scores.parquet.",
    ),
]
Like = Annotated[
    list[str] | None,
    typer.Option(
        parser=place,
        metavar="FILE",
        help="Files that are to be scored, one each time: features that say nothing in them (missing or constant "
        "columns) are left out of the model.",
    ),
]
STACK = Path(".riskstream")
