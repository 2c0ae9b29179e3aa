"""Gates that a challenger must pass before it may become the champion, and the verdict that follows.

Every gate states what it found and what it expected. A gate that fails rejects the challenger or, where only a person
can tell whether it matters, makes it wait for approval.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

from export.policy import whole
from features.usecase import Node, section
from training.champion.gate_keys import GATES
from training.evaluation.figures import Calendar
from training.statistics.interval import Interval
from training.statistics.ratios import FOUR_FIFTHS, lower_over_higher, times

DATES = ("all", "known")  # of `model.gates.calendar`


class Verdict(StrEnum):
    PROMOTED = "promoted"
    WAITING = "waiting"  # for `riskstream approve`
    REJECTED = "rejected"


UNFAIR = {"wait": Verdict.WAITING, "reject": Verdict.REJECTED}
SHOWN = 3  # unequal groups that a gate names, the worst first


class GateResult(NamedTuple):
    """One gate, passed or failed. `failing` is the verdict if it failed."""

    name: str
    passed: bool
    found: str
    expected: str
    failing: Verdict = Verdict.REJECTED

    def __str__(self) -> str:
        return f"{'ok    ' if self.passed else 'FAILED'} {self.name}: {self.found} (expected {self.expected})"


@dataclass(frozen=True)
class GateSettings:
    """The `gates` of a use case's `model` section."""

    min_improvement: float = 0.0  # least lead of the metric over the champion's; below 0 it may be worse
    max_regression: float = 0.02  # how far below 0 the difference's interval may reach before a person looks
    min_customers: int = 100  # to judge by
    min_positives: int = 10  # customers among them
    calibration: float = (
        0.1  # expected calibration error, and distance of scores from the truth at any time, at most
    )
    fairness: float = (
        FOUR_FIFTHS  # lower over higher rate of two groups; below it with its whole interval is unfair
    )
    on_unfair: str = "wait"  # what follows then: wait for a person, or reject
    drift: float = 0.25  # PSI from which a feature counts as drifted; the usual rule of thumb
    max_drifted_share: float = 0.3  # share of features that may have drifted before a person looks
    calendar: str = "all"  # dates that the model must beat: all, or those known when an event is scored
    baselines: float = (
        0.0  # least lead over the base rate and the small rule, in average precision; below 0: none
    )
    require_approval: bool = False  # a person must approve even if all gates pass

    @classmethod
    def of(cls, gates: Mapping[str, Any] | None, file: str = "use case") -> "GateSettings":
        """Read the section `model.gates` of a use case. Raises BadUseCase."""
        return section(file, "model.gates", gates).whole(cls._read)

    @classmethod
    def _read(cls, node: Node) -> "GateSettings":
        parts = node.section(GATES)
        return cls(
            **{name: node.attempt(_READ.get(name, _not_negative), part) for name, part in parts.items()}
        )


def _not_negative(node: Node) -> float:
    if node.number() < 0:
        node.fail("a number of at least 0")
    return node.number()


def _share(node: Node) -> float:
    if not 0 <= node.number() <= 1:
        node.fail("a share from 0 to 1")
    return node.number()


def _count(node: Node) -> int:
    return whole(node, 1)


def _dates(node: Node) -> str:
    return node.choice(DATES)


_READ: dict[str, Any] = {
    "min_improvement": Node.number, "require_approval": Node.flag, "min_customers": _count, "min_positives": _count,
    "calibration": _share, "fairness": _share, "max_drifted_share": _share,
    "on_unfair": lambda node: node.choice(UNFAIR), "calendar": _dates, "baselines": Node.number,
}  # fmt: skip


class Contrast(NamedTuple):
    """Comparison of how often something happens to a group and to the group of reference."""

    field: str
    group: str
    outcome: str
    reference: str
    ratio: Interval

    @property
    def lower(self) -> Interval:
        """Lower of the two rates over the higher one."""
        return lower_over_higher(self.ratio)

    def __str__(self) -> str:
        return f"{self.field} {self.group}: {self.outcome} {times(self.ratio)} as often as {self.reference}"


