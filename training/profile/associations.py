"""Associations of fields: categories with each other and with numbers over all rows, numbers by their ranks."""

from collections.abc import Mapping
from itertools import combinations, product

import numpy as np
import pandas as pd  # type: ignore[import-untyped,unused-ignore]
from numpy.typing import NDArray
from scipy.stats import chi2, rankdata  # type: ignore[import-untyped,unused-ignore]

from features.usecase import Kind
from training.profile.columns import MOST_VALUES
from training.profile.facts import Association, Correlation
from training.profile.frames import Frame
from training.profile.labels import Outcome

CORRELATED_ROWS = 100_000  # ranks of more take minutes and say the same
LEAST_PAIRS = 30  # a figure of fewer rows is chance
RARE = (
    20  # rows of a value below which it is taken together with others: chi-square needs enough in each cell
)
SIGNIFICANCE = 0.05  # of all pairs together (Bonferroni)
LABEL = "(label)"

Codes = NDArray[np.int64]
Floats = NDArray[np.float64]


def sampled(rows: int, most: int) -> NDArray[np.intp]:
    """The places of at most so many rows, in order; the same ones every time."""
    if rows <= most:
        return np.arange(rows)
    return np.sort(np.random.default_rng(1).choice(rows, most, replace=False))


def correlations(
    frame: Frame, outcome: Outcome, label: str | None, sample: NDArray[np.intp]
) -> tuple[Correlation, ...]:
    """Return rank correlations of all pairs of numbers, dates, booleans and the label, the strongest first."""
    table = pd.DataFrame(measured(frame, outcome, label), index=range(len(frame))).iloc[sample]
    pairs = []
    for one, other in combinations(table.columns, 2):
        both = table[[one, other]].dropna()
        if len(both) < LEAST_PAIRS or (both.nunique() < 2).any():
            continue
        rank = np.corrcoef(both.rank().to_numpy(), rowvar=False)[0, 1]
        pairs.append(Correlation(one, other, float(rank), len(both)))
    return tuple(sorted(pairs, key=lambda each: -abs(each.rank)))


def measured(frame: Frame, outcome: Outcome, label: str | None) -> dict[str, Floats]:
    """Return ordered fields as float64 with NaN for missing; the outcome stands for the field that is the label."""
    fields = [f for f in frame.event_type.fields.values() if f.name != label]
    values = {
        f.name: frame.numbers[f.name] for f in fields if f.name in frame.numbers and f.kind is not Kind.TIME
    }
    for f in fields:
        if f.kind is Kind.BOOLEAN:
            words = np.array([*(float(word == "true") for word in frame.texts[f.name].words), np.nan])
            values[f.name] = words[frame.texts[f.name].codes]
    if (outcome >= 0).any():
        values[LABEL] = np.where(outcome < 0, np.nan, outcome)
    return values


def associations(frame: Frame, outcome: Outcome, label: str | None) -> tuple[Association, ...]:
    """Associate categories with each other, with numbers, dates and times, over all rows; the strongest first.

    Booleans and the label are categories.
    """
    categories = categorical(frame, outcome, label)
    ranks = {name: _ranked(values) for name, values in frame.numbers.items()} if categories else {}
    pairs, mixed = list(combinations(categories, 2)), list(product(categories, ranks))
    sure = 1 - SIGNIFICANCE / max(len(pairs) + len(mixed), 1)
    subject = frame.subject.codes
    measured_pairs = [_cramer(one, other, categories, subject, sure) for one, other in pairs]
    measured_pairs += [
        _ratio(one, other, categories[one], ranks[other], subject, sure) for one, other in mixed
    ]
    return tuple(sorted(filter(None, measured_pairs), key=lambda each: -each.strength))


def categorical(frame: Frame, outcome: Outcome, label: str | None) -> dict[str, Codes]:
    """Return by field the codes [n] of at least two and at most MOST_VALUES values, -1 for missing."""
    codes = {
        name: texts.codes
        for name, texts in frame.texts.items()
        if name != label and 1 < len(texts.words) <= MOST_VALUES
    }
    return codes | ({LABEL: outcome.astype(np.int64)} if (outcome >= 0).any() else {})


def _ranked(values: Floats) -> Floats:
    """Mean ranks of the values that are there, NaN elsewhere."""
    return np.asarray(rankdata(values, nan_policy="omit"))


def _cramer(
    one: str, other: str, categories: Mapping[str, Codes], subject: Codes, sure: float
) -> Association | None:
    both = (categories[one] >= 0) & (categories[other] >= 0)
    if both.sum() < LEAST_PAIRS:
        return None
    a, b = _common(categories[one][both]), _common(categories[other][both])
    rows, columns = int(a.max()) + 1, int(b.max()) + 1
    if min(rows, columns) < 2:
        return None
    counts = np.bincount(a * columns + b, minlength=rows * columns).reshape(rows, columns)
    customers, freedom = len(np.unique(subject[both])), (rows - 1) * (columns - 1)
    by_chance = float(chi2.ppf(sure, freedom)) / customers
    strength, chance = cramers_v(counts), corrected(by_chance, customers, *counts.shape)
    return Association(one, other, False, strength, chance, int(both.sum()))


def _common(codes: Codes) -> Codes:
    """Codes from 0 [n], the values of fewer than RARE rows as one."""
    number = np.unique(codes, return_inverse=True)[1]
    is_rare = np.bincount(number) < RARE
    return np.asarray(np.unique(np.where(is_rare[number], len(is_rare), number), return_inverse=True)[1])


def cramers_v(counts: NDArray[np.int64]) -> float:
    """Return Cramér's V of a table with no empty row or column, corrected for its bias (Bergsma 2013)."""
    n = counts.sum()
    expected = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / n
    return corrected(float(((counts - expected) ** 2 / expected).sum() / n), int(n), *counts.shape)


def corrected(phi2: float, n: int, rows: int, columns: int) -> float:
    """Cramér's V out of chi-square over n; 0 where n is too small for the table."""
    least = (
        min(rows - (rows - 1) ** 2 / (n - 1), columns - (columns - 1) ** 2 / (n - 1)) - 1 if n > 1 else 0.0
    )
    above_bias = max(0.0, phi2 - (rows - 1) * (columns - 1) / (n - 1)) if n > 1 else 0.0
    return float(min(1.0, np.sqrt(above_bias / least))) if least > 0 else 0.0


def _ratio(
    one: str, other: str, codes: Codes, ranks: Floats, subject: Codes, sure: float
) -> Association | None:
    both = (codes >= 0) & ~np.isnan(ranks)
    if both.sum() < LEAST_PAIRS:
        return None
    group, values = np.unique(codes[both], return_inverse=True)[1], ranks[both]
    size = int(group.max()) + 1
    if size < 2 or np.ptp(values) == 0 or size >= len(values):
        return None
    count, total = np.bincount(group), ((values - values.mean()) ** 2).sum()
    means = np.bincount(group, values) / count
    between = float((count * (means - values.mean()) ** 2).sum() / total)
    customers = len(np.unique(subject[both]))
    by_chance = min(1.0, float(chi2.ppf(sure, size - 1)) / max(customers - 1, 1))
    strength, chance = _epsilon(between, len(values), size), _epsilon(by_chance, customers, size)
    return Association(one, other, True, strength, chance, len(values))


def _epsilon(between: float, n: int, groups: int) -> float:
    """The root of Kelley's epsilon squared: the share of variance between groups, corrected for its bias."""
    if n <= groups:
        return 0.0
    return float(np.sqrt(max(0.0, 1 - (1 - between) * (n - 1) / (n - groups))))
