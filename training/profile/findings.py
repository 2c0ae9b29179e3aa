"""Findings of a profile as sentences: first what breaks training or the stream, then what is worth a look."""

import math
from collections.abc import Iterator

from training.profile import label_findings
from training.profile.facts import EventTypeFacts, FieldDrift, FieldFacts, Profile
from training.profile.finding import ORDER, Finding, during, share

MUCH_MISSING = 0.2
MANY_OUTLIERS = 0.05
LIKE = 0.95  # two fields with such a rank correlation say the same
DRIFTED, DRIFTING = 0.25, 0.1  # PSI, the field's rule of thumb: another population, and worth a look
EMPTY = frozenset(
    {"na", "n/a", "nan", "null", "none", "nil", "-", "--", "?", "unknown", "missing", "undefined", "(null)"}
)
SHOWN_PAIRS = 5  # of categories
TOGETHER = 0.5  # an association as strong is worth a line
SURE = 0.9  # of the contradicting rows: swapping day and month mends so many that it is no chance
LEAST_SWAPPED = 10  # contradicting rows, to say so


def findings(facts: Profile) -> list[Finding]:
    """Return the findings: problems first, then what would change a decision, then descriptions."""
    outstanding = [finding for each in facts.event_types for finding in label_findings.calendar(each)]
    outstanding += [*_rows(facts), *label_findings.of_labels(facts.labels)]
    for step in STEPS:
        outstanding += [finding for each in facts.event_types for finding in step(each)]
    return sorted(outstanding, key=lambda finding: ORDER.index(finding.weight))


def _rows(facts: Profile) -> Iterator[Finding]:
    if facts.bad_rows:
        total = facts.rows + facts.bad_rows
        is_cut = any(bad.rows > len(bad.examples) for bad in facts.bad)
        listed = "the page lists the first of each kind" if is_cut else "the page lists them"
        yield Finding(
            "problem",
            f"{share(facts.bad_rows, total)} rows cannot be used; {listed} with their lines.",
            "bad-rows",
        )
    for rule in facts.cleaning:
        if rule.rows:
            yield Finding(
                "note", f"Cleaning leaves out {rule.rows:,} rows of {rule.event_type}: {rule.rule}."
            )


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
            f"type-{each.name}",
        )


def _dates(each: EventTypeFacts) -> Iterator[Finding]:
    place = f"dates-{each.name}"
    for order in each.date_orders:
        is_swap = order.mended >= max(SURE * order.contradicting, LEAST_SWAPPED)
        compared = ", compared as months" if order.unit == "month" else ""
        text = (
            f"{each.name}: {order.earlier} is later than {order.later} in {share(order.contradicting, order.rows)} "
            f"rows{compared}; in all others it is not."
        )
        if order.mended:
            mended = "all" if order.mended == order.contradicting else f"{order.mended:,}"
            text += f" With day and month of {order.swapped} swapped, {mended} of them are in order"
            text += ": the two seem to have changed places." if is_swap else "."
        yield Finding("problem" if is_swap else "look", text, place)


def _months(each: EventTypeFacts) -> Iterator[Finding]:
    if each.unit == "month":
        yield Finding(
            "look",
            f"{each.name}: the data are monthly: all events of a month have one time. A window shorter than a month "
            "holds the events of one time only, and nothing shows the order of events within a month.",
        )


def _columns(each: EventTypeFacts) -> Iterator[Finding]:
    sparse = [
        f"{c.field} {c.missing / each.rows:.0%}" for c in each.columns if c.missing > MUCH_MISSING * each.rows
    ]
    if sparse:
        yield Finding("look", f"{each.name}: many values are missing: {', '.join(sparse)}.")
    constant = [c.field for c in each.columns if c.distinct <= 1 and each.rows > 1]
    if constant:
        yield Finding(
            "look",
            f"{each.name}: the same in every row, or never there: {', '.join(constant)}. No model can use that.",
        )
    far = [f"{c.field} {share:.1%}" for c in each.columns if (share := _outliers(c)) > MANY_OUTLIERS]
    if far:
        yield Finding(
            "note",
            f"{each.name}: many values lie far from the middle half (Tukey's fences): {', '.join(far)}. Amounts "
            "often do, so look before you leave them out.",
        )


def _texts(each: EventTypeFacts) -> Iterator[Finding]:
    empty = [
        f"{c.field} {v.value!r} ({v.rows:,})"
        for c in each.columns
        for v in c.values
        if v.value.lower() in EMPTY
    ]
    if empty:
        yield Finding(
            "look",
            f"{each.name}: values that look like missing ones: {', '.join(empty)}; if they are, declare them in "
            "file.missing_values.",
        )
    garbled = [f"{c.field} {v.value!r}" for c in each.columns for v in c.values if _is_garbled(v.value)]
    if garbled:
        yield Finding("look", f"{each.name}: texts that were read in a wrong encoding: {', '.join(garbled)}.")


def _is_garbled(text: str) -> bool:
    """UTF-8 that somebody took for Latin-1."""
    try:
        return text.encode("latin-1").decode() != text
    except UnicodeError:
        return False


def _outliers(column: FieldFacts) -> float:
    """Return the share of values that lie far out; 0 where that has no meaning."""
    return column.numbers.outliers.share if column.numbers and column.numbers.outliers else 0.0


def _gaps(each: EventTypeFacts) -> Iterator[Finding]:
    empty = [period.start for period in each.periods if not period.rows]
    if empty:
        number = f"1 {each.unit} has" if len(empty) == 1 else f"{len(empty)} {each.unit}s have"
        yield Finding("look", f"{each.name}: {number} no row, the first {during(each.unit, empty[0])}.")


def expectation(drift: FieldDrift) -> list[float]:
    """Return the index that each period may reach although nothing has changed; infinite where it is unknown."""
    return [math.inf if chance is None else chance + drift.usual for chance in drift.chance]


def _drift(each: EventTypeFacts) -> Iterator[Finding]:
    for drift in each.drift:
        periods = zip(drift.psi, expectation(drift), each.periods, strict=True)
        unexpected = [
            (p, period.start) for p, expected, period in periods if p and p > max(DRIFTING, expected)
        ]
        most, start = max(unexpected, default=(0.0, ""))
        if most > DRIFTED:
            counted = sum(p is not None for p in drift.psi)
            yield Finding(
                "look",
                f"{each.name}: {drift.field} drifts: PSI {most:.2f} {during(each.unit, start)}, more than "
                f"expected in {len(unexpected)} of {counted} {each.unit}s.",
            )


def _alike(each: EventTypeFacts) -> Iterator[Finding]:
    for numbers in each.correlations:
        if abs(numbers.rank) >= LIKE:
            yield Finding(
                "note",
                f"{each.name}: {numbers.one} and {numbers.other} say the same (rank correlation {numbers.rank:+.2f}).",
            )
    strong = [a for a in each.associations if a.strength > a.chance and a.strength >= TOGETHER]
    for pair in strong[:SHOWN_PAIRS]:
        measure = "correlation ratio" if pair.is_ratio else "Cramér's V"
        how = "say the same" if pair.strength >= LIKE and not pair.is_ratio else "go together"
        yield Finding(
            "note",
            f"{each.name}: {pair.one} and {pair.other} {how} ({measure} {pair.strength:.2f}; chance gives "
            f"{pair.chance:.2f}).",
            f"associations-{each.name}",
        )


STEPS = (  # in the order of findings of equal weight
    _repeats, _dates, _months, _columns, _texts, label_findings.by_label, label_findings.rates,
    _gaps, _drift, _alike,
)  # fmt: skip
