"""Replayed events as rows to learn from: the scored events of labelled customers, each once.

The label is the customer's, from the field that the use case names: positive if it ever said so (a customer whose
rows disagree counts as positive), unknown and left out if no row says anything. Times are int64 microseconds.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.document import BadUseCase
from features.events import Batch
from features.schema import Label
from features.usecase import UseCase
from training.fit import BadHistory

# a batch, its vectors float32 [n, F], its seq int64 [n] in the subject's record (0: refused); more may follow
Replayed = tuple[Any, ...]


@dataclass(frozen=True)
class History:
    """n rows in the order of their arrival."""

    vectors: NDArray[np.float32]
    label: NDArray[np.int64]
    customers: NDArray[Any]
    times_us: NDArray[np.int64]


@dataclass
class _Collected:
    vectors: list[NDArray[np.float32]] = field(default_factory=list)
    seq: list[NDArray[np.int64]] = field(default_factory=list)
    times_us: list[NDArray[np.int64]] = field(default_factory=list)
    customers: list[str] = field(default_factory=list)
    is_positive: dict[str, bool] = field(default_factory=dict)

    def add(self, batch: Batch, vectors: NDArray[np.float32], seq: NDArray[np.int64]) -> None:
        rows = np.flatnonzero(batch.scored & (seq > 0))
        self.vectors.append(vectors[rows])
        self.seq.append(seq[rows])
        self.times_us.append(batch.time_us[rows])
        self.customers.extend([batch.subject[row] for row in rows])

    def add_labels(self, batch: Batch, label: Label) -> None:
        for event_type, event, customer in zip(batch.types, batch.events, batch.subject, strict=True):
            if event_type == label.event_type and (said := getattr(event, label.field)):
                self.is_positive[customer] = self.is_positive.get(customer, False) or said in label.positive


def collect(use_case: UseCase, replayed: Iterable[Replayed]) -> History:
    """The rows of a history. Raises BadUseCase without a `label`, BadHistory without a labelled scored event."""
    if use_case.label is None:
        raise BadUseCase(f"{use_case.file}: label is missing, so there is nothing to train for")
    found = _Collected()
    for batch, vectors, seq, *_ in replayed:
        found.add(batch, vectors, seq)
        found.add_labels(batch, use_case.label)
    known = [i for i, customer in enumerate(found.customers) if customer in found.is_positive]
    if not known:
        raise BadHistory(
            f"found {len(found.customers)} scored events and {len(found.is_positive)} labelled customers, "
            "but no scored event of a labelled customer: give the files of the same customers"
        )
    return _rows(found, np.array(known))


def _rows(found: _Collected, known: NDArray[np.intp]) -> History:
    customers = np.array(found.customers)[known]
    rows = known[_first_of_each(customers, np.concatenate(found.seq)[known])]
    customers = np.array(found.customers)[rows]
    return History(
        vectors=np.concatenate(found.vectors)[rows],
        label=np.array([int(found.is_positive[customer]) for customer in customers], np.int64),
        customers=customers,
        times_us=np.concatenate(found.times_us)[rows],
    )


def _first_of_each(customers: NDArray[Any], seq: NDArray[np.int64]) -> NDArray[np.intp]:
    """Places of the first row with each (customer, seq): a re-delivered event is learned from once."""
    customer = np.unique(customers, return_inverse=True)[1]
    order = np.lexsort((seq, customer))  # stable: equal rows stay in the order of arrival
    is_new = (np.diff(customer[order], prepend=-1) != 0) | (np.diff(seq[order], prepend=-1) != 0)
    return np.sort(order[is_new])
