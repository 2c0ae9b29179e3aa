"""Thresholds of the levels, chosen on held-out customers from what the policy asks for.

A customer counts with the highest score it ever had, since a level rises at once; where the label is an event's, each
event counts with its own. Where no threshold reaches a target, the nearest that at least MIN_FLAGGED of them reach is
taken and the report says `reached: false`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.terms import Target, Terms

MIN_FLAGGED = 5  # customers or events; the precision of fewer says nothing
LEAST = 1e-6  # a threshold of 0 would put everybody on the level

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """What each distinct highest score would give as a threshold; scores fall, so the others grow."""

    threshold: Floats
    precision: Floats
    recall: Floats
    share: Floats  # of all, how many reach it
    flagged: NDArray[np.int64]


def curve(label: NDArray[np.integer], peak: Floats) -> Curve:
    """`label` and highest score of each customer, or of each event."""
    order = np.argsort(-peak, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(peak[order]) != 0, True))
    true, flagged = np.cumsum(label[order])[ends], ends + 1
    return Curve(peak[order][ends], true / flagged, true / label.sum(), flagged / len(label), flagged)


# the place on the curve that a target asks for, and whether it is reached there
Choice = tuple[int, bool]


def _by_precision(found: Curve, value: float) -> Choice:
    enough = found.flagged >= min(MIN_FLAGGED, found.flagged[-1])
    places = np.flatnonzero(enough & (found.precision >= value))
    if len(places):
        return int(places[-1]), True
    return int(np.argmax(np.where(enough, found.precision, -1))), False


def _by_recall(found: Curve, value: float) -> Choice:
    return int(np.argmax(found.recall >= value)), True


def _by_share(found: Curve, value: float) -> Choice:
    places = np.flatnonzero(found.share <= value)
    return (int(places[-1]), True) if len(places) else (0, False)


def _by_score(found: Curve, value: float) -> Choice:
    return max(int((found.threshold >= value).sum()) - 1, 0), True


CHOICES: dict[str, Callable[[Curve, float], Choice]] = {
    "precision": _by_precision,
    "recall": _by_recall,
    "share": _by_share,
    "score": _by_score,
}


def choose(
    terms: Terms, label: NDArray[np.integer], peak: Floats
) -> tuple[dict[str, float], dict[str, dict[str, Any]]]:
    """Thresholds by level, and what each gave on the held-out customers. MEDIUM never lies above HIGH."""
    found = curve(label, peak)
    high, high_report = _one(found, terms.high, 1.0)
    medium, medium_report = _one(found, terms.medium, high)
    return {"medium": medium, "high": high}, {"medium": medium_report, "high": high_report}


def _one(found: Curve, target: Target, most: float) -> tuple[float, dict[str, Any]]:
    place, is_reached = CHOICES[target.kind](found, target.value)
    chosen = target.value if target.kind == "score" else float(found.threshold[place])
    threshold = min(max(chosen, LEAST), most)
    flagged = int((found.threshold >= threshold).sum()) - 1  # the last place at or above it
    figures = {
        "precision": float(found.precision[flagged]) if flagged >= 0 else None,
        "recall": float(found.recall[flagged]) if flagged >= 0 else 0.0,
        "share": float(found.share[flagged]) if flagged >= 0 else 0.0,
    }
    if threshold < chosen:  # held down by HIGH: it may give less than was asked for
        is_reached = is_reached and _holds(target, threshold, figures)
    report = {"threshold": threshold, "target": {target.kind: target.value}, "reached": is_reached}
    return threshold, report | figures


def _holds(target: Target, threshold: float, figures: dict[str, float | None]) -> bool:
    value = threshold if target.kind == "score" else figures[target.kind]
    if value is None:
        return False
    return value <= target.value if target.kind == "share" else value >= target.value
