"""The measurement of a history: from its rows to the facts of its profile."""

from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd  # type: ignore[import-untyped,unused-ignore]

from features.times import rfc3339
from features.usecase import UseCase
from pipeline.files import BadRow, Place
from training.data.cleaning import clean
from training.data.files import EventRows
from training.evaluation.calendar import calendar_alone
from training.evaluation.figures import Calendar
from training.profile.associations import CORRELATED_ROWS, associations, correlations, sampled
from training.profile.columns import column
from training.profile.dates import date_orders
from training.profile.drift import drifts
from training.profile.facts import Bad, EventTypeFacts, FieldFacts, Labels, Profile, Repeats
from training.profile.frames import Frame, frames
from training.profile.labels import Outcome, outcomes
from training.profile.listed import differing
from training.profile.periods import periods, reference_periods
from training.profile.rates import with_rates

SHOWN_BAD_ROWS = 100  # of each kind
SEED = 1  # of folds and of customers drawn for an interval; the same history gives the same profile
Progress = Callable[[str], None]
Outcomes = dict[str, Outcome]


def profile(
    use_case: UseCase, places: Sequence[str | Place], rows: EventRows, progress: Progress = lambda _: None
) -> tuple[Profile, list[Frame], Outcomes]:
    """The facts; and the frames they are of with the outcomes of their rows, which plots need."""
    progress(f"laying out {len(rows):,} rows")
    laid_out = frames(use_case, rows)
    labels, by_type = outcomes(use_case, laid_out)
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
            event_type(use_case, labels, frame, by_type[frame.event_type.name], progress)
            for frame in laid_out
        ),
    )
    return facts, laid_out, by_type


def _label_of(use_case: UseCase, frame: Frame) -> str | None:
    label = use_case.label
    return label.field if label and label.event_type == frame.event_type.name else None


def bad(use_case: UseCase, rows: Sequence[tuple[Place, BadRow]]) -> tuple[Bad, ...]:
    """Count bad rows by place, reason and field, the most frequent first."""
    fields = {name for t in use_case.event_types.values() for name in t.fields}
    alike = defaultdict[tuple[str, str, str], list[str]](list)
    for place, row in rows:
        name = row.detail.partition(":")[0]
        alike[str(place), row.reason, name if name in fields else ""].append(f"{row.line}: {row.detail}")
    most = sorted(alike.items(), key=lambda item: -len(item[1]))
    return tuple(Bad(*key, len(lines), tuple(lines[:SHOWN_BAD_ROWS])) for key, lines in most)


def event_type(
    use_case: UseCase, labels: Labels | None, frame: Frame, outcome: Outcome, progress: Progress
) -> EventTypeFacts:
    """The facts about one event type."""
    kind, label = frame.event_type, _label_of(use_case, frame)
    progress(f"{kind.name}: describing {len(frame):,} rows")
    unit, by_period, period = periods(frame, outcome) if kind.time else ("week", (), None)
    sample = sampled(len(frame), CORRELATED_ROWS)
    return EventTypeFacts(
        name=kind.name,
        scored=kind.scored,
        rows=len(frame),
        subjects=len(frame.subject.words),
        first=rfc3339(int(frame.time_us.min())) if kind.time else None,
        last=rfc3339(int(frame.time_us.max())) if kind.time else None,
        repeats=repeats(frame),
        columns=columns(labels, frame, outcome, label),
        correlations=correlations(frame, outcome, label, sample),
        correlation_rows=len(sample),
        periods=by_period,
        reference_periods=reference_periods(len(by_period)) if by_period else 0,
        drift=drifts(frame, period) if period is not None else (),
        unit=unit,
        associations=associations(frame, outcome, label),
        date_orders=date_orders(frame),
        calendar=dates_alone(labels, frame, outcome) if kind.scored and kind.time else None,
    )


def dates_alone(labels: Labels | None, frame: Frame, outcome: Outcome) -> Calendar | None:
    """Measure how well models of dates alone rank the rows with a known outcome; None if one outcome is missing."""
    known = outcome >= 0
    label = outcome[known].astype(np.int64)
    if labels is None or len(np.unique(label)) < 2:
        return None
    customer = np.unique(frame.subject.codes[known], return_inverse=True)[1]
    return calendar_alone(frame.time_us[known], label, customer, SEED, by_event=not labels.by_customer)


def columns(
    labels: Labels | None, frame: Frame, outcome: Outcome, label: str | None
) -> tuple[FieldFacts, ...]:
    """`label` is the field that is the label, if it is one of this event type."""
    described = [column(frame, f, outcome, f.name == label) for f in frame.event_type.fields.values()]
    return with_rates(described, frame, outcome, label, by_customer=labels is not None and labels.by_customer)


def repeats(frame: Frame) -> Repeats:
    copies = frame.plain().duplicated().to_numpy()
    keys = pd.Series(frame.ids.codes)
    return Repeats(
        exact=int(copies.sum()),
        by_key=int(keys.duplicated().sum()),
        by_key_differing=int(keys[~copies].duplicated().sum()),
        subjects_with_more_rows=int((np.bincount(frame.subject.codes) > 1).sum()),
        listing=differing(frame, ~copies),
    )
