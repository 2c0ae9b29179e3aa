"""Vectors: each formula by hand, missing values, and no dependence on how events were batched."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from features.events import Batch, Event, decode, make_batch
from features.usecase import parse
from features.vector import vectors

NOON_US = 1_724_673_600_000_000  # Monday 2024-08-26 12:00 UTC
NAN = math.nan

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
    fields:
      id: string
      at: time
      payer: string
      shop: {type: string, optional: true}
      amount: number
      kind: {values: [CARD, WIRE], optional: true}
      gift: {type: boolean, optional: true}
  refund:
    scored: true
    id: [id]
    time: [at]
    entities: {customer: payer}
    fields: {id: string, at: time, payer: string, amount: number}
  profile:
    id: ["*"]
    time: published
    entities: {customer: user}
    fields: {user: string, born: date, color: [RED, BLUE, GREEN], limit: number, vip: boolean}
features:
  customer:
    aggregates: {paid: {event: payment, value: amount, statistics: [count, sum], windows: [24h]}}
    ratios:
      share: {numerator: paid.sum.24h, denominator: paid.sum.7d}
      beside_mean: {numerator: event.amount, denominator: paid.mean.24h}
    differences: {change: {value: paid.sum.7d, minus: paid.sum.24h}}
    attributes:
      age: {from: profile.born, as: age}
      color: {from: profile.color, values: [GREEN, RED]}
      color_code: {from: profile.color, as: code}
      limit: {from: profile.limit}
      vip: {from: profile.vip}
  shop:
    aggregates: {taken: {event: payment, value: amount, statistics: [mean], windows: [24h]}}
  event: [amount, gift, weekday, kind, hour: {}]
"""
)
# paid.count.24h, paid.sum.24h, paid.sum.7d, paid.mean.24h, born, color, limit, vip
CUSTOMER = [3.0, 30.0, 40.0, 10.0, 10_000.0, 2.0, 5.5, 1.0]
BORN_DAYS = 10_000


def payment(**changes: object) -> tuple[str, Event]:
    content = {
        "id": "1",
        "at": "2024-08-26T12:00:00Z",
        "payer": "ann",
        "shop": "s",
        "amount": 5,
        "kind": "WIRE",
    }
    return "payment", decode(SHOP, "payment", json.dumps(content | changes).encode())


def of(events: list[tuple[str, Event]]) -> Batch:
    return make_batch(SHOP, events, [NOON_US] * len(events))


def vector(customer: list[float], event: tuple[str, Event]) -> dict[str, float]:
    raw = {"customer": np.array([customer]), "shop": np.array([[7.0]])}
    found = vectors(of([event]), raw)
    assert found.dtype == np.float32 and found.shape == (1, len(SHOP.features))
    return dict(zip(SHOP.features, found[0].tolist(), strict=True))


def test_every_formula_by_hand() -> None:
    assert SHOP.plans["customer"].raw_columns == len(CUSTOMER)
    found = vector(CUSTOMER, payment(gift=True))
    assert found == {
        "paid_count_24h": 3, "paid_sum_24h": 30, "share": 0.75, "beside_mean": 0.5, "change": 10,
        "age": float(np.float32((NOON_US / 86_400_000_000 - BORN_DAYS) / 365.25)),
        "color_GREEN": 1, "color_RED": 0, "color_code": 2, "limit": 5.5, "vip": 1,
        "taken_mean_24h": 7, "amount": 5, "gift": 1, "weekday": 0, "kind_CARD": 0, "kind_WIRE": 1, "hour": 12,
    }  # fmt: skip


def missing(found: dict[str, float]) -> set[str]:
    return {name for name, value in found.items() if math.isnan(value)}


def test_what_is_missing_is_nan_in_each_of_its_columns() -> None:
    found = vector([3.0, 30.0, 40.0, 10.0, NAN, NAN, NAN, NAN], payment(kind=None))
    expected = {
        "age",
        "color_GREEN",
        "color_RED",
        "color_code",
        "limit",
        "vip",
        "gift",
        "kind_CARD",
        "kind_WIRE",
    }
    assert missing(found) == expected


@pytest.mark.parametrize("over", [0.0, -0.0, NAN, 5e-324])
def test_a_ratio_over_nothing_is_nan_without_a_warning(over: float) -> None:
    with np.errstate(all="raise"):
        assert missing(vector([3.0, 30.0, over, 10.0, 1.0, 1.0, 1.0, 1.0], payment())) >= {"share"}


def test_a_scored_type_without_the_field_has_nan_for_it() -> None:
    data = b'{"id":"1","at":"2024-08-26T12:00:00Z","payer":"ann","amount":4}'
    found = vector(CUSTOMER, ("refund", decode(SHOP, "refund", data)))
    assert missing(found) == {"gift", "kind_CARD", "kind_WIRE"}
    assert found["amount"] == 4


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(0, 40))
def test_bits_do_not_depend_on_how_events_were_batched(seed: int, n: int, cut: int) -> None:
    random = np.random.default_rng(seed)
    events = [
        payment(id=str(i), amount=float(random.normal()), kind=None if i % 3 else "CARD") for i in range(n)
    ]
    raw: dict[str, NDArray[np.float64]] = {
        "customer": random.normal(size=(n, 8)),
        "shop": random.normal(size=(n, 1)),
    }
    raw["customer"][random.random((n, 8)) < 0.2] = NAN
    whole = vectors(of(events), raw)
    first = vectors(of(events[:cut]), {e: r[:cut] for e, r in raw.items()})
    second = vectors(of(events[cut:]), {e: r[cut:] for e, r in raw.items()})
    assert whole.tobytes() == np.concatenate([first, second]).tobytes()
