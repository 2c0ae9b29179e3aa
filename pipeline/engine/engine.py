"""The engine: one model with its policy, and the store of the records that it works on."""

from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

from export import bundle as bundles
from export.bundle import Bundle
from export.manifest import Manifest
from export.onnx import Scorer
from export.policy import Breaker, Policy, Transition, decide, transition
from export.reasons import medians
from features.events import Batch
from features.kernel import Advanced
from features.usecase import UseCase
from pipeline.engine.challenger import Challenger, policy_of, scorer_of
from pipeline.engine.stand_in import StandIn
from pipeline.owners.asking import RecordOwners
from pipeline.stores.store import RecordStore

Mask = NDArray[np.bool_]


@dataclass
class Engine:
    """One model ready to assess events, with its policy and the store. Another model is another engine.

    `breaker` counts the recommendations that this engine committed.
    """

    use_case: UseCase
    scorer: Scorer
    manifest: Manifest
    policy: Policy
    typical: NDArray[np.float32]  # [F] medians of the training data, which reasons compare with
    store: RecordStore
    prefix: str = "riskstream"
    breaker: Breaker = field(default_factory=Breaker)
    challenger: Challenger | None = None
    owners: RecordOwners | None = None  # fold the events of other entities, where workers share records
    stand_in: StandIn | None = None  # scores customers in files that the model has learned from

    @classmethod
    def from_bundle(
        cls, use_case: UseCase, bundle: Bundle, store: RecordStore, prefix: str = "riskstream"
    ) -> Self:
        """Return the engine of a bundle. Raises BundleMismatch if it is of another use case or cannot score."""
        bundles.check(bundle, use_case)
        policy = policy_of(use_case, bundle)
        typical = medians(bundle.reference, use_case.features)
        scorer = scorer_of(bundle)
        return cls(use_case, scorer, bundle.manifest, policy, typical, store, prefix, Breaker.of(policy))

    @property
    def model_version(self) -> str:
        """The id of the bundle."""
        return self.manifest.id

    def score(self, batch: Batch, vectors: NDArray[np.float32], wanted: Mask) -> NDArray[np.float32]:
        """Return the scores [n] of the `wanted` vectors [n, F]; NaN elsewhere."""
        score = np.full(len(vectors), np.nan, np.float32)
        score[wanted] = self.scorer.score(vectors if wanted.all() else vectors[wanted])
        if self.stand_in is not None:
            rows = wanted & self.stand_in.rows(batch)
            score[rows] = self.stand_in.scorer.score(vectors[rows])
        return score

    def decide(self, batch: Batch, subject: Advanced, score: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Return the outcomes [n] of the events that are new to the subject, and change its status in place."""
        return decide(
            self.policy,
            subject.status,
            batch.arrivals[batch.use_case.subject].record,
            score,
            batch.time_us,
            evidence=subject.events,
            applied=subject.is_new,
            overrides=batch.override,
            breaker=self.breaker,
        )

    def count_recommendations(self, batch: Batch, outcome: NDArray[np.uint8], settled: Mask) -> None:
        """Count the recommendations that were committed against the breaker."""
        made = settled & (transition(outcome) == Transition.RECOMMENDED)
        if made.any():
            self.breaker = self.breaker.after(batch.time_us[made])
