"""What the demo has to say at the end."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.reconciliation import compare
from pipeline.reconciliation.reconcile import Reconciliation


@dataclass(frozen=True)
class Summary:
    """The figures. Milliseconds are from an event's publish time to its alert's, both of the Pub/Sub server."""

    messages: int
    events: int
    assessments: int
    repeated_rows: int
    alerts: Mapping[str, int]  # by kind
    dead_letters: Mapping[str, int]  # by reason
    events_per_s: float
    alert_p50_ms: float | None
    alert_p99_ms: float | None
    answers: int  # of the REST service; milliseconds as its caller saw them
    answer_p50_ms: float | None
    answer_p99_ms: float | None
    highest_answer: str
    customers: int
    redis_bytes_per_customer: float | None
    model: str
    seconds: float
    reconciliation: Reconciliation

    @property
    def holds(self) -> bool:
        return self.reconciliation.holds


def percentile(values_ms: list[float], share: float) -> float | None:
    return round(float(np.quantile(values_ms, share)), 1) if values_ms else None


def lines(found: Summary) -> Iterator[tuple[str, str]]:
    """Name and value of each figure."""
    yield "messages published", f"{found.messages:,} carrying {found.events:,} events"
    repeated = f" ({found.repeated_rows:,} repeated rows that the view leaves out)"
    yield "assessments", f"{found.assessments:,}{repeated}"
    yield "alerts", f"{sum(found.alerts.values()):,}: {counts(found.alerts)}"
    yield "dead letters", f"{sum(found.dead_letters.values()):,}: {counts(found.dead_letters)}"
    yield "throughput", f"{found.events_per_s:,.0f} events/s, as fast as they were published"
    if found.alert_p50_ms is not None:
        latency = f"p50 {found.alert_p50_ms:,.0f} ms, p99 {found.alert_p99_ms:,.0f} ms"
        yield "publish to alert", f"{latency}, by the server's publish times of event and alert"
    if found.answer_p50_ms is not None:
        latency = f"p50 {found.answer_p50_ms:,.1f} ms, p99 {found.answer_p99_ms:,.1f} ms"
        yield "REST service", f"{found.answers:,} events asked for one after the other, {latency}"
        yield "  its highest score", found.highest_answer
    if found.redis_bytes_per_customer is not None:
        yield (
            "Redis",
            f"{found.redis_bytes_per_customer:,.0f} bytes a customer, {found.customers:,} customers",
        )
    yield "model", found.model


def counts(by_name: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in by_name.items()) or "none"


def report(found: Summary, folder: Path, keep: bool) -> str:
    """All of it as text."""
    figures = list(lines(found))
    width = max(len(name) for name, _ in figures)
    verdict = "everything adds up" if found.holds else "IT DOES NOT ADD UP"
    return "\n".join(
        [
            "",
            *(f"{name:<{width}}  {value}" for name, value in figures),
            "",
            *compare.lines(found.reconciliation.checks),
            "",
            f"{verdict}; {found.seconds:,.0f} s in all",
            "",
            *(further_kept(folder) if keep else further(folder)),
        ]
    )


def further(folder: Path) -> Iterator[str]:
    """Where things are."""
    yield f"All was stopped; files, logs and the bundle are in {folder}. To look around while it runs:"
    yield f"  riskstream demo --keep --folder {folder}"


def further_kept(folder: Path) -> Iterator[str]:
    """What to try on what still runs."""
    yield "The stack and the job still run. To try:"
    yield f'  eval "$(riskstream env --folder {folder}/stack)"'
    yield f"  riskstream status --state {folder}/job"
    yield f"  riskstream reconcile --bundle {folder}/bundles"
    yield "  riskstream alerts &"
    yield f"  riskstream serve --bundle {folder}/bundles     # then open http://127.0.0.1:8080/docs"
    yield f"  riskstream publish {folder}/stream/transactions.csv --rate 1000"
    yield "To stop:"
    yield f"  kill $(grep -o '[0-9]*' {folder}/job/process.json | head -1); riskstream down --folder {folder}/stack"
