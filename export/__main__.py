"""Compiles the policy before its first use (`python -m export`): seconds, once for each version. Images have it."""

import numpy as np

from export.policy import Breaker, Policy, decide
from features.record import STATUS

POLICY = Policy(medium=0.5, high=0.9)
NO_TIMES = np.zeros(0, np.int64)

if __name__ == "__main__":
    decide(
        POLICY,
        np.zeros(0, STATUS),
        np.zeros(0, np.int32),
        np.zeros(0, np.float32),
        NO_TIMES,
        evidence=NO_TIMES,
        applied=np.zeros(0, np.bool_),
        overrides=(np.zeros(0, np.uint8), NO_TIMES),
        breaker=Breaker.of(POLICY),
    )
