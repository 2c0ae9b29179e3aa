"""The summary of a demo: its figures, whether they add up, and what to do next."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.text import Text

from pipeline.reconciliation import compare
from pipeline.reconciliation.reconcile import Reconciliation


@dataclass(frozen=True)
class DemoSummary:
    """Figures of a demo. An alert's milliseconds are between the server's publish times of event and alert."""

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
        """Return whether everything reconciles."""
        return self.reconciliation.holds


def percentile(values_ms: list[float], share: float) -> float | None:
    """Return a percentile of times, rounded to 0.1 ms; None of no times."""
    return round(float(np.quantile(values_ms, share)), 1) if values_ms else None


def lines(summary: DemoSummary) -> Iterator[tuple[str, str]]:
    """Yield the name and the value of each figure."""
    yield "messages published", f"{summary.messages:,} carrying {summary.events:,} events"
    repeated = f" ({summary.repeated_rows:,} repeated rows that the view leaves out)"
    yield "assessments", f"{summary.assessments:,}{repeated}"
    yield "alerts", f"{sum(summary.alerts.values()):,}: {counts(summary.alerts)}"
    yield "dead letters", f"{sum(summary.dead_letters.values()):,}: {counts(summary.dead_letters)}"
    yield "throughput", f"{summary.events_per_s:,.0f} events/s, as fast as they were published"
    if summary.alert_p50_ms is not None:
        latency = f"p50 {summary.alert_p50_ms:,.0f} ms, p99 {summary.alert_p99_ms:,.0f} ms"
        yield "publish to alert", f"{latency}, by the server's publish times of event and alert"
    if summary.answer_p50_ms is not None:
        latency = f"p50 {summary.answer_p50_ms:,.1f} ms, p99 {summary.answer_p99_ms:,.1f} ms"
        yield "REST service", f"{summary.answers:,} events sent one after the other, {latency}"
        yield "  its highest score", summary.highest_answer
    if summary.redis_bytes_per_customer is not None:
        yield (
            "Redis",
            f"{summary.redis_bytes_per_customer:,.0f} bytes a customer, {summary.customers:,} customers",
        )
    yield "model", summary.model


def counts(by_name: Mapping[str, int]) -> str:
    """Return counts as text, "none" if there are none."""
    return ", ".join(f"{name} {count:,}" for name, count in by_name.items()) or "none"


def report(summary: DemoSummary, folder: Path, keep: bool) -> Text:
    """Return all of it as text, the verdict in green or red, and what to do next."""
    figures = list(lines(summary))
    width = max(len(name) for name, _ in figures)
    verdict, colour = ("everything adds up", "green") if summary.holds else ("IT DOES NOT ADD UP", "red")
    above = ["", *(f"{name:<{width}}  {value}" for name, value in figures), ""]
    above += [*compare.report_lines(summary.reconciliation.checks), ""]
    below = ["", "", *(kept_steps(folder) if keep else steps(folder))]
    return Text.assemble(
        "\n".join(above),
        "\n",
        (f"{verdict}; {summary.seconds:,.0f} s in all", f"bold {colour}"),
        "\n".join(below),
    )


def steps(folder: Path) -> Iterator[str]:
    """Yield what to do after a demo that has stopped."""
    yield f"Everything was stopped; files, logs and the bundle are in {folder}."
    yield f"next: riskstream demo --keep --folder {folder}    # look around in the running system"
    yield "next: riskstream up                                # a stack of your own, for the commands in this folder"
    yield "next: riskstream usecase check offboarding         # the features of the use case that was shown"


def kept_steps(folder: Path) -> Iterator[str]:
    """Yield what to try on a stack and a job that still run, and how to stop them."""
    yield "The stack and the job still run."
    yield f'next: eval "$(riskstream env --folder {folder}/stack)"'
    yield f"next: riskstream status --state {folder}/job"
    yield f"next: riskstream reconcile --bundle {folder}/bundles"
    yield "next: riskstream alerts &"
    yield f"next: riskstream serve --bundle {folder}/bundles     # then open http://127.0.0.1:8080/docs"
    yield f"next: riskstream publish {folder}/stream/transactions.csv --rate 1000"
    yield f"last: kill $(grep -o '[0-9]*' {folder}/job/process.json | head -1)"
    yield f"last: riskstream down --folder {folder}/stack"
