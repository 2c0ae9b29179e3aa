"""Every cell of the state machine; the compiled walk against the plain oracle in any split into batches."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from export.policy import (
    NO_BREAKER,
    Breaker,
    Level,
    Policy,
    Recommendation,
    Transition,
    Zone,
    decide,
    level_after,
    level_before,
    transition,
)
from export.policy.rules import NO_OVERRIDE
from export.policy.tables import (
    ACTIONS,
    LEVELS,
    RECOMMENDATIONS,
    Case,
    OverrideState,
    PolicyAction,
    PolicyEvent,
)
from features.record import STATUS
from tests.export.policy_oracle import Oracle

HOUR_US = 3_600_000_000
NOW_US = 1_700_000_000_000_000
POLICY = Policy(medium=0.4, high=0.8, exit_ratio=0.75, cooldown_us=24 * HOUR_US, in_a_row=3, min_events=5)
SCORE_IN = {Zone.LOW: 0.1, Zone.KEEPS_MEDIUM: 0.35, Zone.MEDIUM: 0.5, Zone.KEEPS_HIGH: 0.7, Zone.HIGH: 0.9}


def judge_one(policy, status, score=np.nan, time_us=NOW_US, evidence=10, override=None, breaker=NO_BREAKER):
    level, until_us = override or (NO_OVERRIDE, 0)
    outcome = decide(
        policy, status, np.zeros(1, np.int32), np.array([score], np.float32), np.array([time_us]),
        np.array([evidence]), np.ones(1, bool), (np.array([level], np.uint8), np.array([until_us])), breaker,
    )  # fmt: skip
    return Level(level_before(outcome)[0]), Level(level_after(outcome)[0]), Transition(transition(outcome)[0])


def status_of(**fields):
    status = np.zeros(1, STATUS)
    for name, value in fields.items():
        status[name] = value
    return status


# level now -> level after, for the zones LOW, KEEPS_MEDIUM, MEDIUM, KEEPS_HIGH, HIGH
WARM = {"LOW": "LLMMH", "MEDIUM": "MMMMH", "HIGH": "HHHHH"}
COOL = {"LOW": "LLMMH", "MEDIUM": "LMMMH", "HIGH": "LMMHH"}


@pytest.mark.parametrize("cooled", [False, True])
@pytest.mark.parametrize("zone", Zone)
@pytest.mark.parametrize("level", Level)
def test_every_cell_of_the_levels(level, zone, cooled):
    cooldown_us = NOW_US if cooled else NOW_US + 1
    status = status_of(level=level, cooldown_until_us=cooldown_us, since_us=7)
    before, after, _ = judge_one(POLICY, status, SCORE_IN[zone])
    expected = (COOL if cooled else WARM)[level.name][zone]
    assert (before, after.name[0]) == (level, expected)
    assert status["since_us"][0] == (7 if before == after else NOW_US)


# recommendation that stands -> (stands then, transition), for AGAINST, SHORT, READY, BLOCKED
SAID = {
    "NONE": [("NONE", "NONE"), ("NONE", "NONE"), ("OPEN", "RECOMMENDED"), ("HELD", "HELD")],
    "OPEN": [("NONE", "RETRACTED"), ("OPEN", "NONE"), ("OPEN", "NONE"), ("OPEN", "NONE")],
    "HELD": [("NONE", "RETRACTED"), ("HELD", "NONE"), ("OPEN", "RECOMMENDED"), ("HELD", "NONE")],
}
LEADS_TO = {  # streak before, score, whether the breaker is open
    Case.AGAINST: (9, 0.5, False),
    Case.SHORT: (1, 0.9, False),
    Case.READY: (2, 0.9, False),
    Case.BLOCKED: (2, 0.9, True),
}


@pytest.mark.parametrize("case", Case)
@pytest.mark.parametrize("stands", Recommendation)
def test_every_cell_of_the_recommendations(stands, case):
    streak, score, tripped = LEADS_TO[case]
    status = status_of(level=2, recommendation=stands, streak=streak, cooldown_until_us=NOW_US + 1)
    breaker = Breaker((NOW_US - HOUR_US + 1 if tripped else NOW_US - HOUR_US,))
    _, level, said = judge_one(POLICY, status, score, breaker=breaker)
    assert level == Level.HIGH
    assert (Recommendation(status["recommendation"][0]).name, said.name) == SAID[stands.name][case]


# override that stands -> level after (it was MEDIUM), transition, expiry then; for PLAIN, SCORED, SETS, LIFTS
HUMAN = {
    "FREE": ["MEDIUM NONE 0", "LOW NONE 0", "HIGH OVERRIDDEN 9", "MEDIUM NONE 0"],
    "IN_FORCE": ["MEDIUM NONE 1", "MEDIUM NONE 1", "HIGH OVERRIDDEN 9", "MEDIUM RELEASED 0"],
    "LAPSED": ["MEDIUM NONE 1", "LOW RELEASED 0", "HIGH OVERRIDDEN 9", "MEDIUM RELEASED 0"],
}


@pytest.mark.parametrize("kind", PolicyEvent)
@pytest.mark.parametrize("standing", OverrideState)
def test_every_cell_of_the_overrides(standing, kind):
    until_us = {OverrideState.FREE: 0, OverrideState.IN_FORCE: NOW_US + 1, OverrideState.LAPSED: NOW_US}[
        standing
    ]
    status = status_of(level=1, override_level=1 if until_us else 0, override_until_us=until_us, streak=2)
    score = 0.1 if kind == PolicyEvent.SCORED else np.nan
    override = {PolicyEvent.SETS: (2, NOW_US + 9), PolicyEvent.LIFTS: (2, NOW_US)}.get(kind)
    _, level, said = judge_one(POLICY, status, score, override=override)
    left = {NOW_US + 9: 9, until_us: 1, 0: 0}[int(status["override_until_us"][0])]
    assert f"{level.name} {said.name} {left}" == HUMAN[standing.name][kind]


def test_the_tables_have_exactly_the_cells_that_were_walked():
    assert LEVELS.shape == (2, len(Level), len(Zone))
    assert RECOMMENDATIONS.shape == (len(Recommendation), len(Case), 2)
    assert ACTIONS.shape == (len(OverrideState), len(PolicyEvent))
    assert set(ACTIONS.ravel()) == set(PolicyAction)


def test_an_override_replaces_what_the_machine_said():
    status = status_of(level=2, recommendation=1, streak=8, cooldown_until_us=NOW_US + 10 * HOUR_US)
    assert judge_one(POLICY, status, override=(0, NOW_US + HOUR_US)) == (2, 0, Transition.OVERRIDDEN)
    assert status[["recommendation", "streak", "cooldown_until_us"]].tolist() == [(0, 0, 0)]
    assert judge_one(POLICY, status, 0.9, NOW_US + HOUR_US - 1) == (0, 0, Transition.NONE)
    assert judge_one(POLICY, status, 0.9, NOW_US + HOUR_US) == (0, 2, Transition.RELEASED)
    assert judge_one(POLICY, status, 0.9, NOW_US + HOUR_US + 1) == (2, 2, Transition.NONE)
    assert judge_one(POLICY, status, 0.9, NOW_US + HOUR_US + 2) == (2, 2, Transition.RECOMMENDED)


def test_a_late_event_raises_but_never_lowers_before_the_cooldown():
    status = status_of()
    assert judge_one(POLICY, status, 0.9, NOW_US)[1] == Level.HIGH
    assert judge_one(POLICY, status, 0.9, NOW_US - 50 * HOUR_US)[1] == Level.HIGH
    assert status["cooldown_until_us"][0] == NOW_US + 24 * HOUR_US, "a late event does not shorten it"
    assert judge_one(POLICY, status, 0.0, NOW_US - 50 * HOUR_US)[1] == Level.HIGH
    assert judge_one(POLICY, status, 0.0, NOW_US + 24 * HOUR_US)[1] == Level.LOW


def test_high_is_never_kept_by_a_score_below_medium():
    status = status_of(level=2)
    assert judge_one(Policy(medium=0.5, high=0.52), status, 0.45)[1] == Level.MEDIUM


def test_what_was_not_applied_changes_nothing():
    status, record = status_of(level=1), np.zeros(2, np.int32)
    record[1] = -1
    outcome = decide(
        POLICY, status, record, np.full(2, 0.9), np.full(2, NOW_US), np.full(2, 9), np.array([False, True])
    )
    assert outcome.tolist() == [0, 0] and status["level"].tolist() == [1]


@pytest.mark.parametrize(
    "wrong",
    [{"medium": 0.9}, {"medium": 0.0}, {"high": 1.5}, {"high": float("nan")}, {"exit_ratio": 0}, {"exit_ratio": 1.1},
     {"in_a_row": 0}, {"cooldown_us": -1}, {"max_per_hour": -1}],
)  # fmt: skip
def test_a_policy_that_cannot_work_is_refused(wrong):
    with pytest.raises(ValueError, match="policy: found"):
        Policy(**({"medium": 0.4, "high": 0.8} | wrong))


def test_an_unknown_override_level_is_refused():
    with pytest.raises(ValueError, match="override level 7"):
        judge_one(POLICY, status_of(), override=(7, NOW_US))


EVENT = st.fixed_dictionaries(
    {
        "who": st.integers(0, 2),
        "score": st.sampled_from([None, 0.0, 0.29, 0.3, 0.39, 0.4, 0.59, 0.6, 0.79, 0.8, 0.81, 1.0]),
        "hour": st.integers(-30, 60),  # arrival order is not time order
        "override": st.none() | st.none() | st.none() | st.tuples(st.integers(0, 2), st.integers(-40, 80)),
        "applied": st.sampled_from([True, True, True, False]),
    }
)
POLICIES = st.builds(
    Policy,
    medium=st.sampled_from([0.4, 0.7, 0.8]),
    high=st.just(0.8),
    exit_ratio=st.sampled_from([0.5, 0.75, 1.0]),
    cooldown_us=st.sampled_from([0, HOUR_US, 24 * HOUR_US]),
    in_a_row=st.integers(1, 3),
    min_events=st.integers(0, 4),
    max_per_hour=st.integers(0, 2),
)


def as_columns(events):
    """The arguments of decide, evidence counted as the kernel would: the customer's applied events so far."""
    seen = dict.fromkeys(range(3), 0)
    evidence = []
    for event in events:
        seen[event["who"]] += event["applied"]
        evidence.append(seen[event["who"]])
    override = [event["override"] or (NO_OVERRIDE, 0) for event in events]
    return {
        "record": np.array([event["who"] for event in events], np.int32),
        "score": np.array([np.nan if e["score"] is None else e["score"] for e in events], np.float32),
        "time_us": np.array([NOW_US + event["hour"] * HOUR_US for event in events], np.int64),
        "evidence": np.array(evidence, np.int64),
        "applied": np.array([event["applied"] for event in events], bool),
        "level": np.array([level for level, _ in override], np.uint8),
        "until_us": np.array([NOW_US + hour * HOUR_US for _, hour in override], np.int64),
    }


