"""Frozen values of horizons.py: predicted and observed shares over time. Shares are in 0..1, times in days."""

from msgspec import Struct

from training.statistics.interval import Interval


class Horizon(Struct, frozen=True):
    """Predicted and observed shares of the events so many days after a customer's first, or before the end."""

    from_days: float
    to_days: float | None  # None: no end
    n: int  # events
    customers: int
    positives: int  # customers
    predicted: float  # mean score
    observed: float  # share that is positive by the end of the history
    distance: Interval  # predicted minus observed
    ratio: Interval | None  # predicted over observed; None with too few positives

    @property
    def words(self) -> str:
        """Range of days in words: `7 to 30 days`."""
        if self.to_days is None:
            return f"{self.from_days:.0f} days and more"
        return f"{self.from_days:.0f} to {self.to_days:.0f} days"


class ShorterHistory(Struct, frozen=True):
    """Outcome of the scores of customers' first days, by the end of these days."""

    days: float
    customers: int  # who can be observed for so long
    positives: int  # of them, who had turned positive by then
    predicted: float  # mean over customers of their mean score in these days
    observed: float  # share that had turned positive by then
    at_the_end: float  # share of them that is positive by the end of the history
    ratio: Interval | None  # predicted over observed; None with too few positives


class Promise(Struct, frozen=True):
    """Predicted and observed shares over the whole history."""

    days: float  # from the first event that judges to the last
    has_time: bool  # labels have a time of their own; else a customer's last event stands for it
    by_age: tuple[Horizon, ...]
    by_left: tuple[Horizon, ...]
    shorter: tuple[ShorterHistory, ...]
