"""The state of a running system: status."""

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from commands.flags import with_settings
from commands.options import OFFBOARDING, AsJson, UseCase, examples
from commands.terminal import labelled
from pipeline.operations.settings import StatusSettings

if TYPE_CHECKING:
    from pipeline.operations.status import JobReport, StatusReport, SubscriptionBacklog, Unknown
    from pipeline.runtime.process_metrics import JobStatus
    from pipeline.stores.health import StoreHealth
    from pipeline.stores.population import Population
    from pipeline.stores.readiness import Marker

Part = TypeVar("Part")
app = typer.Typer()
WATCH_S = 2.0
NOT_SOUND = 5  # the exit code, as for a Redis that cannot be reached


@app.command(epilog=examples("riskstream status", "riskstream status --watch", "riskstream status --json"))
@with_settings
def status(
    settings: StatusSettings,
    use_case: UseCase = OFFBOARDING,
    watch: Annotated[bool, typer.Option("--watch", help="Show it again and again, until Ctrl-C.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the backlog, the job's throughput, the state of Redis, customers by level, and dead letters by reason.

    A part that cannot be asked says why, and the others are shown all the same. The exit code is 5 if Redis does not
    hold what was written to it: it was emptied, has lost records, or is being filled or repaired.
    """
    from features.usecase import load
    from pipeline.operations.status import status

    loaded = load(use_case)
    if watch and not as_json:
        _watch(lambda: status(loaded, settings))
    report = status(loaded, settings)
    typer.echo(report.to_json() if as_json else text_of(report))
    raise typer.Exit(0 if report.is_sound else NOT_SOUND)


def _watch(ask: Callable[[], "StatusReport"]) -> None:
    """Show the status again and again, until interrupted."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console = Console()
    with Live(Text(text_of(ask())), console=console, auto_refresh=False, screen=console.is_terminal) as live:
        while True:
            time.sleep(WATCH_S)
            live.update(Text(text_of(ask())), refresh=True)


def text_of(status: "StatusReport") -> str:
    """Return all parts below each other; one that is unknown says why."""
    return labelled({
        "use case": f"{status.use_case}, features {status.fingerprint}, {status.at}",
        "backlog": _known(status.backlog, _backlog),
        "job": _known(status.job, _job),
        "store": _known(status.store, _store),
        "customers": _known(status.customers, _customers),
        "filled": _known(status.filled, lambda markers: _filled(markers, status.fingerprint)),
        "dead letters": _known(status.dead_letters, _counts),
    })  # fmt: skip


def _known(part: "Part | Unknown", show: Callable[[Part], str]) -> str:
    from pipeline.operations.status import Unknown

    if isinstance(part, Unknown):
        reason: str = part.unknown
        return reason
    return show(part)


def _backlog(waiting: "tuple[SubscriptionBacklog, ...]") -> str:
    lines = (f"{b.subscription}: {b.messages:,} messages, the oldest {b.oldest_s:,.1f} s" for b in waiting)
    return "\n".join(lines) or "no subscriptions: run `riskstream topics`"


def _job(job: "JobReport") -> str:
    status = job.status
    state = "running" if job.running else f"not running: silent for {job.written_s_ago:,.0f} s"
    if job.running and status.waiting_for:
        state = f"waiting for {status.waiting_for}"
    rejects = _counts(status.rejects)
    lines = [
        f"{state}, {status.events_per_s:,.0f} events/s, model {status.model or 'none yet'}, since {status.started_at}",
        f"{status.events:,} events, {status.duplicates:,} duplicates, {status.conflicts:,} conflicts, "
        f"{status.alerts:,} alerts",
        f"rejects: {rejects}",
    ]
    if status.owners > 1:
        lines.append(f"{status.owners} workers share the records of other entities, each owns some of them")
    if status.last_batch:
        lines.append(
            f"last batch: {status.last_batch.events:,} events, {status.last_batch.lag_ms:,.0f} ms after publishing"
        )
    if status.unacknowledged:
        lines.append(_undelivered(status))
    return "\n".join(lines)


def _undelivered(status: "JobStatus") -> str:
    """Describe what waits to be delivered, in words."""
    memory_mib, disk_mib = status.rows_waiting_bytes / 2**20, status.rows_spilled_bytes / 2**20
    paused = "; no more are pulled for now" if status.pulling_paused else ""
    return (
        f"{status.unacknowledged:,} messages not acknowledged; rows that wait for BigQuery: {memory_mib:,.1f} MiB in "
        f"memory, {disk_mib:,.1f} MiB in files{paused}"
    )


def _store(store: "StoreHealth") -> str:
    writers = [
        f"{each.name}: {'paused' if each.is_paused else 'writes'}"
        + (f", {each.undelivered} batches under way" if each.undelivered else "")
        + ("" if each.is_alive else ", silent")
        for each in store.writers
    ]
    return "\n".join([store.words, *writers])


def _customers(customers: "Population") -> str:
    scope = "all" if customers.complete else "the first found, there are more"
    weight = (
        "" if customers.bytes_per_customer is None else f", {customers.bytes_per_customer:,.0f} bytes each"
    )
    limit = f" of {customers.redis_limit_bytes:,}" if customers.redis_limit_bytes else ""
    levels = _counts(customers.levels)
    memory = f"Redis uses {customers.redis_bytes:,} bytes{limit}"
    return f"{levels} ({customers.looked_at:,} looked at, {scope}{weight})\n{memory}"


def _filled(markers: "Mapping[str, Marker]", fingerprint: str) -> str:
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
