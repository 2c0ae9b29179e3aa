"""Outcomes of rows: a scored event's own label, or else that of its customer, as training has it (history.py).

1 is positive, 0 negative, -1 unknown.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd  # type: ignore[import-untyped,unused-ignore]
from numpy.typing import NDArray

from features.schema import Label
from features.usecase import UseCase
from training.profile.facts import Conflicts, Labels
from training.profile.frames import Frame

SHOWN_OWNERS = 5
Outcome = NDArray[np.int8]


def outcomes(use_case: UseCase, frames: Sequence[Frame]) -> tuple[Labels | None, dict[str, Outcome]]:
    """Facts about the label, and the outcome of each row by event type."""
    unknown = {frame.event_type.name: np.full(len(frame), -1, np.int8) for frame in frames}
    label = use_case.label
    source = next((f for f in frames if label and f.event_type.name == label.event_type), None)
    if label is None or source is None:
        return None, unknown
    of_event = source.event_type.scored
    owner, names = _owners(source, of_event)
    said = _said(source, label, owner)
    by_owner = np.full(len(names), -1, np.int8)
    by_owner[said.index] = said["positive"]
    if of_event:
        found = unknown | {label.event_type: by_owner[owner]}
    else:
        known = dict(zip(names, by_owner.tolist(), strict=True))
        found = {frame.event_type.name: _of_customers(frame, known) for frame in frames}
    return _facts(label, label.event_type if of_event else use_case.subject, said, names), found


def _owners(source: Frame, of_event: bool) -> tuple[NDArray[np.int64], list[str]]:
    """Whose label each row has, as a number, and the names by number."""
    if not of_event:
        return source.subject.codes, source.subject.words
    pairs = pd.DataFrame({"subject": source.subject.codes, "id": source.ids.codes})
    number = pairs.groupby(["subject", "id"], sort=False).ngroup().to_numpy()
    first = pairs.drop_duplicates()
    subjects, ids = source.subject.words, source.ids.words
    names = zip(first["subject"].tolist(), first["id"].tolist(), strict=True)
    return number, [f"{subjects[s]}: {ids[i]}" for s, i in names]


def _said(source: Frame, label: Label, owner: NDArray[np.int64]) -> pd.DataFrame:
    """By owner with any label: how many rows and different values, and whether one is positive."""
    codes, words = source.texts[label.field].codes, source.texts[label.field].words
    is_positive = np.array([word in label.positive for word in words] + [False])
    rows = pd.DataFrame({"owner": owner, "value": codes, "positive": is_positive[codes].astype(np.int8)})
    by_owner = rows[codes >= 0].groupby("owner")
    return by_owner.agg(values=("value", "nunique"), rows=("value", "size"), positive=("positive", "max"))


def _of_customers(frame: Frame, known: Mapping[str, int]) -> Outcome:
    return np.array([known.get(word, -1) for word in frame.subject.words], np.int8)[frame.subject.codes]


def _facts(label: Label, owner: str, said: pd.DataFrame, names: list[str]) -> Labels:
    conflicting = said[said["values"] > 1]
    positive = int(said["positive"].sum())
    return Labels(
        field=f"{label.event_type}.{label.field}",
        positive=label.positive,
        positive_owners=positive,
        negative_owners=len(said) - positive,
        conflicts=Conflicts(
            owner=owner,
            owners=len(said),
            conflicting=len(conflicting),
            rows=int(conflicting["rows"].sum()),
            examples=tuple(names[i] for i in conflicting.index[:SHOWN_OWNERS].tolist()),
        ),
    )
