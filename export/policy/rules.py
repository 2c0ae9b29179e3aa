"""The policy's rules: levels, recommendations and overrides, as three tables.

Pure: no clock, no state of its own. Events are judged in arrival order and each customer's status is changed
in place, so any split into batches gives the same outcomes. Times are event times, int64 microseconds.
An event that arrives late is judged at its own time, and a cooldown only moves forward: such an event raises
a level at once like any other, but lowers one only if it lies after the cooldown itself.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, Self

import numpy as np
from numba import njit
from numpy.typing import NDArray

from export.policy.outcome import AFTER_BIT, TRANSITION_BIT
from export.policy.settings import HOUR_US, Terms, terms
from export.policy.tables import (
    ACTIONS,
    LEVELS,
    RECOMMENDATIONS,
    Case,
    Level,
    OverrideState,
    PolicyAction,
    PolicyEvent,
    Recommendation,
    Transition,
    Zone,
)

NO_OVERRIDE = 255  # in the column of override levels: this event is no override

# plain integers: compiled code then holds them as constants
_HIGH, _KEEPS_HIGH = int(Level.HIGH), int(Zone.KEEPS_HIGH)
_AGAINST, _SHORT, _READY, _BLOCKED = (int(case) for case in Case)
_OPEN, _RECOMMENDED = int(Recommendation.OPEN), int(Transition.RECOMMENDED)
_OVERRIDDEN, _RELEASED = int(Transition.OVERRIDDEN), int(Transition.RELEASED)
_SKIP, _ASSESS, _SET, _LIFT, _RELEASE = (int(action) for action in PolicyAction)
_PLAIN, _SCORED, _SETS, _LIFTS = (int(kind) for kind in PolicyEvent)
_FREE, _IN_FORCE, _LAPSED = (int(standing) for standing in OverrideState)


@dataclass(frozen=True)
class Policy:
    """Thresholds are probabilities. A level falls once the score is below `exit_ratio` times its threshold."""

    medium: float
    high: float
    exit_ratio: float = Terms.exit_ratio
    cooldown_us: int = Terms.cooldown_us
    in_a_row: int = Terms.in_a_row
    min_events: int = Terms.min_events
    max_per_hour: int = Terms.max_per_hour

    @classmethod
    def of(cls, section: Mapping[str, Any], thresholds: Mapping[str, float], file: str = "use case") -> Self:
        """The `policy` of a use case with the thresholds that training chose. Raises BadUseCase."""
        settings = asdict(terms(section, file))
        return cls(**(settings | {level: float(thresholds[level]) for level in ("medium", "high")}))

    def __post_init__(self) -> None:
        """A policy that cannot work is a ValueError that says why."""
        if not 0 < self.medium <= self.high <= 1:
            raise ValueError(
                f"policy: found medium {self.medium} and high {self.high}, expected 0 < medium <= high <= 1"
            )
        if not 0 < self.exit_ratio <= 1:
            raise ValueError(
                f"policy: found exit_ratio {self.exit_ratio}, expected a factor above 0 and at most 1"
            )
        for name, least in (("cooldown_us", 0), ("in_a_row", 1), ("min_events", 0), ("max_per_hour", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"policy: found {name} {getattr(self, name)}, expected at least {least}")

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """The least scores of the zones above LOW. HIGH is never kept by a score below MEDIUM."""
        return (
            self.medium * self.exit_ratio,
            self.medium,
            max(self.high * self.exit_ratio, self.medium),
            self.high,
        )

    def reached(self, score: NDArray[np.float32]) -> NDArray[np.uint8]:
        """The level that each score reaches by itself, whatever came before it; LOW for NaN."""
        medium, high = np.float64(self.medium), np.float64(self.high)  # not rounded to float32
        return (score >= medium).view(np.uint8) + (score >= high).view(np.uint8)


@dataclass(frozen=True)
class Breaker:
    """Event times of the latest recommendations, as many as one hour may have. Empty: no limit."""

    recent_us: tuple[int, ...] = ()

    @classmethod
    def of(cls, policy: Policy) -> Self:
        return cls((np.iinfo(np.int64).min,) * policy.max_per_hour)

    def after(self, recommended_us: Iterable[int]) -> Self:
        """The breaker once these recommendations were committed."""
        times = sorted((*self.recent_us, *(int(time) for time in recommended_us)))
        return type(self)(tuple(times[len(times) - len(self.recent_us) :]))

    def is_open(self, now_us: int) -> bool:
        """Return True if the breaker would hold back a recommendation now."""
        return len(self.recent_us) > 0 and min(self.recent_us) > now_us - HOUR_US


NO_BREAKER = Breaker()


class _Rules(NamedTuple):
    bounds: tuple[float, float, float, float]
    cooldown_us: int
    in_a_row: int
    min_events: int


@njit(cache=True)
def _zone(bounds: tuple[float, float, float, float], score: float) -> int:
    zone = 0
    for bound in bounds:
        zone += score >= bound
    return zone


@njit(cache=True)
def _is_blocked(recent_us: NDArray[np.int64], now_us: int) -> bool:
    return len(recent_us) > 0 and recent_us.min() > now_us - HOUR_US


@njit(cache=True)
def _count(recent_us: NDArray[np.int64], now_us: int) -> None:
    if len(recent_us) > 0:
        recent_us[recent_us.argmin()] = now_us  # not blocked: the oldest lies an hour back or more


@njit(cache=True)
def _action(status: Any, score: float, now_us: int, level: int, until_us: int) -> int:
    kind = _SCORED if score == score else _PLAIN
    if level != NO_OVERRIDE:
        kind = _SETS if until_us > now_us else _LIFTS
    standing = _FREE
    if status.override_until_us != 0:
        standing = _IN_FORCE if status.override_until_us > now_us else _LAPSED
    action: int = ACTIONS[standing, kind]
    return action


@njit(cache=True)
def _set_level(status: Any, level: int, now_us: int) -> None:
    if status.level != level:
        status.level = level
        status.since_us = now_us


@njit(cache=True)
def _begin(status: Any) -> None:
    """The first event of a record finds nothing, also where the record before it was forgotten."""
    status.level, status.since_us, status.streak, status.recommendation = 0, 0, 0, 0
    status.cooldown_until_us, status.override_level, status.override_until_us = 0, 0, 0


@njit(cache=True)
def _override(status: Any, level: int, until_us: int, now_us: int) -> None:
    """A human's word: it replaces what the machine recommended and the cooldown."""
    _set_level(status, level, now_us)
    status.override_level, status.override_until_us = level, until_us
    status.recommendation, status.streak, status.cooldown_until_us = 0, 0, 0


