"""Output of the verbs: JSON, tables and progress. Results go to stdout, all else to stderr."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

from pipeline.runtime.printable import printable, printable_lines

if TYPE_CHECKING:
    from pipeline.files import BadRow


def show_outcomes(outcomes: Iterable[Any], as_json: bool) -> None:
    rows = [(each.action, each.kind, each.name) for each in outcomes]
    titles = ("action", "kind", "name")
    show_json([dict(zip(titles, row, strict=True)) for row in rows]) if as_json else typer.echo(
        table(titles, rows)
    )


def show_json(value: object) -> None:
    typer.echo(json.dumps(value, indent=2, default=plain))


def plain(value: object) -> object:
    """Return mappings and iterables, which JSON does not know, as dicts and lists, and the rest by its name."""
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, Iterable) else str(value)


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Align columns for the eye and for awk; control characters of a cell are shown, not sent to the terminal."""
    lines = [[printable(cell) for cell in row] for row in (titles, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def echo_each(lines: Iterable[str]) -> None:
    """Print lines as they come; control characters are shown, not sent to the terminal."""
    for line in lines:
        typer.echo(printable_lines(line))


def show_error(error: Exception) -> None:
    """Print what an error says to stderr, each of its lines after the program's name."""
    for line in printable_lines(str(error)).splitlines():
        typer.echo(f"riskstream: {line}", err=True)


@contextmanager
def staged() -> Iterator[Callable[[str, int, int | None], None]]:
    """Show progress bars on stderr; the callback takes stage, done, and the total if known."""
    from pipeline.runtime.terminal import progress_bars

    with progress_bars() as show:
        yield show


@contextmanager
def bar(unit: str) -> Iterator[Callable[[int, int], None]]:
    """Show one progress bar on stderr; the callback takes done and total."""
    with staged() as show:
        yield lambda done, total: show(unit, done, total)


def labelled(parts: Mapping[str, str]) -> str:
    """Align texts behind their labels; further lines of a text are indented."""
    width = max(map(len, parts)) + 2
    return "\n".join(
        f"{label if first else '':<{width}}{line}"
        for label, text in parts.items()
        for first, line in ((i == 0, line) for i, line in enumerate(printable_lines(text).splitlines()))
    )


def tell_bad_rows(rows: "Sequence[tuple[object, BadRow]]", bad: int) -> None:
    """The first of the bad rows, by file and line, and how many more there are; to stderr."""
    for file, row in rows:
        typer.echo(printable(f"{file}:{row.line}: {row.reason}: {row.detail}"), err=True)
    if bad > len(rows):
        typer.echo(f"and {bad - len(rows):,} more bad rows", err=True)


def report_lines(paths: Sequence[str]) -> list[str]:
    """Return lines that name the report, and the held-out scores beside it if they were kept."""
    scores = [f"held-out scores: {path}" for path in paths if path.endswith(".parquet")]
    return [f"report: {paths[0]}", *scores]
