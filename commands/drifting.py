"""Whether the stream still looks like what the model learned from: drift."""

from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from commands.frame import BUNDLES, OFFBOARDING, AsJson, BundleRoot, Dataset, Project, UseCase, examples
from commands.output import show_json, table
from commands.publishing import TIMES
from commands.retraining import check_url, post

app = typer.Typer()
DAYS = 7
CODES = {"steady": 0, "worth a look": 0, "drifted": 12}  # beside those of errors: see EXITS
SHOWN = 5  # names in a sentence


@app.command(
    epilog=examples(
        "riskstream drift",
        "riskstream drift --days 1 --out build/drift.html",
        "riskstream drift --since 2026-11-01 --until 2026-11-08 --json | jq '.features[0]'",
        "riskstream drift --bundle gs://bucket/bundles --notify https://example.com/hooks/models",
    )
)
def drift(
    project: Project,
    use_case: UseCase = OFFBOARDING,
    bundle: BundleRoot = BUNDLES,
    dataset: Dataset = "riskstream",
    days: Annotated[
        int | None, typer.Option(min=1, help=f"How many days are looked at; default: {DAYS}.")
    ] = None,
    since: Annotated[
        datetime | None,
        typer.Option(formats=TIMES, metavar="TIME", help="Its first moment, by event time (UTC)."),
    ] = None,
    until: Annotated[
        datetime | None,
        typer.Option(
            formats=TIMES, metavar="TIME", help="The first moment after it; default: the newest event's."
        ),
    ] = None,
    out: Annotated[
        str | None, typer.Option(metavar="FILE", help="Also write a page for people; local or gs://.")
    ] = None,
    notify: Annotated[
        str | None, typer.Option(metavar="URL", help="POST the result here, as JSON, when it has drifted.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare scores and features of the events assessed of late with what the model has learned from.

    Reads the assessments in BigQuery, each event once, and the bundle in use (or the one given). A PSI above 0.2 is
    drift, from 0.1 on it is worth a look. The exit code is 12 if the score has drifted, or more than a fifth of the
    features, 7 if there are fewer than 500 events, which say nothing, else 0.
    """
    from export import bundle as bundles
    from features.usecase import load
    from pipeline.distribution import Assessed, measure, period

    if since and (days or (until and until <= since)):
        raise typer.BadParameter("give --since with a later --until, or --days", param_hint="--since")
    check_url(notify)
    use = load(use_case)
    log, loaded = Assessed(use, project, dataset), bundles.load_in_use(bundle, use.name)
    found = measure(log, loaded, period(log, _utc(since), _utc(until), timedelta(days=days or DAYS)))
    facts = _facts(found)
    if out:
        from export.storage import write
        from training.drifted import page

        write(out, page(found, _words(found)).encode())
    show_json(facts) if as_json else typer.echo("\n".join(_told(found)))
    if out:
        typer.echo(f"page: {out}", err=True)
    code = CODES[found.verdict]
    if code:
        post(notify, facts)
    raise typer.Exit(code)


def _utc(moment: datetime | None) -> datetime | None:
    """A time without a zone is UTC."""
    return moment and moment.replace(tzinfo=UTC)


def _facts(found: Any) -> dict[str, Any]:
    levels = {name: each._asdict() for name, each in found.levels.items()}
    times = {name: f"{getattr(found, name):%Y-%m-%dT%H:%M:%S.%fZ}" for name in ("since", "until")}
    said = {"words": _words(found), "drifted_features": found.drifted, "levels": levels, **times}
    return said | {name: value for name, value in asdict(found).items() if name not in said}


def _words(found: Any) -> str:
    """The answer in a sentence."""
    names, score = found.drifted, found.score
    some = ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
    of_features = f"{len(names)} of {len(found.features)} features have drifted{': ' if names else ''}{some}"
    looks = sum(each.verdict == "worth a look" for each in found.features)
    of_features += f"; {looks} more {'is' if looks == 1 else 'are'} worth a look" if looks else ""
    if score is None:
        of_score = f"nothing can be said of the score, as too few were given by {found.model}"
    else:
        of_score = f"the score is {score.verdict} (PSI {score.psi:.3f})"
    return f"{found.verdict}: {of_score}; {of_features}"


def _told(found: Any) -> Iterator[str]:
    yield _words(found)
    yield (
        f"{found.use_case}: {found.events:,} scored events of {found.customers:,} customers from "
        f"{found.since:%Y-%m-%d %H:%M} to {found.until:%Y-%m-%d %H:%M} UTC, beside what {found.model} has learned from"
    )
    if found.looked_at < found.events:
        yield f"looked at {found.looked_at:,} of their vectors, chosen by a hash of the events' ids"
    if found.other_features:
        yield f"left out: {found.other_features:,} events that were scored with other features"
    columns = [*([found.score] if found.score else []), *found.features]
    titles = ("column", "PSI", "verdict", "missing then", "now", "meaning")
    yield "\n" + table(titles, [_row(each) for each in columns])
    yield "\n" + table(("level", "before", "now"), _levels(found.levels))
    yield "\n" + table(("model", "events"), [(name, f"{n:,}") for name, n in found.models.items()])


def _row(column: Any) -> tuple[str, ...]:
    missing = (f"{share:.1%}" for share in (column.missing_then, column.missing_now))
    return (column.name, f"{column.psi:.3f}", str(column.verdict), *missing, column.words)


def _levels(levels: Any) -> list[tuple[str, ...]]:
    """Shares of the events, before and in the period."""
    sums = [sum(each) for each in zip(*levels.values(), strict=True)]
    return [
        (name, *(f"{n / of:.1%}" if of else "-" for n, of in zip(each, sums, strict=True)))
        for name, each in levels.items()
    ]
