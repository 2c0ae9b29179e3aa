"""The stream of a certification: transfers between payers and payees, some twice, some late, some of a wrong clock.

Amounts are whole cents, so that sums are exact. A payee and its payers form a group: money stays within it, hence at
rest the sum paid by the payers equals the sum received by the payee. Each message that is no event carries the reason
of its dead letter, so that the verdict need not ask the job's own decoder.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.times import rfc3339
from pipeline.certification.account import EventName
from pipeline.pubsub.client import Publication

EVENT_TYPE = "transfer"
EVENTS_A_PAYEE = 100  # a ring holds 1,024, so that every event stays in it
PAYERS_A_PAYEE = 5
LEAST_PAYEES = 4
DUPLICATES = 0.1  # of all messages, anywhere within REPEATED_WITHIN of the stream after the first
REPEATED_WITHIN = 0.05
MOVED, MOVED_BY = (
    0.1,
    0.03,
)  # share of events that arrive later than their neighbours, and by how much of the stream
UNUSABLE = 0.005  # of all messages, for each of REASONS
HIGHEST_CENTS = 10_000
SKEWS_S = (-3_600.0, -3.0, 0.0, 3.0, 120.0)  # of the publishers' clocks; below the tolerance of five minutes
FUTURE_S = 86_400.0  # of a clock that is wrong
UNDECODABLE, INVALID, FROM_FUTURE = "undecodable", "invalid", "from_future"
REASONS = (UNDECODABLE, INVALID, FROM_FUTURE)
REASON, NUMBER = "certify_reason", "certify_number"  # attributes of messages that are no events
SECOND_US = 1_000_000


class Transfer(NamedTuple):
    """An event that must be counted once."""

    payer: str
    payee: str
    cents: int


@dataclass(frozen=True)
class Workload:
    """Messages in the order of publishing, and what must become of them."""

    messages: Sequence[Publication]
    transfers: Mapping[str, Transfer]  # by event id
    refusals: Mapping[str, str]  # reasons, by the message's number
    groups: Mapping[str, Sequence[str]]  # payers, by payee

    @property
    def events(self) -> frozenset[EventName]:
        """The names of the events."""
        return frozenset((EVENT_TYPE, id) for id in self.transfers)

    @property
    def payers(self) -> list[str]:
        """All payers, group by group."""
        return [payer for payers in self.groups.values() for payer in payers]

    def accepted(self, published: int) -> int:
        """Return how many events are among the first messages."""
        ids = {
            message.attributes["event_id"]
            for message in self.messages[:published]
            if REASON not in message.attributes
        }
        return len(ids)


def workload(messages: int, seed: int, start_us: int, seconds: float) -> Workload:
    """Return a stream of so many messages that are published over `seconds` from `start_us` (since 1970, UTC) on."""
    rng = np.random.default_rng(seed)
    unusable = max(1, round(messages * UNUSABLE)) * len(REASONS)
    once = messages - round(messages * DUPLICATES) - unusable
    payees = max(LEAST_PAYEES, once // EVENTS_A_PAYEE)
    groups = {
        f"payee-{k}": [f"payer-{k * PAYERS_A_PAYEE + i}" for i in range(PAYERS_A_PAYEE)]
        for k in range(payees)
    }
    transfers = _transfers(rng, once, payees)
    due_us = start_us + np.linspace(0, seconds * SECOND_US, once).astype(np.int64)
    skew_us = (rng.choice(SKEWS_S, once) * SECOND_US).astype(np.int64)
    events = [
        _message(id, each, at_us)
        for (id, each), at_us in zip(transfers.items(), (due_us + skew_us).tolist(), strict=True)
    ]
    stream = [events[i] for i in _arrival(rng, once, messages - unusable)]
    refusals = _put_in_unusable(rng, stream, unusable, start_us)
    return Workload(stream, transfers, refusals, groups)


def _transfers(rng: np.random.Generator, count: int, payees: int) -> dict[str, Transfer]:
    groups = rng.integers(payees, size=count).tolist()
    payers = rng.integers(PAYERS_A_PAYEE, size=count).tolist()
    cents = rng.integers(1, HIGHEST_CENTS, size=count).tolist()
    return {
        f"t{number}": Transfer(f"payer-{group * PAYERS_A_PAYEE + payer}", f"payee-{group}", amount)
        for number, (group, payer, amount) in enumerate(zip(groups, payers, cents, strict=True))
    }


def _arrival(rng: np.random.Generator, once: int, count: int) -> NDArray[np.intp]:
    """Return the event of each of `count` messages: in turn, but for those that come late or come again."""
    place = np.arange(once, dtype=float)
    moved = rng.random(once) < MOVED
    place[moved] += rng.uniform(0, MOVED_BY * count, moved.sum())
    again = rng.choice(once, count - once, replace=False)
    repeated = place[again] + rng.uniform(0, REPEATED_WITHIN * count, len(again))
    order = np.argsort(np.concatenate([place, repeated]), kind="stable")
    return np.concatenate([np.arange(once), again])[order]


def _put_in_unusable(
    rng: np.random.Generator, stream: list[Publication], count: int, start_us: int
) -> dict[str, str]:
    """Put messages that are no events at random places; return their reasons by number."""
    refusals = {}
    for number in range(count):
        reason = REASONS[number % len(REASONS)]
        refusals[str(number)] = reason
        stream.insert(int(rng.integers(len(stream) + 1)), _unusable(str(number), reason, start_us))
    return refusals


def _unusable(number: str, reason: str, start_us: int) -> Publication:
    id = f"unusable-{number}"
    if reason == FROM_FUTURE:
        message = _message(id, Transfer("payer-0", "payee-0", 100), start_us + round(FUTURE_S * SECOND_US))
    else:
        body = b'{"id": "' if reason == UNDECODABLE else json.dumps({"id": id}).encode()
        message = Publication(body, {"event_type": EVENT_TYPE, "event_id": id})
    return message._replace(attributes={**message.attributes, REASON: reason, NUMBER: number})


def _message(id: str, transfer: Transfer, at_us: int) -> Publication:
    at = rfc3339(at_us)
    body = {
        "id": id,
        "at": at,
        "payer": transfer.payer,
        "payee": transfer.payee,
        "amount": transfer.cents / 100,
    }
    attributes = {"event_type": EVENT_TYPE, "event_id": id, "event_time": at}
    return Publication(json.dumps(body).encode(), attributes)
