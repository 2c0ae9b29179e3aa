"""Coders for what passes between steps, where a runner parts them: each element is pickled whole.

Beam asks a coder for the size of many elements, and by default encodes them to know: for batches that takes longer
than scoring them. Here the size is a guess, which only Beam's own statistics look at.
"""

import pickle

from apache_beam.coders import Coder
from apache_beam.coders.typecoders import registry

from pipeline.job.sinks import Outgoing
from pipeline.job.source import Messages
from pipeline.job.translate import Decoded

BATCH_BYTES = 1 << 20  # thousands of events of some hundred bytes


class Pickled(Coder):
    """Coder that pickles elements and does not count their bytes."""

    def encode(self, value: object) -> bytes:
        return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)

    def decode(self, encoded: bytes) -> object:
        return pickle.loads(encoded)

    def estimate_size(self, value: object) -> int:
        return BATCH_BYTES

    def is_deterministic(self) -> bool:
        return False


def register() -> None:
    """Register the coder for the types between the job's steps. Call it before a pipeline is built."""
    for element in (Messages, Decoded, Outgoing):
        registry.register_coder(element, Pickled)
