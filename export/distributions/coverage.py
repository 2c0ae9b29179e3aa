"""Comparison of files with what a model has learned from: fields and features that say nothing there.

A field says nothing in files where no event has a value of it, a feature where it is made of such a field or has one
value for all. What chance may do in few rows is not called a difference.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from export.distributions.reference import Bins, Reference
from features.events import FieldUse, fields_of
from features.usecase import UseCase

LEAST = 20  # customers, or values of a field, that may well be alike in something
CHANCE = 0.01  # of being alike, below which it is no chance


@dataclass
class Spread:
    """The features, of F, that differ among scored events: `first` [F] are the first event's values."""

    first: NDArray[np.float32] | None = None
    varies: NDArray[np.bool_] | None = None

    def add(self, vectors: NDArray[np.float32]) -> None:
        """Take the vectors [n, F] of scored events."""
        if not len(vectors):
            return
        if self.first is None or self.varies is None:
            self.first, self.varies = vectors[0].copy(), np.zeros(vectors.shape[1], np.bool_)
        same = (vectors == self.first) | (np.isnan(vectors) & np.isnan(self.first))
        self.varies |= ~same.all(axis=0)


@dataclass(frozen=True)
class Coverage:
    """Differences of files from training. Fields are written event_type.field."""

    absent: tuple[str, ...] = ()  # event types with fields that features need; the files have no such event
    missing: Mapping[str, float] = field(
        default_factory=dict
    )  # fields without a value here: the share of values in training
    rare: tuple[str, ...] = ()  # fields without a value here, which may be chance in so few events
    constant: tuple[str, ...] = ()  # fields with one value here
    flat: tuple[str, ...] = ()  # features with one value here, other than those of missing fields
    silent: tuple[str, ...] = ()  # features that say nothing here: flat, or made of a field without a value
    known: bool = True  # the bundle keeps which fields had values in training

    @property
    def differs(self) -> bool:
        """Return True if a field or feature is empty or constant here and was not in training."""
        return bool(self.absent or self.missing or self.constant or self.flat or self.silent)


def coverage(
    use_case: UseCase,
    reference: Reference,
    here: Mapping[str, FieldUse],
    spread: Spread,
    customers: int,
    left_out: Collection[str] = (),
) -> Coverage:
    """Compare the fields of events, and the features of `customers` scored customers, with those of training.

    Features that are `left_out` of the model say nothing to it anywhere, so fields of theirs alone make no difference.
    """
    used = [feature for feature in use_case.table if feature.name not in left_out]
    paths = {path for feature in used for parts in fields_of(use_case, feature) for path in parts}
    trained = {path: use for path, use in reference.fields.items() if path in paths}
    unknown = {path for path in paths if not here[path].known}
    made_of = {
        each.name for each in used if any(set(parts) <= unknown for parts in fields_of(use_case, each))
    }
    alike = _flat(reference, use_case.features, spread, customers) - made_of
    flat = [feature.name for feature in used if feature.name in alike]
    missing = {path: use.share for path, use in trained.items() if _is_missing(here[path], use)}
    return Coverage(
        absent=_absent(trained, here),
        missing=missing,
        rare=tuple(
            path
            for path, use in trained.items()
            if use.known and path in unknown and here[path].events and path not in missing
        ),
        constant=tuple(path for path, use in trained.items() if _is_constant(here[path], use)),
        flat=tuple(flat),
        silent=tuple(feature.name for feature in used if feature.name in made_of or feature.name in flat),
        known=bool(reference.fields),
    )


def _absent(trained: Mapping[str, FieldUse], here: Mapping[str, FieldUse]) -> tuple[str, ...]:
    types = [path.partition(".")[0] for path, use in trained.items() if use.events and not here[path].events]
    return tuple(dict.fromkeys(types))


def _is_missing(here: FieldUse, trained: FieldUse) -> bool:
    """Return True if there are events, none of which has a value, and that is no chance."""
    return bool(here.events) and not here.known and (1 - trained.share) ** here.events < CHANCE


def _is_constant(here: FieldUse, trained: FieldUse) -> bool:
    """Return True if many values are all the same, and that is no chance."""
    if here.known < LEAST or here.varies or not trained.varies:
        return False
    return bool(trained.most_frequent**here.known < CHANCE)


def _flat(reference: Reference, names: Sequence[str], spread: Spread, customers: int) -> set[str]:
    """Features with one value here and several in training, which is no chance."""
    if customers < LEAST or spread.first is None or spread.varies is None:
        return set()
    values = zip(names, spread.first.tolist(), spread.varies.tolist(), strict=True)
    return {
        name
        for name, value, varies in values
        if not varies and _share_of(reference.features[name], value) ** customers < CHANCE
    }


def _share_of(bins: Bins, value: float) -> float:
    """The share of training that lies in the bin of a value; 1 where training had only one value."""
    if not bins.edges and bins.missing in (0.0, 1.0):
        return 1.0
    if value != value:
        return bins.missing
    if not bins.least <= value <= bins.most:
        return 0.0
    return bins.shares[int(np.searchsorted(np.array(bins.edges), value, side="left"))]
