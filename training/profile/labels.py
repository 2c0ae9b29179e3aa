"""Outcomes of rows: a scored event's own label, that of the event that names it, or that of its customer (history.py).

1 is positive, 0 negative, -1 unknown.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd  # type: ignore[import-untyped,unused-ignore]
from numpy.typing import NDArray

from features.usecase import Label, UseCase
from training.profile.facts import Conflicts, Labels, Listing
from training.profile.frames import Frame, Texts

LISTED = 100  # owners on the page whose rows contradict each other
Outcome = NDArray[np.int8]


@dataclass(frozen=True)
class Owners:
    """The owner of each of n rows' labels: a number, and by number the customer, or the customer and the event's id."""

    number: NDArray[np.int64]
    names: list[tuple[str, ...]]


def outcomes(use_case: UseCase, frames: Sequence[Frame]) -> tuple[Labels | None, dict[str, Outcome]]:
    """Facts about the label, and the outcome of each row by event type."""
    unknown = {frame.event_type.name: np.full(len(frame), -1, np.int8) for frame in frames}
    label = use_case.label
    source = next((f for f in frames if label and f.event_type.name == label.event_type), None)
    if label is None or source is None:
        return None, unknown
    event_type = label.event or (label.event_type if source.event_type.scored else "")
    owners = _events(source, source.named or source.ids) if event_type else _customers(source)
    labelled = _by_owner(source, label, owners)
    known = {owners.names[i]: positive for i, positive in labelled["positive"].items()}
    by_type = {
        frame.event_type.name: _looked_up(
            _events(frame, frame.ids) if event_type else _customers(frame), known
        )
        for frame in frames
        if event_type in ("", frame.event_type.name)
    }
    if event_type == label.event_type and source.event_type.whole:  # there the label is part of the key
        owners = _alike(source, label)
        labelled = _by_owner(source, label, owners)
    listing = _listing(source, label, owners, labelled.index[labelled["values"] > 1].to_numpy())
    return _facts(label, event_type or use_case.subject, labelled, listing, not event_type), unknown | by_type


def _customers(frame: Frame) -> Owners:
    return Owners(frame.subject.codes, [(word,) for word in frame.subject.words])


def _events(frame: Frame, ids: Texts) -> Owners:
    pair = frame.subject.codes * len(ids.words) + ids.codes
    different, number = np.unique(pair, return_inverse=True)
    subject, id = np.divmod(different, len(ids.words))
    subjects, words = frame.subject.words, ids.words
    names = zip(subject.tolist(), id.tolist(), strict=True)
    return Owners(number, [(subjects[s], words[i]) for s, i in names])


def _alike(source: Frame, label: Label) -> Owners:
    """Return `_events`, with events merged that have the same content but for the label."""
    content = source.plain().drop(columns=label.field)
    number = content.groupby(list(content), dropna=False, sort=False).ngroup().to_numpy()
    first = np.unique(number, return_index=True)[1].tolist()
    subject, id = source.subject, source.ids
    return Owners(number, [(subject.words[subject.codes[i]], id.words[id.codes[i]]) for i in first])


def _looked_up(owners: Owners, known: Mapping[tuple[str, ...], int]) -> Outcome:
    return np.array([known.get(name, -1) for name in owners.names], np.int8)[owners.number]


def _by_owner(source: Frame, label: Label, owners: Owners) -> pd.DataFrame:
    """Count rows and different values by owner with any label, and say whether one is positive."""
    codes, words = source.texts[label.field].codes, source.texts[label.field].words
    is_positive = np.array([word in _positive(label) for word in words] + [False])
    rows = pd.DataFrame(
        {"owner": owners.number, "value": codes, "positive": is_positive[codes].astype(np.int8)}
    )
    by_owner = rows[codes >= 0].groupby("owner")
    return by_owner.agg(values=("value", "nunique"), rows=("value", "size"), positive=("positive", "max"))


def _positive(label: Label) -> tuple[str, ...]:
    """Return the positive values as texts."""
    return tuple(str(value).lower() if isinstance(value, bool) else value for value in label.positive)


def _listing(source: Frame, label: Label, owners: Owners, conflicting: NDArray[np.int64]) -> Listing:
    """The values that the rows of each conflicting owner have, with how many rows have each."""
    codes, words = source.texts[label.field].codes, source.texts[label.field].words
    shown = conflicting[:LISTED]
    there = np.isin(owners.number, shown) & (codes >= 0)
    counts = Counter(zip(owners.number[there].tolist(), codes[there].tolist(), strict=True))
    values: dict[int, list[str]] = {owner: [] for owner in shown.tolist()}
    for (owner, code), rows in counts.most_common():
        values[owner].append(f"{words[code]} ({rows:,})")
    names = (source.event_type.subject, "event")[: len(owners.names[0])]
    lines = tuple((*owners.names[owner], ", ".join(texts)) for owner, texts in values.items())
    return Listing(
        "Contradicting labels", (*names, f"{label.field} (rows)"), lines, len(shown), len(conflicting)
    )


def _facts(label: Label, owner: str, labelled: pd.DataFrame, listing: Listing, by_customer: bool) -> Labels:
    conflicting = labelled[labelled["values"] > 1]
    positive = int(labelled["positive"].sum())
    return Labels(
        field=f"{label.event_type}.{label.field}",
        positive=_positive(label),
        positive_owners=positive,
        negative_owners=len(labelled) - positive,
        conflicts=Conflicts(
            owner=owner,
            owners=len(labelled),
            conflicting=len(conflicting),
            rows=int(conflicting["rows"].sum()),
            listing=listing,
        ),
        by_customer=by_customer,
    )
