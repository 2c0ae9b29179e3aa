"""A training run as one HTML file that needs nothing else, its JSON twin, and both as files."""

from collections.abc import Iterator, Mapping
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple

from markupsafe import Markup

from export.ranking import LATEST
from export.storage import join
from export.storage import write as write_file
from training.evaluation.evaluate import ONE_EVENT_IS_BAD, WEIGHED
from training.evaluation.fairness import LEAST_GROUP
from training.evaluation.figures import Evaluation
from training.evaluation.weeks import ENOUGH
from training.pages.html import environment, percent
from training.report import calendar, comparison, fairness, importance, levels, plots, promise, weeks, words
from training.report.run import Run, encoded
from training.statistics.interval import Interval

SECTIONS: Mapping[str, str] = {  # in the page's order
    "summary": "Summary",
    "comparison": "Champion and challenger",
    "data": "Data",
    "model": "Model, and why it was chosen",
    "tuning": "Hyper-parameters, and how they were tuned",
    "performance": "Performance",
    "promise": "What a score promises, and for how long",
    "thresholds": "Thresholds, and what they cost",
    "recommendations": "Recommendations: the policy replayed",
    "importance": "What the model looks at",
    "segments": "Segments: Low, Medium, High",
    "earliness": "How early positives are found",
    "fairness": "Fairness",
    "stability": "Stability by week",
    "assumptions": "Assumptions",
    "limitations": "Limitations",
    "environment": "Environment",
    "terms": "Terms",
}
SHOWN_MEDIANS = 15  # features of segments, the most important ones; the others are folded away
TOLD_K = "100"  # customers a day: the length that published figures have


def page(run: Run) -> str:
    """The HTML."""
    evaluation = run.evaluation
    template = environment(
        Path(__file__).parent, interval=interval, rates=rates, decimals=decimals, digits=digits
    )
    return template.get_template("page.html.jinja").render(
        run=run, found=evaluation, data=run.training, model=run.training["model"], sections=shown(run), words=words,
        deciding=plots.deciding(evaluation), levels=levels.in_order(run), policy=levels, notes=notes(evaluation),
        measures=list(measures(evaluation)), tried=words.tried(run), drawn=drawn(run), medians=medians(run),
        daily_k=told_k(evaluation), shown_medians=SHOWN_MEDIANS, small=LEAST_GROUP, fair=fairness,
        importance=importance, calendar=calendar, enough=ENOUGH, promise=promise, latest=LATEST, compared=comparison,
    )  # fmt: skip


def shown(run: Run) -> dict[str, str]:
    """The sections that have something to say."""
    facts = {"comparison": run.comparison, "promise": run.evaluation.promise}
    return {name: title for name, title in SECTIONS.items() if facts.get(name, True)}


class Report(NamedTuple):
    """A run and its report, drawn once for the registry and for the folder beside the bundles."""

    run: Run
    files: Mapping[str, bytes]  # the page and its JSON by file name


def report(run: Run, others: Mapping[str, bytes] | None = None) -> Report:
    """`others` are files to be kept beside the page and its JSON, by name."""
    return Report(run, {"report.html": page(run).encode(), "report.json": encoded(run), **(others or {})})


def write(report: Report, folder: str) -> list[str]:
    """Writes the page, its JSON and what is kept beside them into a folder, replacing those of an earlier run.

    Returns their paths, the page's first.
    """
    paths = []
    for name, data in report.files.items():
        paths.append(join(folder, name))
        write_file(paths[-1], data)
    return paths


