"""Replayed events as rows to learn from: the scored events whose label is known, each once.

If the use case's label is a field of a scored event, it is that event's own (a loan's). Else it is the customer's, for
all events: positive if it ever said so (a customer whose rows disagree counts as positive). Events of whose owner
no row says anything are left out. Times are int64 microseconds.
"""

from collections.abc import Iterable, Sequence
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
# whose label it is: a customer's, or an event's by customer, type and id
Owner = str | tuple[str, str, str]


@dataclass(frozen=True)
class History:
    """n rows in the order of their arrival."""

    vectors: NDArray[np.float32]
    label: NDArray[np.int64]
    customers: NDArray[Any]
    times_us: NDArray[np.int64]


@dataclass
class _Collected:
    label: Label
    of_event: bool  # the label is the scored event's own
    vectors: list[NDArray[np.float32]] = field(default_factory=list)
    seq: list[NDArray[np.int64]] = field(default_factory=list)
    times_us: list[NDArray[np.int64]] = field(default_factory=list)
    customers: list[str] = field(default_factory=list)
    owners: list[Owner] = field(default_factory=list)
    is_positive: dict[Owner, bool] = field(default_factory=dict)

    def add(self, batch: Batch, vectors: NDArray[np.float32], seq: NDArray[np.int64]) -> None:
        rows = np.flatnonzero(batch.scored & (seq > 0))
        owners = self.owners_in(batch)
        self.vectors.append(vectors[rows])
        self.seq.append(seq[rows])
        self.times_us.append(batch.time_us[rows])
        self.customers.extend([batch.subject[row] for row in rows])
        self.owners.extend([owners[row] for row in rows])
        self.add_labels(batch, owners)

    def owners_in(self, batch: Batch) -> Sequence[Owner]:
        events = zip(batch.subject, batch.types, batch.event_id, strict=True)
        return list(events) if self.of_event else batch.subject

    def add_labels(self, batch: Batch, owners: Sequence[Owner]) -> None:
        label = self.label
        for event_type, event, owner in zip(batch.types, batch.events, owners, strict=True):
            if event_type == label.event_type and (said := getattr(event, label.field)):
                self.is_positive[owner] = self.is_positive.get(owner, False) or said in label.positive


def collect(use_case: UseCase, replayed: Iterable[Replayed]) -> History:
    """The rows of a history. Raises BadUseCase without a `label`, BadHistory without a labelled scored event."""
    if use_case.label is None:
        raise BadUseCase(f"{use_case.file}: label is missing, so there is nothing to train for")
    found = _Collected(use_case.label, use_case.event_types[use_case.label.event_type].scored)
    for batch, vectors, seq, *_ in replayed:
        found.add(batch, vectors, seq)
    known = [i for i, owner in enumerate(found.owners) if owner in found.is_positive]
    if not known:
        raise BadHistory(_nothing_known(found))
    return _rows(found, np.array(known))


def _nothing_known(found: _Collected) -> str:
    events = f"found {len(found.owners)} scored events"
    if found.of_event:
        return (
            f"{events} and no label: give a file with values of {found.label.event_type}.{found.label.field}"
        )
    return (
        f"{events} and {len(found.is_positive)} labelled customers, "
        "but no scored event of a labelled customer: give the files of the same customers"
    )


def _rows(found: _Collected, known: NDArray[np.intp]) -> History:
    customers = np.array(found.customers)[known]
    rows = known[_first_of_each(customers, np.concatenate(found.seq)[known])]
    return History(
        vectors=np.concatenate(found.vectors)[rows],
        label=np.array([int(found.is_positive[found.owners[row]]) for row in rows], np.int64),
        customers=np.array(found.customers)[rows],
        times_us=np.concatenate(found.times_us)[rows],
    )


def _first_of_each(customers: NDArray[Any], seq: NDArray[np.int64]) -> NDArray[np.intp]:
    """Places of the first row with each (customer, seq): a re-delivered event is learned from once."""
    customer = np.unique(customers, return_inverse=True)[1]
    order = np.lexsort((seq, customer))  # stable: equal rows stay in the order of arrival
    is_new = (np.diff(customer[order], prepend=-1) != 0) | (np.diff(seq[order], prepend=-1) != 0)
    return np.sort(order[is_new])