@njit(cache=True)
def _lift(status: Any) -> None:
    status.override_level, status.override_until_us = 0, 0


@njit(cache=True)
def _assess(rules: _Rules, status: Any, score: float, now_us: int, evidence: int) -> None:
    """Level, cooldown and streak after one score."""
    zone = _zone(rules.bounds, score)
    _set_level(status, LEVELS[int(now_us >= status.cooldown_until_us), status.level, zone], now_us)
    if status.level > 0 and zone >= 2 * status.level:
        status.cooldown_until_us = max(status.cooldown_until_us, now_us + rules.cooldown_us)
    if status.level == _HIGH and zone >= _KEEPS_HIGH and evidence >= rules.min_events:
        status.streak += 1
    else:
        status.streak = 0


@njit(cache=True)
def _recommend(rules: _Rules, status: Any, now_us: int, recent_us: NDArray[np.int64]) -> int:
    case = _AGAINST
    if status.streak >= rules.in_a_row:
        is_new = status.recommendation != _OPEN
        case = _BLOCKED if is_new and _is_blocked(recent_us, now_us) else _READY
    elif status.streak > 0:
        case = _SHORT
    transition: int = RECOMMENDATIONS[status.recommendation, case, 1]
    status.recommendation = RECOMMENDATIONS[status.recommendation, case, 0]
    if transition == _RECOMMENDED:
        _count(recent_us, now_us)
    return transition


