"""The challenger: a model scored beside the one in use, whose scores are noted and from which nothing follows.

The rule: whatever is wrong with it, the model in use goes on. It is told once, and the challenger is let go.
"""

import logging
import threading
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as onnx

from export import bundle as bundles
from export import storage
from export.bundle import Bundle, BundleMismatch
from export.onnx import Scorer
from export.policy import Policy
from features.usecase import UseCase
from pipeline.progress import progress

NO_MODEL = (
    onnx.Fail,
    onnx.InvalidArgument,
    onnx.InvalidGraph,
    onnx.InvalidProtobuf,
    onnx.NotImplemented,
    onnx.RuntimeException,
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Shadow:
    """A challenger's scores of the n events of a batch; levels are what the score alone reaches, without memory."""

    version: str
    score: NDArray[np.float32]  # [n] NaN: not scored just now
    level: NDArray[np.uint8]  # [n] by its own thresholds


@dataclass
class Challenger:
    """A model ready to be asked; once it could not answer, it is `broken` and asked no more."""

    scorer: Scorer
    policy: Policy
    model_version: str
    broken: bool = False

    @classmethod
    def of(cls, use_case: UseCase, bundle: Bundle) -> Self:
        """Raises BundleMismatch when it was trained for other features, and NO_MODEL when it cannot score."""
        bundles.check(bundle, use_case)
        policy = Policy.of(use_case.policy, bundle.manifest.thresholds, use_case.file)
        scorer = Scorer(bundle.model)
        scorer.score(np.zeros((1, len(use_case.features)), np.float32))
        return cls(scorer, policy, bundle.manifest.id)

    def asked(self, vectors: NDArray[np.float32], wanted: NDArray[np.bool_]) -> Shadow | None:
        """Score the `wanted` vectors; None if it cannot."""
        own = np.full(len(vectors), np.nan, np.float32)
        if self.broken:
            return None
        try:
            own[wanted] = self.scorer.score(vectors[wanted])
        except (BundleMismatch, *NO_MODEL) as error:
            logger.error("challenger %s cannot score, going on without it: %s", self.model_version, error)
            self.broken, progress.challenger = True, None
            return None
        return Shadow(self.model_version, own, self.policy.reached(own))


class Watch:
    """The challenger that ROOT's pointer names, looked up and loaded in a thread of its own: nobody waits for it."""

    def __init__(self, use_case: UseCase, root: str) -> None:
        self._use_case, self._root = use_case, root
        self._seen: str | None = None
        self._challenger: Challenger | None = None
        self._looking = threading.Lock()

    def look(self) -> None:
        """Looks again, unless a look is under way."""
        if self._looking.acquire(blocking=False):
            threading.Thread(target=self._look, name="challenger", daemon=True).start()

    def current(self, in_use: str) -> Challenger | None:
        """The challenger; none if it is broken, or is the model in use."""
        found = self._challenger
        return found if found and not found.broken and found.model_version != in_use else None

    def _look(self) -> None:
        try:
            pointer = bundles.read_pointer(self._root, bundles.SHADOW) or None
            if pointer != self._seen:
                self._challenger = None if pointer is None else self._loaded(pointer)
                self._seen = pointer
                progress.challenger = self._challenger and self._challenger.model_version
        except (OSError, UnicodeDecodeError) as error:
            logger.warning("cannot look for a challenger in %s: %s", self._root, error)
        finally:
            self._looking.release()

    def _loaded(self, bundle_id: str) -> Challenger | None:
        try:
            found = Challenger.of(self._use_case, bundles.load(storage.join(self._root, bundle_id)))
        except (BundleMismatch, ValueError, KeyError, *NO_MODEL) as error:
            logger.error("challenger %s is refused: %s", bundle_id, error)
            return None
        logger.warning("challenger in shadow: %s", bundle_id)
        return found
