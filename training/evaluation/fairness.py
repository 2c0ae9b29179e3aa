"""Outcomes and errors by declared protected groups, at the threshold of HIGH, although the model never sees them.

A customer counts once, with its highest score; intervals are Wilson's (1927), which say something of 0 of 40 too.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from training.evaluation.customers import Customers
from training.evaluation.figures import Fairness, GroupFigures
from training.train import Judged
from training.wilson import rate

UNKNOWN = "unknown"  # customers who never said
LEAST_GROUP = 30  # customers; the rates of fewer say little


def fairness(judged: Judged, customers: Customers) -> tuple[tuple[Fairness, ...], tuple[str, ...]]:
    """By field, groups of at least LEAST_GROUP customers, the largest first; and notes on those left out."""
    flagged = customers.score >= judged.thresholds["high"]
    found, notes = [], []
    for field, values in judged.rows.protected.items():
        group = np.where(values == "", UNKNOWN, values)[customers.last]
        names, counts = np.unique(group, return_counts=True)
        kept = [names[k] for k in np.argsort(-counts, kind="stable") if counts[k] >= LEAST_GROUP]
        found.append(
            _field(field, {str(name): group == name for name in kept}, customers.label == 1, flagged)
        )
        if len(kept) < len(names):
            notes.append(_left_out(field, len(names) - len(kept), int(counts[counts < LEAST_GROUP].sum())))
    return tuple(found), tuple(notes)


def _left_out(field: str, groups: int, customers: int) -> str:
    named = "1 group is" if groups == 1 else f"{groups} groups are"
    return f"{field}: {named} left out, of fewer than {LEAST_GROUP} customers; {customers} customers in all"


def _field(
    field: str,
    groups: Mapping[str, NDArray[np.bool_]],
    positive: NDArray[np.bool_],
    flagged: NDArray[np.bool_],
) -> Fairness:
    highest = max((flagged[own].mean() for own in groups.values()), default=0.0)
    found = tuple(_group(name, positive[own], flagged[own], highest) for name, own in groups.items())
    ratios = [each.ratio for each in found if each.ratio is not None]
    return Fairness(field, found, min(ratios) if len(ratios) > 1 else None)


def _group(
    name: str, positive: NDArray[np.bool_], flagged: NDArray[np.bool_], highest: float
) -> GroupFigures:
    n, positives, hits = len(positive), int(positive.sum()), int((positive & flagged).sum())
    found = int(flagged.sum())
    return GroupFigures(
        group=name,
        n=n,
        positives=positives,
        flagged=rate(found, n),
        false_positive_rate=rate(found - hits, n - positives),
        false_negative_rate=rate(positives - hits, positives),
        precision=rate(hits, found),
        ratio=float(found / n / highest) if highest > 0 else None,
    )
