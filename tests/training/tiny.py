"""A tiny use case of customers and their payments, and rows of it in which SUSPENDED customers pay more."""

from datetime import UTC, datetime

import numpy as np

from training.data.labelled_rows import LabelledRows

WHEN = datetime(2026, 11, 22, tzinfo=UTC)
DAY_US = 86_400_000_000
EVENTS = """
use_case: tiny
subject: customer
events:
  customer:
    scored: false
    id: ["*"]
    time: published
    entities: {customer: user_id}
    fields: {user_id: string, state: [ACTIVE, SUSPENDED]PROFILE}
  payment:
    scored: true
    id: [id]
    time: [at]
    entities: {customer: user_id}
    fields: {id: string, user_id: string, amount: number, at: time}
"""


def payments(profile: str, rest: str) -> str:
    """Return the text of a use case: `profile` are more fields of a customer, `rest` is all that follows the events."""
    return EVENTS.replace("PROFILE", f", {profile}" if profile else "") + rest


TEXT = payments(
    "",
    """\
features:
  customer:
    aggregates:
      paid: {event: payment, value: amount, statistics: [count, sum], windows: [24h]}
  event: [amount]
label: {from: customer.state, positive: [SUSPENDED]}
model: {candidates: [hist_gradient_boosting], trees: 30, folds: 3}
policy: {medium: {recall: 0.9}, high: {precision: 0.7}}
""",
)


def rows():
    rng = np.random.default_rng(11)
    customer = rng.integers(0, 200, 4_000)
    label = (customer % 5 == 0).astype(np.int64)
    vectors = (rng.lognormal(0, 1, (4_000, 3)) + 2 * label[:, None]).astype(np.float32)
    times_us = rng.integers(0, 30 * DAY_US, 4_000)
    customers = np.array([f"c{i}" for i in customer])
    return LabelledRows(
        vectors,
        label,
        customers,
        times_us,
        times_us,
        np.full(4_000, "payment"),
        np.arange(4_000).astype(str),
        {},
    )
