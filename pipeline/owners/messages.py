"""Messages between workers: requests to fold events into records, and the answers. MessagePack around packed rows.

All rows of a message are one block of bytes, so its cost hardly depends on their number. Both sides run the same use
case with the same fingerprint, so a row's layout follows from the entity's plan and is not sent.
"""

from functools import lru_cache

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from features.kernel.plan import Arrivals, EntityPlan
from features.usecase import UseCase

Rows = NDArray[np.void]
Mask = NDArray[np.bool_]
MESSAGES_VERSION = 1  # another layout of messages gets another number
UNANSWERED = 255  # in the disposition of an answer: the owner cannot say, the worker is to fold by itself


class EntityEvents(Struct, array_like=True, frozen=True):
    """Events for records of one entity: `events` are rows of `event_row`, `ids` the records that they number."""

    entity: str
    ids: list[str]
    events: bytes


class OwnerRequest(Struct, array_like=True, frozen=True):
    """One of `expected` requests that a worker has sent at the same time; answers go to its `address`."""

    address: str
    number: int  # among the expected ones
    expected: int
    entities: list[EntityEvents]


class OwnerAnswer(Struct, array_like=True, frozen=True):
    """The answer to a request: for each of its entities, rows of `answer_row`."""

    number: int
    entities: list[bytes]


encode = msgspec.msgpack.Encoder().encode
decode_request = msgspec.msgpack.Decoder(OwnerRequest).decode
decode_answer = msgspec.msgpack.Decoder(OwnerAnswer).decode


@lru_cache(maxsize=64)
def event_row(plan: EntityPlan) -> np.dtype[np.void]:
    """Return the layout of an event in a request: its columns in Arrivals, and whether its subject knows it."""
    return np.dtype(
        [
            ("record", "<i4"),
            ("key", "<u8"),
            ("time_us", "<i8"),
            ("lanes", "<u8"),
            ("values", "<f8", (plan.values,)),
            ("slots", "u1", (plan.distincts,)),
            ("scored", "?"),
            ("source", "i1"),
            ("attributes", "<f8", (plan.attributes,)),
            ("known", "?"),
        ]
    )


@lru_cache(maxsize=64)
def answer_row(plan: EntityPlan) -> np.dtype[np.void]:
    """Return the layout of an event in an answer: its columns in OwnerAnswers."""
    return np.dtype(
        [("raw", "<f8", (plan.raw_columns,)), ("seq", "<i8"), ("disposition", "u1"), ("exact", "?")]
    )


def packed(plan: EntityPlan, arrivals: Arrivals, rows: NDArray[np.intp], known: Mask) -> Rows:
    """Return the events `rows` [m] as event rows; `known` [n] are those that their subject has stored."""
    events = np.zeros(len(rows), event_row(plan))
    for name in ("key", "time_us", "lanes", "values", "slots", "scored", "source"):
        events[name] = getattr(arrivals, name)[rows]
    events["known"] = known[rows]
    setting = np.flatnonzero(events["source"] >= 0)
    if len(setting):
        events["attributes"][setting] = arrivals.attributes[arrivals.attribute_row[rows[setting]]]
    return events


def unpacked(use_case: UseCase, entity: str, events: Rows, ids: tuple[str, ...]) -> Arrivals:
    """Return event rows as arrivals at the records `ids`."""
    setting = events["source"] >= 0
    return Arrivals(
        record=events["record"],
        key=events["key"],
        time_us=events["time_us"],
        lanes=events["lanes"],
        values=events["values"],
        slots=events["slots"],
        scored=events["scored"],
        source=events["source"],
        attribute_row=np.where(setting, np.arange(len(events)), -1).astype(np.int32),
        attributes=events["attributes"],
        attribute_source=_attribute_sources(use_case, entity),
        ids=ids,
    )


@lru_cache(maxsize=64)
def _attribute_sources(use_case: UseCase, entity: str) -> NDArray[np.int8]:
    """Return [plan.attributes] the source that sets each attribute."""
    declared = use_case.by_entity[entity]
    sources = np.zeros(declared.attributes, np.int8)
    for source in declared.sources:
        sources[list(source.columns)] = source.index
    return sources
