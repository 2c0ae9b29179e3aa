"""What a person sees of publishing, alerts and status: progress, tables, live views. Nothing here decides.

Results go to stdout; progress goes to stderr, and only where a person looks.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars
from rich.table import Table
from rich.text import Text

from pipeline.files.history import Progress
from pipeline.operations.follow_alerts import Followed
from pipeline.operations.publish_file import Published
from pipeline.operations.status import JobReport, StatusReport, SubscriptionBacklog, Unknown
from pipeline.outputs.publications import Alert
from pipeline.runtime.printable import printable, printable_lines
from pipeline.stores.health import StoreHealth
from pipeline.stores.population import Population
from pipeline.stores.readiness import Marker

SHOWN_ALERTS = 20  # the latest, while following
REFRESHES_PER_S = 4.0
COLOURS = {"LOW": "green", "MEDIUM": "yellow", "HIGH": "red"}
Part = TypeVar("Part")


class RateColumn(ProgressColumn):
    """Events a second of late."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:,.0f}/s" if task.speed else "", style="cyan")


@contextmanager
def publishing() -> Iterator[Progress]:
    """A progress bar for `publish`, on stderr, gone when the block ends."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), RateColumn(),
               TimeRemainingColumn())  # fmt: skip
    console = Console(stderr=True)
    with Bars(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        tasks: dict[str, TaskID] = {}

        def show(stage: str, done: int, total: int | None) -> None:
            if stage not in tasks:
                for earlier in tasks.values():
                    bars.stop_task(earlier)
                tasks[stage] = bars.add_task(stage, total=total)
            bars.update(tasks[stage], completed=done, total=total)

        yield show


def published(done: Published) -> RenderableType:
    """The bad rows as a table, if any, and one line that sums up."""
    kinds = list(done.by_type)
    counts = [f"{count:,} {kind}" for kind, count in done.by_type.items()]
    as_what = (
        kinds[0] if len(kinds) == 1 else " and ".join(filter(None, (", ".join(counts[:-1]), *counts[-1:])))
    )
    line = (
        f"published {done.published:,} of {done.rows:,} rows{f' as {as_what} events' if kinds else ''} in "
        f"{done.seconds:,.1f} s ({done.events_per_s:,.0f}/s)"
    )
    if not done.bad:
        return Text(line)
    table = Table("file", "line", "reason", "what is wrong", box=None, title_justify="left")
    for place, row in done.bad_rows:
        table.add_row(Text(printable(str(place))), str(row.line), row.reason, Text(printable(row.detail)))
    more = done.bad - len(done.bad_rows)
    rest = [Text(f"... and {more:,} more")] if more else []
    return Group(table, *rest, Text(f"{line}; {done.bad:,} bad rows were not published"))


def show_alerts(alerts: Iterable[Followed], console: Console) -> int:
    """The latest alerts as a table, live, until there are no more. Returns how many there were."""
    latest: deque[Followed] = deque(maxlen=SHOWN_ALERTS)
    count = 0
    with Live(_alerts(latest, 0), console=console, refresh_per_second=REFRESHES_PER_S) as live:
        for one in alerts:
            count += 1
            latest.append(one)
            live.update(_alerts(latest, count))
    return count


def alert_line(one: Followed) -> str:
    """The same for where no person looks."""
    return "  ".join(cell.plain for cell in _cells(one.alert))


def _alerts(latest: Iterable[Followed], count: int) -> RenderableType:
    table = Table("event time", "customer", "level", "transition", "score", "model", box=None)
    for one in latest:
        table.add_row(*_cells(one.alert))
    return Group(table, Text(f"{count:,} alerts; Ctrl-C ends", style="dim"))


def _cells(alert: Alert) -> list[Text]:
    before, after = (
        Text(printable(each), COLOURS.get(each, "")) for each in (alert.level_before, alert.level)
    )
    score = "" if alert.score is None else f"{alert.score:.3f}"
    time, customer, transition, model = (
        Text(printable(each))
        for each in (
            alert.event_time[:19].replace("T", " "),
            alert.customer,
            alert.transition or "",
            alert.model,
        )
    )
    return [time, customer, Text.assemble(before, " -> ", after), transition, Text(score), model]


def watch(ask: Callable[[], StatusReport], wait: Callable[[], object], console: Console) -> None:
    """The status again and again, until interrupted."""
    with Live(status(ask()), console=console, auto_refresh=False, screen=console.is_terminal) as live:
        while True:
            wait()
            live.update(status(ask()), refresh=True)


def status(found: StatusReport) -> RenderableType:
    """All parts below each other; what is unknown says why."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    table.add_row("use case", f"{found.use_case}, features {found.fingerprint}, {found.at}")
    table.add_row("backlog", _known(found.backlog, _backlog))
    table.add_row("job", _known(found.job, _job))
    table.add_row("store", _known(found.store, _store))
    table.add_row("customers", _known(found.customers, _customers))
    table.add_row("filled", _known(found.filled, lambda markers: _filled(markers, found.fingerprint)))
    table.add_row("dead letters", _known(found.dead_letters, _counts))
    return table


def _known(part: Part | Unknown, show: Callable[[Part], str]) -> Text:
    if isinstance(part, Unknown):
        return Text(printable_lines(part.unknown), style="dim")
    return Text(printable_lines(show(part)))


def _backlog(waiting: tuple[SubscriptionBacklog, ...]) -> str:
    lines = (f"{b.subscription}: {b.messages:,} messages, the oldest {b.oldest_s:,.1f} s" for b in waiting)
    return "\n".join(lines) or "no subscriptions: run `riskstream topics`"


def _job(job: JobReport) -> str:
    said = job.said
    state = "running" if job.running else f"not running: silent for {job.written_s_ago:,.0f} s"
    if job.running and said.waiting_for:
        state = f"waiting for {said.waiting_for}"
    rejects = _counts(said.rejects)
    lines = [
        f"{state}, {said.events_per_s:,.0f} events/s, model {said.model or 'none yet'}, since {said.started_at}",
        f"{said.events:,} events, {said.duplicates:,} duplicates, {said.conflicts:,} conflicts, {said.alerts:,} alerts",
        f"rejects: {rejects}",
    ]
    if said.last_batch:
        lines.append(
            f"last batch: {said.last_batch.events:,} events, {said.last_batch.lag_ms:,.0f} ms after publishing"
        )
    return "\n".join(lines)


def _store(found: StoreHealth) -> str:
    writers = [
        f"{each.name}: {'paused' if each.is_paused else 'writes'}"
        + (f", {each.undelivered} batches under way" if each.undelivered else "")
        + ("" if each.is_alive else ", silent")
        for each in found.writers
    ]
    return "\n".join([found.words, *writers])


def _customers(found: Population) -> str:
    of = "all" if found.complete else "the first found, there are more"
    weight = "" if found.bytes_per_customer is None else f", {found.bytes_per_customer:,.0f} bytes each"
    limit = f" of {found.redis_limit_bytes:,}" if found.redis_limit_bytes else ""
    levels = _counts(found.levels)
    return f"{levels} ({found.looked_at:,} looked at, {of}{weight})\nRedis uses {found.redis_bytes:,} bytes{limit}"


def _filled(markers: Mapping[str, Marker], fingerprint: str) -> str:
    return (
        "\n".join(
            f"{name}{' (these features)' if name == fingerprint else ''}: {marker.how}, {marker.at}"
            + (f", {marker.events:,} events" if marker.events else "")
            for name, marker in sorted(markers.items(), key=lambda pair: pair[1].at)
        )
        or "nothing"
    )


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items()) or "none"
