"""Customers pay merchants: the events that simulated workers assess.

Every customer pays as often as any other. Merchants are as unequal as Zipf's law has it, and there are so many of them
that the busiest takes a tenth of all payments.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.usecase import UseCase
from pipeline.pubsub.message import Message
from tests.benchmarks.workloads import START_US, History, Payments

MERCHANTS_FILE = Path(__file__).parent / "merchants.yaml"
CUSTOMERS = 200_000
MERCHANTS = 12_367  # the sum of 1 / rank is 10: the busiest has 10 % of the events, the second 5 %
EVENTS_PER_S = 1_000  # of event time


class MerchantPayments(NamedTuple):
    """Messages in the order in which they were published, each with its customer's number."""

    history: History
    messages: list[Message]
    customer: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.messages)

    def __getitem__(self, rows: slice) -> "MerchantPayments":  # type: ignore[override]
        return MerchantPayments(self.history[rows], self.messages[rows], self.customer[rows])

    def batches(self, size: int, lanes: int = 1) -> list[Iterator[list[Message]]]:
        """Cut the messages into batches, lane by lane; a customer's messages are all in one lane."""
        rows = [np.flatnonzero(self.customer % lanes == lane).tolist() for lane in range(lanes)]
        return [self._batches(some, size) for some in rows]

    def _batches(self, rows: list[int], size: int) -> Iterator[list[Message]]:
        for first in range(0, len(rows), size):
            yield [self.messages[i] for i in rows[first : first + size]]


def merchant_payments(
    use_case: UseCase, n: int, seed: int = 17, customers: int = CUSTOMERS
) -> MerchantPayments:
    """Make n payments in event-time order."""
    rng = np.random.default_rng(seed)
    share = 1.0 / np.arange(1, MERCHANTS + 1)
    merchant = rng.choice(MERCHANTS, n, p=share / share.sum())
    customer = rng.integers(0, customers, n)
    time_us = START_US + np.sort(rng.integers(0, max(1, n * 1_000_000 // EVENTS_PER_S), n))
    made = Payments(np.arange(n), customer, time_us, np.round(rng.lognormal(3, 1, n), 2))
    ids = [f"t-{i:011d}" for i in range(n)]
    history = History(use_case, ["transaction"] * n, ids, _bodies(made, merchant), time_us)
    return MerchantPayments(history, [each.message for each in history.received()], customer)


def _bodies(made: Payments, merchant: NDArray[np.int64]) -> list[bytes]:
    """JSON of about 250 bytes each."""
    times = np.datetime_as_string(made.time_us.astype("M8[us]")).tolist()
    columns = (made.number, made.customer, merchant, made.amount)
    rows = zip(*(column.tolist() for column in columns), times, strict=True)
    return [
        f'{{"id":"t-{i:011d}","customer":"c-{customer:06d}","time":"{time}Z","amount":{amount},"currency":"EUR",'
        f'"direction":"OUT","channel":"CARD","merchant":"m-{m:06d}",'
        f'"reference":"INVOICE {time[:10]} {i:024d} payment"}}'.encode()
        for i, customer, m, amount, time in rows
    ]
