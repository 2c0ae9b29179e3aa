"""Display of the demo: steps with their time and a live view of the stream; plain lines without a terminal."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from deploy.local.demo.alerts import Alerts, ReceivedAlert
from deploy.local.demo.job import DemoJob
from pipeline.runtime.process_metrics import JobStatus
from pipeline.runtime.terminal import REFRESHES_PER_S, level_change, live_table

SHOWN_ALERTS = 12
LINE_S = 3.0  # between two lines without a terminal
STEP_WIDTH = 66


@dataclass
class Streaming:
    """The stream as it goes, rendered several times a second."""

    job: DemoJob
    alerts: Alerts
    total: int
    published: int = 0
    status: JobStatus | None = None

    def refresh(self) -> None:
        """Read the status of the job. Raises DemoFailed if it has ended."""
        self.status = self.job.status()

    def __rich__(self) -> RenderableType:
        assessed = min(self.status.events if self.status else 0, self.total)
        bars = Table.grid(padding=(0, 1))
        bars.add_row("  published", ProgressBar(self.total, self.published, width=40), self.share())
        bars.add_row("  assessed", ProgressBar(self.total, assessed, width=40), self.pace())
        table = live_table("event time", "customer", "level", "transition", "score", "after")
        for seen in self.alerts.latest(SHOWN_ALERTS):
            table.add_row(*cells(seen))
        return Group(bars, Text(f"\n  {len(self.alerts.by_id):,} alerts, the latest:"), table)

    def share(self) -> str:
        """Return how many events are published, and of how many."""
        return f"{self.published:,} of {self.total:,}"

    def pace(self) -> str:
        """Return how many events are assessed, and how many a second; "" before the first status."""
        return f"{self.status.events:,}, {self.status.events_per_s:,.0f} events/s" if self.status else ""

    def line(self) -> str:
        """Return the view as one line."""
        parts = [
            f"  published {self.share()}",
            f"assessed {self.pace()}",
            f"{len(self.alerts.by_id):,} alerts",
        ]
        for seen in self.alerts.latest(1):
            parts.append(f"the latest: {seen.alert.customer} {seen.alert.level_before} to {seen.alert.level}")
        return "; ".join(parts)


def cells(seen: ReceivedAlert) -> list[Text]:
    """Return an alert as a row of the table."""
    alert = seen.alert
    return [
        Text(alert.event_time[:19].replace("T", " ")),
        Text(alert.customer),
        level_change(alert.level_before, alert.level),
        Text(alert.transition or ""),
        Text("" if alert.score is None else f"{alert.score:.3f}"),
        Text(f"{seen.after_ms:,.0f} ms"),
    ]


@dataclass
class Screen:
    """The console of the demo."""

    console: Console
    last_line_s: float = field(default=float("-inf"))

    def say(self, text: str = "") -> None:
        """Print a line as it is, without markup."""
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Show one step, and how long it took."""
        began_s = time.monotonic()
        if self.console.is_terminal:
            with self.console.status(title):
                yield
        else:
            yield
        self.say(f"{title:<{STEP_WIDTH}} {time.monotonic() - began_s:6.1f} s")

    @contextmanager
    def live(self, view: Streaming) -> Iterator[None]:
        """Show the stream for as long as the block lasts."""
        if not self.console.is_terminal:
            yield
            return
        with Live(view, console=self.console, refresh_per_second=REFRESHES_PER_S, transient=True):
            yield

    def show(self, view: Streaming) -> None:
        """Refresh the view, at most several times a second; call it as often as you like."""
        now_s = time.monotonic()
        pause_s = 1 / REFRESHES_PER_S if self.console.is_terminal else LINE_S
        if now_s - self.last_line_s >= pause_s:
            self.last_line_s = now_s
            view.refresh()
            if not self.console.is_terminal:
                self.say(view.line())
