"""Fairness: what the model does to groups of customers, by every protected field and every sensitive one in use.

Levels and recommendations are those of the policy replayed over held-out scores; a customer counts once. Each group is
compared with the largest group whose value is known, because that choice does not depend on outcomes. The four-fifths
rule (Uniform Guidelines on Employee Selection Procedures, 29 CFR 1607.4 D) asks whether the lower of two rates is less
than four fifths of the higher one. The ratios' intervals hold for all comparisons together (Bonferroni), so that one
group in forty is not called unequal by chance alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from export.policy import Level, Transition
from features.usecase import PersonField, UseCase
from training.arrays import Mask, Texts
from training.evaluation.customers import HeldOutCustomers
from training.evaluation.groups import UNKNOWN, groups
from training.evaluation.treatment import Fairness, GroupFigures, GroupOutcome
from training.models.held_out import HeldOut
from training.policy.replay import Decisions
from training.statistics.interval import Interval
from training.statistics.ratios import FOUR_FIFTHS, lower_over_higher, ratio
from training.statistics.wilson import rate

LEAST_GROUP = 30  # customers; the rates of fewer say little
LEAST_EXPECTED = (
    5.0  # customers of a group to whom it would happen at everybody's rate; below, chance decides
)
CONFIDENCE = 0.95  # that all the ratios' intervals hold
OUTCOMES = ("HIGH at any time", "HIGH after the last event", "recommended", "HIGH although negative")
REFERENCE, SMALL, ALIKE, MAYBE, APART = FINDINGS = (
    "reference",
    "too small to say",
    "within four fifths",  # the ratio is; its interval may reach beyond
    "beyond four fifths, which may be chance",
    "beyond four fifths",  # with the whole interval
)


@dataclass(frozen=True)
class _Happening:
    """Something that can happen to customers: those to whom it could have [customers], and to whom it has."""

    possible: Mask
    happened: Mask


def fairness(
    use_case: UseCase, held_out: HeldOut, customers: HeldOutCustomers, decided: Decisions
) -> tuple[Fairness, ...]:
    """Measure groups by each protected or sensitive field, in the use case's order."""
    at_us = held_out.rows.times_us[customers.last]
    named = {
        field: groups(field, held_out.rows.people[field.name][customers.last], at_us)
        for field in use_case.people
        if field.name in held_out.rows.people
    }
    shown = {field: _large(group) for field, group in named.items()}
    outcomes = _outcomes(customers, decided)
    comparisons = sum(_comparisons(group, shown[field], outcomes) for field, group in named.items())
    return tuple(
        _field(field, group, shown[field], customers.label == 1, outcomes, comparisons, use_case)
        for field, group in named.items()
    )


def absent(by_field: tuple[Fairness, ...]) -> tuple[str, ...]:
    """Return the fields without a value for any held-out customer, so that nothing can be compared."""
    return tuple(each.field for each in by_field if not each.known)


def _outcomes(customers: HeldOutCustomers, decided: Decisions) -> dict[str, _Happening]:
    ever = decided.highest_level == Level.HIGH
    everyone = np.ones(len(customers), np.bool_)
    made = (
        _Happening(everyone, ever),
        _Happening(everyone, decided.last_level == Level.HIGH),
        _Happening(everyone, decided.ever(Transition.RECOMMENDED)),
        _Happening(customers.label == 0, ever & (customers.label == 0)),
    )
    return dict(zip(OUTCOMES, made, strict=True))


def _large(group: Texts) -> list[str]:
    """Return the names of groups of at least LEAST_GROUP customers, the largest first."""
    names, counts = np.unique(group, return_counts=True)
    return [str(names[k]) for k in np.argsort(-counts, kind="stable") if counts[k] >= LEAST_GROUP]


def _comparisons(group: Texts, shown: list[str], outcomes: Mapping[str, _Happening]) -> int:
    """Count the ratios whose groups are large enough."""
    reference = _reference(shown)
    others = [name for name in shown if reference and name != reference]
    return sum(
        not _is_small(each, group == name, group == reference)
        for name in others
        for each in outcomes.values()
    )


def _reference(shown: list[str]) -> str:
    """Return the largest group whose value is known; empty if there is none."""
    return next((name for name in shown if name != UNKNOWN), "")


def _is_small(each: _Happening, group: Mask, others: Mask) -> bool:
    """Return True if chance decides in one of two groups."""
    least = min(int((each.possible & side).sum()) for side in (group, others))
    usual = each.happened.sum() / max(each.possible.sum(), 1)
    return least < LEAST_GROUP or least * usual < LEAST_EXPECTED


def _field(
    field: PersonField,
    group: Texts,
    shown: list[str],
    positive: Mask,
    outcomes: Mapping[str, _Happening],
    comparisons: int,
    use_case: UseCase,
) -> Fairness:
    reference = _reference(shown)
    z = float(norm.ppf(1 - (1 - CONFIDENCE) / 2 / max(comparisons, 1)))
    is_small = ~np.isin(group, shown)
    return Fairness(
        field=field.name,
        is_protected=field.is_protected,
        reference=reference,
        groups=tuple(_group(name, group, reference, positive, outcomes, z) for name in shown),
        small=tuple(np.unique(group[is_small]).tolist()),
        small_customers=int(is_small.sum()),
        known=int((group != UNKNOWN).sum()),
        features=tuple(each.name for each in use_case.table if field.name in each.fields),
        comparisons=comparisons,
    )


def _group(
    name: str,
    group: Texts,
    reference: str,
    positive: Mask,
    outcomes: Mapping[str, _Happening],
    z: float,
) -> GroupFigures:
    members = group == name
    high = outcomes[OUTCOMES[0]].happened
    hits, positives = int((members & high & positive).sum()), int((members & positive).sum())
    return GroupFigures(
        group=name,
        n=int(members.sum()),
        positives=positives,
        outcomes=tuple(
            _outcome(about, each, members, name == reference, group == reference, z)
            for about, each in outcomes.items()
        ),
        false_negative_rate=rate(positives - hits, positives),
        precision=rate(hits, int((members & high).sum())),
    )


def _outcome(
    about: str, each: _Happening, members: Mask, is_reference: bool, others: Mask, z: float
) -> GroupOutcome:
    count, of = int((each.happened & members).sum()), int((each.possible & members).sum())
    other_count, other_of = int((each.happened & others).sum()), int((each.possible & others).sum())
    if is_reference or _is_small(each, members, others):
        finding = REFERENCE if is_reference else SMALL
        return GroupOutcome(about, of, count, rate(count, of), None, finding)
    compared = ratio(count, of, other_count, other_of, z)
    return GroupOutcome(about, of, count, rate(count, of), compared, _finding(compared))


def _finding(compared: Interval) -> str:
    lower = lower_over_higher(compared)
    if lower.high < FOUR_FIFTHS:
        return APART
    return MAYBE if lower.value < FOUR_FIFTHS else ALIKE
