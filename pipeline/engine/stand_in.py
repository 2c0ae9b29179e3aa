"""The bundle's stand-in: a second model that scores the customers in files from whom the model has learned.

A model's score of such a customer is too good: it has seen how that customer turned out. The stand-in has learned from
all customers but those that are set apart, and scores these instead. Streams never use it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from export.bundle import Bundle
from export.learned import Hashes, contains, decode, hashes, is_set_apart
from export.onnx import Scorer
from features.events import Batch


@dataclass(frozen=True)
class StandIn:
    """`scorer` scores the customers that the model has learned from and that are set apart, a `share` of all."""

    scorer: Scorer
    learned_from: Hashes
    share: float

    @classmethod
    def from_bundle(cls, bundle: Bundle) -> Self | None:
        """Return the stand-in; None if the bundle has none or lists no customers. Raises BundleMismatch."""
        if bundle.stand_in is None or bundle.learned_from is None:
            return None
        share = float(bundle.manifest.training["set_apart"])
        return cls(Scorer(bundle.stand_in), decode(bundle.learned_from), share)

    def scores(self, customers: Sequence[str]) -> NDArray[np.bool_]:
        """Return [c], true for the customers that the stand-in scores."""
        asked = hashes(customers)
        return contains(self.learned_from, asked) & is_set_apart(asked, self.share)

    def rows(self, batch: Batch) -> NDArray[np.bool_]:
        """Return [n], true for the events of the customers that the stand-in scores."""
        arrivals = batch.arrivals[batch.use_case.subject]
        return self.scores(arrivals.ids)[arrivals.record]
