"""One byte holds what an event did: every possible one is read back, every other is known as damaged."""

from itertools import product

import numpy as np
import pytest

from export.policy import Level, Transition, is_alert, is_new_level, is_possible, outcome

EVERY = np.arange(256, dtype=np.uint8)
KERNEL_BIT = 0x80


def test_the_bits_of_an_outcome_are_those_that_records_hold() -> None:
    assert (
        int(outcome.pack(np.uint8(Level.MEDIUM), np.uint8(Level.HIGH), np.uint8(Transition.HELD)))
        == 0b011_10_01
    )


@pytest.mark.parametrize("parts", product(Level, Level, Transition), ids=str)
def test_an_outcome_is_read_as_it_was_packed(parts: tuple[Level, Level, Transition]) -> None:
    before, after, transition = parts
    packed = outcome.pack(*(np.array([part], np.uint8) for part in parts))
    for byte in (packed, packed | np.uint8(KERNEL_BIT)):
        assert outcome.parts(int(byte[0])) == parts
        assert (
            outcome.level_before(byte)[0],
            outcome.level_after(byte)[0],
            outcome.transition(byte)[0],
        ) == parts
        assert is_new_level(byte)[0] == (before != after)
        assert is_alert(byte)[0] == (before != after or transition != Transition.NONE)
        assert is_possible(byte)[0]
    assert outcome.parts(int(packed[0])).transition_name == (transition.name if transition else None)


def test_all_other_bytes_are_no_outcome() -> None:
    possible = EVERY[is_possible(EVERY)]
    assert len(possible) == 2 * len(Level) ** 2 * len(Transition)
    for byte in sorted(set(EVERY.tolist()) - set(possible.tolist())):
        with pytest.raises(KeyError):
            outcome.parts(byte)
