"""Rates of positives by value of a category and by bin of a number, with intervals.

Where the label is a customer's, customers are counted, each once a value. Where it is an event's, events are; as those
of one customer are alike, intervals take their design effect into account.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.stats import hypergeom  # type: ignore[import-untyped,unused-ignore]

from export.distributions.reference import freeze
from features.usecase import Field, Kind
from training.profile.columns import MOST_VALUES, SHOWN_VALUES
from training.profile.facts import FieldFacts, Rate
from training.profile.frames import Frame
from training.profile.labels import Outcome
from training.statistics.wilson import rate

SIGNIFICANCE = 0.05  # after Bonferroni's correction
OTHERS, MISSING = "(all others)", "(missing)"

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class Groups(NamedTuple):
    """The group [n] of each row, and what the groups are."""

    of_row: Ints
    names: list[str]


class Counts(NamedTuple):
    """Counts [groups + 1] by group, with those of all rows together as the last entry."""

    known: Ints
    positive: Ints
    effective: Floats  # independent rows that carry the same information as the known ones


def with_rates(
    columns: Sequence[FieldFacts], frame: Frame, outcome: Outcome, label: str | None, by_customer: bool
) -> tuple[FieldFacts, ...]:
    """The columns with their rates; without those of the label, of identifiers and of times."""
    if len(np.unique(outcome[outcome >= 0])) < 2:
        return tuple(columns)
    by_field = {
        each.field: _rates(groups, outcome, frame.subject.codes, by_customer)
        for each, f in zip(columns, frame.event_type.fields.values(), strict=True)
        if each.field != label and (groups := grouped(frame, f, each)) is not None
    }
    tests = sum(len(rates) for rates, _ in by_field.values())
    judged = {
        field: tuple(
            msgspec.structs.replace(each, stands_out=bool(p * tests < SIGNIFICANCE))
            for each, p in zip(rates, probabilities, strict=True)
        )
        for field, (rates, probabilities) in by_field.items()
    }
    return tuple(msgspec.structs.replace(each, rates=judged.get(each.field, ())) for each in columns)


def grouped(frame: Frame, f: Field, column: FieldFacts) -> Groups | None:
    """None where there is one group only, or each row would be its own."""
    if f.kind is Kind.TIME or not column.distinct:
        return None
    if f.name in frame.numbers:
        return _bins(frame.numbers[f.name], f.kind)
    texts = frame.texts[f.name]
    if len(texts.words) > MOST_VALUES:
        return None
    shown = [value.value for value in column.values[:SHOWN_VALUES]]
    place = {word: i for i, word in enumerate(shown)}
    code_to_group = np.array([*(place.get(word, len(shown)) for word in texts.words), len(shown) + 1])
    return _used(code_to_group[texts.codes], [*shown, OTHERS, MISSING])


def _bins(values: Floats, kind: Kind) -> Groups | None:
    """Single values where there are few, else bins between deciles; those that are missing are a group."""
    missing = np.isnan(values)
    different = np.unique(values[~missing])
    if len(different) <= SHOWN_VALUES:
        names = [_words(value, kind) for value in different]
        of_row = np.searchsorted(different, values)
    else:
        edges = np.array(freeze(values).edges)
        names = _between([_words(value, kind) for value in edges])
        of_row = np.searchsorted(edges, values, side="left")
    return _used(np.where(missing, len(names), of_row), [*names, MISSING])


def _between(edges: list[str]) -> list[str]:
    if not edges:
        return ["any"]
    inner = [f"above {low} to {high}" for low, high in pairwise(edges)]
    return [f"up to {edges[0]}", *inner, f"above {edges[-1]}"]


def _words(value: float, kind: Kind) -> str:
    if kind is Kind.DATE:
        return str(np.datetime64(int(value), "D"))
    return f"{value:,.4g}" if abs(value) < 1e4 else f"{value:,.0f}"


def _used(of_row: Ints, names: list[str]) -> Groups | None:
    """Drop the groups that no row is in."""
    there, number = np.unique(of_row, return_inverse=True)
    return Groups(number, [names[i] for i in there.tolist()]) if len(there) > 1 else None


def _rates(
    groups: Groups, outcome: Outcome, subject: Ints, by_customer: bool
) -> tuple[tuple[Rate, ...], Floats]:
    """The rates, and for each the probability of so different a one by chance."""
    rows = np.bincount(groups.of_row, minlength=len(groups.names))
    known = outcome >= 0
    group, label, whose = groups.of_row[known], outcome[known].astype(np.int64), subject[known]
    counts = counted(group, label, whose, len(groups.names), by_customer)
    return tuple(_rate(name, int(rows[i]), counts, i) for i, name in enumerate(groups.names)), chances(counts)


def _rate(name: str, rows: int, counts: Counts, group: int) -> Rate:
    known, positive = int(counts.known[group]), int(counts.positive[group])
    if not known:
        return Rate(name, rows, 0, 0, None, None, None)
    effective = float(counts.effective[group])
    interval = rate(positive * effective / known, effective)
    others = int(counts.known[-1]) - known
    share = (int(counts.positive[-1]) - positive) / others if others else None
    return Rate(name, rows, known, positive, positive / known, interval.low, interval.high, share)


def counted(group: Ints, label: Ints, subject: Ints, size: int, by_customer: bool) -> Counts:
    """Count the rows [n] with a known outcome: by group, then in all."""
    if by_customer:
        group, label = _once_a_customer(group, label, subject, size)
    else:
        group, label, subject = (
            np.append(group, np.full(len(group), size)),
            np.tile(label, 2),
            np.tile(subject, 2),
        )
    known = np.bincount(group, minlength=size + 1)
    positive = np.bincount(group, label, size + 1).astype(np.int64)
    effective = (
        known.astype(np.float64) if by_customer else _effective(group, label, subject, known, positive)
    )
    return Counts(known, positive, effective)


def _once_a_customer(group: Ints, label: Ints, subject: Ints, size: int) -> tuple[Ints, Ints]:
    """Groups and labels of the customers that each group has, then of all customers in the group `size`."""
    width = int(subject.max(initial=0)) + 1
    label_of = np.zeros(width, np.int64)
    label_of[subject] = label
    pairs, everyone = np.unique(group * width + subject), np.unique(subject)
    groups = np.append(pairs // width, np.full(len(everyone), size))
    return groups, np.append(label_of[pairs % width], label_of[everyone])


def _effective(group: Ints, label: Ints, subject: Ints, known: Ints, positive: Ints) -> Floats:
    """Rows divided by the design effect of drawing customers: the variance of the share over that of single rows.

    Where all rows of a group have one outcome the effect cannot be seen, and each customer counts once.
    """
    share = positive / np.maximum(known, 1)
    pairs, number = np.unique(group * (int(subject.max(initial=0)) + 1) + subject, return_inverse=True)
    of_pair = pairs // (int(subject.max(initial=0)) + 1)
    error = np.bincount(number, label - share[group])
    customers = np.bincount(of_pair, minlength=len(known)).astype(np.float64)
    between = np.bincount(of_pair, error**2, len(known)) * customers / np.maximum(customers - 1, 1)
    within = known * share * (1 - share) * known / np.maximum(known - 1, 1)
    effect = np.divide(between, within, out=known / np.maximum(customers, 1), where=within > 0)
    return np.minimum(known / np.maximum(effect, 1.0), known)


def chances(counts: Counts) -> Floats:
    """Fisher's exact probability [groups], two-sided, of so many positives more or fewer than among the rest."""
    scale = counts.effective / np.maximum(counts.known, 1)
    known, positive = counts.known[:-1], counts.positive[:-1]
    others = np.stack([counts.known[-1] - known, counts.positive[-1] - positive]) * scale[-1]
    of_group = np.stack([known, positive]) * scale[:-1]
    n, k = np.rint(of_group).astype(np.int64)
    total, positives = np.rint(of_group + others).astype(np.int64)
    positives = np.clip(positives, k, total)
    tails = hypergeom.sf(k - 1, total, positives, n), hypergeom.cdf(k, total, positives, n)
    both: Floats = np.minimum(1.0, 2 * np.minimum(*tails))
    return both
