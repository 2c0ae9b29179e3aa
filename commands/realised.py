"""Realised performance of past decisions, as labels come: realised."""

from datetime import UTC, datetime, timedelta
from math import nan
from typing import TYPE_CHECKING, Annotated

import typer

from commands.flags import with_settings
from commands.options import OFFBOARDING, AsJson, UseCase, examples
from commands.terminal import show_json, table
from pipeline.bigquery.settings import BigQuerySettings

if TYPE_CHECKING:
    from pipeline.operations.realised import RealisedWeek
    from training.pages.realised_page import RealisedFigures
    from training.statistics.interval import Interval

app = typer.Typer()
WEEKS = 12


@app.command(
    epilog=examples(
        "riskstream realised",
        "riskstream realised --weeks 26 --out build/realised.html",
        "riskstream realised --json | jq '.total[0].precision'",
        "riskstream realised --push http://pushgateway:9091",
    )
)
@with_settings
def realised(
    log: BigQuerySettings,
    use_case: UseCase = OFFBOARDING,
    weeks: Annotated[
        int, typer.Option(min=1, help="How many weeks are looked at, the present one included.")
    ] = WEEKS,
    since: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%d"], metavar="DAY", help="All weeks from that of this day on, instead."
        ),
    ] = None,
    out: Annotated[
        str | None, typer.Option(metavar="FILE", help="Also write a page for people; local or gs://.")
    ] = None,
    push: Annotated[
        str | None, typer.Option(metavar="URL", help="Push the figures as metrics to this Pushgateway.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare past recommendations and levels with the labels that have come since, week by week.

    Reads decisions and labels from the assessments in BigQuery; a label is an event like any other. Precision is of the
    decisions whose outcome is known, recall of those known to be positive, each with its 95 % interval.
    """
    from features.usecase import is_known_later, load
    from pipeline.bigquery.queries import AssessmentQueries
    from pipeline.operations import realised
    from training.pages.realised_page import figures, page

    loaded = load(use_case)
    first = (since or datetime.now(UTC) - timedelta(days=7 * (weeks - 1))).date()
    monday = first - timedelta(days=first.weekday())
    rows = realised.weeks(AssessmentQueries(loaded, log.project, log.dataset), monday)
    by_event = is_known_later(loaded.label, loaded.event_types)
    total = [figures(each, rows, monday, by_event) for each in realised.DECISIONS[int(by_event) :]]
    if out:
        from export.storage import write

        write(out, page(loaded.name, total, rows, by_event).encode())
        typer.echo(f"page: {out}", err=True)
    facts: dict[str, object] = {"use_case": loaded.name, "since": monday.isoformat(), "words": total[0].words}
    facts |= {"total": [_total(each) for each in total], "weeks": [vars(each) for each in rows]}
    show_json(facts) if as_json else typer.echo(_lines(total, rows))
    if push:
        from pipeline.runtime.metrics import OF_REALISED
        from pipeline.runtime.pushgateway import push as push_to

        push_to(push, OF_REALISED, _gauges(total[0]), loaded.name)


def _total(each: "RealisedFigures") -> dict[str, object]:
    shares = {name: getattr(each, name) for name in ("precision", "recall")}
    known = {name: _interval(share) if share.value == share.value else None for name, share in shares.items()}
    return {**vars(each), **known, "since": each.since.isoformat()}


def _interval(share: "Interval") -> dict[str, float]:
    return {"estimate": share.value, "low": share.low, "high": share.high}


def _lines(total: "list[RealisedFigures]", rows: "list[RealisedWeek]") -> str:
    counts = ("decided", "confirmed", "denied", "unknown", "known_before", "positives", "decided_before")
    titles = ("decision", "week of", *(name.replace("_", " ") for name in counts), "median days")
    lines = [
        (
            week.decision,
            str(week.week),
            *(f"{getattr(week, name):,}" for name in counts),
            "-" if week.days is None else f"{week.days:.1f}",
        )
        for week in rows
    ]
    return "\n".join([*(each.words for each in total), "", table(titles, lines)])


def _gauges(total: "RealisedFigures") -> dict[str, float]:
    """Values of the metrics in `OF_REALISED`; not a number where nothing is known."""
    from pipeline.runtime.metrics import BOUNDS, OUTCOMES, REALISED, REALISED_PRECISION, REALISED_RECALL, key

    gauges = {key(REALISED, name): float(getattr(total, name)) for name in OUTCOMES}
    for metric, share in ((REALISED_PRECISION, total.precision), (REALISED_RECALL, total.recall)):
        values = _interval(share)
        gauges |= {key(metric, bound): values.get(bound, nan) for bound in BOUNDS}
    return gauges
