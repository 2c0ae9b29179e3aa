"""Figures of an evaluation as frozen values, which are its JSON and what a report reads.

Shares, rates and probabilities are in 0..1. Intervals are 95 % intervals over customers. A figure that cannot be had
(the ROC AUC of a week with one class) is None; the value of an Interval that cannot be had is NaN, which JSON shows as
null.
"""

from msgspec import Struct

from training.evaluation.promises import Promise
from training.evaluation.treatment import Fairness
from training.statistics.interval import Interval


class Point(Struct, frozen=True):
    """Point of a curve."""

    x: float
    y: float


class Quantiles(Struct, frozen=True):
    """Quantiles of a distribution."""

    q10: float
    q25: float
    median: float
    q75: float
    q90: float


class Confusion(Struct, frozen=True):
    """Confusion matrix at one threshold: numbers of customers or of events, each counted as one."""

    true_positives: int
    false_positives: int
    false_negatives: int
    true_negatives: int


class ThresholdFigures(Struct, frozen=True):
    """Figures at one threshold: everything that scores it or more is flagged."""

    threshold: float
    flagged: int
    precision: Interval
    recall: Interval
    f1: Interval
    false_positive_rate: Interval
    rightly: int | None = None  # of those flagged, the positive; None in figures of before this was counted
    f2: Interval | None = None  # as F1, with recall counting twice as much as precision
    accuracy: Interval | None = None
    confusion: Confusion | None = None


class CalibrationBin(Struct, frozen=True):
    """Rows of neighbouring scores: the mean score, and the share that is positive."""

    mean_score: float
    share: float
    n: int


class Decile(Struct, frozen=True):
    """Highest scores down to a share of the rows, and the share of the positives among them."""

    share_of_rows: float
    share_of_positives: float
    lift: float  # share_of_positives / share_of_rows


class UnitFigures(Struct, frozen=True):
    """Quality of the scores of events, or of those of customers."""

    about: str  # customers, events
    n: int
    positives: int
    base_rate: float
    roc_auc: Interval
    average_precision: Interval
    brier: Interval
    recall_at_fpr: dict[str, Interval]  # 0.1%, 1%, 5%
    precision_at_k: dict[str, Interval]  # 10, 50, 100, 500, 1%, as far as there are so many
    roc: tuple[Point, ...]  # x false positive rate, y recall
    precision_recall: tuple[Point, ...]  # x recall, y precision
    calibration: tuple[CalibrationBin, ...]
    calibration_error: float
    cost: tuple[Point, ...]  # x threshold, y cost a customer or event; empty without costs
    gain: tuple[Decile, ...]
    at: dict[str, ThresholdFigures]  # medium, high
    log_loss: Interval | None = None  # mean of -ln(probability that the score gives to what is true)
    ks: Interval | None = None  # the largest difference of recall and false-positive rate at any threshold


class DailyFigures(Struct, frozen=True):
    """Precision of the k most suspicious customers of each day (UTC); means over days."""

    days: int
    customers: float  # with events on a day
    positives: float  # of them, with a positive event on that day
    precision_at_k: dict[str, Interval]  # 10, 50, 100, 500, as far as there are so many a day
    best_at_k: dict[str, float]  # what perfect scores would reach


class Earliness(Struct, frozen=True):
    """Time from when positive customers are flagged first, at the threshold of HIGH, to their last event."""

    positives: int
    caught: int
    events_before_last: Quantiles
    days_before_last: Quantiles
    share_never_caught: float


class WeekFigures(Struct, frozen=True):
    """Quality of the scores in one week (UTC, from Monday); each customer with an event in it counts as one.

    Where the label is an event's, each event counts as one. The PSI is of scores against the first half of the period.
    """

    start: str  # YYYY-MM-DD
    n: int  # events
    positives: int
    quantiles: Quantiles
    psi: float
    roc_auc: (
        Interval | float | None
    )  # None: too few customers; a number in figures of before intervals were measured
    average_precision: Interval | float | None
    customers: int | None = None  # with events in the week
    positive_customers: int | None = None

    @property
    def share_positive(self) -> float:
        """Share of positive events; NaN without events."""
        return self.positives / self.n if self.n else float("nan")


