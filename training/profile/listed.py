"""Lists of single rows that findings speak of, with identifiers and values as texts."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd  # type: ignore[import-untyped,unused-ignore]
from numpy.typing import NDArray

from features.times import rfc3339
from features.usecase import Kind
from training.profile.facts import Listing
from training.profile.frames import Frame

LISTED = 100  # keys or owners on the page; the total stands beside


def differing(frame: Frame, rows: NDArray[np.bool_]) -> Listing:
    """Events of which `rows` (without exact copies) have several, with the fields in which they differ."""
    keys = frame.ids.codes[rows]
    repeated = np.flatnonzero(np.bincount(keys, minlength=1) > 1)
    plain = frame.plain()[rows]
    lines = [line for key in repeated[:LISTED] for line in _differences(frame, plain[keys == key])]
    columns = (frame.event_type.subject, "event", "field", "values")
    shown = min(len(repeated), LISTED)
    return Listing("Events whose rows differ", columns, tuple(lines), shown, len(repeated))


def _differences(frame: Frame, alike: pd.DataFrame) -> Iterator[tuple[str, str, str, str]]:
    """A line for each field in which rows of one event differ."""
    (subject, *_), (event, *_) = frame.names(alike.index.to_numpy())
    for field in alike:
        values = alike[field].drop_duplicates()
        if len(values) > 1:
            yield subject, event, str(field), " | ".join(text_of(frame, str(field), values.tolist()))


def text_of(frame: Frame, field: str, values: Sequence[float]) -> list[str]:
    """Values of a frame's plain table as a person reads them."""
    if field in frame.texts:
        words = [*frame.texts[field].words, "(missing)"]
        return [words[int(code)] for code in values]
    return [_number(frame.event_type.fields[field].kind, value) for value in values]


def _number(kind: Kind, value: float) -> str:
    if np.isnan(value):
        return "(missing)"
    if kind is Kind.DATE:
        return str(np.datetime64(int(value), "D"))
    return rfc3339(int(value)) if kind is Kind.TIME else f"{value:.10g}"
