"""Replayed events as rows to learn from: the scored events whose label is known, each once.

Whose label it is, the use case says (features/usecase/label.py): a customer's, for all events (positive if it
ever said so: a
customer whose rows disagree counts as positive); the scored event's own; or that of the event it names by id. Events
of whose owner no row says anything are left out. Times are int64 microseconds.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.errors import NotEnoughData
from features.events import Batch, FieldUse, Presence, known_codec, named_ids
from features.times import rfc3339
from features.usecase import BadUseCase, Label, UseCase
from training.arrays import Indices, Vectors

# as features.replay.Replayed: a batch, its vectors float32 [n, F], then seq, disposition and number of events [n]
Replayed = tuple[Any, ...]
# whose label it is: a customer's, or an event's by customer, type and id
Owner = str | tuple[str, str, str]


@dataclass(frozen=True)
class LabelledRows:
    """n rows in the order of their arrival."""

    vectors: Vectors
    label: NDArray[np.int64]
    customers: NDArray[Any]
    times_us: NDArray[np.int64]
    known_us: NDArray[np.int64]  # when the label was known: no earlier than the event
    event_types: NDArray[Any]
    event_ids: NDArray[Any]
    people: Mapping[str, NDArray[Any]]  # latest known value of each protected or sensitive field, "": none
    events: NDArray[np.int64] | None = None  # of the customer up to this one, of any type; None: not known
    fields: Mapping[str, FieldUse] = field(
        default_factory=dict
    )  # of all events, scored or not: features.events.presence
    left_out: tuple[str, ...] = ()  # features that the model is to learn without: training.data.like_files

    def __len__(self) -> int:
        return len(self.label)

    def __getitem__(self, rows: NDArray[Any] | slice) -> "LabelledRows":
        """Those of a mask, of places or of a slice."""
        whole = ("people", "fields", "left_out")
        arrays = {
            name: each[rows] for name, each in vars(self).items() if name not in whole and each is not None
        }
        people = {name: each[rows] for name, each in self.people.items()}
        return LabelledRows(**arrays, people=people, fields=self.fields, left_out=self.left_out)


@dataclass
class _Collected:
    use_case: UseCase
    label: Label
    vectors: list[Vectors] = field(default_factory=list)
    seq: list[NDArray[np.int64]] = field(default_factory=list)
    events: list[NDArray[np.int64]] = field(default_factory=list)
    times_us: list[NDArray[np.int64]] = field(default_factory=list)
    customers: list[str] = field(default_factory=list)
    owners: list[Owner] = field(default_factory=list)
    event_types: list[str] = field(default_factory=list)
    event_ids: list[str] = field(default_factory=list)
    is_positive: dict[Owner, bool] = field(default_factory=dict)
    said_us: dict[Owner, int] = field(default_factory=dict)  # when the label that counts was said first
    people: dict[str, dict[str, str]] = field(default_factory=dict)  # by event_type.field, by customer
    presence: Presence = field(init=False)

    def __post_init__(self) -> None:
        self.presence = Presence(self.use_case)

    @property
    def of_event(self) -> bool:
        """The label is a scored event's: its own, or that of the event it names."""
        return bool(self.label.event) or self.use_case.event_types[self.label.event_type].scored

    def add(self, batch: Batch, vectors: Vectors, seq: NDArray[np.int64], events: NDArray[np.int64]) -> None:
        rows = np.flatnonzero(batch.scored & (seq > 0))
        owners = self.owners_in(batch)
        self.vectors.append(vectors[rows])
        self.seq.append(seq[rows])
        self.events.append(events[rows])
        self.times_us.append(batch.time_us[rows])
        self.customers.extend([batch.subject[row] for row in rows])
        self.owners.extend([owners[row] for row in rows])
        self.event_types.extend([batch.types[row] for row in rows])
        self.event_ids.extend([batch.event_id[row] for row in rows])
        self.presence.add(batch)
        self.add_labels(batch, owners)
        self.add_people(batch)

    def owners_in(self, batch: Batch) -> Sequence[Owner]:
        if self.of_event:
            return list(zip(batch.subject, batch.types, batch.event_id, strict=True))
        return batch.subject

    def add_labels(self, batch: Batch, owners: Sequence[Owner]) -> None:
        label = self.label
        rows = [i for i, name in enumerate(batch.types) if name == label.event_type]
        named = self.named_in(batch, rows) if label.event else [owners[row] for row in rows]
        value_of = known_codec(self.use_case, label.event_type).getters[label.field]
        for row, owner in zip(rows, named, strict=True):
            said = value_of(batch.events[row])
            if said not in (None, ""):  # an empty text is missing, as an empty cell of a file is
                self.add_label(owner, said in label.positive, int(batch.time_us[row]))

    def named_in(self, batch: Batch, rows: list[int]) -> Sequence[Owner]:
        """The events that these labels name."""
        label, of = self.label, self.use_case.event_types[self.label.event]
        known = known_codec(self.use_case, label.event_type)
        ids = named_ids(known, [batch.events[row] for row in rows], label.event_id, of)
        return [(batch.subject[row], label.event, id) for row, id in zip(rows, ids, strict=True)]

    def add_label(self, owner: Owner, positive: bool, time_us: int) -> None:
        """The first of the labels that agree with what counts in the end says when it was known."""
        if owner not in self.is_positive or (positive and not self.is_positive[owner]):
            self.is_positive[owner], self.said_us[owner] = positive, time_us

    def add_people(self, batch: Batch) -> None:
        for each in self.use_case.people:
            latest = self.people.setdefault(each.name, {})
            value_of = known_codec(self.use_case, each.event_type).getters[each.field]
            for i, found in enumerate(batch.types):
                if found == each.event_type:
                    value = value_of(batch.events[i])
                    if value not in (None, ""):  # one that is left out is still what it was
                        latest[batch.subject[i]] = str(value)