@njit(cache=True)
def _apply(rules: _Rules, status: Any, score: float, now_us: int, evidence: int, level: int, until_us: int,
           recent_us: NDArray[np.int64]) -> int:  # fmt: skip
    action = _action(status, score, now_us, level, until_us)
    if action == _SKIP:
        return 0
    if action == _ASSESS:
        _assess(rules, status, score, now_us, evidence)
        transition: int = _recommend(rules, status, now_us, recent_us)
        return transition
    if action == _SET:
        _override(status, level, until_us, now_us)
        return _OVERRIDDEN
    _lift(status)
    if action == _RELEASE:
        _assess(rules, status, score, now_us, evidence)
    return _RELEASED


@njit(cache=True, nogil=True)
def _walk(rules: _Rules, status: Any, record: Any, score: Any, time_us: Any, evidence: Any, applied: Any,
          level: Any, until_us: Any, recent_us: Any, outcome: Any) -> None:  # fmt: skip
    for i in range(len(record)):
        if not applied[i] or record[i] < 0:
            continue
        entry = status[record[i]]
        if evidence[i] == 1:
            _begin(entry)
        word, until = (level[i], until_us[i]) if len(level) else (NO_OVERRIDE, 0)
        before = entry.level
        transition = _apply(rules, entry, score[i], time_us[i], evidence[i], word, until, recent_us)
        outcome[i] = before | entry.level << AFTER_BIT | transition << TRANSITION_BIT


Overrides = tuple[NDArray[np.uint8], NDArray[np.int64]]
NO_OVERRIDES: Overrides = (np.zeros(0, np.uint8), np.zeros(0, np.int64))


def decide(
    policy: Policy,
    status: NDArray[np.void],
    record: NDArray[np.int32],
    score: NDArray[np.float32],
    time_us: NDArray[np.int64],
    evidence: NDArray[np.int64],
    applied: NDArray[np.bool_],
    overrides: Overrides | None = None,
    breaker: Breaker = NO_BREAKER,
) -> NDArray[np.uint8]:
    """Judge n events in arrival order; `status` (features.record.STATUS [r]) is changed in place.

    `record` is the row of `status` (-1: none), `score` NaN where there is none, `evidence` the subject's
    events so far, this one included: with the first of them its status begins anew. Only `applied` events
    count, scored or not; others (duplicates, refused) get outcome 0.
    `overrides` are level (NO_OVERRIDE: no override) and expiry. Recommendations made here count against the
    breaker within this call; the caller's own goes on with `breaker.after(...)` once they are committed.
    Returns the outcomes, uint8 [n], as `export.policy.outcome` has them.
    """
    level, until_us = overrides or NO_OVERRIDES
    unknown = level[(level > Level.HIGH) & (level != NO_OVERRIDE)]
    if len(unknown):
        raise ValueError(f"override level {unknown[0]}, expected 0 to 2, or {NO_OVERRIDE} for no override")
    outcome = np.zeros(len(record), np.uint8)
    rules = _Rules(policy.bounds, policy.cooldown_us, policy.in_a_row, policy.min_events)
    recent_us = np.array(breaker.recent_us, dtype=np.int64)
    _walk(
        rules, status, np.ascontiguousarray(record, np.int32), np.ascontiguousarray(score, np.float32),
        np.ascontiguousarray(time_us, np.int64), np.ascontiguousarray(evidence, np.int64),
        np.ascontiguousarray(applied, np.bool_), level, until_us, recent_us, outcome,
    )  # fmt: skip
    return outcome
