"""Advanced records on their way back into the store, by compare-and-set."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from features.kernel import Advanced
from features.usecase import UseCase
from features.usecase.expiry import expiries_ms
from pipeline.stores.store import RecordStore

Mask = NDArray[np.bool_]


def write_advanced(
    store: RecordStore,
    use_case: UseCase,
    keys: Mapping[str, Sequence[bytes]],
    advanced: Mapping[str, Advanced],
    wanted: Mapping[str, Mask],
) -> dict[str, Mask]:
    """Commit the wanted records [r] of each entity in one round trip; return which of them lost a race.

    Raises StoreUnavailable.
    """
    lost = {entity: np.zeros(len(mask), np.bool_) for entity, mask in wanted.items()}
    rows = {entity: np.flatnonzero(mask) for entity, mask in wanted.items() if mask.any()}
    if not rows:
        return lost
    expiry_ms = expiries_ms(use_case)
    written_keys: list[bytes] = []
    before: list[int] = []
    blobs: list[bytes] = []
    for entity, chosen in rows.items():
        written_keys += map(keys[entity].__getitem__, chosen.tolist())
        before += advanced[entity].before[chosen].tolist()
        blobs += advanced[entity].blobs(chosen)
    expiries = [ms for entity, chosen in rows.items() for ms in [expiry_ms[entity]] * len(chosen)]
    is_lost = ~np.array(store.commit(written_keys, before, blobs, expiries), np.bool_)
    for entity, chosen in rows.items():
        lost[entity][chosen], is_lost = is_lost[: len(chosen)], is_lost[len(chosen) :]
    return lost
