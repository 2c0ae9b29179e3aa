"""Held-out quality of a model when events lack a field that its features need, as files to be scored may.

Each optional field is made unknown for all events (features.usecase.absent_fields), and so are all fields together of
an event type that is not scored, as in files without profiles. Models that have not learned from the rows score them.
Nothing is learned anew, so a model trained without the field may be better.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from export.onnx import Scorer
from features.events import fields_of
from features.usecase import UseCase, blanked
from training.arrays import Floats, Indices, Mask, Vectors
from training.evaluation.curves import draw
from training.models.held_out import HeldOut
from training.statistics.customer_score import customer_labels, customer_scores
from training.statistics.metrics import INTERVAL, Ranking, average_precision, roc_auc

MOST_ROWS = 20_000  # scored once for each field; whole customers are drawn until there are so many
DRAWS = 200  # of customers, for intervals
MEASURED = {"roc_auc": roc_auc, "average_precision": average_precision}


def measure_without_fields(use_case: UseCase, held_out: HeldOut, seed: int) -> dict[str, Any]:
    """Measure ROC AUC and average precision, with intervals, with all fields and without each.

    The figures are of events, or of customers if the label is a customer's. `without` is by event_type.field, and by
    event_type without all of its fields; it also has the `change` of average precision, whose interval is paired: the
    same customers are drawn for both.
    """
    rows = _drawn(held_out, np.random.default_rng(seed))
    models = [(Scorer(model), own_rows[rows]) for model, own_rows in held_out.by_model()]
    sample = _Draws.of(held_out, rows, seed)
    vectors = held_out.rows.vectors[rows]
    with_all = sample.figures(_scores(models, vectors))
    without = {
        name: sample.figures(_scores(models, blanked(use_case, vectors, paths)))
        for name, paths in groups(use_case).items()
    }
    return {
        "about": "events" if held_out.by_event else "customers",
        "n": len(sample.label),
        "with_all": {name: interval(values) for name, values in with_all.items()},
        "without": {
            name: {metric: interval(values) for metric, values in figures.items()}
            | {"change": interval(figures["average_precision"] - with_all["average_precision"])}
            for name, figures in without.items()
        },
    }


@dataclass(frozen=True, eq=False)
class _Draws:
    """Customers or events [m], and how often each counts in all and in each draw of customers [1 + DRAWS, m]."""

    label: NDArray[np.int64]
    times: Floats
    customer: Indices | None  # [n] of rows whose scores make those of customers; None: events are measured

    @classmethod
    def of(cls, held_out: HeldOut, rows: Indices, seed: int) -> Self:
        customer = np.unique(held_out.customer[rows], return_inverse=True)[1]
        label: NDArray[np.int64] = held_out.rows.label[rows]
        rng, drawn = np.random.default_rng(seed), [np.ones(int(customer.max()) + 1)]
        while len(drawn) <= DRAWS:
            times = draw(rng, len(drawn[0]))
            if 0 < times[customer] @ label < times[customer].sum():  # a draw of only one class says nothing
                drawn.append(times)
        if held_out.by_event:
            return cls(label, np.stack(drawn)[:, customer], None)
        return cls(customer_labels(customer, label), np.stack(drawn), customer)

    def figures(self, score: Floats) -> dict[str, Floats]:
        """Measure row scores [n] by each metric, in all and in each draw [1 + DRAWS]."""
        if self.customer is not None:
            score = customer_scores(self.customer, score)
        ranking = Ranking.of(self.label, score)
        return {
            name: np.array([metric(ranking, times) for times in self.times])
            for name, metric in MEASURED.items()
        }


def interval(values: Floats) -> dict[str, float]:
    """Return the value of all, and the 95 % interval of the draws."""
    low, high = np.percentile(values[1:], INTERVAL)
    return {"value": float(values[0]), "low": float(low), "high": float(high)}


def groups(use_case: UseCase) -> dict[str, tuple[str, ...]]:
    """Return the optional fields that features use, one by one, and all fields of an event type that is not scored.

    Fields that every event must have are left out: no file can lack their column.
    """
    paths = dict.fromkeys(
        path for each in use_case.table for parts in fields_of(use_case, each) for path in parts
    )
    fields: dict[str, tuple[str, ...]] = {}
    for name, event_type in use_case.event_types.items():
        of_type = [path for path in paths if path.startswith(f"{name}.")]
        fields |= {path: (path,) for path in of_type if event_type.fields[path.partition(".")[2]].optional}
        if of_type and not event_type.scored:
            fields[name] = tuple(of_type)
    return fields


def _scores(models: Iterable[tuple[Scorer, Mask]], vectors: Vectors) -> Floats:
    score = np.empty(len(vectors))
    for scorer, own_rows in models:
        score[own_rows] = scorer.score(vectors[own_rows])
    return score


def _drawn(held_out: HeldOut, rng: np.random.Generator) -> Indices:
    """Draw whole customers until there are MOST_ROWS rows; both labels are among them."""
    customer: Indices = held_out.customer
    label = customer_labels(customer, held_out.rows.label)
    order = rng.permutation(len(label))
    first = np.array([order[np.argmax(label[order] == value)] for value in (0, 1)])
    order = np.concatenate([first, order[~np.isin(order, first)]])
    rows_up_to = np.cumsum(np.bincount(customer)[order])
    chosen = np.zeros(len(order), np.bool_)
    chosen[order[(rows_up_to <= MOST_ROWS) | (np.arange(len(order)) < 2)]] = True
    return np.flatnonzero(chosen[customer])
