"""Findings about the label: how many are positive, and what tells it: dates, fields, single values."""

from collections.abc import Iterator

from training.profile.facts import EventTypeFacts, Labels, Rate
from training.profile.finding import Finding, during, share

SHOWN_FIELDS = 5
FEW_POSITIVE = 50  # intervals of any figure are wide
TELLS, TELLS_MUCH = 0.55, 0.65  # ROC AUC of dates alone: worth a look, and a problem
LEAST_ROWS = 30  # of a period that stands for the beginning or the end
NEARLY_ALL = 0.9  # a value whose rows are positive so often may be the label in other words


def of_labels(labels: Labels | None) -> Iterator[Finding]:
    if labels is None:
        yield Finding("look", "No row has a label: nothing can be learned, and nothing is shown by label.")
        return
    conflicts, known = labels.conflicts, labels.positive_owners + labels.negative_owners
    if conflicts.conflicting:
        yield Finding(
            "problem",
            f"The labels of {share(conflicts.conflicting, conflicts.owners)} {conflicts.owner}s contradict each other, "
            f"in {conflicts.rows:,} rows; training counts each of them as positive if one row does.",
            "labels",
        )
    weight = "look" if labels.positive_owners < FEW_POSITIVE else "note"
    few = ": so few that every figure about them is rough" if weight == "look" else ""
    yield Finding(weight, f"{share(labels.positive_owners, known)} labels are positive{few}.", "labels")


def calendar(each: EventTypeFacts) -> Iterator[Finding]:
    """Dates alone tell the label: those known when an event is scored, or only those of the end."""
    if each.calendar is None:
        return
    about, known, every = each.calendar.about, each.calendar.known_dates, each.calendar.all_dates
    if known.tells and known.roc_auc.value >= TELLS:
        yield Finding(
            "problem" if known.roc_auc.value >= TELLS_MUCH else "look",
            f"{each.name}: dates alone tell the label. A model of nothing but the dates of a customer's first event "
            f"and of the event itself ranks {about} with a ROC AUC of {known.roc_auc}, with the customer's last event "
            f"as well {every.roc_auc}; chance gives 0.5. {_ends(each)}What a model learns of the calendar does not "
            "come again: believe figures of the last weeks only, and look how the rows were chosen.",
            f"type-{each.name}",
        )
    elif every.tells and every.roc_auc.value >= TELLS:
        yield Finding(
            "look",
            f"{each.name}: when a customer's events end tells the label. A model of nothing but the dates of the first "
            f"event, the last and the event itself ranks {about} with a ROC AUC of {every.roc_auc}, without the last "
            f"event {known.roc_auc}; chance gives 0.5. Customers may stop because the label was given: leave out what "
            "happened after it, and no feature may count until the end.",
            f"type-{each.name}",
        )


def _ends(each: EventTypeFacts) -> str:
    """The share of positive rows in the first and in the last period with enough rows to tell."""
    shares = [
        (period.positive_share, period.start)
        for period in each.periods
        if period.rows >= LEAST_ROWS and period.positive_share is not None
    ]
    if len(shares) < 2:
        return ""
    (first, start), (last, end) = shares[0], shares[-1]
    return f"{first:.1%} of the rows are positive {during(each.unit, start)}, and {last:.1%} {during(each.unit, end)}. "


def by_label(each: EventTypeFacts) -> Iterator[Finding]:
    compared = [
        (c.by_label.distance, c.by_label.chance or 0.0, c.field)
        for c in each.columns
        if c.by_label and c.by_label.distance
    ]
    apart = [(distance, field) for distance, chance, field in compared if distance > chance]
    if compared and not apart:
        yield Finding("look", f"{each.name}: no field differs between the labels by more than chance.")
    elif apart:
        most = ", ".join(
            f"{field} {distance:.2f}" for distance, field in sorted(apart, reverse=True)[:SHOWN_FIELDS]
        )
        yield Finding(
            "note",
            f"{each.name}: {len(apart)} of {len(compared)} fields differ between the labels by more than chance, "
            f"most of all {most} (distance of the distributions, from 0 to 1); without any difference 1 of 20 would.",
        )


def rates(each: EventTypeFacts) -> Iterator[Finding]:
    """Values with more or fewer positives than all others, a line for each field."""
    for column in each.columns:
        apart = [rate for rate in column.rates if rate.stands_out]
        nearly = [rate for rate in apart if (rate.share or 0.0) >= NEARLY_ALL]
        if apart:
            most = max(nearly or apart, key=lambda rate: abs((rate.share or 0.0) - (rate.others or 0.0)))
            text = f"{each.name}: where {column.field} is {_compared(most)}{_others(len(apart) - 1)}."
            doubt = " Such a value may be the label in other words." if nearly else ""
            yield Finding("look" if nearly else "note", text + doubt, f"rates-{each.name}")


def _compared(rate: Rate) -> str:
    return (
        f"{rate.value}, {rate.positive:,} of {rate.known:,} are positive ({rate.share:.1%} [{rate.low:.1%}, "
        f"{rate.high:.1%}]), among all others {rate.others:.1%}: more than chance explains"
    )


def _others(number: int) -> str:
    if not number:
        return ""
    return "; 1 more value stands out" if number == 1 else f"; {number} more values stand out"