@dataclass(frozen=True)
class Evidence:
    """Figures that the gates ask for, all from held-out rows."""

    customers: int
    positives: int
    roc_auc: Interval
    metric: str
    better: Interval | None  # the metric's difference to the champion's; None: there is no champion
    calibration_error: float
    contrasts: Sequence[Contrast]  # of groups by protected and sensitive fields
    drifted: Mapping[str, float]  # PSI by feature
    distances: Mapping[str, Interval] = field(
        default_factory=dict
    )  # mean score minus share positive, by when
    suspects: Sequence[str] = ()  # of leaks, in words
    average_precision: Interval | None = None
    base_rate: float = 0.0  # which is the average precision of chance
    leads: Mapping[str, Interval] = field(default_factory=dict)  # over what one has without a model, by name
    calendar: Calendar | None = None  # what dates alone tell; None if that cannot be measured


def judge(gates: GateSettings, evidence: Evidence) -> list[GateResult]:
    """Check all gates, in the order in which a reader asks for them."""
    return [
        GateResult("customers", *_enough(evidence.customers, gates.min_customers, "customers to judge by")),
        GateResult(
            "positives", *_enough(evidence.positives, gates.min_positives, "positive customers to judge by")
        ),
        GateResult(
            "leaks",
            not evidence.suspects,
            "; ".join(evidence.suspects) or "no feature tells the label alone",
            "none",
        ),
        _signal(evidence),
        _ahead(gates, evidence),
        *_calendar(gates, evidence),
        _better(gates, evidence),
        _calibrated(gates, evidence),
        _fair(gates, evidence),
        _steady(gates, evidence),
    ]


def _enough(count: int, least: int, about: str) -> tuple[bool, str, str]:
    return count >= least, f"{count:,} {about}", f"at least {least:,}"


def _signal(evidence: Evidence) -> GateResult:
    if evidence.average_precision is None:
        return GateResult(
            "signal", evidence.roc_auc.low > 0.5, f"ROC AUC {evidence.roc_auc}", "an interval above 0.5"
        )
    passed = evidence.roc_auc.low > 0.5 and evidence.average_precision.low > evidence.base_rate
    text = f"ROC AUC {evidence.roc_auc}, average precision {evidence.average_precision}"
    return GateResult(
        "signal", passed, text, f"intervals above 0.5 and {evidence.base_rate:.3f}, which chance gives"
    )


def _ahead(gates: GateSettings, evidence: Evidence) -> GateResult:
    """Ask for a lead over the base rate and over a rule of three questions, which costs less than a model."""
    text = ", ".join(f"{lead} over {name}" for name, lead in evidence.leads.items())
    passed = all(lead.low > gates.baselines for lead in evidence.leads.values())
    expected = f"intervals above {gates.baselines:g}"
    text = f"lead in average precision {text}" if text else "too few customers to measure baselines by"
    return GateResult("baselines", passed, text, expected, Verdict.WAITING)


def _calendar(gates: GateSettings, evidence: Evidence) -> Iterator[GateResult]:
    """Compare the model with dates alone; only a person can tell whether what dates say will come again."""
    if evidence.calendar is None:
        return
    all_dates, known_dates = evidence.calendar.all_dates, evidence.calendar.known_dates
    dates = all_dates if gates.calendar == "all" and not known_dates.is_near else known_dates
    text = f"ROC AUC of dates alone {dates.roc_auc}, the model ahead by {dates.model_ahead}"
    expected = "a model measurably ahead, and dates less than 90% as far from chance"
    yield GateResult("calendar", not dates.is_near, text, expected, Verdict.WAITING)


def _calibrated(gates: GateSettings, evidence: Evidence) -> GateResult:
    """Ask that scores are near the truth on average, and at no time surely farther from it than the limit."""
    text = f"expected calibration error {evidence.calibration_error:.3f}"
    off = {when: each for when, each in evidence.distances.items() if _least(each) > gates.calibration}
    worst = max(off or evidence.distances, key=lambda when: _least(evidence.distances[when]), default="")
    if worst:
        text += f"; farthest from the truth {worst}: {evidence.distances[worst]}"
    passed = evidence.calibration_error <= gates.calibration and not off
    return GateResult("calibration", passed, text, f"at most {gates.calibration:g}", Verdict.WAITING)


