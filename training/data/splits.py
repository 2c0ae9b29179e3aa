"""Splits into training and held-out rows: no customer on both sides, nothing learned that was not known yet.

    group   customers are dealt into folds; the model that scores a row has not seen the row's customer
    time    the model learns from what was known before a cut in time; later rows are held out
    both    as `time`, and of the later rows only those of customers that the model has not seen

The held-out part is a share of the events (`test: 0.25`) or whole days (`test: 7d`). Training can be limited to labels
that became known lately (`train: 7d`), and customers can be left out of the held-out rows from the day after they
became known to be positive (`exclude_known_positives: true`), since nobody needs a score for them any more. With `time`
these three follow the method by which models of card fraud are usually compared (Le Borgne et al. 2022, chapter 3).

Whatever the split, figures come from models that have not seen the held-out rows; the final model then learns from all
rows in the same manner. `time` has the same customers on both sides, so a use case must ask for it.

A hash of their ids chooses the customers that are set apart, so they are the same in every training. A later challenger
can therefore be compared with a champion (to be exact, its stand-in) on customers that neither has learned from.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.learned import hashes, is_set_apart
from features.times import rfc3339
from features.usecase import Node, UseCase, is_known_later, section
from training.arrays import Mask, Texts
from training.data.labelled_rows import BadHistory, LabelledRows
from training.data.split_keys import SPLIT

SPLITS = ("group", "time", "both")
TEST_SHARE = 0.25  # of the period, and of the customers too
DAY_US = 86_400_000_000
NEVER_US = np.iinfo(np.int64).max
TIMED = ("train", "exclude_known_positives")  # keys that make no sense without a cut in time


@dataclass(frozen=True)
class SplitSettings:
    """The `split` of a use case's `model` section."""

    by: str  # one of SPLITS
    test: float = TEST_SHARE
    test_us: int = 0  # whole days instead of a share of the events; 0: the share
    train_us: int = 0  # before the cut; 0: all
    exclude_known_positives: bool = False

    @classmethod
    def of(cls, use_case: UseCase, split: Mapping[str, Any] | None) -> "SplitSettings":
        """Read the section; by default a label of customers is split by group, a label of events by both.

        Raises BadUseCase.
        """
        return cls.read(use_case.file, split, "both" if label_is_of_event(use_case) else "group")

    @classmethod
    def read(cls, file: str, split: Mapping[str, Any] | None, default: str) -> "SplitSettings":
        """Read the section; `default` is the split if the section names none. Raises BadUseCase."""
        return section(file, "model.split", split).whole(lambda node: cls._read(node, default))

    @classmethod
    def _read(cls, node: Node, default: str) -> "SplitSettings":
        parts = node.section(SPLIT)
        by = node.attempt(parts["by"].choice, SPLITS) if "by" in parts else default
        for name in TIMED:
            if by == "group" and name in parts:
                node.attempt(parts[name].blame, "it needs a cut in time; set by: time or both")
        train_us = node.attempt(parts["train"].duration_us) if "train" in parts else 0
        exclude_known_positives = "exclude_known_positives" in parts and node.attempt(
            parts["exclude_known_positives"].flag
        )
        share, test_us = node.attempt(_test, parts["test"]) if "test" in parts else (TEST_SHARE, 0)
        return cls(by, share, test_us, train_us, exclude_known_positives)


def _test(node: Node) -> tuple[float, int]:
    """Read a share of the events, or a duration of whole days."""
    if isinstance(node.value, str):
        return TEST_SHARE, node.duration_us()
    if not 0 < node.number() < 1:
        node.fail("a share between 0 and 1, or a duration such as 7d")
    return node.number(), 0


