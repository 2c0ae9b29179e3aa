"""The facts of a profile as frozen values, which are also its JSON.

Shares are between 0 and 1, intervals are of 95 %. Dates as numbers are days since 1970, times are texts in RFC 3339.
None is what cannot be known: too few rows, no label.
"""

from msgspec import Struct

from training.data.cleaning import CleaningCount
from training.evaluation.figures import Calendar


class Bad(Struct, frozen=True):
    """Rows of one file that are no events, alike in why. `examples` are the first few."""

    place: str
    reason: str
    field: str  # empty where it is not one field's fault
    rows: int
    examples: tuple[str, ...]


class Listing(Struct, frozen=True):
    """Single rows that a finding speaks of, as texts under `columns`: the first `shown` of `total` cases."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]  # one or more for each case
    shown: int
    total: int


class Conflicts(Struct, frozen=True):
    """Owners of a label (customers, or scored events) whose rows say different things."""

    owner: str
    owners: int  # that have a label
    conflicting: int
    rows: int  # of those that conflict
    listing: Listing


class Labels(Struct, frozen=True):
    """Known outcomes; a customer who was positive once counts as positive."""

    field: str
    positive: tuple[str, ...]
    positive_owners: int
    negative_owners: int
    conflicts: Conflicts
    by_customer: bool  # the label is a customer's, for all of its rows; else an event's


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

    Kolmogorov-Smirnov for numbers, total variation for values. `chance`: what 1 in 20 samples would show without any
    difference that have one row for each customer: rows of one customer are not independent.
    """

    positive: OfLabel
    negative: OfLabel
    distance: float | None
    chance: float | None


class Rate(Struct, frozen=True):
    """The positives among rows where a field has one value, or lies in one bin between deciles.

    Counted are events, or, where the label is a customer's, customers with such a row, each once; those with a known
    outcome. Events of one customer are not independent, so the interval (Wilson 1927) is that of as many independent
    events as carry the same information (Dean, Pagano 2015). `stands_out`: more or fewer than among all others, beyond
    chance (Fisher's exact test, at 5 % after Bonferroni's correction for all values of all fields of the event type).
    """

    value: str
    rows: int  # of any outcome
    known: int
    positive: int
    share: float | None
    low: float | None
    high: float | None
    others: float | None = None  # the share among all that are not counted here
    stands_out: bool = False


class FieldFacts(Struct, frozen=True):
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
    rates: tuple[Rate, ...] = ()


class Correlation(Struct, frozen=True):
    """Spearman's, of the rows of a sample that have both values."""

    one: str
    other: str
    rank: float
    rows: int


class Association(Struct, frozen=True):
    """The strength by which a category tells another field, from 0 (none) to 1 (wholly), over all rows that have both.

    Of two categories, Cramér's V with Bergsma's correction of its bias (2013). Of a category and a number, date or
    time, the correlation ratio of the ranks, corrected in the same way (the root of Kelley's epsilon squared).
    `chance`: what the strongest pair would show in 1 of 20 event types with as many pairs, all independent, and one row
    for each customer: rows of one customer are often alike.
    """

    one: str
    other: str
    is_ratio: bool
    strength: float
    chance: float
    rows: int


class DateOrder(Struct, frozen=True):
    """Two dates of one row, of which nearly all rows have `earlier` no later than `later`.

    Compared as months where one of them is the first of a month in every row, as days where one has no time of day.
    `mended`: contradicting rows that are in order once day and month of `swapped` change places; `swapped` is empty
    where that mends fewer than half of them.
    """

    earlier: str
    later: str
    unit: str  # month, day, instant
    rows: int  # with both
    contradicting: int
    swapped: str
    mended: int
    listing: Listing


class Repeats(Struct, frozen=True):
    """Rows beyond the first. Repeated keys are exact copies or differ in something."""

    exact: int
    by_key: int
    by_key_differing: int
    subjects_with_more_rows: int
    listing: Listing  # keys whose rows differ


class ProfilePeriod(Struct, frozen=True):
    """Seven days from a Monday, 00:00 UTC; a calendar month of data that have one time a month."""

    start: str  # YYYY-MM-DD; YYYY-MM of a month
    rows: int
    subjects: int
    positive_share: float | None  # of the rows with a known outcome


class FieldDrift(Struct, frozen=True):
    """A field's population stability index, period by period, against the reference periods.

    Bins are the reference's deciles, or values, and missing; a share below 0.0001 counts as 0.0001. `chance` is what 1
    period in 20 would show without any drift: the 95th percentile of a chi-square with bins - 1 degrees of freedom
    times 1/n + 1/m (Yurdakul 2018). None in the reference and in periods of fewer than 30 rows. `usual`: what the
    reference's periods show beyond chance (95th percentile), as paydays and month ends make weeks differ.
    """

    field: str
    psi: tuple[float | None, ...]
    chance: tuple[float | None, ...]
    usual: float


class EventTypeFacts(Struct, frozen=True):
    """`periods`, `drift` and the span are empty for events without a time in the row."""

    name: str
    scored: bool
    rows: int
    subjects: int
    first: str | None
    last: str | None
    repeats: Repeats
    columns: tuple[FieldFacts, ...]
    correlations: tuple[Correlation, ...]
    correlation_rows: int  # of the sample
    periods: tuple[ProfilePeriod, ...]
    reference_periods: int
    drift: tuple[FieldDrift, ...]
    unit: str = "week"  # of the periods: week, month
    associations: tuple[Association, ...] = ()  # the strongest first
    date_orders: tuple[DateOrder, ...] = ()  # that some rows contradict, the most first
    calendar: Calendar | None = None  # what dates alone tell of the label; None of what is not scored


class Profile(Struct, frozen=True):
    use_case: str
    subject: str  # whose risk is decided
    fingerprint: str
    places: tuple[str, ...]
    rows: int
    bad_rows: int
    bad: tuple[Bad, ...]
    cleaning: tuple[CleaningCount, ...]
    labels: Labels | None
    event_types: tuple[EventTypeFacts, ...]
