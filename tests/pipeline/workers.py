"""A worker of its own process: assesses some of a history on a Redis that it shares with others."""

import threading
from collections.abc import Sequence
from multiprocessing.synchronize import Event

from numpy.typing import NDArray

from export.bundle import Bundle
from features.replay import replay
from pipeline.engine.engine import Engine
from pipeline.owners.member import Member
from pipeline.stores.redis_store import RedisStore
from tests.pipeline.market import assess_in, batched, columns, history, market


def work(
    url: str, bundle: Bundle, n: int, seed: int, order: Sequence[int], size: int
) -> tuple[dict[str, NDArray], int]:
    """Assess these events of the history in batches of `size`; the columns and the number of conflicts."""
    use_case = market()
    events = history(use_case, n, seed)
    engine = Engine.from_bundle(use_case, bundle, RedisStore(url))
    results = assess_in(engine, [events[i] for i in order], [size] * (len(order) // size))
    return columns(results), sum(result.conflicts for result in results)


def own_until_killed(url: str, started: Event) -> None:
    """Own a share of the market's merchants until somebody kills this process."""
    for _ in replay(
        [batched(market(), history(market(), 20, seed=1))]
    ):  # loads compiled code, before others wait
        pass
    store = RedisStore(url)
    Member(store, store.twin(), market(), "riskstream").start()
    started.set()
    threading.Event().wait()