@dataclass(frozen=True)
class Split:
    """Rows [n] to learn from, and rows held out. Without a cut both are all rows, by folds of customers."""

    settings: SplitSettings
    learn: Mask
    held_out: Mask
    cut_us: int | None
    final: Mask  # what the final model learns from: up to the end, over as long a time

    @property
    def share_set_apart(self) -> float:
        """Share of the customers that are set apart; 0 if all customers are on both sides."""
        return 0.0 if self.settings.by == "time" else self.settings.test

    @property
    def description(self) -> str:
        """One sentence about both sides, with their numbers of rows."""
        settings = self.settings
        rows = f"{int(self.learn.sum()):,} rows to learn from, {int(self.held_out.sum()):,} to judge by"
        if self.cut_us is None:
            return f"group: every row is judged by a model that never saw its customer ({rows})"
        was = f"became known in the {settings.train_us / DAY_US:g} days" if settings.train_us else "was known"
        after = f"learns from what {was} before {rfc3339(self.cut_us)}, judged by what happened after"
        others = ", of other customers" if settings.by == "both" else ""
        known = ", without customers already known to be positive" if settings.exclude_known_positives else ""
        return f"{settings.by}: {after}{others}{known} ({rows})"


def label_is_of_event(use_case: UseCase) -> bool:
    """Return True if the label is of single events, not of customers."""
    return is_known_later(use_case.label, use_case.event_types)


def split_rows(history: LabelledRows, settings: SplitSettings, cut_us: int | None = None) -> Split:
    """Split the rows of a history; `cut_us` overrides where the held-out period begins.

    Rows before the cut whose label was known only after it are on neither side. Raises BadHistory if a side has only
    one class.
    """
    everything = np.ones(len(history), np.bool_)
    if settings.by == "group" and cut_us is None:
        return Split(settings, everything, everything, None, everything)
    if cut_us is None:
        cut_us = _cut_us(history.times_us, settings)
    known_us, held_out, final = history.known_us, history.times_us >= cut_us, everything
    since_us = cut_us - settings.train_us if settings.train_us else int(known_us.min())
    learn = (known_us >= since_us) & (known_us < cut_us)
    if settings.train_us:
        final = known_us >= _midnight_after(known_us) - settings.train_us
    if settings.by == "both":
        apart = set_apart(history.customers, settings.test)
        learn, held_out = learn & ~apart, held_out & apart
    if settings.exclude_known_positives:
        held_out = held_out & ~_is_known_positive(history, since_us)
    sides = Split(settings, learn, held_out, cut_us, final)
    _check(history, sides)
    return sides


def _cut_us(times_us: NDArray[np.int64], settings: SplitSettings) -> int:
    """Return where the held-out period begins; days are whole days in UTC."""
    if not settings.test_us:
        return int(np.quantile(times_us, 1 - settings.test, method="higher"))
    return _midnight_after(times_us) - settings.test_us


def _midnight_after(times_us: NDArray[np.int64]) -> int:
    """Return the first midnight (UTC) after all of these times."""
    return (int(times_us.max()) // DAY_US + 1) * DAY_US


def _is_known_positive(history: LabelledRows, since_us: int) -> Mask:
    """Mark rows of customers whose positive label became known from `since_us` on, before the row's day (UTC)."""
    names, customer = np.unique(history.customers, return_inverse=True)
    known_us = np.full(len(names), NEVER_US)
    counts = (history.label == 1) & (history.known_us >= since_us)
    np.minimum.at(known_us, customer[counts], history.known_us[counts])
    return np.asarray(known_us[customer] < history.times_us // DAY_US * DAY_US)


def set_apart(customers: Texts, share: float) -> Mask:
    """Mark the rows [n] of about that share of the customers, the same ones in every history.

    A smaller share is part of a larger one.
    """
    names, customer = np.unique(customers, return_inverse=True)
    return np.asarray(is_set_apart(hashes(names.tolist()), share)[customer])


def _check(history: LabelledRows, sides: Split) -> None:
    for side, rows in (("to learn from", sides.learn), ("to judge by", sides.held_out)):
        for value, meaning in ((0, "negative"), (1, "positive")):
            customers = len(np.unique(history.customers[rows & (history.label == value)]))
            if customers < 2:
                raise BadHistory(
                    f"found {customers} customers with a {meaning} label {side}, expected at least 2: the split is "
                    f"{sides.description}; give more history, or another model.split"
                )
