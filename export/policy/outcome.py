"""The outcome of one event as one byte: level before, level after, transition. Records keep it beside the score.

Bits 0-1 hold the level before, bits 2-3 the level after, bits 4-6 the transition. The eighth bit is the kernel's own
(`features.kernel.layout.INEXACT`); the functions here ignore it. No other module shifts or masks these bits.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from export.policy.tables import Level, Transition

AFTER_BIT, TRANSITION_BIT = 2, 4  # where the level after and the transition start
_LEVEL_MASK, _TRANSITION_MASK = np.uint8(0b11), np.uint8(0b111)
_OUTCOME_BITS = np.uint8(0b111_1111)

Outcomes = NDArray[np.uint8]
Flags = NDArray[np.bool_]


class OutcomeParts(NamedTuple):
    """One outcome, taken apart."""

    level_before: Level
    level: Level
    transition: Transition

    @property
    def transition_name(self) -> str | None:
        """The name of the change, None if there is none."""
        return None if self.transition is Transition.NONE else self.transition.name


# Every outcome that the policy can give, by its byte.
OUTCOMES = {
    before | after << AFTER_BIT | transition << TRANSITION_BIT: OutcomeParts(before, after, transition)
    for before in Level
    for after in Level
    for transition in Transition
}
_IS_POSSIBLE = np.isin(np.arange(128), list(OUTCOMES))


def pack(level_before: Outcomes, level_after: Outcomes, transition: Outcomes) -> Outcomes:
    """Return the outcomes, uint8 [n], of levels and transitions [n]."""
    outcomes: Outcomes = (
        level_before | level_after << np.uint8(AFTER_BIT) | transition << np.uint8(TRANSITION_BIT)
    )
    return outcomes


def level_before(outcomes: Outcomes) -> Outcomes:
    """Return the level, uint8 [n], that each customer had before the event."""
    return outcomes & _LEVEL_MASK


def level_after(outcomes: Outcomes) -> Outcomes:
    """Return the level, uint8 [n], that each customer has after the event."""
    return outcomes >> np.uint8(AFTER_BIT) & _LEVEL_MASK


def transition(outcomes: Outcomes) -> Outcomes:
    """Return the `Transition`, uint8 [n], that each event made."""
    return outcomes >> np.uint8(TRANSITION_BIT) & _TRANSITION_MASK


def is_new_level(outcomes: Outcomes) -> Flags:
    """Return [n], true where the event moved its customer to another level."""
    is_other: Flags = level_before(outcomes) != level_after(outcomes)
    return is_other


def is_alert(outcomes: Outcomes) -> Flags:
    """Return [n], true where the level or the recommendation changed: those events raise an alert."""
    is_transition: Flags = transition(outcomes) != Transition.NONE
    return is_new_level(outcomes) | is_transition


def is_possible(outcomes: Outcomes) -> Flags:
    """Return [n], false where the byte is none that the policy gives: its record is damaged."""
    flags: Flags = _IS_POSSIBLE[outcomes & _OUTCOME_BITS]
    return flags


def parts(outcome: int) -> OutcomeParts:
    """Return the levels and the change of one outcome. Raises KeyError for a byte that is not possible."""
    return OUTCOMES[outcome & int(_OUTCOME_BITS)]