def drawn(run: Run) -> dict[str, Any]:
    """The figures by name; empty where there is nothing to draw."""
    evaluation = run.evaluation
    has_importance = any(_is_told(each.drop) for each in evaluation.importance)
    has_groups = any(_is_told(each.drop) for each in evaluation.group_importance)
    figures = {
        "comparison": comparison.plot(run.comparison) if run.comparison else "",
        "roc": plots.roc(evaluation),
        "precision_recall": plots.precision_recall(evaluation),
        "calibration": plots.calibration(evaluation),
        "gain": plots.gain(evaluation),
        "cost": plots.cost(evaluation) if plots.deciding(evaluation).cost else "",
        "stability": weeks.stability(evaluation.weeks) if evaluation.weeks else "",
        "weeks": weeks.ranking(evaluation.weeks) if evaluation.weeks else "",
        "importance": importance.plot(evaluation.importance, "Importance of features")
        if has_importance
        else "",
        "groups": importance.plot(evaluation.group_importance, "Importance of groups") if has_groups else "",
    }
    by_field = {
        each.field: Markup(fairness.plot(each)) for each in evaluation.fairness if len(each.groups) > 1
    }
    return {name: Markup(text) for name, text in figures.items()} | {"fairness": by_field}


def told_k(evaluation: Evaluation) -> str:
    """The length of the daily work list that the summary tells of: TOLD_K, or the longest there is."""
    lengths = list(evaluation.daily.precision_at_k) if evaluation.daily else []
    return TOLD_K if TOLD_K in lengths else lengths[-1] if lengths else ""


class Measure(NamedTuple):
    """A line of the table of figures: of customers and of events, an interval, a number or nothing."""

    name: str
    customers: Interval | float | str | None
    events: Interval | float | str | None


def measures(evaluation: Evaluation) -> Iterator[Measure]:
    both = evaluation.customers, evaluation.events
    yield Measure("counted", *(float(each.n) for each in both))
    yield Measure("positive among them", *(float(each.positives) for each in both))
    yield Measure("share that is positive", *(percent(each.base_rate) for each in both))
    yield Measure("ROC AUC", *(each.roc_auc for each in both))
    yield Measure("average precision", *(each.average_precision for each in both))
    yield Measure("Brier score (lower is better)", *(each.brier for each in both))
    yield Measure("log loss (lower is better)", *(each.log_loss for each in both))
    yield Measure("calibration error (lower is better)", *(each.calibration_error for each in both))
    yield Measure("Kolmogorov-Smirnov (0 is chance, 1 is perfect)", *(each.ks for each in both))
    for rate in _names(*(each.recall_at_fpr for each in both)):
        name = f"recall where {rate} of the negatives are flagged"
        yield Measure(name, *(each.recall_at_fpr.get(rate) for each in both))
    for k in _names(*(each.precision_at_k for each in both)):
        which = f"highest {k} of scores" if k.endswith("%") else f"{k} highest scores"
        yield Measure(f"precision of the {which}", *(each.precision_at_k.get(k) for each in both))


def _names(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    longer = one if len(one) >= len(other) else other
    return list({**longer, **one, **other})  # the longer one has them all, in their order


def medians(run: Run) -> list[str]:
    """Features of which segments have medians, the most important ones first; those left out of the model have none."""
    evaluation, left_out = run.evaluation, run.training.get("left_out", ())
    ranked = [each.feature for each in evaluation.importance if each.feature in evaluation.everyone]
    return [name for name in dict.fromkeys([*ranked, *evaluation.everyone]) if name not in left_out]


def notes(evaluation: Evaluation) -> dict[str, list[str]]:
    """The evaluation's notes by the section that they belong to."""
    by_section: dict[str, list[str]] = {"performance": [], "limitations": []}
    for note in evaluation.notes:
        by_section["performance" if note in (WEIGHED, ONE_EVENT_IS_BAD) else "limitations"].append(note)
    return by_section


def interval(figure: Interval | float | str | None) -> str:
    if isinstance(figure, str):
        return figure
    if isinstance(figure, Interval):
        return plots.interval(figure)
    return decimals(figure)


def decimals(value: float | None) -> str:
    """Counts whole, shares with three decimals."""
    if value is None or not isfinite(value):
        return "-"
    return f"{value:,.0f}" if value == round(value) else f"{value:.3f}"


def digits(value: float, after_point: int) -> str:
    return f"{value:.{after_point}f}" if isfinite(value) else "-"


def rates(rate: Interval) -> str:
    """Format shares as percentages."""
    if not _is_told(rate):
        return "-"
    return f"{rate.value:.1%} [{rate.low:.1%}, {rate.high:.1%}]"


def _is_told(figure: Interval) -> bool:
    return isfinite(figure.value)
