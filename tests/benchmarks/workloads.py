"""The events that are measured, always the same: 16 features of made-up payments, and the off-boarding use case.

Customers of the first are as unequal as Zipf's law has it, but for its very head: the busiest pays 28 times a day.
Times are int64 microseconds since 1970 UTC.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier

from export import bundle as bundles
from export.distributions.reference import reference
from export.onnx import Scorer, convert
from features.events import Batch, decode_all, make_batch
from features.replay import replay
from features.usecase import UseCase
from pipeline.files import read
from pipeline.pubsub.client import Received
from pipeline.pubsub.message import Message
from training.data.files import BATCH_EVENTS
from training.generate import generate

SIXTEEN = Path(__file__).parent / "sixteen.yaml"
OFFBOARDING = Path("usecases/offboarding.yaml")
DAY_US = 86_400_000_000
START_US = 1_719_792_000_000_000  # 2024-07-01
CUSTOMERS = 5_000
HEAD = 50  # shares are 1 / (rank + HEAD)
EVENTS_A_DAY = 6_667  # of all customers: 200,000 in 30 days, 40 each
TREES, LEAVES = 200, 31
PUBLISHED_US = 10**18  # of replayed events: none is from the future


@dataclass(frozen=True)
class Payments:
    """n payments in event-time order."""

    number: NDArray[np.int64]
    customer: NDArray[np.int64]
    time_us: NDArray[np.int64]
    amount: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.number)

    def __getitem__(self, rows: slice) -> "Payments":
        return Payments(self.number[rows], self.customer[rows], self.time_us[rows], self.amount[rows])


def payments(n: int, head: float = HEAD, seed: int = 11) -> Payments:
    """Payments of CUSTOMERS customers at EVENTS_A_DAY; `head` 0 is Zipf's law with exponent 1."""
    rng = np.random.default_rng(seed)
    share = 1.0 / (np.arange(1, CUSTOMERS + 1) + head)
    customer = rng.permutation(CUSTOMERS)[rng.choice(CUSTOMERS, n, p=share / share.sum())]
    time_us = START_US + np.sort(rng.integers(0, n * DAY_US // EVENTS_A_DAY, n))
    return Payments(np.arange(n), customer, time_us, np.round(rng.lognormal(3, 1, n), 2))


def bodies(found: Payments) -> list[bytes]:
    """JSON of about 250 bytes each."""
    times = np.datetime_as_string(found.time_us.astype("M8[us]")).tolist()
    rows = zip(found.number.tolist(), found.customer.tolist(), times, found.amount.tolist(), strict=True)
    return [
        f'{{"id":"t-{i:011d}","customer":"c-{customer:06d}","time":"{time}Z","amount":{amount},"currency":"EUR",'
        f'"direction":"OUT","channel":"CARD","merchant":"m-{i % 997:010d}",'
        f'"reference":"INVOICE {time[:10]} {i:024d} payment"}}'.encode()
        for i, customer, time, amount in rows
    ]


@dataclass(frozen=True)
class History:
    """Events of a use case as they are published, in that order; times are their attribute event_time."""

    use_case: UseCase
    types: Sequence[str]
    ids: Sequence[str]
    bodies: Sequence[bytes]
    time_us: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.bodies)

    def __getitem__(self, rows: slice) -> "History":
        return History(self.use_case, self.types[rows], self.ids[rows], self.bodies[rows], self.time_us[rows])

    def attributes(self) -> list[dict[str, str]]:
        times = np.datetime_as_string(self.time_us.astype("M8[us]"), timezone="UTC").tolist()
        rows = zip(self.types, self.ids, times, strict=True)
        return [{"event_type": kind, "event_id": id, "event_time": time} for kind, id, time in rows]

    def received(self) -> list[Received]:
        """Return messages as a subscription delivers them, each published a second after it happened."""
        rows = zip(self.bodies, self.attributes(), (self.time_us + 1_000_000).tolist(), strict=True)
        return [Received(str(i), Message(body, said, str(i), at)) for i, (body, said, at) in enumerate(rows)]

    def batches(self, size: int = BATCH_EVENTS) -> Iterator[Batch]:
        for first in range(0, len(self), size):
            yield self[first : first + size].as_batch()

    def as_batch(self) -> Batch:
        published = (self.time_us + 1_000_000).tolist()
        events = decode_all(self.use_case, self.types, self.bodies, published)
        return make_batch(self.use_case, list(zip(self.types, events, strict=True)), published)


def sixteen(use_case: UseCase, found: Payments) -> History:
    """Payments as events of the use case with 16 features."""
    ids = [f"t-{i:011d}" for i in found.number.tolist()]
    return History(use_case, ["transaction"] * len(found), ids, bodies(found), found.time_us)


def offboarding(use_case: UseCase, customers: int, days: int, folder: Path) -> History:
    """Generated customers, then their transactions in event-time order."""
    generate(customers, days, 5, folder)
    users = _of_file(use_case, "customer", folder / "users.csv")
    moves = _of_file(use_case, "transaction", folder / "transactions.csv")
    order = np.argsort(moves.time_us, kind="stable")
    return History(
        use_case,
        [*users.types, *moves.types],
        [*users.ids, *(moves.ids[i] for i in order)],
        [*users.bodies, *(moves.bodies[i] for i in order)],
        np.concatenate([users.time_us, moves.time_us[order]]),
    )


def _of_file(use_case: UseCase, event_type: str, file: Path) -> History:
    now_us = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000
    chunks = list(read(use_case, event_type, file, now_us, START_US))
    found = [body for chunk in chunks for body in chunk.bodies]
    ids = [id for chunk in chunks for id in chunk.ids]
    return History(
        use_case, [event_type] * len(found), ids, found, np.concatenate([c.time_us for c in chunks])
    )


def train(history: History, root: str, medium: float = 0.95, high: float = 0.99) -> None:
    """A promoted bundle of TREES full trees; levels begin at these quantiles of the scores.

    What is learned is an even part of every feature with noise on it, so that all of them are looked at.
    """
    rng = np.random.default_rng(7)
    replayed = [(r.batch.scored & (r.seq > 0), r.vectors) for r in replay(history.batches())]
    vectors = np.concatenate([found[rows] for rows, found in replayed])
    vectors = vectors[rng.permutation(len(vectors))[:40_000]]
    ranks = np.nan_to_num(np.argsort(np.argsort(vectors, axis=0), axis=0) / len(vectors)).mean(axis=1)
    label = ranks + rng.normal(0, 0.15, len(ranks)) > np.quantile(ranks, 0.8)
    model = HistGradientBoostingClassifier(
        max_iter=TREES, max_leaf_nodes=LEAVES, min_samples_leaf=20, early_stopping=False, random_state=1
    ).fit(vectors, label)
    leaves = [tree.get_n_leaf_nodes() for stage in model._predictors for tree in stage]
    assert leaves == [LEAVES] * TREES, f"trees are not of {LEAVES} leaves: {sorted(set(leaves))}"
    onnx = convert(model, vectors.shape[1])
    score = Scorer(onnx).score(vectors)
    thresholds = {"medium": float(np.quantile(score, medium)), "high": float(np.quantile(score, high))}
    use_case, when = history.use_case, datetime(2026, 1, 1, tzinfo=UTC)
    bins = reference(use_case.features, vectors, score)
    made = bundles.bundle(
        use_case, use_case.text, onnx, bins, thresholds, when, seed=7, versions={}, metrics={}, training={}
    )
    bundles.save(made, root)
    bundles.promote(root, made.manifest.id)
