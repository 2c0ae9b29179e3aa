"""Events of the market use case, and running them through an engine in batches."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from features.events import Batch, Event, decode, make_batch
from features.times import rfc3339
from features.usecase import UseCase, load, parse
from pipeline.engine.assess import assess
from pipeline.engine.assessments import Assessments
from pipeline.engine.engine import Engine

START_US = 1_700_000_000_000_000
MINUTE_US = 60_000_000
MARKET = Path(__file__).with_name("market.yaml")


class Sent(NamedTuple):
    """One event as it arrives."""

    event_type: str
    event: Event
    published_us: int


def market(lateness: str = "24h") -> UseCase:
    return parse(
        MARKET.read_text().replace("allowed_lateness: 24h", f"allowed_lateness: {lateness}"), str(MARKET)
    )


def switching() -> UseCase:
    """The market with changes counted: of a customer's and of a merchant's latest payment's state."""
    text = MARKET.read_text()
    for entity in ("merchant", "customer"):
        lane = "{event: payment, where: {changed: [state]}, value: amount, statistics: [count, sum], windows: [1h]}"
        old = f"\n  {entity}:\n    aggregates:\n"
        assert text.count(old) == 1
        text = text.replace(old, f"{old}      {entity}_switched: {lane}\n")
    return parse(text, str(MARKET))


def sent(use_case: UseCase, event_type: str, published_us: int, **fields: object) -> Sent:
    return Sent(
        event_type, decode(use_case, event_type, msgspec.json.encode(fields), published_us), published_us
    )


def payment(
    use_case: UseCase, id: str, at_us: int, customer: str, merchant: str | None, amount: float
) -> Sent:
    return sent(
        use_case, "payment", at_us + MINUTE_US, id=id, at=rfc3339(at_us), customer=customer,
        merchant=merchant, amount=amount, state="DONE" if amount < 60 else "REFUSED",
    )  # fmt: skip


def history(
    use_case: UseCase,
    n: int,
    seed: int,
    customers: int = 20,
    merchants: int = 4,
    start_us: int = START_US,
    prefix: str = "p",
) -> list[Sent]:
    """n events of which a few are late by up to some minutes, repeated, without merchant, or profiles."""
    rng = np.random.default_rng(seed)
    events: list[Sent] = []
    for i in range(n):
        at_us = start_us + i * MINUTE_US // 2 - int(rng.integers(0, 8 * MINUTE_US)) * (i % 5 == 0)
        customer = f"c{min(int(rng.zipf(1.5)), customers)}"
        if i % 41 == 3:
            born = f"19{rng.integers(50, 99)}-01-02"
            events.append(
                sent(use_case, "profile", at_us, customer=customer, vip=bool(rng.random() < 0.5), born=born)
            )
        elif i % 11 == 5:
            events.append(events[int(rng.integers(0, i))])
        else:
            merchant = f"m{min(int(rng.zipf(1.5)), merchants)}" if i % 7 else None
            events.append(
                payment(
                    use_case, f"{prefix}{i}", at_us, customer, merchant, round(float(rng.lognormal(3, 1)), 2)
                )
            )
    return events


def numbers(began_us: int, *places: int) -> list[int]:
    """Numbers of a merchant's events by their place in its life, which began at `began_us`; 0: none."""
    return [began_us + place if place else 0 for place in places]


def offboarding() -> UseCase:
    return load(Path(__file__).parents[2] / "usecases" / "offboarding.yaml")


def batched(use_case: UseCase, events: Sequence[Sent]) -> Batch:
    return make_batch(use_case, [(e.event_type, e.event) for e in events], [e.published_us for e in events])


def assess_in(engine: Engine, events: Sequence[Sent], sizes: Iterable[int]) -> list[Assessments]:
    """Assess the events in batches of these sizes; what is left is the last batch."""
    results, at = [], 0
    for size in (*sizes, len(events)):
        if part := events[at : at + size]:
            results.append(assess(engine, batched(engine.use_case, part)))
        at += size
    return results


COLUMNS = ("vectors", "score", "outcome", "seq", "disposition", "exact")


def columns(results: Sequence[Assessments]) -> dict[str, NDArray]:
    """The columns of all batches one after the other."""
    others = results[0].other_seqs
    found = {name: np.concatenate([getattr(r, name) for r in results]) for name in COLUMNS}
    return found | {e: np.concatenate([r.other_seqs[e] for r in results]) for e in others}


def assert_same(left: dict[str, NDArray], right: dict[str, NDArray]) -> None:
    """Bit for bit, NaN where NaN."""
    assert left.keys() == right.keys()
    for name, column in left.items():
        assert column.tobytes() == right[name].tobytes(), name
