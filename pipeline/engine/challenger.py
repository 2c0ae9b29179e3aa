"""The challenger: a model scored beside the one in use, whose scores are noted and from which nothing follows.

The rule: whatever is wrong with it, the model in use goes on. It is told once, and the challenger is let go.
"""

import logging
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from export import bundle as bundles
from export.bundle import Bundle
from export.manifest import BundleMismatch
from export.onnx import Scorer
from export.policy import Policy
from features.usecase import BadUseCase, UseCase
from pipeline.runtime.process_metrics import progress

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Shadow:
    """A challenger's scores of the n events of a batch; levels are what the score alone reaches, without memory."""

    version: str
    score: NDArray[np.float32]  # [n] NaN: not scored just now
    level: NDArray[np.uint8]  # [n] by its own thresholds


def scorer_of(bundle: Bundle) -> Scorer:
    """The bundle's model, tried once. Raises BundleMismatch if it cannot score vectors of the bundle's features."""
    scorer = Scorer(bundle.model)
    scorer.score(np.zeros((1, len(bundle.manifest.features)), np.float32))
    return scorer


def policy_of(use_case: UseCase, bundle: Bundle) -> Policy:
    """The use case's policy with the bundle's thresholds. Raises BundleMismatch for thresholds that cannot work.

    Raises BadUseCase for a policy that cannot be read.
    """
    try:
        return Policy.of(use_case.policy, bundle.manifest.thresholds, use_case.file)
    except BadUseCase:
        raise
    except ValueError as error:
        raise BundleMismatch(f"bundle {bundle.manifest.id}: {error}; train a new one") from error


@dataclass
class Challenger:
    """A model ready to be asked; once it could not answer, it is `broken` and asked no more."""

    scorer: Scorer
    policy: Policy
    model_version: str
    broken: bool = False

    @classmethod
    def of(cls, use_case: UseCase, bundle: Bundle) -> Self:
        """Raises BundleMismatch for a bundle of another use case or features, or that cannot score."""
        bundles.check(bundle, use_case)
        return cls(scorer_of(bundle), policy_of(use_case, bundle), bundle.manifest.id)

    def asked(self, vectors: NDArray[np.float32], wanted: NDArray[np.bool_]) -> Shadow | None:
        """Score the `wanted` vectors; None if it cannot."""
        own = np.full(len(vectors), np.nan, np.float32)
        if self.broken:
            return None
        try:
            own[wanted] = self.scorer.score(vectors[wanted])
        except BundleMismatch as error:
            logger.error("challenger %s cannot score, going on without it: %s", self.model_version, error)
            self.broken, progress.challenger = True, None
            return None
        return Shadow(self.model_version, own, self.policy.reached(own))
