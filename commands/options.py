"""Options that mean the same for every verb, and examples in help texts."""

import os
import re
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

import usecases
from commands.flags import option
from commands.times import FORMATS
from pipeline.bigquery.settings import PROJECT
from pipeline.engine import settings as engine

EXAMPLE_WIDTH = 70  # with indents and a backslash it fits 80 columns


class LogFormat(StrEnum):
    """The format of the log."""

    TEXT = "text"
    JSON = "json"


def set_log(form: LogFormat, verbose: bool) -> None:
    """For this process and those that it starts."""
    from pipeline.runtime import logging_setup

    os.environ[logging_setup.FORM] = form.value
    if verbose:
        os.environ[logging_setup.LEVEL] = "INFO"
    logging_setup.configure()


def examples(*lines: str) -> str:
    """Return the examples of a verb for its help, long lines folded as a shell takes them."""
    return "\n".join(("\b", "Examples:", *(f"  {_folded(line)}" for line in lines)))


def _folded(line: str) -> str:
    """Return a command of which no line is longer than help may be; a flag stays with its value, quotes stay whole."""
    rows = [""]
    for words in re.findall(r"-{1,2}\w[\w-]* (?!-)(?:[^\s']|'[^']*')+|(?:[^\s']|'[^']*')+", line):
        if len(rows[-1]) + len(words) > EXAMPLE_WIDTH and rows[-1].strip():
            rows.append("     ")
        rows[-1] += f" {words}" if rows[-1] else words
    return " \\\n".join(rows)


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
Folder = Annotated[Path, typer.Option(help="The folder with state, logs and data of the local stack.")]
Project = Annotated[str, option(PROJECT)]
BundleRoot = Annotated[str, option(engine.BUNDLE)]
BUNDLES = engine.BUNDLES
EventTime = Annotated[
    datetime | None,
    typer.Option(
        formats=FORMATS,
        metavar="TIME",
        help="The time of events that have none of their own.",
        show_default="the earliest time of the others",
    ),
]
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