class DatesAlone(Struct, frozen=True):
    """Quality of a ranking by dates alone, out-of-fold; intervals draw customers."""

    roc_auc: Interval
    average_precision: Interval
    model_ahead: Interval | None = (
        None  # ROC AUC of the model minus this one, in the same draws; None: no model
    )
    is_near: bool = False  # the model is not measurably better, or reaches little more

    @property
    def tells(self) -> bool:
        """True if dates are measurably better than chance."""
        return self.roc_auc.low > 0.5


class Calendar(Struct, frozen=True):
    """Label as far as dates tell it, without anything that a customer did."""

    about: str  # customers or events: whose label it is
    all_dates: DatesAlone  # of the customer's first and last event, and of the event itself
    known_dates: DatesAlone  # without the last event's, which nobody knows when an event is scored

    @property
    def is_near(self) -> bool:
        """True if dates alone come near the model."""
        return self.all_dates.is_near or self.known_dates.is_near


class Importance(Struct, frozen=True):
    """Fall of average precision when the values of a feature, or of a group of features, are permuted.

    Models that have not learned from the customers of the rows score them.
    """

    feature: str  # empty for a group
    group: str  # of a ratio the first; it is dealt with both of its groups
    drop: Interval  # by what decides: customers or events
    customers: Interval | None = None  # None in figures of before both were measured
    events: Interval | None = None

    @property
    def is_measurable(self) -> bool:
        """True if the interval leaves out 0."""
        return self.drop.low > 0 or self.drop.high < 0


class Baseline(Struct, frozen=True):
    """Quality without a model."""

    name: str
    roc_auc: Interval
    average_precision: Interval
    lead: Interval | None = None  # by how much the model's average precision is higher, on the same customers


class DecisionFigures(Struct, frozen=True):
    """Customers that a decision concerns, how many of them rightly, and its precision and recall."""

    customers: int
    rightly: int
    precision: Interval  # Wilson's (1927)
    recall: Interval


class CaseWeek(Struct, frozen=True):
    """A week (UTC, from Monday) and the recommendations made in it."""

    start: str  # YYYY-MM-DD
    cases: int
    rightly: int


class Recommendations(Struct, frozen=True):
    """Recommendations that the policy would have made for the held-out customers, event after event."""

    customers: int
    positives: int
    crossfitted: bool  # by folds: each customer meets thresholds that others gave
    flattered: (
        DecisionFigures | None
    )  # by folds, ever recommended by the bundle's thresholds, which these customers gave
    ever: DecisionFigures  # recommended at some time
    open: DecisionFigures  # a recommendation stands after the customer's last event
    held: int  # customers whose recommendation the circuit breaker held at some time
    retracted: int  # customers whose recommendation was retracted at some time
    cases: int  # recommendations made; one that comes again after it was retracted is another case
    cases_per_week: float  # mean over the period
    busiest: CaseWeek | None
    weeks: tuple[CaseWeek, ...]  # with events, in order
    # of positive customers that are recommended, until their first recommendation
    events_until: Quantiles  # from the first scored event, both included
    days_until: Quantiles  # from the first scored event
    events_before_last: Quantiles
    days_before_last: Quantiles


class SegmentFigures(Struct, frozen=True):
    """Customers of one level after their last events."""

    level: str  # LOW, MEDIUM, HIGH
    customers: int
    share: float
    positives: int
    bad_rate: float
    medians: dict[str, float | None]  # by feature, of the last events; of yes or no the share that is yes
    ever: int | None = (
        None  # customers whose highest level ever this is; None in figures of before it was counted
    )
    ever_positives: int | None = None


class Evaluation(Struct, frozen=True):
    """All figures of a model on its held-out rows."""

    decides: str  # customers, events: of which the label is
    has_signal: bool
    words: str  # the first line of a report
    customers: UnitFigures
    events: UnitFigures
    earliness: Earliness
    weeks: tuple[WeekFigures, ...]
    importance: tuple[Importance, ...]  # the largest first
    group_importance: tuple[Importance, ...]
    fairness: tuple[Fairness, ...]
    baselines: tuple[Baseline, ...]
    segments: tuple[SegmentFigures, ...]
    everyone: dict[str, float | None]  # medians of all customers
    notes: tuple[str, ...]
    daily: DailyFigures | None = None  # where the label is an event's
    calendar: Calendar | None = None  # what dates alone tell
    recommendations: Recommendations | None = None  # None in figures of before they were replayed
    promise: Promise | None = None  # None in figures of before it was looked at
