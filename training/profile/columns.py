"""One field: what is missing, how values are distributed, what lies far out, how it differs between outcomes."""

from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.times import rfc3339
from features.usecase import Field, Kind
from training.profile.facts import ByLabel, FieldFacts, Numbers, OfLabel, Outliers, Value
from training.profile.frames import Frame, Texts
from training.profile.labels import Outcome

SHOWN_VALUES = 12
MOST_VALUES = 50  # a text with more is an identifier: outcomes and weeks differ only in whether it is there
FENCE, FAR_FENCE = 1.5, 3.0  # interquartile ranges beyond the quartiles (Tukey 1977)
ROBUST_Z, NORMAL_MAD = 3.5, 1.4826  # the deviation of a normal distribution is 1.4826 times its MAD
DRAWS = 1_000  # for what chance gives; the 95th percentile is then right to some percent
KS_CHANCE = 1.358  # 95th percentile of Kolmogorov's distribution

Floats = NDArray[np.float64]


def column(frame: Frame, f: Field, outcome: Outcome, is_label: bool) -> FieldFacts:
    missing, numbers = frame.missing(f.name), frame.numbers.get(f.name)
    values = numbers if numbers is not None else frame.texts[f.name].codes
    present = values[~missing]
    is_time = f.kind is Kind.TIME
    is_identifier = numbers is None and len(frame.texts[f.name].words) > MOST_VALUES
    compared = np.zeros(len(values), np.int64) if is_identifier else values  # only whether it is there
    return FieldFacts(
        field=f.name,
        kind=f.kind.value,
        words=f.words,
        description=f.description,
        optional=f.optional,
        missing=int(missing.sum()),
        distinct=len(np.unique(present)),
        numbers=None if numbers is None or is_time or not len(present) else summary(present),
        span=_span(present) if is_time and len(present) else None,
        values=() if numbers is not None else _values(frame.texts[f.name], outcome),
        by_label=None
        if is_time or is_label
        else by_label(compared, missing, outcome, frame.subject.codes, numbers is not None),
    )


def _span(times_us: NDArray[np.floating | np.integer]) -> tuple[str, str]:
    return rfc3339(int(times_us.min())), rfc3339(int(times_us.max()))


def summary(present: NDArray[np.floating | np.integer]) -> Numbers:
    """Summarize at least one value."""
    q05, q25, median, q75, q95 = np.quantile(present, [0.05, 0.25, 0.5, 0.75, 0.95]).tolist()
    deviation = np.abs(present - median)
    mad = float(np.median(deviation))
    return Numbers(
        mean=float(present.mean()),
        std=float(present.std()),
        min=float(present.min()),
        q05=q05,
        q25=q25,
        median=median,
        q75=q75,
        q95=q95,
        max=float(present.max()),
        zeros=int((present == 0).sum()),
        negative=int((present < 0).sum()),
        outliers=_outliers(present, q25, q75) if q75 > q25 else None,
        robust_z_rows=int((deviation > ROBUST_Z * NORMAL_MAD * mad).sum()) if mad else None,
    )


def _outliers(present: NDArray[np.floating | np.integer], q25: float, q75: float) -> Outliers:
    beyond = np.maximum(q25 - present, present - q75) / (q75 - q25)
    rows = int((beyond > FENCE).sum())
    reach = FENCE * (q75 - q25)
    return Outliers(q25 - reach, q75 + reach, rows, int((beyond > FAR_FENCE).sum()), rows / len(present))


def _values(texts: Texts, outcome: Outcome) -> tuple[Value, ...]:
    """The most frequent; of equally frequent ones those that came first."""
    size = len(texts.words)
    codes = texts.codes
    rows, positive, negative = (
        np.bincount(codes[chosen & (codes >= 0)], minlength=size)
        for chosen in (np.ones(len(codes), np.bool_), outcome == 1, outcome == 0)
    )
    most = np.argsort(-rows, kind="stable")[:SHOWN_VALUES].tolist()
    return tuple(Value(texts.words[i], int(rows[i]), int(positive[i]), int(negative[i])) for i in most)


def by_label(
    values: NDArray[np.floating | np.integer],
    missing: NDArray[np.bool_],
    outcome: Outcome,
    subject: NDArray[np.integer],
    measured: bool,
) -> ByLabel | None:
    """None without rows of both outcomes. `subject` [n] is whose they are: chance is that of one row a customer."""
    positive, negative = outcome == 1, outcome == 0
    if not positive.any() or not negative.any():
        return None
    parts = [values[chosen & ~missing] for chosen in (positive, negative)]
    sizes = [int(chosen.sum()) for chosen in (positive, negative)]
    customers = [len(np.unique(subject[rows])) for rows in (positive, negative)]
    of_positive, of_negative = (
        _of_label(part, size, measured) for part, size in zip(parts, sizes, strict=True)
    )
    if not measured:
        one, other = _counts(parts, sizes)
        chance = _chance_of_variation(one, other, customers)
        return ByLabel(of_positive, of_negative, _total_variation(one, other), chance)
    if not len(parts[0]) or not len(parts[1]):
        return ByLabel(of_positive, of_negative, None, None)
    independent = [min(len(part), most) for part, most in zip(parts, customers, strict=True)]
    chance = KS_CHANCE * sqrt(sum(1 / n for n in independent))
    return ByLabel(of_positive, of_negative, _kolmogorov_smirnov(*parts), chance)


def _of_label(part: NDArray[np.floating | np.integer], size: int, measured: bool) -> OfLabel:
    if not measured or not len(part):
        return OfLabel(size, size - len(part), None, None)
    quartiles = np.quantile(part, [0.25, 0.5, 0.75]).tolist()
    return OfLabel(size, size - len(part), float(part.mean()), tuple(quartiles))


def _kolmogorov_smirnov(one: NDArray[Any], other: NDArray[Any]) -> float:
    one, other = np.sort(one), np.sort(other)
    places = np.concatenate([one, other])
    below = [np.searchsorted(each, places, side="right") / len(each) for each in (one, other)]
    return float(np.abs(below[0] - below[1]).max())


def _counts(parts: list[NDArray[Any]], sizes: list[int]) -> list[NDArray[np.int64]]:
    """Rows by value, for each outcome; missing, the last, is a value like any other."""
    width = 1 + max(int(part.max(initial=-1)) for part in parts)
    return [
        np.append(np.bincount(part, minlength=width), size - len(part))
        for part, size in zip(parts, sizes, strict=True)
    ]


def _total_variation(one: NDArray[np.int64], other: NDArray[np.int64]) -> float:
    return float(np.abs(one / one.sum() - other / other.sum()).sum() / 2)


def _chance_of_variation(one: NDArray[np.int64], other: NDArray[np.int64], customers: list[int]) -> float:
    """The 95th percentile of pairs drawn from both together, one row a customer; the same one every time."""
    together, rng = (one + other) / (one.sum() + other.sum()), np.random.default_rng(1)
    draws = [rng.multinomial(n, together, DRAWS) / n for n in customers]
    return float(np.quantile(np.abs(draws[0] - draws[1]).sum(axis=1) / 2, 0.95))
