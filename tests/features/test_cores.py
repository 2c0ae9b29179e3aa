"""A batch on one, two and three cores: vectors, answers and packed records are the same to the bit."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from features.advance import advance_all
from features.events import Batch, decode, make_batch
from features.kernel import ONE_CORE, Cores
from features.kernel import batch as kernel_batch
from features.kernel.header import HEADER_BYTES, RING_LENGTH_AT, STATUS_BYTES, BadRecord
from features.replay import replay
from features.usecase import parse

NOON_US = 1_724_673_600_000_000
EVENTS, CUSTOMERS, SHOPS = 3_000, 40, 15
SHOP = parse(
    """
use_case: shop
subject: customer
events:
  payment:
    scored: true
    id: [id]
    time: [at]
    entities: {customer: payer, shop: shop}
    fields: {id: string, at: time, payer: string, shop: {type: string, optional: true}, amount: number}
features:
  customer:
    aggregates: {paid: {event: payment, value: amount, statistics: [count, sum, std, max], windows: [1h, 24h]}}
  shop:
    aggregates: {sold: {event: payment, value: amount, statistics: [sum, min], windows: [24h]}}
policy: {high: 0.6, medium: 0.3, exit_ratio: 0.8, cooldown: 24h, recommend: {in_a_row: 3, min_events: 5}}
"""
)


@pytest.fixture(scope="module")
def batches() -> list[Batch]:
    """Payments with duplicates, late ones and shops that several customers share."""
    rng = np.random.default_rng(3)
    number = np.where(rng.random(EVENTS) < 0.05, rng.integers(0, EVENTS, EVENTS), np.arange(EVENTS))
    late_us = np.where(rng.random(EVENTS) < 0.1, rng.integers(0, 90 * 60, EVENTS), 0) * 1_000_000
    who, where = rng.integers(0, CUSTOMERS, EVENTS), rng.integers(0, SHOPS, EVENTS)
    amount = np.round(rng.lognormal(3, 1, EVENTS), 2)
    events = []
    for i in number.tolist():
        at = np.datetime_as_string(np.datetime64(NOON_US + i * 40_000_000 - int(late_us[i]), "us"))
        shop = f'"shop-{where[i]}"' if i % 7 else "null"
        body = f'{{"id":"{i}","at":"{at}Z","payer":"c-{who[i]}","shop":{shop},"amount":{amount[i]}}}'
        events.append(("payment", decode(SHOP, "payment", body.encode(), NOON_US * 2)))
    cuts = range(0, EVENTS, 1_000)
    return [make_batch(SHOP, events[i : i + 1_000], [NOON_US * 2] * 1_000) for i in cuts]


def bits(
    batches: list[Batch], cores: Cores
) -> tuple[list[tuple[bytes, bytes, bytes, bytes]], dict[str, dict[str, bytes]]]:
    records: dict[str, dict[str, bytes]] = {}
    answers = [
        (one.vectors.tobytes(), one.seq.tobytes(), one.disposition.tobytes(), one.events.tobytes())
        for one in replay(batches, records, cores)
    ]
    return answers, records


def test_results_are_the_same_on_any_number_of_cores(
    batches: list[Batch], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel_batch, "PART_EVENTS", 50)
    alone, calls = bits(batches, ONE_CORE), []
    assert len({disposition for _, _, each, _ in alone[0] for disposition in each}) > 2
    for number in (2, 3):
        with ThreadPoolExecutor(number) as pool:

            def call(fold, parts, pool=pool):
                calls.append(len(parts))
                return pool.map(fold, parts)

            assert bits(batches, Cores(number, call)) == alone
        assert calls[-1] == number


def test_a_record_that_cannot_be_unpacked_is_refused_whichever_core_has_it(
    batches: list[Batch], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel_batch, "PART_EVENTS", 50)
    batch, records = batches[0], bits(batches[1:], ONE_CORE)[1]
    held = {entity: [records[entity].get(id) for id in each.ids] for entity, each in batch.arrivals.items()}
    place = max(i for i, blob in enumerate(held["customer"]) if blob)
    blob = bytearray(held["customer"][place] or b"")
    ring, length = (
        HEADER_BYTES + STATUS_BYTES,
        int.from_bytes(blob[RING_LENGTH_AT : RING_LENGTH_AT + 2], "little"),
    )
    blob[ring + 8 * length : ring + 8 * length + 8] = (2**62).to_bytes(8, "little")  # no real time
    held["customer"][place] = bytes(blob)
    with ThreadPoolExecutor(3) as pool, pytest.raises(BadRecord):
        advance_all(batch, held, Cores(3, pool.map))
