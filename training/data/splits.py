"""Which rows a model learns from and which judge it: never the same customer, never what was not known yet.

    group   customers dealt into folds; each row is judged by a model that never saw its customer
    time    the last part of the period judges a model of what was known before it began
    both    the last part of the period, and of it only customers the model has never seen

The last part is a share of the events (`test: 0.25`) or whole days (`test: 7d`). What is learned from may be limited
to what became known lately (`train: 7d`), and customers may be left out of what judges from the day after they became
known to be positive (`exclude_known_positives: true`): nobody needs a score of theirs any more. With `time` these
three are how the field compares models of card fraud (Le Borgne et al. 2022, chapter 3).

Whatever the way, figures are of models that had not seen what judges them; the final model then learns from all rows
in the same manner. `time` shares customers between both sides, so it must be asked for.

The customers that are set apart are the same in every training: a hash of their ids chooses them. So a later
challenger can be compared with a champion (its stand-in, to be exact) on customers that neither has learned from.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.learned import hashes, is_set_apart
from features.times import rfc3339
from features.usecase import Node, UseCase, is_known_later, section
from training.data.labelled_rows import BadHistory, History

WAYS = ("group", "time", "both")
TEST_SHARE = 0.25  # of the period, and of the customers too
DAY_US = 86_400_000_000
NEVER_US = np.iinfo(np.int64).max
TIMED = ("train", "exclude_known_positives")  # keys that make no sense without a cut in time


@dataclass(frozen=True)
class Way:
    """The `split` of a use case's `model` section."""

    way: str
    test: float = TEST_SHARE
    test_us: int = 0  # whole days instead of a share of the events; 0: the share
    train_us: int = 0  # before the cut; 0: all
    exclude_known_positives: bool = False

    @classmethod
    def of(cls, use_case: UseCase, split: Mapping[str, Any] | None) -> "Way":
        """Customers when the label is a customer's, customers and time when it is an event's. Raises BadUseCase."""
        return cls.read(use_case.file, split, "both" if of_event(use_case) else "group")

    @classmethod
    def read(cls, file: str, split: Mapping[str, Any] | None, usual: str) -> "Way":
        """`usual` is the way where the section names none. Raises BadUseCase."""
        return section(file, "model.split", split).whole(lambda node: cls._read(node, usual))

    @classmethod
    def _read(cls, node: Node, usual: str) -> "Way":
        parts = node.record((), ("by", "test", *TIMED))
        way = node.attempt(parts["by"].choice, WAYS) if "by" in parts else usual
        for name in TIMED:
            if way == "group" and name in parts:
                node.attempt(parts[name].blame, "it needs a cut in time; set by: time or both")
        train_us = node.attempt(parts["train"].duration_us) if "train" in parts else 0
        exclude_known_positives = "exclude_known_positives" in parts and node.attempt(
            parts["exclude_known_positives"].flag
        )
        share, test_us = node.attempt(_test, parts["test"]) if "test" in parts else (TEST_SHARE, 0)
        return cls(way, share, test_us, train_us, exclude_known_positives)


def _test(node: Node) -> tuple[float, int]:
    """A share of the events, or days."""
    if isinstance(node.value, str):
        return TEST_SHARE, node.duration_us()
    if not 0 < node.number() < 1:
        node.fail("a share between 0 and 1, or a duration such as 7d")
    return node.number(), 0


@dataclass(frozen=True)
class Split:
    """Rows [n] to learn from and to be judged by. `cut_us` None: all of both, by folds of customers."""

    asked: Way
    learn: NDArray[np.bool_]
    judge: NDArray[np.bool_]
    cut_us: int | None
    final: NDArray[np.bool_]  # what the model that is kept learns from: no cut, but as long a time

    @property
    def apart(self) -> float:
        """The share of customers that are set apart, 0 if all customers are on both sides."""
        return 0.0 if self.asked.way == "time" else self.asked.test

    @property
    def words(self) -> str:
        asked, way = self.asked, self.asked.way
        rows = f"{int(self.learn.sum()):,} rows to learn from, {int(self.judge.sum()):,} to judge by"
        if self.cut_us is None:
            return f"group: every row is judged by a model that never saw its customer ({rows})"
        was = f"became known in the {asked.train_us / DAY_US:g} days" if asked.train_us else "was known"
        after = f"learns from what {was} before {rfc3339(self.cut_us)}, judged by what happened after"
        others = ", of other customers" if way == "both" else ""
        known = ", without customers already known to be positive" if asked.exclude_known_positives else ""
        return f"{way}: {after}{others}{known} ({rows})"


def of_event(use_case: UseCase) -> bool:
    """Whether the label is of single events."""
    return is_known_later(use_case.label, use_case.event_types)


def split(history: History, asked: Way, cut_us: int | None = None) -> Split:
    """The rows of each side; `cut_us` overrides where the last part of the period begins.

    Rows before the cut whose label was known only after it are on no side. Raises BadHistory when a side has only
    one class.
    """
    everything = np.ones(len(history), np.bool_)
    if asked.way == "group" and cut_us is None:
        return Split(asked, everything, everything, None, everything)
    if cut_us is None:
        cut_us = _cut_us(history.times_us, asked)
    known_us, judge, final = history.known_us, history.times_us >= cut_us, everything
    since_us = cut_us - asked.train_us if asked.train_us else int(known_us.min())
    learn = (known_us >= since_us) & (known_us < cut_us)
    if asked.train_us:
        final = known_us >= _midnight_after(known_us) - asked.train_us
    if asked.way == "both":
        apart = set_apart(history.customers, asked.test)
        learn, judge = learn & ~apart, judge & apart
    if asked.exclude_known_positives:
        judge = judge & ~_of_known(history, since_us)
    found = Split(asked, learn, judge, cut_us, final)
    _check(history, found)
    return found


def _cut_us(times_us: NDArray[np.int64], asked: Way) -> int:
    """Where the last part of the period begins; days are whole ones, of UTC."""
    if not asked.test_us:
        return int(np.quantile(times_us, 1 - asked.test, method="higher"))
    return _midnight_after(times_us) - asked.test_us


def _midnight_after(times_us: NDArray[np.int64]) -> int:
    """UTC"""
    return (int(times_us.max()) // DAY_US + 1) * DAY_US


def _of_known(history: History, since_us: int) -> NDArray[np.bool_]:
    """The rows of customers of whom a positive label became known `since_us` and before the row's day (UTC)."""
    names, customer = np.unique(history.customers, return_inverse=True)
    known_us = np.full(len(names), NEVER_US)
    counts = (history.label == 1) & (history.known_us >= since_us)
    np.minimum.at(known_us, customer[counts], history.known_us[counts])
    return np.asarray(known_us[customer] < history.times_us // DAY_US * DAY_US)


def set_apart(customers: NDArray[Any], share: float) -> NDArray[np.bool_]:
    """[n] the rows of about that share of the customers, whoever else is there; a smaller share is part of a larger."""
    names, customer = np.unique(customers, return_inverse=True)
    return np.asarray(is_set_apart(hashes(names.tolist()), share)[customer])


def _check(history: History, found: Split) -> None:
    for side, rows in (("to learn from", found.learn), ("to judge by", found.judge)):
        for value, meaning in ((0, "negative"), (1, "positive")):
            customers = len(np.unique(history.customers[rows & (history.label == value)]))
            if customers < 2:
                raise BadHistory(
                    f"found {customers} customers with a {meaning} label {side}, expected at least 2: the split is "
                    f"{found.words}; give more history, or another model.split"
                )
