"""From the rows of a history to the facts of its profile."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import combinations

import numpy as np
import pandas as pd  # type: ignore[import-untyped,unused-ignore]

from features.schema import Kind
from features.times import rfc3339
from features.usecase import UseCase
from pipeline.files import BadRow, Place
from training.cleaning import clean
from training.files import Rows
from training.profile.columns import column
from training.profile.drift import drifts, reference_weeks, weeks
from training.profile.facts import Bad, Correlation, EventTypeFacts, Profile, Repeats
from training.profile.frames import Frame, frames
from training.profile.labels import Outcome, outcomes

SHOWN_BAD_ROWS = 5
CORRELATED_ROWS = 100_000  # ranks of more take minutes and say the same
LEAST_PAIRS = 30  # a correlation of fewer rows is chance
Progress = Callable[[str], None]
Outcomes = dict[str, Outcome]


def profile(
    use_case: UseCase, places: Sequence[str | Place], rows: Rows, progress: Progress = lambda _: None
) -> tuple[Profile, list[Frame], Outcomes]:
    """The facts; and the frames they are of with the outcomes of their rows, which plots need."""
    progress(f"laying out {len(rows):,} rows")
    found = frames(use_case, rows)
    labels, by_type = outcomes(use_case, found)
    _, cleaned = clean(use_case, rows)
    facts = Profile(
        use_case=use_case.name,
        subject=use_case.subject,
        fingerprint=use_case.fingerprint,
        places=tuple(map(str, places)),
        rows=len(rows),
        bad_rows=len(rows.bad),
        bad=bad(use_case, rows.bad),
        cleaning=tuple(cleaned),
        labels=labels,
        event_types=tuple(
            event_type(frame, by_type[frame.event_type.name], _label_of(use_case, frame), progress)
            for frame in found
        ),
    )
    return facts, found, by_type


def _label_of(use_case: UseCase, frame: Frame) -> str | None:
    label = use_case.label
    return label.field if label and label.event_type == frame.event_type.name else None


def bad(use_case: UseCase, rows: Sequence[tuple[Place, BadRow]]) -> tuple[Bad, ...]:
    """By place, reason and field; the most frequent first."""
    fields = {name for t in use_case.event_types.values() for name in t.fields}
    alike = defaultdict[tuple[str, str, str], list[str]](list)
    for place, row in rows:
        name = row.detail.partition(":")[0]
        alike[str(place), row.reason, name if name in fields else ""].append(f"{row.line}: {row.detail}")
    most = sorted(alike.items(), key=lambda item: -len(item[1]))
    return tuple(Bad(*key, len(told), tuple(told[:SHOWN_BAD_ROWS])) for key, told in most)


def event_type(frame: Frame, outcome: Outcome, label: str | None, progress: Progress) -> EventTypeFacts:
    """`label` is the field that is the label, if it is one of this type."""
    kind = frame.event_type
    progress(f"{kind.name}: describing {len(frame):,} rows")
    by_week, week = weeks(frame, outcome) if kind.time else ((), None)
    sample = sampled(len(frame), CORRELATED_ROWS)
    return EventTypeFacts(
        name=kind.name,
        scored=kind.scored,
        rows=len(frame),
        subjects=len(frame.subject.words),
        first=rfc3339(int(frame.time_us.min())) if kind.time else None,
        last=rfc3339(int(frame.time_us.max())) if kind.time else None,
        repeats=repeats(frame),
        columns=tuple(column(frame, f, outcome, f.name == label) for f in kind.fields.values()),
        correlations=correlations(frame, outcome, sample),
        correlation_rows=len(sample),
        weeks=by_week,
        reference_weeks=reference_weeks(len(by_week)) if by_week else 0,
        drift=drifts(frame, week) if week is not None else (),
    )


def repeats(frame: Frame) -> Repeats:
    copies = frame.plain().duplicated().to_numpy()
    keys = pd.Series(frame.ids.codes)
    return Repeats(
        exact=int(copies.sum()),
        by_key=int(keys.duplicated().sum()),
        by_key_differing=int(keys[~copies].duplicated().sum()),
        subjects_with_more_rows=int((np.bincount(frame.subject.codes) > 1).sum()),
    )


def sampled(rows: int, most: int) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    """The places of at most so many rows, in order; the same ones every time."""
    if rows <= most:
        return np.arange(rows)
    return np.sort(np.random.default_rng(1).choice(rows, most, replace=False))


def correlations(frame: Frame, outcome: Outcome, sample: np.ndarray) -> tuple[Correlation, ...]:  # type: ignore[type-arg]
    """Of all pairs of numbers, dates, booleans and the label, the strongest first."""
    table = pd.DataFrame(measured(frame, outcome), index=range(len(frame))).iloc[sample]
    found = []
    for one, other in combinations(table.columns, 2):
        both = table[[one, other]].dropna()
        if len(both) < LEAST_PAIRS or (both.nunique() < 2).any():
            continue
        rank = np.corrcoef(both.rank().to_numpy(), rowvar=False)[0, 1]
        found.append(Correlation(one, other, float(rank), len(both)))
    return tuple(sorted(found, key=lambda each: -abs(each.rank)))


def measured(frame: Frame, outcome: Outcome) -> dict[str, np.ndarray]:  # type: ignore[type-arg]
    """What has an order, as float64 with NaN for missing."""
    fields = frame.event_type.fields.values()
    found = {
        f.name: frame.numbers[f.name] for f in fields if f.name in frame.numbers and f.kind is not Kind.TIME
    }
    for f in fields:
        if f.kind is Kind.BOOLEAN:
            words = np.array([*(float(word == "true") for word in frame.texts[f.name].words), np.nan])
            found[f.name] = words[frame.texts[f.name].codes]
    if (outcome >= 0).any():
        found["(label)"] = np.where(outcome < 0, np.nan, outcome)
    return found
