"""Which rows a model learns from and which judge it: never the same customer, never what was not known yet.

    group   customers dealt into folds; each row is judged by a model that never saw its customer
    time    the last part of the period judges a model of what was known before it began
    both    the last part of the period, and of it only customers the model has never seen

Whatever the way, figures are of models that had not seen what judges them; the final model then learns from all rows
in the same manner. `time` shares customers between both sides, so it must be asked for.

The customers that are set apart are the same in every training: a hash of their ids chooses them. So a later
challenger can be compared with a champion (its stand-in, to be exact) on customers that neither has learned from.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from features.document import Node
from features.times import rfc3339
from features.usecase import UseCase
from training.fit import BadHistory
from training.history import History

WAYS = ("group", "time", "both")
TEST_SHARE = 0.25  # of the period, and of the customers too
HASHES = 2.0**64


@dataclass(frozen=True)
class Split:
    """Rows [n] to learn from and to be judged by. `cut_us` None: all of both, by folds of customers.

    `apart` is the share of customers that are set apart, 0 if all customers are on both sides.
    """

    way: str
    learn: NDArray[np.bool_]
    judge: NDArray[np.bool_]
    cut_us: int | None
    apart: float

    @property
    def words(self) -> str:
        rows = f"{int(self.learn.sum()):,} rows to learn from, {int(self.judge.sum()):,} to judge by"
        if self.cut_us is None:
            return f"group: every row is judged by a model that never saw its customer ({rows})"
        after = f"learns from what was known before {rfc3339(self.cut_us)}, judged by what happened after"
        others = ", of other customers" if self.way == "both" else ""
        return f"{self.way}: {after}{others} ({rows})"


@dataclass(frozen=True)
class Way:
    """The `split` of a use case's `model` section."""

    way: str
    test: float

    @classmethod
    def of(cls, use_case: UseCase, section: Mapping[str, Any] | None) -> "Way":
        """Customers when the label is a customer's, customers and time when it is an event's. Raises BadUseCase."""
        usual = "both" if of_event(use_case) else "group"
        if section is None:
            return cls(usual, TEST_SHARE)
        parts = Node(use_case.file, "model.split", section).record((), ("by", "test"))
        test = parts["test"].number() if "test" in parts else TEST_SHARE
        if not 0 < test < 1:
            parts["test"].fail("a share between 0 and 1")
        return cls(parts["by"].choice(WAYS) if "by" in parts else usual, test)


def of_event(use_case: UseCase) -> bool:
    """Whether the label is of single events."""
    label = use_case.label
    return label is not None and (bool(label.of) or use_case.event_types[label.event_type].scored)


def split(history: History, asked: Way, cut_us: int | None = None) -> Split:
    """The rows of each side; `cut_us` overrides where the last part of the period begins.

    Rows before the cut whose label was known only after it are on no side. Raises BadHistory when a side has only
    one class.
    """
    everything = np.ones(len(history), np.bool_)
    if asked.way == "group" and cut_us is None:
        return Split("group", everything, everything, None, asked.test)
    if cut_us is None:
        cut_us = int(np.quantile(history.times_us, 1 - asked.test, method="higher"))
    learn, judge = history.known_us < cut_us, history.times_us >= cut_us
    if asked.way == "both":
        apart = set_apart(history.customers, asked.test)
        learn, judge = learn & ~apart, judge & apart
    found = Split(asked.way, learn, judge, cut_us, 0.0 if asked.way == "time" else asked.test)
    _check(history, found)
    return found


def set_apart(customers: NDArray[Any], share: float) -> NDArray[np.bool_]:
    """[n] the rows of about that share of the customers, whoever else is there; a smaller share is part of a larger."""
    names, customer = np.unique(customers, return_inverse=True)
    place = np.array([xxhash.xxh3_64_intdigest(name.encode()) for name in names.tolist()], np.float64)
    return np.asarray((place < share * HASHES)[customer])


def _check(history: History, found: Split) -> None:
    for side, rows in (("to learn from", found.learn), ("to judge by", found.judge)):
        for value, meaning in ((0, "negative"), (1, "positive")):
            customers = len(np.unique(history.customers[rows & (history.label == value)]))
            if customers < 2:
                raise BadHistory(
                    f"found {customers} customers with a {meaning} label {side}, expected at least 2: the split is "
                    f"{found.words}; give more history, or another model.split"
                )
