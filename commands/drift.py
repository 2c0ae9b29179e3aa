"""The stream compared with the training data of its model: drift."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from commands.flags import with_settings
from commands.options import BUNDLES, OFFBOARDING, AsJson, BundleRoot, UseCase, examples
from commands.retrain import check_url, post
from commands.terminal import show_json, table
from commands.times import FORMATS, in_utc
from pipeline.bigquery.settings import BigQuerySettings

if TYPE_CHECKING:
    from pipeline.operations.drift_columns import ColumnDrift
    from pipeline.operations.drift_series import DriftPart
    from pipeline.operations.logged_drift import Distribution, Events

app = typer.Typer()
DAYS = 7
CODES = {"steady": 0, "worth a look": 0, "drifted": 12}  # beside those of errors: see EXITS
SHOWN = 5  # names in a sentence
Days = Annotated[
    int | None, typer.Option(min=1, help="The number of days to compare.", show_default=str(DAYS))
]
Since = Annotated[
    datetime | None,
    typer.Option(formats=FORMATS, metavar="TIME", help="The beginning of the period, by event time (UTC)."),
]
Until = Annotated[
    datetime | None,
    typer.Option(
        formats=FORMATS, metavar="TIME", help="The end of the period.", show_default="the newest event"
    ),
]
Series = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="DAYS",
        help="The number of days of the series by day, week and month.",
        show_default="those to compare",
    ),
]
Page = Annotated[str | None, typer.Option(metavar="FILE", help="Also write an HTML page; local or gs://.")]
Notify = Annotated[
    str | None,
    typer.Option(metavar="URL", help="POST the result to this webhook, as JSON, if there is drift."),
]


@app.command(
    epilog=examples(
        "riskstream drift",
        "riskstream drift --days 1 --out build/drift.html",
        "riskstream drift --since 2026-11-01 --until 2026-11-08 --json | jq '.features[0]'",
        "riskstream drift --series 90 --out build/drift.html",
        "riskstream drift --bundle gs://bucket/bundles --notify https://example.com/hooks/models",
    )
)
@with_settings
def drift(
    log: BigQuerySettings,
    use_case: UseCase = OFFBOARDING,
    bundle: BundleRoot = BUNDLES,
    days: Days = None,
    since: Since = None,
    until: Until = None,
    series: Series = None,
    out: Page = None,
    notify: Notify = None,
    as_json: AsJson = False,
) -> None:
    """Compare scores and features of recently assessed events with the training data of the model.

    A stability index (PSI of the score, CSI of a feature) above 0.2 is drift; from 0.1 on it is worth a look, unless a
    sample of this size shows as much without any change. The exit code is 12 if the score has drifted, or if more than
    a tenth of the features are worth a look. It is 7 for fewer than 500 events or less than a day, which say nothing.
    """
    from export import bundle as bundles
    from features.usecase import load
    from pipeline.bigquery.queries import AssessmentQueries
    from pipeline.operations.logged_drift import measure, period

    if since and (days or (until and until <= since)):
        raise typer.BadParameter("give --since with a later --until, or --days", param_hint="--since")
    check_url(notify)
    loaded = load(use_case)
    assessed = AssessmentQueries(loaded, log.project, log.dataset)
    model = bundles.load_in_use(bundle, loaded.name)
    during = period(assessed, in_utc(since), in_utc(until), timedelta(days=days or DAYS))
    measured = measure(assessed, model, during, timedelta(days=series or 0))
    facts = _facts(measured)
    show_json(facts) if as_json else typer.echo("\n".join(_lines(measured)))
    if out:
        _write_page(measured, out)
    code = CODES[measured.verdict]
    if code:
        post(notify, facts)
    raise typer.Exit(code)


def _write_page(measured: "Distribution", out: str) -> None:
    from export.storage import write
    from training.pages.drift_page import page

    write(out, page(measured, _words(measured)).encode())
    typer.echo(f"page: {out}", err=True)


def _facts(measured: "Distribution") -> dict[str, object]:
    """The result as JSON has it: the index under its name, PSI of the score and CSI of a feature."""
    levels = {name: each._asdict() for name, each in measured.levels.items()}
    times = {name: _moment(getattr(measured, name)) for name in ("since", "until")}
    began = measured.began and {"at": _moment(measured.began.at), "cold": measured.began.cold}
    renamed = {
        "score": measured.score and _named(measured.score, "psi"),
        "features": [_named(each, "csi") for each in measured.features],
        "series": [_part(each) for each in measured.parts],
    }
    summary = {
        "words": _words(measured),
        "drifted_features": measured.drifted,
        "levels": levels,
        "began": began,
    }
    known = summary | times | renamed
    return known | {name: each for name, each in vars(measured).items() if name not in (*known, "parts")}


def _named(column: "ColumnDrift", index: str) -> dict[str, object]:
    return {index if name == "index" else name: each for name, each in vars(column).items()}


def _part(part: "DriftPart") -> dict[str, object]:
    """A day, week or month, with its figures if it was compared."""
    known: dict[str, object] = {"by": part.by, "since": _moment(part.since), "until": _moment(part.until)}
    known |= {"looked_at": part.looked_at, "reason": part.reason}
    comparison = part.comparison
    if comparison is None:
        return known | {"verdict": None}
    score = comparison.score and {
        "psi": comparison.score.index, "ks": comparison.score.ks, "divergence": comparison.score.divergence,
        "usual": comparison.score.usual, "verdict": comparison.score.verdict,
    }  # fmt: skip
    csi = {each.name: each.index for each in comparison.features}
    return known | {
        "verdict": comparison.verdict,
        "score": score,
        "drifted_features": comparison.drifted,
        "moved": comparison.moved,
        "csi": csi,
    }


def _moment(time: datetime) -> str:
    return f"{time:%Y-%m-%dT%H:%M:%S.%fZ}"


def _words(measured: "Distribution") -> str:
    """The answer in a sentence."""
    names = measured.drifted
    some = ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
    judged = [each for each in measured.features if each.verdict != "not judged"]
    features = f"{len(names)} of {len(judged)} features have drifted{': ' if names else ''}{some}"
    looks = sum(each.verdict == "worth a look" for each in judged)
    features += f"; {looks} more {'is' if looks == 1 else 'are'} worth a look" if looks else ""
    left = len(measured.features) - len(judged)
    features += f"; {left} {'is' if left == 1 else 'are'} not judged" if left else ""
    return f"{measured.verdict}: {_score_words(measured)}; {features}"


def _score_words(measured: "Distribution") -> str:
    score = measured.score
    if score is None:
        return f"nothing can be said of the score, as too few were given by {measured.model}"
    if score.verdict == "not judged":
        return f"the score is not judged, as {score.reason}"
    because = f"; {score.reason}" if score.reason else ""
    return f"the score is {score.verdict} (PSI {score.index:.3f}{because})"


def _lines(measured: "Distribution") -> Iterator[str]:
    yield _words(measured)
    yield (
        f"{measured.use_case}: {measured.events:,} scored events of {measured.customers:,} customers from "
        f"{measured.since:%Y-%m-%d %H:%M} to {measured.until:%Y-%m-%d %H:%M} UTC, beside what {measured.model} "
        "has learned from"
    )
    if measured.looked_at < measured.events:
        yield f"looked at {measured.looked_at:,} of their vectors, chosen by a hash of the events' ids"
    if measured.other_features:
        yield f"left out: {measured.other_features:,} events that were scored with other features"
    columns = [*([measured.score] if measured.score else []), *measured.features]
    titles = ("column", "PSI/CSI", "usual", "KS", "KL", "verdict", "missing then", "now", "meaning")
    yield "\n" + table(titles, [_row(each) for each in columns])
    yield "\n" + table(
        ("from", "by", "events", "score PSI", "features drifted", "verdict"), _series(measured)
    )
    yield "\n" + table(("level", "before", "now"), _levels(measured.levels))
    yield "\n" + table(("model", "events"), [(name, f"{n:,}") for name, n in measured.models.items()])


def _row(column: "ColumnDrift") -> tuple[str, ...]:
    figures = (f"{each:.3f}" for each in (column.index, column.usual, column.ks, column.divergence))
    missing = (f"{share:.1%}" for share in (column.missing_then, column.missing_now))
    meaning = f"{column.words} ({column.reason})" if column.reason else column.words
    return (column.name, *figures, str(column.verdict), *missing, meaning)


def _series(measured: "Distribution") -> Iterator[tuple[str, ...]]:
    for part in measured.parts:
        each, known = part.comparison, (f"{part.since:%Y-%m-%d}", str(part.by), f"{part.looked_at:,}")
        if each is None:
            yield (*known, "-", "-", part.reason)
        else:
            psi = f"{each.score.index:.3f}" if each.score else "-"
            yield (*known, psi, str(len(each.drifted)), str(each.verdict))


def _levels(levels: "Mapping[str, Events]") -> list[tuple[str, ...]]:
    """Shares of the events, before and in the period."""
    sums = [sum(each) for each in zip(*levels.values(), strict=True)]
    return [
        (name, *(f"{n / of:.1%}" if of else "-" for n, of in zip(each, sums, strict=True)))
        for name, each in levels.items()
    ]