def _least(distance: Interval) -> float:
    """Return the least distance of the interval from 0."""
    return max(distance.low, -distance.high, 0.0)


def _better(gates: GateSettings, evidence: Evidence) -> GateResult:
    if evidence.better is None:
        return GateResult("better", True, "there is no champion yet", "no worse than the champion")
    is_better, is_sure = (
        evidence.better.value >= gates.min_improvement,
        evidence.better.low >= -gates.max_regression,
    )
    may_be_better = evidence.better.high >= gates.min_improvement
    expected = f"at least {gates.min_improvement:g}, its interval not below {-gates.max_regression:g}"
    text = f"{evidence.metric} differs from the champion's by {evidence.better}"
    return GateResult(
        "better",
        is_better and is_sure,
        text,
        expected,
        Verdict.WAITING if may_be_better else Verdict.REJECTED,
    )


def _fair(gates: GateSettings, evidence: Evidence) -> GateResult:
    """Ask that no group's ratio lies beyond the limit with its whole interval; show those that may be chance."""
    ranked = sorted(evidence.contrasts, key=lambda each: each.lower.high)
    unequal = [each for each in ranked if each.lower.high < gates.fairness]
    doubtful = [each for each in evidence.contrasts if each.lower.value < gates.fairness <= each.lower.high]
    text = f"{_some(unequal) or 'no group is surely treated unequally'}{_doubt(len(doubtful))}"
    if not evidence.contrasts:
        text = "no two groups are large enough to be compared"
    expected = (
        f"of two groups' rates the lower at least {gates.fairness:g} of the higher, as far as intervals allow"
    )
    return GateResult("fairness", not unequal, text, expected, UNFAIR[gates.on_unfair])


def _some(contrasts: Sequence[Contrast]) -> str:
    more = len(contrasts) - SHOWN
    return "; ".join(map(str, contrasts[:SHOWN])) + (f"; and {more} more" if more > 0 else "")


def _doubt(count: int) -> str:
    return f"; {count} other comparisons are beyond the limit, which may be chance" if count else ""


def _steady(gates: GateSettings, evidence: Evidence) -> GateResult:
    drifted = {name: psi for name, psi in evidence.drifted.items() if psi >= gates.drift}
    share = len(drifted) / max(len(evidence.drifted), 1)
    worst = ", ".join(f"{n} {psi:.2f}" for n, psi in sorted(drifted.items(), key=lambda each: -each[1])[:3])
    text = f"{len(drifted)} of {len(evidence.drifted)} features have drifted" + (
        f" ({worst})" if worst else ""
    )
    expected = f"PSI of {gates.drift:g} or more in at most {gates.max_drifted_share:.0%} of them"
    return GateResult("drift", share <= gates.max_drifted_share, text, expected, Verdict.WAITING)


COMPARED = ("better", "drift")  # gates that need a champion
BY_HAND = ("signal", "baselines")  # gates that also keep a model that a person trains from being used


def judge_without_champion(gates: GateSettings, evidence: Evidence) -> list[GateResult]:
    """Check the gates that need no champion."""
    return [gate for gate in judge(gates, evidence) if gate.name not in COMPARED]


def failed_gates(results: Sequence[GateResult]) -> dict[str, str]:
    """Return what each failed gate found and expected, by its name."""
    return {gate.name: f"{gate.found} (expected {gate.expected})" for gate in results if not gate.passed}


def reach_verdict(gates: GateSettings, results: Sequence[GateResult]) -> Verdict:
    """Return rejected if one gate rejects, else waiting if one gate or the use case asks for approval."""
    failing = {gate.failing for gate in results if not gate.passed}
    if Verdict.REJECTED in failing:
        return Verdict.REJECTED
    return Verdict.WAITING if failing or gates.require_approval else Verdict.PROMOTED
