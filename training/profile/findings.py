"""What stands out in a profile, as sentences: what breaks training or the stream first, then what to look at."""

import math
from collections.abc import Iterator
from typing import NamedTuple

from training.profile.facts import Column, Drift, EventTypeFacts, Labels, Profile

MUCH_MISSING = 0.2
MANY_OUTLIERS = 0.05
LIKE = 0.95  # two fields with such a rank correlation say the same
DRIFTED, DRIFTING = (
    0.25,
    0.1,
)  # the field's rule of thumb: above 0.25 the population is another, above 0.1 look
FEW_POSITIVE = 50  # intervals of any figure are wide


class Finding(NamedTuple):
    weight: str  # problem, look, note
    text: str


def findings(facts: Profile) -> list[Finding]:
    found = [*_rows(facts), *_labels(facts.labels)]
    for each in facts.event_types:
        found += [*_repeats(each), *_columns(each), *_weeks(each), *_drift(each), *_alike(each)]
    order = ("problem", "look", "note")
    return sorted(found, key=lambda finding: order.index(finding.weight))


def share(part: int, whole: int) -> str:
    return f"{part:,} of {whole:,} ({part / whole:.1%})" if whole else f"{part:,} of 0"


def _rows(facts: Profile) -> Iterator[Finding]:
    if facts.bad_rows:
        whole = facts.rows + facts.bad_rows
        yield Finding(
            "problem", f"{share(facts.bad_rows, whole)} rows cannot be used; they are listed below."
        )
    for rule in facts.cleaning:
        if rule.rows:
            yield Finding(
                "note", f"Cleaning leaves out {rule.rows:,} rows of {rule.event_type}: {rule.rule}."
            )


def _labels(labels: Labels | None) -> Iterator[Finding]:
    if labels is None:
        yield Finding("look", "No row has a label: nothing can be learned, and nothing is shown by label.")
        return
    conflicts, known = labels.conflicts, labels.positive_owners + labels.negative_owners
    if conflicts.conflicting:
        yield Finding(
            "problem",
            f"{share(conflicts.conflicting, conflicts.owners)} owners of a label ({conflicts.owner}) have rows that "
            f"contradict each other ({conflicts.rows:,} rows); training counts them as positive.",
        )
    weight = "look" if labels.positive_owners < FEW_POSITIVE else "note"
    yield Finding(weight, f"{share(labels.positive_owners, known)} labels are positive.")


def _repeats(each: EventTypeFacts) -> Iterator[Finding]:
    repeats = each.repeats
    if repeats.exact:
        yield Finding(
            "look",
            f"{each.name}: {share(repeats.exact, each.rows)} rows are exact copies; each event counts once.",
        )
    if repeats.by_key_differing:
        yield Finding(
            "problem",
            f"{each.name}: {share(repeats.by_key_differing, each.rows)} rows have the key of another row and other "
            "content; only the first to arrive counts.",
        )


def _columns(each: EventTypeFacts) -> Iterator[Finding]:
    sparse = [
        f"{c.field} {c.missing / each.rows:.0%}" for c in each.columns if c.missing > MUCH_MISSING * each.rows
    ]
    if sparse:
        yield Finding("look", f"{each.name}: much is missing of {', '.join(sparse)}.")
    constant = [c.field for c in each.columns if c.distinct <= 1 and each.rows > 1]
    if constant:
        yield Finding("look", f"{each.name}: always the same or never there: {', '.join(constant)}.")
    far = [f"{c.field} {c.numbers.outliers.share:.1%}" for c in each.columns if _has_many_outliers(c)]
    if far:
        yield Finding("note", f"{each.name}: many values lie beyond the fences: {', '.join(far)}.")


def _has_many_outliers(column: Column) -> bool:
    return bool(column.numbers and column.numbers.outliers and column.numbers.outliers.share > MANY_OUTLIERS)


def _weeks(each: EventTypeFacts) -> Iterator[Finding]:
    empty = [week.start for week in each.weeks if not week.rows]
    if empty:
        yield Finding("look", f"{each.name}: {len(empty)} weeks without any row, first that of {empty[0]}.")


def expectation(drift: Drift) -> list[float]:
    """What the index may be in each week although nothing has changed; infinite where it is not told."""
    return [math.inf if chance is None else chance + drift.usual for chance in drift.chance]


def _drift(each: EventTypeFacts) -> Iterator[Finding]:
    for drift in each.drift:
        told = zip(drift.psi, expectation(drift), each.weeks, strict=True)
        unexpected = [(p, week.start) for p, expected, week in told if p and p > max(DRIFTING, expected)]
        most, week = max(unexpected, default=(0.0, ""))
        if most > DRIFTED:
            counted = sum(p is not None for p in drift.psi)
            yield Finding(
                "look",
                f"{each.name}: {drift.field} drifts: PSI {most:.2f} in the week of {week}, more than to be expected in "
                f"{len(unexpected)} of {counted} weeks.",
            )


def _alike(each: EventTypeFacts) -> Iterator[Finding]:
    for pair in each.correlations:
        if abs(pair.rank) >= LIKE:
            yield Finding(
                "note", f"{each.name}: {pair.one} and {pair.other} say the same (rank {pair.rank:+.2f})."
            )
