"""Replay: history run through the same kernel in batch gives the vectors of the stream, bit for bit.

Events arrive in the order in which they are given. Order a history first: by sequence number where a log has it, else
by event time.
"""

from collections.abc import Iterable, Iterator, MutableMapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.advance import advance_all
from features.events import Batch
from features.kernel import ONE_CORE, Cores
from features.vector import vectors

RecordsById = MutableMapping[str, MutableMapping[str, bytes]]  # by entity, by id


class Replayed(NamedTuple):
    """The vectors and numbers of the n events of a batch."""

    batch: Batch
    vectors: NDArray[np.float32]  # [n, F] NaN rows where nothing is scored or the event is refused
    seq: NDArray[np.int64]  # [n] the event's number in its subject's record; 0: refused as too late
    disposition: NDArray[np.uint8]  # [n] Disposition in the subject's record
    events: NDArray[np.int64]  # [n] the subject's events up to this one, whatever their kind; 0: refused


def replay(
    batches: Iterable[Batch], records: RecordsById | None = None, cores: Cores = ONE_CORE
) -> Iterator[Replayed]:
    """Yield the vectors of batch after batch, on `records` (changed in place; empty when not given).

    They are the same, bit for bit, on any number of `cores`.
    """
    stored: RecordsById = {} if records is None else records
    for batch in batches:
        by_entity = {entity: stored.setdefault(entity, {}) for entity in batch.arrivals}
        read = {entity: [*map(by_entity[entity].get, a.ids)] for entity, a in batch.arrivals.items()}
        advanced = advance_all(batch, read, cores)
        for entity, one in advanced.items():
            by_entity[entity].update(zip(batch.arrivals[entity].ids, one.blobs(), strict=True))
        subject = advanced[batch.use_case.subject]
        columns = vectors(batch, {entity: one.raw for entity, one in advanced.items()})
        yield Replayed(batch, columns, subject.seq, subject.disposition, subject.events)
