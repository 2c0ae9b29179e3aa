"""Groups of customers by the value of a protected or sensitive field."""

from collections.abc import Callable, Mapping
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from features.events import days
from features.usecase import Grouping, PersonField
from features.vector import DAYS_PER_YEAR
from training.arrays import Floats, Texts

UNKNOWN = "unknown"  # customers of whom nothing is known
FIRST_AGES = (18, 25, 35, 50, 65)  # years, of the age groups above the youngest
AGES = ("under 18", "18-24", "25-34", "35-49", "50-64", "65+")
OLDEST = 120.0  # years; who is said to be older, or not born yet, is of unknown age
FEW_VALUES = 6  # so many different numbers are groups by themselves
DAY_US = 86_400_000_000


def groups(field: PersonField, values: Texts, at_us: NDArray[np.int64]) -> Texts:
    """Return the group of each customer [customers] by its value as text ("" if unknown); ages are as of `at_us`."""
    return _GROUPS[field.grouping](values, at_us)


def _by_value(values: Texts, at_us: NDArray[np.int64]) -> Texts:
    return np.where(values == "", UNKNOWN, values)


def _by_age(values: Texts, at_us: NDArray[np.int64]) -> Texts:
    born = np.array([days(value) if value else np.nan for value in values.tolist()], np.float64)
    return _ages((at_us / DAY_US - born) / DAYS_PER_YEAR)


def _by_years(values: Texts, at_us: NDArray[np.int64]) -> Texts:
    return _ages(_numbers(values))


def _ages(years: Floats) -> Texts:
    known = (years >= 0) & (years <= OLDEST)
    return np.where(known, np.array(AGES)[np.digitize(np.where(known, years, 0), FIRST_AGES)], UNKNOWN)


def _by_quartile(values: Texts, at_us: NDArray[np.int64]) -> Texts:
    """Group by quartile, such as `up to 20` and `above 20 to 35`; a few values are groups themselves."""
    numbers = _numbers(values)
    known = numbers[~np.isnan(numbers)]
    if len(np.unique(known)) <= FEW_VALUES:
        return np.array([UNKNOWN if np.isnan(value) else f"{value:g}" for value in numbers.tolist()])
    edges = np.unique(np.quantile(known, (0.25, 0.5, 0.75), method="lower"))
    names = [f"up to {edges[0]:g}", *(f"above {a:g} to {b:g}" for a, b in pairwise(edges)),
             f"above {edges[-1]:g}"]  # fmt: skip
    place = np.searchsorted(edges, np.where(np.isnan(numbers), 0, numbers), side="left")
    return np.where(np.isnan(numbers), UNKNOWN, np.array(names)[place])


def _numbers(values: Texts) -> Floats:
    return np.array([float(value) if value else np.nan for value in values.tolist()], np.float64)


_GROUPS: Mapping[Grouping, Callable[[Texts, NDArray[np.int64]], Texts]] = {
    Grouping.VALUE: _by_value, Grouping.AGE: _by_age, Grouping.YEARS: _by_years, Grouping.QUARTILE: _by_quartile,
}  # fmt: skip
