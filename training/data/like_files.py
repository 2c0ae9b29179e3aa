"""Features that say nothing in the files to be scored: training for these files leaves them out of the model.

A feature left out stays in the vector, because the vector is the use case's. While learning it is 0 in all rows, so no
tree splits on it and a linear model gives it no weight: whatever its value, it changes no score.
"""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from msgspec import structs

from export.distributions.coverage import Coverage, Spread, coverage
from export.distributions.reference import reference
from features.events import Presence
from features.replay import Replayed
from features.usecase import UseCase
from training.arrays import Vectors
from training.data.labelled_rows import BadHistory, LabelledRows
from training.progress import Progress


def leave_out_silent(
    use_case: UseCase, history: LabelledRows, replayed: Iterable[Replayed], progress: Progress
) -> LabelledRows:
    """Leave out of a history the features that say nothing in other events, and report them to `progress`.

    `replayed` are these other events, replayed as the history is. Raises BadHistory if none of them is scored, or if no
    feature would be left.
    """
    difference = compare_coverage(use_case, history, replayed)
    if len(difference.silent) == len(use_case.features):
        raise BadHistory(
            "no feature says anything in the files of --like: give files with the columns of training"
        )
    progress(describe(difference))
    return replace(history, left_out=difference.silent)


def describe(difference: Coverage) -> str:
    """Say which features are left out, and why."""
    if not difference.silent:
        return "all features say something in the files of --like: none is left out"
    lacking = [*(f"{name} events" for name in difference.absent), *difference.missing, *difference.rare]
    because = f"the files lack {', '.join(lacking)}" if lacking else "they have one value for all there"
    return f"left out of the model ({because}): {', '.join(difference.silent)}"


def compare_coverage(use_case: UseCase, history: LabelledRows, replayed: Iterable[Replayed]) -> Coverage:
    """Compare the events that are to be scored with the history."""
    presence, spread, customers = Presence(use_case), Spread(), set[str]()
    for batch, vectors, seq, *_ in replayed:
        presence.add(batch)
        rows = np.flatnonzero(batch.scored & (seq > 0))
        spread.add(vectors[rows])
        customers.update(batch.subject[row] for row in rows.tolist())
    if not customers:
        raise BadHistory("found no scored event in the files of --like, expected those that are to be scored")
    bins = reference(use_case.features, history.vectors, np.zeros(len(history)))
    trained = structs.replace(bins, fields=history.fields)
    return coverage(use_case, trained, presence.fields(), spread, len(customers))


def zero_left_out(use_case: UseCase, history: LabelledRows) -> LabelledRows:
    """Return the rows to learn from, with 0 in the features that are left out."""
    if not history.left_out:
        return history
    vectors: Vectors = history.vectors.copy()
    vectors[:, [use_case.features.index(name) for name in history.left_out]] = 0
    return replace(history, vectors=vectors)
