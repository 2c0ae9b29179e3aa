"""The chaos suite against one's own servers: certify."""

import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated

import typer

from commands.flags import with_settings
from commands.options import AsJson, examples
from commands.terminal import echo_each, show_json
from pipeline.certification.settings import CertifySettings

app = typer.Typer()


@app.command(
    epilog=examples(
        "riskstream certify --dry-run",
        "riskstream certify",
        "riskstream certify --events 100000 --kills 10 --outage-s 60 --minutes 60",
        "riskstream certify --allow-failover --failover-command 'gcloud redis instances failover risk'",
        "riskstream certify --clean-up",
    )
)
@with_settings
def certify(
    settings: CertifySettings,
    report: Annotated[
        Path,
        typer.Option(
            metavar="FOLDER", help="The folder of the report: certificate.md, certificate.json, job.log."
        ),
    ] = Path("build/certificate"),
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Only check the servers and show what would be created and done."),
    ] = False,
    clean_up: Annotated[
        bool, typer.Option("--clean-up", help="Only remove what runs that were killed have left.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Put the job through faults on your own Redis, Pub/Sub and BigQuery, and judge what it lost or doubled.

    Publishes a stream of transfers with duplicates, late events and wrong clocks, kills the job, cuts it off from each
    server in turn, and compares the outcome with what was published and with a replay of the log, bit for bit. All
    that a run creates bears its name and is removed at the end, also after Ctrl-C. No other key, topic or table is
    touched.

    The exit code is 0 if everything holds (certified), 1 if anything does not, and another if the run could not begin.
    """
    if clean_up:
        _clean_up(settings, as_json)
    elif dry_run:
        _show_plan(settings, as_json)
    else:
        raise typer.Exit(_run(settings, report, as_json))


def _show_plan(settings: CertifySettings, as_json: bool) -> None:
    from pipeline.certification.certify import check_before, new_run
    from pipeline.certification.faults import fault_plan
    from pipeline.certification.report import plan_lines

    servers, run = check_before(settings), new_run(settings, Path()).run
    plan = list(plan_lines(settings, run, fault_plan(settings)))
    show_json({"run": run, "plan": plan, "servers": servers}) if as_json else echo_each(plan)


def _run(settings: CertifySettings, report: Path, as_json: bool) -> int:
    """Run from the plan to the report and return the exit code."""
    from pipeline.certification import report as reports
    from pipeline.certification.certify import certify, new_run
    from pipeline.certification.faults import fault_plan
    from pipeline.reconciliation.compare import report_lines

    with tempfile.TemporaryDirectory(prefix="riskstream-certify-") as folder, _ending_in_order():
        place = new_run(settings, Path(folder))
        for line in reports.plan_lines(settings, place.run, fault_plan(settings)):
            _show(line)
        certificate = certify(settings, place, _show)
        file, _ = reports.write_report(certificate, place.folder / "job.log", report)
    if as_json:
        show_json(reports.as_json(certificate))
    else:
        echo_each(report_lines(certificate.checks))
        typer.echo(f"{'certified' if certificate.certified else 'NOT certified'}; the report is {file}")
    return 0 if certificate.certified else 1


def _clean_up(settings: CertifySettings, as_json: bool) -> None:
    from pipeline.certification.resources import clean_up
    from pipeline.stores.connect import store_of

    with closing(store_of(settings)) as store:
        removed, alive = clean_up(settings.project, settings.prefix, store, _show)
    if as_json:
        show_json({"removed": removed, "alive": alive})
        return
    echo_each(
        [
            *(f"removed {each}" for each in removed),
            *(f"{run} goes on, or ended a minute ago" for run in alive),
        ]
    )
    if not removed and not alive:
        typer.echo("nothing was left")


@contextmanager
def _ending_in_order() -> Iterator[None]:
    """Let SIGTERM end the run as Ctrl-C does, so that everything is removed.

    An interrupt in the middle of an import comes out of it as another error: it is an interrupt all the same.
    """
    import signal

    interrupts: list[int] = []

    def end(number: int, _frame: object) -> None:
        interrupts.append(number)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    except Exception:
        if interrupts:
            raise KeyboardInterrupt from None
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _show(line: str) -> None:
    """Print a line of progress."""
    from pipeline.runtime.printable import printable

    typer.echo(f"certify: {printable(line)}", err=True)
