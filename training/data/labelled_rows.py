"""Labelled rows: the scored events of a replayed history whose label is known, each once.

The use case says whose label it is (features/usecase/label.py): a customer's, which holds for all its events and is
positive if any label was; the scored event's own; or that of an event which the label names by its id. Events without
a label are left out. Times are int64 microseconds.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from features.errors import NotEnoughData
from features.events import Batch, FieldUse, Presence, known_codec, named_ids
from features.replay import Replayed
from features.times import rfc3339
from features.usecase import BadUseCase, Label, UseCase
from training.arrays import Indices, Mask, Texts, Vectors

# whose label it is: a customer's, or an event's by customer, type and id
Owner = str | tuple[str, str, str]


@dataclass(frozen=True)
class LabelledRows:
    """Rows to learn from [n], in the order of their arrival."""

    vectors: Vectors
    label: NDArray[np.int64]
    customers: Texts
    times_us: NDArray[np.int64]
    known_us: NDArray[np.int64]  # when the label was known: no earlier than the event
    event_types: Texts
    event_ids: Texts
    people: Mapping[str, Texts]  # latest known value of each protected or sensitive field, "": none
    events: NDArray[np.int64] | None = None  # of the customer up to this one, of any type; None: not known
    fields: Mapping[str, FieldUse] = field(
        default_factory=dict
    )  # of all events, scored or not: features.events.presence
    left_out: tuple[str, ...] = ()  # features that the model is to learn without: training.data.like_files

    def __len__(self) -> int:
        return len(self.label)

    def __getitem__(self, rows: Mask | Indices | slice) -> "LabelledRows":
        """Return the rows of a mask, of places or of a slice."""
        not_by_row = ("people", "fields", "left_out")
        arrays = {
            name: each[rows]
            for name, each in vars(self).items()
            if name not in not_by_row and each is not None
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
    known_us: dict[Owner, int] = field(default_factory=dict)  # when the label that counts came first
    people: dict[str, dict[str, str]] = field(default_factory=dict)  # by event_type.field, by customer
    presence: Presence = field(init=False)

    def __post_init__(self) -> None:
        self.presence = Presence(self.use_case)

    @property
    def of_event(self) -> bool:
        """True if the label is an event's: the scored event's own, or that of the event it names."""
        return bool(self.label.event) or self.use_case.event_types[self.label.event_type].scored

    def add(self, batch: Batch, vectors: Vectors, seq: NDArray[np.int64], events: NDArray[np.int64]) -> None:
        rows = np.flatnonzero(batch.scored & (seq > 0))
        places = rows.tolist()
        owners = self.owners_in(batch)
        self.vectors.append(vectors[rows])
        self.seq.append(seq[rows])
        self.events.append(events[rows])
        self.times_us.append(batch.time_us[rows])
        self.customers.extend([batch.subject[row] for row in places])
        self.owners.extend([owners[row] for row in places])
        self.event_types.extend([batch.types[row] for row in places])
        self.event_ids.extend([batch.event_id[row] for row in places])
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
            value = value_of(batch.events[row])
            if value not in (None, ""):  # an empty text is missing, as an empty cell of a file is
                self.add_label(owner, value in label.positive, int(batch.time_us[row]))

    def named_in(self, batch: Batch, rows: list[int]) -> Sequence[Owner]:
        """Return the events that these labels name."""
        label, event_type = self.label, self.use_case.event_types[self.label.event]
        known = known_codec(self.use_case, label.event_type)
        ids = named_ids(known, [batch.events[row] for row in rows], label.event_id, event_type)
        return [(batch.subject[row], label.event, id) for row, id in zip(rows, ids, strict=True)]

    def add_label(self, owner: Owner, positive: bool, time_us: int) -> None:
        """Keep a label; the first one that agrees with the final label dates it."""
        if owner not in self.is_positive or (positive and not self.is_positive[owner]):
            self.is_positive[owner], self.known_us[owner] = positive, time_us

    def add_people(self, batch: Batch) -> None:
        for each in self.use_case.people:
            latest = self.people.setdefault(each.name, {})
            value_of = known_codec(self.use_case, each.event_type).getters[each.field]
            for i, event_type in enumerate(batch.types):
                if event_type == each.event_type:
                    value = value_of(batch.events[i])
                    if value not in (None, ""):  # without a value the latest one still holds
                        latest[batch.subject[i]] = str(value)


def collect(use_case: UseCase, replayed: Iterable[Replayed]) -> LabelledRows:
    """Collect the labelled rows of a history.

    Raises BadUseCase without a `label`, BadHistory without a labelled scored event.
    """
    if use_case.label is None:
        raise BadUseCase(f"{use_case.file}: label is missing, so there is nothing to train for")
    collected = _Collected(use_case, use_case.label)
    for batch, vectors, seq, _, events in replayed:
        collected.add(batch, vectors, seq, events)
    known = [i for i, owner in enumerate(collected.owners) if owner in collected.is_positive]
    if not known:
        raise BadHistory(_nothing_known(collected))
    return _rows(collected, np.array(known))


def _nothing_known(collected: _Collected) -> str:
    events = f"found {len(collected.owners)} scored events"
    if collected.of_event:
        return f"{events} and no label: give a file with values of {collected.label.event_type}.{collected.label.field}"
    return (
        f"{events} and {len(collected.is_positive)} labelled customers, "
        "but no scored event of a labelled customer: give the files of the same customers"
    )


def _rows(collected: _Collected, known: Indices) -> LabelledRows:
    customers = np.array(collected.customers)
    rows = known[_first_of_each(customers[known], np.concatenate(collected.seq)[known])]
    times_us = np.concatenate(collected.times_us)[rows]
    owners = [collected.owners[row] for row in rows]
    labelled_us = np.array([collected.known_us[owner] for owner in owners], np.int64)
    if collected.label.event:
        _refuse_foresight(collected, owners, times_us, labelled_us)
    return LabelledRows(
        vectors=np.concatenate(collected.vectors)[rows],
        label=np.array([int(collected.is_positive[owner]) for owner in owners], np.int64),
        customers=customers[rows],
        times_us=times_us,
        known_us=np.maximum(times_us, labelled_us) + collected.label.delay_us,
        event_types=np.array(collected.event_types)[rows],
        event_ids=np.array(collected.event_ids)[rows],
        people=_people(collected, customers[rows]),
        events=np.concatenate(collected.events)[rows],
        fields=collected.presence.fields(),
    )


def _people(collected: _Collected, customers: Texts) -> dict[str, Texts]:
    """Return the latest known values by field, of the customer of each row; each customer is looked up once."""
    names, row = np.unique(customers, return_inverse=True)
    return {
        name: np.array([latest.get(customer, "") for customer in names.tolist()])[row]
        for name, latest in collected.people.items()
    }


def _refuse_foresight(
    collected: _Collected, owners: list[Owner], times_us: NDArray[np.int64], labelled_us: NDArray[np.int64]
) -> None:
    """Refuse labels dated before their events: through the records, they would be features of these events."""
    early = np.flatnonzero(labelled_us < times_us)
    if len(early):
        row = early[0]
        raise BadHistory(
            f"{len(early)} labels are dated before their events, the first by {collected.label.event_type} at "
            f"{rfc3339(int(labelled_us[row]))} of {owners[row][1]} {owners[row][2]} at {rfc3339(int(times_us[row]))}; "
            "expected the time at which the label became known"
        )


def _first_of_each(customers: Texts, seq: NDArray[np.int64]) -> Indices:
    """Return the place of the first row of each (customer, seq), so that a redelivered event counts once."""
    customer = np.unique(customers, return_inverse=True)[1]
    order = np.lexsort((seq, customer))  # stable: equal rows stay in the order of arrival
    is_new = (np.diff(customer[order], prepend=-1) != 0) | (np.diff(seq[order], prepend=-1) != 0)
    return np.sort(order[is_new])


class BadHistory(NotEnoughData):
    """Events that training cannot learn from."""
