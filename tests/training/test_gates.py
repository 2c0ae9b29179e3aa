"""Gates between a challenger and the champion, and their comparison."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from export.distributions.drift import psi
from export.distributions.reference import RowSource, freeze, reference
from features.usecase import BadUseCase
from training.champion.differences import difference, drift
from training.champion.gates import Contrast, Evidence, GateSettings, Verdict, judge, reach_verdict
from training.evaluation.figures import Calendar, DatesAlone
from training.statistics.interval import Interval

GOOD = Evidence(
    customers=500,
    positives=80,
    roc_auc=Interval(0.9, 0.85, 0.94),
    metric="average precision",
    better=Interval(0.03, 0.01, 0.05),
    calibration_error=0.02,
    contrasts=(Contrast("customer.gender", "F", "recommended", "M", Interval(0.9, 0.6, 1.3)),),
    drifted={"amount": 0.02, "hour": 0.01},
)


FAR_DATES = DatesAlone(Interval(0.6, 0.5, 0.7), Interval(0.2, 0.1, 0.3), Interval(0.3, 0.2, 0.4), False)
NEAR_DATES = DatesAlone(Interval(0.85, 0.8, 0.9), Interval(0.5, 0.4, 0.6), Interval(0.05, -0.01, 0.11), True)
NEAR = Calendar("customers", NEAR_DATES, FAR_DATES)


def recommended(value: float, low: float, high: float) -> dict[str, tuple[Contrast, ...]]:
    return {"contrasts": (Contrast("sex", "F", "recommended", "M", Interval(value, low, high)),)}


def test_groups_that_chance_may_have_set_apart_are_no_reason_to_wait_but_are_told() -> None:
    judged = judge(GateSettings(), replace(GOOD, **recommended(0.4, 0.1, 0.9)))
    (gate,) = [gate for gate in judged if gate.name == "fairness"]
    assert gate.passed and "1 other comparisons are beyond the limit, which may be chance" in gate.found
    assert reach_verdict(GateSettings(), judged) is Verdict.PROMOTED
    nobody = judge(GateSettings(), replace(GOOD, contrasts=()))
    assert "no two groups are large enough" in next(gate.found for gate in nobody if gate.name == "fairness")


def test_a_use_case_may_reject_what_is_unfair() -> None:
    gates = GateSettings.of({"on_unfair": "reject"})
    assert reach_verdict(gates, judge(gates, replace(GOOD, **recommended(2.5, 1.6, 3.9)))) is Verdict.REJECTED
    lenient = GateSettings.of({"fairness": 0.5})
    assert (
        reach_verdict(lenient, judge(lenient, replace(GOOD, **recommended(2.5, 1.6, 3.9))))
        is Verdict.PROMOTED
    )


def test_what_passes_all_gates_is_promoted() -> None:
    judged = judge(GateSettings(), GOOD)
    assert all(gate.passed for gate in judged) and reach_verdict(GateSettings(), judged) is Verdict.PROMOTED


def test_a_human_may_have_the_last_word() -> None:
    gates = GateSettings(require_approval=True)
    assert reach_verdict(gates, judge(gates, GOOD)) is Verdict.WAITING


@pytest.mark.parametrize(
    ("name", "change", "expected", "found"),
    [
        ("customers", {"customers": 99}, "rejected", "99 customers to judge by"),
        ("positives", {"positives": 3}, "rejected", "3 positive customers"),
        ("leaks", {"suspects": ["kyc alone tells"]}, "rejected", "kyc alone tells"),
        ("signal", {"roc_auc": Interval(0.52, 0.47, 0.57)}, "rejected", "ROC AUC 0.520 [0.470, 0.570]"),
        ("calendar", {"calendar": NEAR}, "waiting", "ahead by 0.050 [-0.010, 0.110]"),
        ("better", {"better": Interval(-0.01, -0.015, -0.005)}, "rejected", "-0.010 [-0.015, -0.005]"),
        ("better", {"better": Interval(-0.01, -0.015, 0.004)}, "waiting", "-0.010 [-0.015, 0.004]"),
        ("better", {"better": Interval(0.01, -0.05, 0.06)}, "waiting", "0.010 [-0.050, 0.060]"),
        ("calibration", {"calibration_error": 0.2}, "waiting", "0.200"),
        (
            "fairness",
            recommended(2.5, 1.6, 3.9),
            "waiting",
            "sex F: recommended 2.50 times [1.60, 3.90] as often as M",
        ),
        (
            "fairness",
            recommended(0.3, 0.1, 0.7),
            "waiting",
            "sex F: recommended 0.30 times [0.10, 0.70] as often",
        ),
        ("drift", {"drifted": {"a": 0.3, "b": 0.01}}, "waiting", "1 of 2 features have drifted (a 0.30)"),
    ],
)
def test_a_gate_that_fails_says_why(name: str, change: dict[str, object], expected: str, found: str) -> None:
    judged = judge(GateSettings(), replace(GOOD, **change))
    (failed,) = [gate for gate in judged if not gate.passed]
    assert failed.name == name and found in failed.found
    assert reach_verdict(GateSettings(), judged) == expected


def test_a_use_case_whose_accounts_stop_asks_only_for_dates_that_are_known_in_time() -> None:
    gates = GateSettings.of({"calendar": "known"})
    assert reach_verdict(gates, judge(gates, replace(GOOD, calendar=NEAR))) is Verdict.PROMOTED
    known = Calendar("customers", NEAR_DATES, NEAR_DATES)
    assert reach_verdict(gates, judge(gates, replace(GOOD, calendar=known))) is Verdict.WAITING


def test_rejection_comes_before_waiting() -> None:
    found = replace(GOOD, customers=3, drifted={"a": 1.0})
    assert reach_verdict(GateSettings(), judge(GateSettings(), found)) is Verdict.REJECTED


def test_without_a_champion_nobody_has_to_be_beaten() -> None:
    assert (
        reach_verdict(GateSettings(), judge(GateSettings(), replace(GOOD, better=None))) is Verdict.PROMOTED
    )


@pytest.mark.parametrize(
    ("section", "error"),
    [
        ({"max_regression": -1}, "model.gates.max_regression: -1 is not a number of at least 0"),
        ({"max_drifted_share": 2}, "model.gates.max_drifted_share: 2 is not a share from 0 to 1"),
        (
            {"on_unfair": "wayt"},
            "model.gates.on_unfair: 'wayt' is not one of wait, reject (did you mean wait?)",
        ),
        ({"require_approval": 1}, "model.gates.require_approval: 1 is not true or false"),
        ({"calendar": "own"}, "model.gates.calendar: 'own' is not one of all, known"),
        ({"luck": 1}, "model.gates.luck: 'luck' is not one of min_improvement"),
    ],
)
def test_errors_name_file_path_value_and_expectation(section: dict[str, object], error: str) -> None:
    with pytest.raises(BadUseCase) as told:
        GateSettings.of(section, "x.yaml")
    (fault,) = told.value.faults
    assert str(fault).startswith("x.yaml: ") and error in str(fault)


def average_precision(label: np.ndarray, score: np.ndarray, weight: np.ndarray) -> float:
    return float(average_precision_score(label, score, sample_weight=weight))


def test_a_better_challenger_is_better_beyond_chance_and_an_equal_one_is_not() -> None:
    rng = np.random.default_rng(3)
    customer = rng.integers(0, 200, 1_500)
    label = (rng.random(200) < 0.2).astype(np.int64)[customer]
    weight = 1 / np.bincount(customer)[customer]
    good, poor = label + rng.normal(0, 0.5, 1_500), label + rng.normal(0, 2, 1_500)
    better = difference(average_precision, label, good, poor, customer, weight, 1)
    assert 0 < better.low < better.value < better.high
    same = difference(average_precision, label, good, good.copy(), customer, weight, 1)
    assert same == Interval(0.0, 0.0, 0.0)


def test_drift_is_seen_in_heavy_tails_and_in_missing_values() -> None:
    rng = np.random.default_rng(4)
    then = rng.lognormal(3, 1, 20_000)
    bins = freeze(then)
    assert psi(bins, rng.lognormal(3, 1, 20_000)) < 0.01
    assert psi(bins, 2 * rng.lognormal(3, 1, 20_000)) > 0.15
    assert psi(bins, np.where(rng.random(20_000) < 0.3, np.nan, then)) > 0.25


def test_few_customers_differ_from_training_without_drift() -> None:
    """Forty customers of ten alike events each: an index of 0.25 and more is chance."""
    rng = np.random.default_rng(3)

    def column(customers: int, shift: float = 0.0) -> np.ndarray:
        return np.repeat(rng.normal(shift, 1, customers), 10) + rng.normal(0, 0.05, 10 * customers)

    then = column(400).astype(np.float32)[:, None]
    owner = np.repeat(np.arange(400), 10)
    made = reference(
        ["a"], then, then[:, 0], origin=RowSource(owner, np.zeros(4_000, np.int64), owner % 3, [0])
    )
    few = np.repeat(np.arange(40), 10)
    same = [column(40).astype(np.float32)[:, None] for _ in range(20)]
    assert sum(psi(made.features["a"], each[:, 0]) >= 0.25 for each in same) >= 10
    assert sum(drift(made, ("a",), each, few)["a"] > 0 for each in same) <= 1
    assert drift(made, ("a",), column(40, 2.0).astype(np.float32)[:, None], few)["a"] > 1
