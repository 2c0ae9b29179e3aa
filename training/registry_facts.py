"""Facts for the registry beside those of the manifest: the report's figures, and a run for each trial."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from export.registry.runs import Child
from training.build_bundle import BuiltBundle
from training.evaluation.figures import Evaluation, UnitFigures

CURVES = (
    "about",
    "roc",
    "precision_recall",
    "calibration",
    "cost",
    "gain",
)  # no figures; the report has them
IN_MANIFEST = ("roc_auc", "average_precision", "brier")  # the bundle says these itself
LEVELS = {"customers": "customers", "events": "assessments"}  # as the manifest calls them


def figures(evaluation: Evaluation) -> dict[str, Any]:
    """Figures of customers and of events with their intervals, nested by name: at.high.f2.value, log_loss.low ...

    Those of dates alone are there too (calendar.all_dates.roc_auc.value ...), and of the replayed policy
    (recommendations.ever.precision.low ...).
    """
    nested = {name: _of_level(getattr(evaluation, level)) for level, name in LEVELS.items()}
    nested |= {"calendar": msgspec.to_builtins(evaluation.calendar)} if evaluation.calendar else {}
    made = evaluation.recommendations
    return nested | ({"recommendations": msgspec.to_builtins(made)} if made else {})


def _of_level(level: UnitFigures) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(level)
    return {name: value for name, value in plain.items() if name not in (*CURVES, *IN_MANIFEST)}


def trials(built: BuiltBundle, metric: str) -> list[Child]:
    """A run for each learner compared and for each trial: parameters, the metric by repeat or by fold, its mean."""
    return list(_trials(built.bundle.manifest.training["model"], metric))


def _trials(model: Mapping[str, Any], metric: str) -> Iterator[Child]:
    for compared in model.get("compared", ()):
        yield Child(
            name=f"compared: {compared['candidate']}",
            parameters={"candidate": compared["candidate"], **compared["parameters"]},
            metrics={"mean": compared["mean"]},
            by_step={metric: compared["values"]},
            tags={"kind": "comparison", "outcome": "not chosen" if compared["difference"] else "chosen"},
        )
    for number, trial in enumerate(model["trials"], 1):
        yield Child(
            name=f"trial {number}: {trial['candidate']}",
            parameters={"candidate": trial["candidate"], **trial["parameters"]},
            metrics={"mean": trial["mean"]},
            by_step={metric: trial["values"]},
            tags={"kind": "trial", "outcome": "complete" if trial["is_complete"] else "given up"},
        )
