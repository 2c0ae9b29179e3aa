"""How good a model is held out when events lack a field that its features are made of, as files to be scored may.

Each field of the history is made unknown for all events (features.blank), and so are all fields together of an event
type that is not scored, as in files without profiles. The rows are scored by models that have not learned from them;
nothing is learned anew, so a model trained without the field may be better.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.onnx import Scorer
from features.blank import blanked
from features.presence import fields_of
from features.usecase import UseCase
from training.metrics import measure
from training.scores import customer_labels, customer_scores

MOST_ROWS = 50_000  # scored once for each field; whole customers are drawn until there are so many

Floats = NDArray[np.float64]


def lacking(use_case: UseCase, judged: Any, seed: int) -> dict[str, Any]:
    """ROC AUC and average precision, with intervals, with all fields and without each; of events or customers.

    `judged` is a training.train.Judged. `without` is by event_type.field, and by event_type without all of its fields.
    """
    rows = _drawn(judged, np.random.default_rng(seed))
    models = [(Scorer(model), held_out[rows]) for model, held_out in judged.by_model()]
    vectors, label = judged.rows.vectors[rows], judged.rows.label[rows]
    customer = np.unique(judged.customer[rows], return_inverse=True)[1]
    kept = ("roc_auc", "average_precision")

    def figures(vectors: NDArray[np.float32]) -> dict[str, Any]:
        score = _scores(models, vectors)
        found = (
            measure(label, score, np.ones(len(label)), customer, seed)
            if judged.by_event
            else _of_customers(customer, label, score, seed)
        )
        return {name: found[name] for name in kept}

    return {
        "about": "events" if judged.by_event else "customers",
        "n": len(label) if judged.by_event else int(customer.max()) + 1,
        "with_all": figures(vectors),
        "without": {
            name: figures(blanked(use_case, vectors, paths)) for name, paths in groups(use_case).items()
        },
    }


def groups(use_case: UseCase) -> dict[str, tuple[str, ...]]:
    """The fields that features are made of, one by one; and all of an event type that is not scored."""
    paths = dict.fromkeys(
        path for each in use_case.table for parts in fields_of(use_case, each) for path in parts
    )
    found = {path: (path,) for path in paths}
    for name, event_type in use_case.event_types.items():
        of_type = tuple(path for path in paths if path.startswith(f"{name}."))
        if of_type and not event_type.scored:
            found[name] = of_type
    return found


def _of_customers(
    customer: NDArray[np.intp], label: NDArray[np.integer], score: Floats, seed: int
) -> dict[str, dict[str, float]]:
    scores = customer_scores(customer, score)
    everyone = np.arange(len(scores))
    return measure(customer_labels(customer, label), scores, np.ones(len(scores)), everyone, seed)


def _scores(models: Iterable[tuple[Scorer, NDArray[np.bool_]]], vectors: NDArray[np.float32]) -> Floats:
    score = np.empty(len(vectors))
    for scorer, held_out in models:
        score[held_out] = scorer.score(vectors[held_out])
    return score


def _drawn(judged: Any, rng: np.random.Generator) -> NDArray[np.intp]:
    """All rows of customers drawn without replacement until there are MOST_ROWS; both labels are among them."""
    customer: NDArray[np.intp] = judged.customer
    label: Sequence[int] = customer_labels(customer, judged.rows.label)
    order = rng.permutation(len(label))
    first = np.array([order[np.argmax(np.asarray(label)[order] == value)] for value in (0, 1)])
    order = np.concatenate([first, order[~np.isin(order, first)]])
    rows_up_to = np.cumsum(np.bincount(customer)[order])
    chosen = np.zeros(len(order), np.bool_)
    chosen[order[(rows_up_to <= MOST_ROWS) | (np.arange(len(order)) < 2)]] = True
    return np.flatnonzero(chosen[customer])
