"""Differences of scored files from what the model has learned from: facts for JSON, sentences for people."""

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.batch.score import Scored

SHOWN = 8  # features or fields named in a sentence; JSON has all
METRICS = {"average_precision": "average precision", "roc_auc": "ROC AUC"}


def differences(scored: Scored) -> dict[str, Any]:
    """Return the differences from training. Fields are event_type.field; `held_out` is None if there is no figure."""
    coverage = scored.coverage
    return {
        "compared_with_training": coverage.known,
        "absent_event_types": list(coverage.absent),
        "missing_fields": dict(coverage.missing),  # with the share of events that had a value in training
        "fields_without_value_by_chance": list(coverage.rare),
        "constant_fields": list(coverage.constant),
        "flat_features": list(coverage.flat),
        "silent_features": list(coverage.silent),
        "features": len(scored.use_case.features) - len(scored.left_out),
        "left_out_of_the_model": list(scored.left_out),
        "held_out": held_out(scored),
    }


def held_out(scored: Scored) -> dict[str, Any] | None:
    """Return held-out figures with all fields, and without each field that the files lack."""
    coverage, lacking = scored.coverage, scored.lacking
    names = [*coverage.absent, *coverage.missing]
    if not names or lacking is None:
        return None
    without = {name: lacking["without"][name] for name in names if name in lacking["without"]}
    return {**lacking, "without": without} if without else None


def sentences(facts: Mapping[str, Any]) -> list[str]:
    """Describe the differences and their consequences; no sentences without a difference."""
    return [*_columns(facts), *_features(facts), *_figures(facts["held_out"]), *_left_out(facts)]


def _columns(facts: Mapping[str, Any]) -> list[str]:
    lines = [
        f"The files have no {name} event, so all that features take from it is unknown."
        for name in facts["absent_event_types"]
    ]
    lines += [
        f"No event in the files has a value of {name}; in training {share:.0%} of them had one."
        for name, share in facts["missing_fields"].items()
    ]
    lines += [
        f"No event in the files has a value of {name}; in so few events that may be chance."
        for name in facts["fields_without_value_by_chance"]
    ]
    lines += [
        f"{name} has the same value in all events of the files; in training it had several."
        for name in facts["constant_fields"]
    ]
    if facts["flat_features"]:
        lines.append(
            "The same for everybody in the files, but not in training: "
            + _listed(facts["flat_features"])
            + "."
        )
    return lines


def _features(facts: Mapping[str, Any]) -> list[str]:
    silent = facts["silent_features"]
    if not silent:
        return []
    what = "say nothing in these files and are no reasons"
    if len(silent) == 1:
        what = "says nothing in these files and is no reason"
    return [
        f"{len(silent)} of {facts['features']} features {what}: {_listed(silent)}. The model's report was made with "
        "them; `riskstream train --like` with these files trains a model without them."
    ]


def _figures(held_out: Mapping[str, Any] | None) -> list[str]:
    if held_out is None:
        return []
    about = f"{held_out['n']:,} {held_out['about']} that were held out in training"
    lines = [f"With all columns, on {about}: {_measured(held_out['with_all'])}."]
    lines += [
        f"Without {name}: {_measured(figures)}; {_changed(figures['change'])}."
        for name, figures in held_out["without"].items()
    ]
    if len(held_out["without"]) > 1:
        lines.append("Without all of these together nothing was measured.")
    return lines


def _changed(change: Mapping[str, float]) -> str:
    """Say if average precision changes by more than chance."""
    words = (
        f"average precision changes by {change['value']:+.3f} [{change['low']:+.3f}, {change['high']:+.3f}]"
    )
    if change["high"] < 0:
        return f"{words}: the model is worse without it"
    return (
        f"{words}: the model is better without it" if change["low"] > 0 else f"{words}, which may be chance"
    )


def _measured(figures: Mapping[str, Mapping[str, float]]) -> str:
    return " and ".join(
        f"{words} {figures[name]['value']:.3f} [{figures[name]['low']:.3f}, {figures[name]['high']:.3f}]"
        for name, words in METRICS.items()
    )


def _left_out(facts: Mapping[str, Any]) -> list[str]:
    names = facts["left_out_of_the_model"]
    return [f"The model was trained without {len(names)} features: {_listed(names)}."] if names else []


def _listed(names: Sequence[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more:,} more" if more > 0 else "")
