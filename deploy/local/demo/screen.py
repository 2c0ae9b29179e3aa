"""What a person sees of the demo: steps with their time, a live view of the stream; plain lines where nobody looks."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from deploy.local.demo.alerts import Alerts, Seen
from deploy.local.demo.job import Job
from pipeline.runtime.process_metrics import Status

SHOWN_ALERTS = 12
REFRESHES_PER_S = 4.0
LINE_S = 3.0  # between two lines where no person looks
STEP_WIDTH = 66
COLOURS = {"LOW": "green", "MEDIUM": "yellow", "HIGH": "red"}


@dataclass
class Streaming:
    """The stream as it goes: rendered anew several times a second."""

    job: Job
    alerts: Alerts
    total: int
    published: int = 0
    said: Status | None = None

    def look(self) -> None:
        self.said = self.job.status()

    def __rich__(self) -> RenderableType:
        assessed = min(self.said.events if self.said else 0, self.total)
        bars = Table.grid(padding=(0, 1))
        bars.add_row("  published", ProgressBar(self.total, self.published, width=40), self.share())
        bars.add_row("  assessed", ProgressBar(self.total, assessed, width=40), self.pace())
        table = Table("event time", "customer", "level", "what", "score", "after", box=None, padding=(0, 2))
        for seen in self.alerts.latest(SHOWN_ALERTS):
            table.add_row(*cells(seen))
        return Group(bars, Text(f"\n  {len(self.alerts.by_id):,} alerts, the latest:"), table)

    def share(self) -> str:
        return f"{self.published:,} of {self.total:,}"

    def pace(self) -> str:
        return f"{self.said.events:,}, {self.said.events_per_s:,.0f} events/s" if self.said else ""

    def line(self) -> str:
        """The same for where no person looks."""
        parts = [
            f"  published {self.share()}",
            f"assessed {self.pace()}",
            f"{len(self.alerts.by_id):,} alerts",
        ]
        for seen in self.alerts.latest(1):
            parts.append(f"the latest: {seen.alert.customer} {seen.alert.level_before} to {seen.alert.level}")
        return "; ".join(parts)


def cells(seen: Seen) -> list[Text]:
    """An alert as a row of the table."""
    alert = seen.alert
    before, after = ((level, COLOURS.get(level, "")) for level in (alert.level_before, alert.level))
    return [
        Text(alert.event_time[:19].replace("T", " ")),
        Text(alert.customer),
        Text.assemble(before, " to ", after),
        Text(alert.transition or ""),
        Text("" if alert.score is None else f"{alert.score:.3f}"),
        Text(f"{seen.after_ms:,.0f} ms"),
    ]


@dataclass
class Screen:
    """Where the demo tells what it does."""

    console: Console
    last_line_s: float = field(default=float("-inf"))

    def say(self, text: str = "") -> None:
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        """One step, and how long it took."""
        began_s = time.monotonic()
        if self.console.is_terminal:
            with self.console.status(what):
                yield
        else:
            yield
        self.say(f"{what:<{STEP_WIDTH}} {time.monotonic() - began_s:6.1f} s")

    @contextmanager
    def live(self, view: Streaming) -> Iterator[None]:
        """The stream for as long as the block lasts."""
        if not self.console.is_terminal:
            yield
            return
        with Live(view, console=self.console, refresh_per_second=REFRESHES_PER_S, transient=True):
            yield

    def show(self, view: Streaming) -> None:
        """Asks the job how it is; called often, does so now and then."""
        now_s = time.monotonic()
        pause_s = 1 / REFRESHES_PER_S if self.console.is_terminal else LINE_S
        if now_s - self.last_line_s >= pause_s:
            self.last_line_s = now_s
            view.look()
            if not self.console.is_terminal:
                self.say(view.line())
