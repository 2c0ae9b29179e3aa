"""The state machine: levels, recommendations and overrides as three tables of small integers.

`export.policy.rules` walks them. An event is judged from where its score lies (`Zone`), what the evidence says
(`Case`), the kind of the event (`PolicyEvent`) and the state of the last override (`OverrideState`).
"""

from enum import IntEnum

import numpy as np


class Level(IntEnum):
    LOW = 0
    MEDIUM = 1
    HIGH = 2


class Transition(IntEnum):
    """The transition that one event caused beside the level. Three bits of the outcome."""

    NONE = 0
    RECOMMENDED = 1  # off-boarding is recommended
    RETRACTED = 2  # what was recommended or held no longer stands
    HELD = 3  # would have been recommended, but the breaker is open
    OVERRIDDEN = 4  # a human set the level
    RELEASED = 5  # a human's word expired or was withdrawn


class Zone(IntEnum):
    """The zone of a score among the four thresholds. Twice a level is the zone that reaches it."""

    LOW = 0
    KEEPS_MEDIUM = 1  # at or above the lower threshold of MEDIUM
    MEDIUM = 2
    KEEPS_HIGH = 3  # at or above the lower threshold of HIGH
    HIGH = 4


class Recommendation(IntEnum):
    NONE = 0
    OPEN = 1
    HELD = 2


class Case(IntEnum):
    """The evidence after one assessment."""

    AGAINST = 0  # not HIGH, too few events, or a score that would not keep HIGH
    SHORT = 1  # for it, but not often enough in a row
    READY = 2
    BLOCKED = 3  # ready, but the breaker is open


class PolicyEvent(IntEnum):
    PLAIN = 0  # neither score nor override
    SCORED = 1
    SETS = 2  # an override that lasts beyond its own time
    LIFTS = 3  # an override that has already expired: it withdraws the standing one


class OverrideState(IntEnum):
    """The state of the last override."""

    FREE = 0  # none
    IN_FORCE = 1
    LAPSED = 2  # expired at or before this event


class PolicyAction(IntEnum):
    SKIP = 0
    ASSESS = 1
    SET = 2
    LIFT = 3  # the level stays until the next score
    RELEASE = 4  # assess, and say that the override ended; recommending waits for the next event


# [cooldown passed, level, zone] -> level: rising is immediate, falling needs cooldown and a lower threshold
LEVELS = np.array(
    [
        # zone: LOW, KEEPS_MEDIUM, MEDIUM, KEEPS_HIGH, HIGH
        [[0, 0, 1, 1, 2], [1, 1, 1, 1, 2], [2, 2, 2, 2, 2]],
        [[0, 0, 1, 1, 2], [0, 1, 1, 1, 2], [0, 1, 1, 2, 2]],
    ],
    dtype=np.uint8,
)
# [recommendation, case] -> (recommendation, transition)
RECOMMENDATIONS = np.array(
    [
        # AGAINST, SHORT, READY, BLOCKED
        [(0, Transition.NONE), (0, Transition.NONE), (1, Transition.RECOMMENDED), (2, Transition.HELD)],
        [(0, Transition.RETRACTED), (1, Transition.NONE), (1, Transition.NONE), (1, Transition.NONE)],
        [(0, Transition.RETRACTED), (2, Transition.NONE), (1, Transition.RECOMMENDED), (2, Transition.NONE)],
    ],
    dtype=np.uint8,
)
# [standing, kind] -> action
ACTIONS = np.array(
    [
        # PLAIN, SCORED, SETS, LIFTS
        [PolicyAction.SKIP, PolicyAction.ASSESS, PolicyAction.SET, PolicyAction.SKIP],
        [PolicyAction.SKIP, PolicyAction.SKIP, PolicyAction.SET, PolicyAction.LIFT],
        [PolicyAction.SKIP, PolicyAction.RELEASE, PolicyAction.SET, PolicyAction.LIFT],
    ],
    dtype=np.uint8,
)
