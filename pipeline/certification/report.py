"""The report of a certification: Markdown for people, JSON for programs, both of the same certificate."""

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from pipeline.certification.certify import Certificate
from pipeline.certification.exercise import FaultReport
from pipeline.certification.faults import FaultPlan
from pipeline.certification.server_facts import memory_bytes
from pipeline.certification.settings import CertifySettings
from pipeline.certification.verdict import PERCENTILES, LatencyFigures
from pipeline.reconciliation.compare import Invariant

JSON_FILE, MARKDOWN_FILE, LOG_FILE = "certificate.json", "certificate.md", "job.log"


def plan_lines(settings: CertifySettings, run: str, plan: FaultPlan) -> Iterator[str]:
    """Describe what a run will create and do."""
    megabytes = memory_bytes(settings.events) / 1e6
    yield f"run {run}: at most {settings.minutes:g} minutes; all that it creates is removed at its end"
    yield f"Pub/Sub, project {settings.project}: creates the topics RUN-events, RUN-alerts and RUN-dead-letters with a"
    yield "  subscription each, and a second subscription of RUN-events"
    yield f"BigQuery, project {settings.project}, {settings.location}: creates the dataset RUN with its tables"
    yield f"Redis: creates keys under {settings.prefix}:RUN, at most {megabytes:,.0f} MB, and touches no others"
    yield f"publishes {settings.events:,} messages: a tenth repeat another one, a tenth come late, the clocks of their"
    yield "  publishers differ, and some are no events"
    workers = f"{settings.workers} worker{'s' * (settings.workers > 1)}"
    yield f"runs a job of {workers} on this machine, through these faults:"
    yield from (f"  {fault.name}: {fault.description}" for fault in plan.faults)
    yield from (f"  left out: {reason}" for reason in plan.left_out)


def write_report(certificate: Certificate, job_log: Path, folder: Path) -> tuple[Path, Path]:
    """Write both files of the report, and a copy of the job's log, into a folder; return the paths of the report."""
    folder.mkdir(parents=True, exist_ok=True)
    if job_log.exists():
        shutil.copyfile(job_log, folder / LOG_FILE)
    files = folder / MARKDOWN_FILE, folder / JSON_FILE
    files[0].write_text("\n".join(markdown(certificate)) + "\n")
    files[1].write_text(json.dumps(as_json(certificate), indent=2) + "\n")
    return files


def as_json(certificate: Certificate) -> dict[str, object]:
    """Return the certificate as plain values."""
    checks = [{**asdict(check), "holds": check.holds} for check in certificate.checks]
    return {**asdict(certificate), "checks": checks}


def markdown(certificate: Certificate) -> Iterator[str]:
    """Yield the lines of the report."""
    word = "certified" if certificate.certified else "NOT certified"
    yield f"# {word}: {certificate.run}"
    yield ""
    yield f"Began {certificate.began_at}, took {certificate.took_s:.0f} s."
    yield from ("", "## Checks", "")
    yield from _table(("check", "looked at", "wrong", ""), _check_rows(certificate.checks))
    wrong = [(check.name, example) for check in certificate.checks for example in check.examples]
    if wrong:
        yield from ("", "## What was wrong", "")
        yield from (f"* {name}: {_cell(example)}" for name, example in wrong)
    yield from ("", "## Faults", "")
    yield from _table(("fault", "began", "lasted s", "recovered after s"), _fault_rows(certificate.faults))
    yield from ("", *(f"* Left out: {reason}" for reason in certificate.left_out))
    yield from ("", "## Stream", "")
    yield from _table(("", ""), ((name, f"{count:,}") for name, count in certificate.stream.items()))
    yield from ("", "## From event to alert, ms", "")
    yield from _table(
        ("events on their way", "p50", "p95", "p99", "max"), _latency_rows(certificate.latency_ms)
    )
    for part, facts in certificate.servers.items():
        yield from ("", f"## Found: {part}", "")
        yield from _table(("", ""), facts.items())
    yield from ("", "## What this does not show", "", *(f"* {line}" for line in certificate.not_shown))


def _check_rows(checks: Sequence[Invariant]) -> Iterator[Sequence[str]]:
    for check in checks:
        yield check.name, f"{check.looked_at:,}", f"{check.wrong:,}", "holds" if check.holds else "**WRONG**"


def _fault_rows(faults: Sequence[FaultReport]) -> Iterator[Sequence[str]]:
    for fault in faults:
        recovered = "never" if fault.recovered_s is None else f"{fault.recovered_s:.1f}"
        yield fault.name, fault.began_at, f"{fault.lasted_s:.1f}", recovered


def _latency_rows(latency: LatencyFigures) -> Iterator[Sequence[str]]:
    yield "while all was well", *_percentiles(latency.undisturbed)
    yield "in a fault or the recovery from it", *_percentiles(latency.disturbed)


def _percentiles(figures: Mapping[str, float]) -> list[str]:
    return [f"{figures[name]:,.1f}" if figures else "" for name in PERCENTILES]


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(titles)} |"
    yield f"|{'---|' * len(titles)}"
    yield from (f"| {' | '.join(map(_cell, row))} |" for row in rows)


def _cell(text: str) -> str:
    """Return a text as a cell of a table: one line, with its bars escaped."""
    return " ".join(text.replace("|", "\\|").split())
