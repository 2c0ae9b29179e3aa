"""Terminal output of the command line and the demo: progress bars, live tables, the colours of levels.

Progress goes to stderr, and only to a terminal. Import it where it is used: rich takes a tenth of a second.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from pipeline.runtime.printable import printable

REFRESHES_PER_S = 4.0  # of a live view
LEVEL_COLOURS = {"LOW": "green", "MEDIUM": "yellow", "HIGH": "red"}


class RateColumn(ProgressColumn):
    """Recent steps per second."""

    def render(self, task: Task) -> Text:
        """Return the pace of a task."""
        return Text(f"{task.speed:,.0f}/s" if task.speed else "", style="cyan")


@contextmanager
def progress_bars() -> Iterator[Callable[[str, int, int | None], None]]:
    """Show a bar for each stage while the block lasts; the callback takes stage, done, and the total if known."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), RateColumn(),
               TimeRemainingColumn())  # fmt: skip
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        tasks: dict[str, TaskID] = {}

        def show(stage: str, done: int, total: int | None) -> None:
            if stage not in tasks:
                for earlier in tasks.values():
                    bars.stop_task(earlier)
                tasks[stage] = bars.add_task(stage, total=total)
            bars.update(tasks[stage], completed=done, total=total)

        yield show


def live_table(*titles: str) -> Table:
    """Return an empty table without borders, as all live views have it."""
    return Table(*titles, box=None, padding=(0, 2, 0, 0))


def level_change(before: str, after: str) -> Text:
    """Return a change of level, each level in its colour; control characters are shown, not sent."""
    old, new = (Text(printable(each), LEVEL_COLOURS.get(each, "")) for each in (before, after))
    return Text.assemble(old, " -> ", new)