def collect(use_case: UseCase, replayed: Iterable[Replayed]) -> LabelledRows:
    """The rows of a history. Raises BadUseCase without a `label`, BadHistory without a labelled scored event."""
    if use_case.label is None:
        raise BadUseCase(f"{use_case.file}: label is missing, so there is nothing to train for")
    found = _Collected(use_case, use_case.label)
    for batch, vectors, seq, _, events in replayed:
        found.add(batch, vectors, seq, events)
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


def _rows(found: _Collected, known: Indices) -> LabelledRows:
    customers = np.array(found.customers)
    rows = known[_first_of_each(customers[known], np.concatenate(found.seq)[known])]
    times_us = np.concatenate(found.times_us)[rows]
    owners = [found.owners[row] for row in rows]
    said_us = np.array([found.said_us[owner] for owner in owners], np.int64)
    if found.label.event:
        _refuse_foresight(found, owners, times_us, said_us)
    return LabelledRows(
        vectors=np.concatenate(found.vectors)[rows],
        label=np.array([int(found.is_positive[owner]) for owner in owners], np.int64),
        customers=customers[rows],
        times_us=times_us,
        known_us=np.maximum(times_us, said_us) + found.label.delay_us,
        event_types=np.array(found.event_types)[rows],
        event_ids=np.array(found.event_ids)[rows],
        people={
            name: np.array([latest.get(c, "") for c in customers[rows]])
            for name, latest in found.people.items()
        },
        events=np.concatenate(found.events)[rows],
        fields=found.presence.fields(),
    )


def _refuse_foresight(
    found: _Collected, owners: list[Owner], times_us: NDArray[np.int64], said_us: NDArray[np.int64]
) -> None:
    """A label that was said before its event would be a feature of it, through the records it changed."""
    early = np.flatnonzero(said_us < times_us)
    if len(early):
        row = early[0]
        raise BadHistory(
            f"{len(early)} labels are dated before their events, the first by {found.label.event_type} at "
            f"{rfc3339(int(said_us[row]))} of {owners[row][1]} {owners[row][2]} at {rfc3339(int(times_us[row]))}; "
            "expected the time at which the label became known"
        )


def _first_of_each(customers: NDArray[Any], seq: NDArray[np.int64]) -> Indices:
    """Places of the first row with each (customer, seq): a re-delivered event is learned from once."""
    customer = np.unique(customers, return_inverse=True)[1]
    order = np.lexsort((seq, customer))  # stable: equal rows stay in the order of arrival
    is_new = (np.diff(customer[order], prepend=-1) != 0) | (np.diff(seq[order], prepend=-1) != 0)
    return np.sort(order[is_new])


class BadHistory(NotEnoughData):
    """Nothing can be learned from the events given to training."""
