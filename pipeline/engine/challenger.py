"""The challenger: a model that scores in shadow, beside the one in use. Its scores are logged and decide nothing.

The rule: whatever is wrong with it, the model in use goes on. The fault is logged once, and the challenger is dropped.
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
    """A challenger's scores of the n events of a batch, with the levels that the scores alone reach."""

    version: str
    score: NDArray[np.float32]  # [n] NaN: not scored
    level: NDArray[np.uint8]  # [n] by its score thresholds


def scorer_of(bundle: Bundle) -> Scorer:
    """Return the bundle's model, tried once. Raises BundleMismatch if it cannot score vectors of its features."""
    scorer = Scorer(bundle.model)
    scorer.score(np.zeros((1, len(bundle.manifest.features)), np.float32))
    return scorer


def policy_of(use_case: UseCase, bundle: Bundle) -> Policy:
    """Return the use case's policy with the bundle's thresholds. Raises BundleMismatch for thresholds that cannot work.

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
    """A model ready to score in shadow; once it fails, it is `broken` and no longer used."""

    scorer: Scorer
    policy: Policy
    model_version: str
    broken: bool = False

    @classmethod
    def from_bundle(cls, use_case: UseCase, bundle: Bundle) -> Self:
        """Return the challenger of a bundle. Raises BundleMismatch if it is of another use case or cannot score."""
        bundles.check(bundle, use_case)
        return cls(scorer_of(bundle), policy_of(use_case, bundle), bundle.manifest.id)

    def score(self, vectors: NDArray[np.float32], wanted: NDArray[np.bool_]) -> Shadow | None:
        """Return the scores of the `wanted` vectors; None if it cannot score."""
        score = np.full(len(vectors), np.nan, np.float32)
        if self.broken:
            return None
        try:
            score[wanted] = self.scorer.score(vectors[wanted])
        except BundleMismatch as error:
            logger.error("challenger %s cannot score, going on without it: %s", self.model_version, error)
            self.broken, progress.challenger = True, None
            return None
        return Shadow(self.model_version, score, self.policy.reached(score))
