"""Sentences about time: how much dates alone tell of the label, and what that means for the future."""

from collections.abc import Iterator, Sequence

from training.evaluation.figures import Calendar, DatesAlone, Evaluation, WeekFigures
from training.statistics.interval import Interval

LEAST_EVENTS = 30  # of a week that stands for the beginning or the end
TIMES = 2.0  # by which shares of two weeks differ before a sentence says so


def warning(evaluation: Evaluation) -> str:
    """Say that dates alone come near to the model, and what follows; empty if they do not."""
    calendar = evaluation.calendar
    if calendar is None or not calendar.is_near or not (evaluation.has_signal or calendar.all_dates.tells):
        return ""
    return f"{_compared(calendar)} {ends(evaluation.weeks)}".rstrip()


def summary(evaluation: Evaluation) -> str:
    """Say in one sentence what dates alone tell, whether they come near or not; empty if it was not measured."""
    if evaluation.calendar is None or evaluation.calendar.known_dates.model_ahead is None:
        return ""
    known, every = evaluation.calendar.known_dates, evaluation.calendar.all_dates
    return (
        f"ROC AUC {known.roc_auc} by the dates known when an event is scored, the customer's first event and this one "
        f"({_than(known)}); {every.roc_auc} with the customer's last event, which nobody knows then ({_than(every)})"
    )


def ends(weeks: Sequence[WeekFigures]) -> str:
    """Say how positives and figures differ between the first and the last weeks; empty if nothing can be said."""
    return " ".join(_by_week(weeks))


def _compared(calendar: Calendar) -> str:
    """Compare the model with dates alone, and say what follows."""
    known, every = calendar.known_dates, calendar.all_dates
    near = known if known.is_near else every
    if not near.tells:
        return (
            f"The model is not measurably better than dates alone ({_than(near)}), nor are dates better than chance "
            f"(ROC AUC {near.roc_auc}). To tell them apart takes more positive {calendar.about}."
        )
    if known.is_near:
        return (
            f"Dates alone rank {calendar.about} {_how(known)} the model: the dates of a customer's first event and of "
            f"the event itself reach a ROC AUC of {known.roc_auc} ({_than(known)}). Both are known when an event is "
            "scored, so the model may have learned the calendar, which does not repeat."
        )
    part = (
        " The dates known in time tell something too, so part of the model's figures may be the calendar's."
    )
    return (
        f"Dates alone, with that of the customer's last event, rank {calendar.about} {_how(every)} the model: ROC AUC "
        f"{every.roc_auc} ({_than(every)}). Nobody knows that date when an event is scored, and the model never sees "
        f"it; without it dates reach {known.roc_auc} ({_than(known)}). This is so where accounts stop once they are "
        f"found out.{part if known.tells else ''}"
    )


def _how(alone: DatesAlone) -> str:
    ahead = alone.model_ahead
    if ahead is None or ahead.high < 0:
        return "better than"
    return "as well as" if ahead.low <= 0 else "nearly as well as"


def _than(alone: DatesAlone) -> str:
    """The model beside it, as a clause."""
    ahead = alone.model_ahead
    if ahead is None:
        return "there is no model to compare with"
    if ahead.value >= 0:
        return f"the model's is higher by {ahead}"
    return f"the model's is lower by {Interval(-ahead.value, -ahead.high, -ahead.low)}"


def _by_week(weeks: Sequence[WeekFigures]) -> Iterator[str]:
    """Say whether positives and figures of the last weeks differ from those of the first."""
    large = [week for week in weeks if week.n >= LEAST_EVENTS]
    if len(large) < 2:
        return
    first, last = large[0], large[-1]
    shares = first.share_positive, last.share_positive
    if max(shares) >= TIMES * min(shares):
        yield (
            f"Positives are {_percent(shares[0])} of events in the week of {first.start} and {_percent(shares[1])} in "
            f"the week of {last.start}."
        )
    measured = [
        (week, week.average_precision) for week in large if isinstance(week.average_precision, Interval)
    ]
    if len(measured) > 1:
        (begin, before), (end, after) = measured[0], measured[-1]
        yield f"Average precision is {before} in the week of {begin.start} and {after} in the week of {end.start}."
        if after.high < before.low:
            yield "Figures of later weeks are lower: expect those of the last weeks, not the average of all."
    if measured and measured[-1][0] is not last:
        yield f"After the week of {measured[-1][0].start} there are too few positive customers to measure anything."


def _percent(share: float) -> str:
    return f"{share:.1%}" if share >= 0.001 or share == 0 else f"{share:.2%}"