def in_batches(policy, columns, cuts):
    status, breaker, outcomes = np.zeros(3, STATUS), Breaker.of(policy), []
    for start, end in itertools.pairwise([0, *sorted(cuts), len(columns["record"])]):
        part = {name: column[start:end] for name, column in columns.items()}
        overrides = part.pop("level"), part.pop("until_us")
        outcome = decide(policy, status, **part, overrides=overrides, breaker=breaker)
        breaker = breaker.after(part["time_us"][transition(outcome) == Transition.RECOMMENDED])
        outcomes.append(outcome)
    return np.concatenate(outcomes), status


def by_oracle(policy, columns):
    oracle, expected = Oracle(policy), []
    for who, score, now_us, events, applied, level, until_us in zip(*columns.values(), strict=True):
        if not applied:
            expected.append((0, 0, "NONE"))
            continue
        word = None if level == NO_OVERRIDE else (int(level), int(until_us))
        given_score = None if np.isnan(score) else float(score)
        expected.append(oracle.judge(int(who), given_score, int(now_us), int(events), word))
    return expected, oracle


@settings(max_examples=400, deadline=None)
@given(POLICIES, st.lists(EVENT, min_size=1, max_size=40), st.sets(st.integers(0, 40), max_size=4))
def test_the_compiled_walk_equals_the_oracle_in_any_split(policy, events, cuts):
    columns = as_columns(events)
    outcome, status = in_batches(policy, columns, {min(cut, len(events)) for cut in cuts})
    expected, oracle = by_oracle(policy, columns)
    found = [
        (b, a, Transition(c).name)
        for b, a, c in zip(level_before(outcome), level_after(outcome), transition(outcome), strict=True)
    ]
    assert found == expected
    for who, customer in oracle.customers.items():
        own = status[who]
        standing = {0: "", 1: "recommended", 2: "held"}[int(own["recommendation"])]
        assert (own["level"], own["since_us"], own["streak"], standing) == (
            customer.level, customer.since_us, customer.streak, customer.said,
        )  # fmt: skip
        assert own["cooldown_until_us"] == customer.may_fall_from_us
        assert (int(own["override_level"]), int(own["override_until_us"])) == (customer.forced or (0, 0))
