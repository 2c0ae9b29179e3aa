"""The owner's side: requests of many workers folded into the records that this worker owns.

All requests of a round are one read, one call of the kernel for each entity and one commit. A worker that asks gets its
answer only once its events are stored. What this side cannot read or write stays unanswered: the worker that asks meets
the same fault when it folds by itself, and knows what to do about it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from features.advance import advance_other, only
from features.kernel import Advanced
from features.kernel.plan import Arrivals
from features.record import BadRecord, faults
from features.usecase import UseCase
from pipeline.owners.answers import COLUMNS
from pipeline.owners.exchange import Reply
from pipeline.owners.messages import (
    UNANSWERED,
    EntityEvents,
    OwnerAnswer,
    OwnerRequest,
    Rows,
    answer_row,
    decode_request,
    encode,
    event_row,
    unpacked,
)
from pipeline.stores.advanced_records import write_advanced
from pipeline.stores.store import RecordStore, record_keys

MOST_ATTEMPTS = 4  # a race is lost only while the members change, or to the REST service

Mask = NDArray[np.bool_]


@dataclass
class _Share:
    """The m events of a round at records of one entity."""

    arrivals: Arrivals
    known: Mask  # [m] stored by their subject
    answers: Rows  # [m]
    is_open: Mask  # [m] neither stored nor refused
    place: NDArray[np.intp]  # [m] of each event among those above, request by request
    bounds: NDArray[np.intp]  # of each request's events in `place`

    @classmethod
    def gather(cls, use_case: UseCase, entity: str, parts: Sequence[EntityEvents]) -> "_Share":
        """Return the events of all requests at the records that they name together.

        Those of several requests are put in order of time: a record takes an event that is older than its latest one
        at thirty times the cost, and the order in which workers come means nothing. One request keeps its order.
        """
        plan, ids = use_case.plans[entity], dict[str, int]()
        numbers = np.array([ids.setdefault(id, len(ids)) for part in parts for id in part.ids], np.int32)
        first = np.cumsum([0, *(len(part.ids) for part in parts)])
        row = event_row(plan)
        sizes = [len(part.events) // row.itemsize for part in parts]
        events = np.frombuffer(b"".join([part.events for part in parts]), row).copy()
        events["record"] = numbers[events["record"] + np.repeat(first[:-1], sizes)]
        order = np.argsort(events["time_us"], kind="stable") if len(parts) > 1 else np.arange(len(events))
        events, place = events[order], np.empty(len(order), np.intp)
        place[order] = np.arange(len(order))
        answers = np.zeros(len(events), answer_row(plan))
        answers["disposition"] = UNANSWERED
        return cls(
            unpacked(use_case, entity, events, tuple(ids)),
            events["known"],
            answers,
            np.ones(len(events), np.bool_),
            place,
            np.cumsum([0, *sizes]),
        )

    def settle(self, arrivals: Arrivals, advanced: Advanced, lost: Mask) -> None:
        """Answer the events of `arrivals` at the records that are not `lost` [r]."""
        rows = np.flatnonzero(arrivals.record >= 0)
        rows = rows[~lost[arrivals.record[rows]]]
        for name in COLUMNS:
            self.answers[name][rows] = getattr(advanced, name)[rows]
        self.is_open[rows] = False

    def refuse(self, arrivals: Arrivals, records: Sequence[int]) -> None:
        """Leave the events of `arrivals` at these records unanswered."""
        self.is_open[np.isin(arrivals.record, records)] = False

    def part(self, number: int) -> bytes:
        """Return the answers to one request."""
        return self.answers[self.place[self.bounds[number] : self.bounds[number + 1]]].tobytes()


class Owner:
    """The owner of a share of the records of a use case. Safe for threads."""

    def __init__(self, use_case: UseCase, store: RecordStore, prefix: str) -> None:
        self._use_case, self._store, self._prefix = use_case, store, prefix
        self._lock = Lock()  # the worker's own events and those of others must not race with each other
        self.repeated = 0  # events folded again because another worker had written first

    def answer(self, bodies: Sequence[bytes]) -> list[Reply]:
        """Fold the requests that came through the exchange; return the answers. Raises StoreUnavailable."""
        requests = [decode_request(body) for body in bodies if body]
        answers = self.fold(requests)
        return [
            Reply(request.address, request.expected, encode(answer))
            for request, answer in zip(requests, answers, strict=True)
        ]

    def fold(self, requests: Sequence[OwnerRequest]) -> list[OwnerAnswer]:
        """Fold the events into their records and store these; return the answers. Raises StoreUnavailable."""
        parts: dict[str, list[EntityEvents]] = {}
        places: list[list[tuple[str, int]]] = []  # of each request's entities: name, number among its parts
        for request in requests:
            places.append([])
            for each in request.entities:
                same = parts.setdefault(each.entity, [])
                places[-1].append((each.entity, len(same)))
                same.append(each)
        shares = {entity: _Share.gather(self._use_case, entity, some) for entity, some in parts.items()}
        with self._lock:
            self._store_all(shares)
        return [
            OwnerAnswer(request.number, [shares[entity].part(number) for entity, number in some])
            for request, some in zip(requests, places, strict=True)
        ]

    def _store_all(self, shares: Mapping[str, _Share]) -> None:
        """Fold until every event is stored or refused."""
        waiting = {entity: share.arrivals for entity, share in shares.items()}
        for attempt in range(MOST_ATTEMPTS):
            if attempt:
                waiting = {e: only(s.arrivals, s.is_open) for e, s in shares.items() if s.is_open.any()}
                self.repeated += sum(int(shares[entity].is_open.sum()) for entity in waiting)
            if not waiting:
                return
            self._store_once(shares, waiting)

    def _store_once(self, shares: Mapping[str, _Share], waiting: Mapping[str, Arrivals]) -> None:
        """Read, advance and commit once."""
        name, fingerprint = self._use_case.name, self._use_case.fingerprint
        keys = {
            entity: record_keys(self._prefix, name, fingerprint, entity, each.ids)
            for entity, each in waiting.items()
        }
        blobs = iter(self._store.read([key for some in keys.values() for key in some]))
        advanced: dict[str, Advanced] = {}
        for entity, arrivals in waiting.items():
            plan, records = self._use_case.plans[entity], [next(blobs) for _ in arrivals.ids]
            try:
                advanced[entity] = advance_other(plan, records, arrivals, shares[entity].known)
            except BadRecord:
                shares[entity].refuse(arrivals, list(faults(plan, records)))
        changed = {entity: one.before != one.after for entity, one in advanced.items()}
        lost = write_advanced(self._store, self._use_case, keys, advanced, changed)
        for entity, one in advanced.items():
            shares[entity].settle(waiting[entity], one, lost[entity])
