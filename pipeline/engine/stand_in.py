"""The bundle's stand-in, for customers in files that the model has learned from.

A model's score of a customer that it has learned from is flattering: it has seen what became of that customer. The
stand-in has learned from all others but those that are set apart, so it scores these instead. Streams never ask it.
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
    def of(cls, bundle: Bundle) -> Self | None:
        """None if the bundle has no stand-in or does not keep whom it has learned from. Raises BundleMismatch."""
        if bundle.stand_in is None or bundle.learned_from is None:
            return None
        share = float(bundle.manifest.training["set_apart"])
        return cls(Scorer(bundle.stand_in), decode(bundle.learned_from), share)

    def scores(self, customers: Sequence[str]) -> NDArray[np.bool_]:
        """[c] Whether a customer is one of its."""
        asked = hashes(customers)
        return contains(self.learned_from, asked) & is_set_apart(asked, self.share)

    def rows(self, batch: Batch) -> NDArray[np.bool_]:
        """[n] The events of its customers."""
        arrivals = batch.arrivals[batch.use_case.subject]
        return self.scores(arrivals.ids)[arrivals.record]
