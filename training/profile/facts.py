"""The facts of a profile as frozen values, which are also its JSON.

Shares are between 0 and 1. Dates as numbers are days since 1970, times are texts in RFC 3339. None is what cannot be
told: too few rows, no label.
"""

from msgspec import Struct

from training.cleaning import Cleaned


class Bad(Struct, frozen=True):
    """Rows of one file that are no events, alike in why. `examples` are the first few."""

    place: str
    reason: str
    field: str  # empty where it is not one field's fault
    rows: int
    examples: tuple[str, ...]


class Conflicts(Struct, frozen=True):
    """Owners of a label (customers, or scored events) whose rows say different things."""

    owner: str
    owners: int  # that have a label
    conflicting: int
    rows: int  # of those that conflict
    examples: tuple[str, ...]


class Labels(Struct, frozen=True):
    """What is known about outcomes; a customer who was ever said to be positive is."""

    field: str
    positive: tuple[str, ...]
    positive_owners: int
    negative_owners: int
    conflicts: Conflicts


class Outliers(Struct, frozen=True):
    """Values beyond fences: 1.5 and 3 interquartile ranges below the first or above the third quartile (Tukey)."""

    low: float
    high: float
    rows: int
    far_rows: int
    share: float  # of the values that are there


class Numbers(Struct, frozen=True):
    """The values that are there. Quantiles are linear between neighbours."""

    mean: float
    std: float
    min: float
    q05: float
    q25: float
    median: float
    q75: float
    q95: float
    max: float
    zeros: int
    negative: int
    outliers: Outliers | None  # None where half of the values are the same
    robust_z_rows: (
        int | None
    )  # |value - median| > 3.5 * 1.4826 * median absolute deviation (Iglewicz, Hoaglin 1993)


class Value(Struct, frozen=True):
    """One value of a category or text and its rows; `positive` and `negative` are those with a known outcome."""

    value: str
    rows: int
    positive: int
    negative: int


class OfLabel(Struct, frozen=True):
    """The field in the rows of one outcome."""

    rows: int
    missing: int
    mean: float | None
    quartiles: tuple[float, float, float] | None


class ByLabel(Struct, frozen=True):
    """`distance`: how far apart the two distributions are, from 0 (the same) to 1 (nothing in common).

    Kolmogorov-Smirnov for numbers, total variation for values. `chance`: what 1 in 20 independent samples of this
    size would show without any difference; rows of one customer are not independent, so it is a lower bound.
    """

    positive: OfLabel
    negative: OfLabel
    distance: float | None
    chance: float | None


class Column(Struct, frozen=True):
    field: str
    kind: str
    words: str  # what it must hold
    description: str  # what people call it, with its unit; empty if the use case does not say
    optional: bool
    missing: int
    distinct: int
    numbers: Numbers | None  # of numbers and dates
    span: tuple[str, str] | None  # of times: the first and the last
    values: tuple[Value, ...]  # the most frequent of categories, booleans and texts
    by_label: ByLabel | None


class Correlation(Struct, frozen=True):
    """Spearman's, of the rows of a sample that have both values."""

    one: str
    other: str
    rank: float
    rows: int


class Repeats(Struct, frozen=True):
    """Rows beyond the first. Repeated keys are exact copies or differ in something."""

    exact: int
    by_key: int
    by_key_differing: int
    subjects_with_more_rows: int


class Week(Struct, frozen=True):
    """Seven days from a Monday, 00:00 UTC."""

    start: str
    rows: int
    subjects: int
    positive_share: float | None  # of the rows with a known outcome


class Drift(Struct, frozen=True):
    """A field's population stability index, week by week, against the reference weeks.

    Bins are the reference's deciles, or values, and missing; a share below 0.0001 counts as 0.0001. `chance` is what 1
    week in 20 would show without any drift: the 95th percentile of a chi-square with bins - 1 degrees of freedom times
    1/n + 1/m (Yurdakul 2018). None in the reference and in weeks of fewer than 30 rows. `usual`: what the reference's
    own weeks show beyond chance (95th percentile), as paydays and month ends make weeks differ.
    """

    field: str
    psi: tuple[float | None, ...]
    chance: tuple[float | None, ...]
    usual: float


class EventTypeFacts(Struct, frozen=True):
    """`weeks`, `drift` and the span are empty for events without a time of their own."""

    name: str
    scored: bool
    rows: int
    subjects: int
    first: str | None
    last: str | None
    repeats: Repeats
    columns: tuple[Column, ...]
    correlations: tuple[Correlation, ...]
    correlation_rows: int  # of the sample
    weeks: tuple[Week, ...]
    reference_weeks: int
    drift: tuple[Drift, ...]


class Profile(Struct, frozen=True):
    use_case: str
    subject: str  # whose risk is decided
    fingerprint: str
    places: tuple[str, ...]
    rows: int
    bad_rows: int
    bad: tuple[Bad, ...]
    cleaning: tuple[Cleaned, ...]
    labels: Labels | None
    event_types: tuple[EventTypeFacts, ...]
