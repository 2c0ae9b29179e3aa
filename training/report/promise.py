"""The promise of a score and how long it holds, in sentences and as lines of tables."""

from collections.abc import Iterator

from training.evaluation.figures import Evaluation
from training.evaluation.promises import Horizon, Promise, ShorterHistory
from training.pages.html import percent
from training.statistics.ratios import times

OFF = 1.25  # predicted over observed, or the other way round, from which someone should look


def meaning(evaluation: Evaluation) -> str:
    """Say which probability a score is."""
    if evaluation.decides == "events":
        return "A score is the probability that the event is positive."
    days = f" ({evaluation.promise.days:.0f} days)" if evaluation.promise else ""
    return (
        "A score is the probability that a customer like this one is positive by the end of a history as long as the "
        f"one that judges{days}. It is not the probability of turning positive within the next month, or within any "
        "other fixed time."
    )


def findings(promise: Promise) -> Iterator[tuple[str, str]]:
    """Return the conclusions for readers, each with its CSS class."""
    for each in promise.shorter:
        if each.ratio and each.ratio.low > 1:
            yield "look", _shorter(each)
    if any(each.ratio and each.ratio.low > OFF for each in promise.shorter):
        yield (
            "",
            (
                "So in a stream or a file that is shorter than this history, scores say too much as probabilities. "
                "Judge levels by their precision there, or train on histories as long as those that will be scored."
            ),
        )
    for left in _off(promise.by_left):
        yield "look", f"{left.words.capitalize()} before the end of the history, {_said(left)}"
    for age in _off(promise.by_age):
        yield "look", f"{age.words.capitalize()} after a customer's first event, {_said(age)}"


def look(each: Horizon | ShorterHistory) -> str:
    """The class of a ratio's cell: whether its whole interval is beyond OFF."""
    return "look" if each.ratio and (each.ratio.low > OFF or each.ratio.high < 1 / OFF) else ""


def ratio(each: Horizon | ShorterHistory) -> str:
    """Predicted over observed, in a cell."""
    return times(each.ratio) if each.ratio else "too few positives"


def _off(lines: tuple[Horizon, ...]) -> Iterator[Horizon]:
    return (each for each in lines if look(each))


def _said(each: Horizon) -> str:
    return f"scores say {percent(each.predicted)} and {percent(each.observed)} are positive: {ratio(each)} the truth."


def _shorter(each: ShorterHistory) -> str:
    return (
        f"After {each.days:.0f} days, {percent(each.observed)} of the {each.customers:,} customers who could be "
        f"observed for so long had turned positive, and {percent(each.at_the_end)} by the end of the history. Their "
        f"scores of these {each.days:.0f} days say {percent(each.predicted)}: {ratio(each)} what had come by then."
    )
