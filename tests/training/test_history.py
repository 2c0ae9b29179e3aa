"""Rows to learn from, out of events through the real kernel, and a bundle learned from generated customers."""

import csv
import json
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from export import bundle as bundles
from export.registry.versions import Registry
from features.events import decode, from_row, make_batch
from features.kernel import advance
from features.usecase import BadUseCase, load, parse
from features.vector import vectors
from tests.training.tiny import DAY_US, TEXT, WHEN
from training.data.labelled_rows import BadHistory, collect
from training.generate import generate
from training.steps import TrainingOptions
from training.train import train

USE_CASE = parse(TEXT)
NOW_US = int(datetime(2024, 7, 1, tzinfo=UTC).timestamp()) * 1_000_000


def replayed(use_case, events, published_us, size=10**9):
    """Replay a history in batches of `size`, as features.replay does, folded by the kernel into records."""
    records = {entity: {} for entity in use_case.entities}
    for start in range(0, len(events), size):
        part = make_batch(use_case, events[start : start + size], published_us[start : start + size])
        advanced = {}
        for entity, arrivals in part.arrivals.items():
            held = [records[entity].get(name) for name in arrivals.ids]
            advanced[entity] = advance(use_case.plans[entity], held, arrivals)
        for entity, one in advanced.items():
            n = len(part)
            one.store_outcomes(np.zeros(n, np.float32), np.zeros(n, np.uint8))
            records[entity].update(zip(part.arrivals[entity].ids, one.blobs(), strict=True))
        raw = {entity: one.raw for entity, one in advanced.items()}
        subject = advanced[use_case.subject]
        yield part, vectors(part, raw), subject.seq, subject.disposition, subject.events


def profile(user, state):
    return "customer", {"user_id": user, "state": state}


def payment(number, user, amount, second):
    at = datetime.fromtimestamp(NOW_US / 1e6 + second, UTC)
    return "payment", {"id": str(number), "user_id": user, "amount": amount, "at": f"{at:%Y-%m-%dT%H:%M:%SZ}"}


def rows_of(events, size=10**9):
    published_us = [NOW_US + DAY_US] * len(events)
    decoded = [
        (name, decode(USE_CASE, name, json.dumps(body).encode(), NOW_US + DAY_US)) for name, body in events
    ]
    return collect(USE_CASE, replayed(USE_CASE, decoded, published_us, size))


EVENTS = [
    profile("good", "ACTIVE"),
    profile("torn", "SUSPENDED"),
    profile("torn", "ACTIVE"),
    payment(1, "good", 5.0, 0),
    payment(2, "torn", 7.0, 1),
    payment(3, "stranger", 9.0, 2),
    payment(1, "good", 5.0, 0),  # again
    payment(4, "good", 6.0, 3),
    profile("late", "SUSPENDED"),
    payment(2, "torn", 7.0, 1),  # again
    payment(5, "late", 8.0, 4),
]


@pytest.mark.parametrize("size", [1, 2, 5, 100])
def test_rows_are_the_scored_events_of_labelled_customers_each_once(size):
    found = rows_of(EVENTS, size)
    assert found.customers.tolist() == ["good", "torn", "good", "late"]
    assert found.label.tolist() == [0, 1, 0, 1], "whoever was ever positive is"
    assert ((found.times_us - NOW_US) // 1_000_000).tolist() == [0, 1, 3, 4]
    assert found.vectors.tolist() == [[1, 5, 5], [1, 7, 7], [2, 11, 6], [1, 8, 8]]
    assert found.events.tolist() == [2, 3, 3, 2], "profiles are events of a customer too"


def test_a_label_that_comes_last_counts_for_the_events_before():
    assert rows_of([payment(1, "a", 5.0, 0), profile("a", "SUSPENDED")]).label.tolist() == [1]


def test_histories_without_labels_are_refused():
    with pytest.raises(BadHistory, match="found 1 scored events and 1 labelled customers, but no scored"):
        rows_of([payment(1, "a", 5.0, 0), profile("b", "ACTIVE")])
    with pytest.raises(BadHistory, match="found 0 scored events"):
        rows_of([profile("b", "ACTIVE")])
    with pytest.raises(BadUseCase, match="label is missing"):
        collect(parse(TEXT.replace("label: {from: customer.state, positive: [SUSPENDED]}", "")), [])


LOANS = parse(
    """
use_case: loans
subject: customer
events:
  payment:
    scored: true
    id: [id]
    time: [at]
    entities: {customer: user_id}
    fields: {id: string, user_id: string, at: time, amount: number}
  loan:
    scored: true
    id: [id]
    time: [at]
    entities: {customer: user_id}
    fields: {id: string, user_id: string, at: time, amount: number, bad: {values: ["0", "1"], optional: true}}
features:
  customer:
    aggregates:
      paid: {event: payment, value: amount, statistics: [count], windows: [24h]}
  event: [amount]
label: {from: loan.bad, positive: ["1"]}
"""
)


def loan(number, user, amount, second, **label):
    return "loan", payment(number, user, amount, second)[1] | label


@pytest.mark.parametrize("size", [1, 2, 100])
def test_a_label_of_a_scored_event_is_that_events_own(size):
    events = [
        payment(1, "a", 5.0, 0),
        loan(1, "a", 90.0, 1, bad="1"),
        loan(2, "a", 80.0, 2, bad="0"),
        loan(3, "a", 70.0, 3),  # not known yet
        loan(1, "b", 60.0, 4, bad="0"),
        loan(2, "a", 80.0, 2, bad="0"),  # again
    ]
    published_us = [NOW_US + DAY_US] * len(events)
    decoded = [(name, decode(LOANS, name, json.dumps(body).encode())) for name, body in events]
    found = collect(LOANS, replayed(LOANS, decoded, published_us, size))
    assert found.customers.tolist() == ["a", "a", "b"]
    assert found.label.tolist() == [1, 0, 0]
    assert found.vectors.tolist() == [[1, 90], [1, 80], [0, 60]], "payments are no rows: they have no label"


@pytest.mark.parametrize("name", ["is bad", "class"])
def test_labels_and_protected_fields_may_have_any_declared_name_and_an_empty_text_is_no_label(name):
    text = LOANS.text.replace("amount: number, bad:", f"amount: number, {name}:").replace(
        "loan.bad", f"loan.{name}"
    )
    use_case = parse(f"{text}protected: [loan.{name}]\n")
    events = [loan(i, "a", 1.0, i, **{name: said}) for i, said in enumerate(["1", "0", "", None])]
    decoded = [(kind, decode(use_case, kind, json.dumps(body).encode())) for kind, body in events]
    found = collect(use_case, replayed(use_case, decoded, [NOW_US + DAY_US] * len(events)))
    assert (found.event_ids.tolist(), found.label.tolist()) == (["0", "1"], [1, 0])
    assert set(found.people) == {f"loan.{name}"}


def test_scored_events_without_any_label_are_refused():
    decoded = [("loan", decode(LOANS, "loan", json.dumps(loan(1, "a", 5.0, 0)[1]).encode()))]
    with pytest.raises(BadHistory, match=r"found 1 scored events and no label: .* values of loan\.bad"):
        collect(LOANS, replayed(LOANS, decoded, [NOW_US + DAY_US]))


def test_generated_customers_are_learned_from(tmp_path, with_registry):
    generate(240, 20, seed=3, out=tmp_path)
    use_case = replace(load("usecases/offboarding.yaml"), model={"trees": 50, "folds": 2})
    first_us, last_us = NOW_US - DAY_US, NOW_US + 1000 * DAY_US
    events, published_us = [], []
    for name, file, at_us in (
        ("customer", "users.csv", first_us),
        ("transaction", "transactions.csv", last_us),
    ):
        with open(tmp_path / file, newline="") as stream:
            events += [(name, from_row(use_case, name, row, at_us)) for row in csv.DictReader(stream)]
        published_us += [at_us] * (len(events) - len(published_us))
    history = replayed(use_case, events, published_us)
    said = []
    registry = Registry(str(with_registry(tmp_path / "b")), use_case.name)
    options = TrainingOptions(seed=1, created_at=WHEN, progress=said.append)
    path, _ = train(use_case, history, registry, options, allow_no_signal=True)
    bundle = bundles.load_in_use(str(tmp_path / "b"), use_case.name)
    assert path.endswith(bundle.manifest.id)
    bundles.check(bundle, use_case)
    assert bundle.manifest.metrics["assessments"]["roc_auc"]["value"] > 0.7
    assert bundle.manifest.metrics["parity"] < 1e-6
    assert said[0] == "replaying the history" and "converting to ONNX" in said


CARDS = """
use_case: cards
subject: customer
events:
  payment:
    scored: true
    id: [id]
    time: [at]
    entities: {customer: user_id, shop: shop_id}
    fields: {id: string, user_id: string, shop_id: string, at: time, amount: number}
  verdict:
    id: [payment_id]
    time: [at]
    time_offset: 7d
    entities: {customer: user_id, shop: shop_id}
    fields: {payment_id: string, user_id: string, shop_id: string, at: time, fraud: boolean}
features:
  customer:
    aggregates:
      paid: {event: payment, value: amount, statistics: [count], windows: [24h]}
  shop:
    aggregates:
      frauds: {event: verdict, where: {fraud: true}, statistics: [count], windows: [30d]}
label: {from: verdict.fraud, positive: [true], event: payment, event_id: payment_id}
"""
DAY_S = 86_400


def verdict(number, user, fraud, second):
    body = {"payment_id": str(number), "user_id": user, "shop_id": "s", "fraud": fraud}
    return "verdict", body | {"at": payment(number, user, 0, second)[1]["at"]}


def bought(number, user, second):
    return "payment", payment(number, user, 5.0, second)[1] | {"shop_id": "s"}


def rows_of_cards(events, text=CARDS, size=10**9):
    use_case = parse(text)
    decoded = [(name, decode(use_case, name, json.dumps(body).encode())) for name, body in events]
    return collect(use_case, replayed(use_case, decoded, [NOW_US + 99 * DAY_US] * len(events), size))


@pytest.mark.parametrize("size", [1, 2, 100])
def test_a_label_may_be_an_event_of_its_own_that_names_the_scored_one(size):
    events = [
        bought(1, "a", 0),
        bought(2, "b", 1),
        bought(3, "a", 3 * DAY_S),  # no verdict yet
        verdict(1, "a", True, 0),
        bought(4, "b", 8 * DAY_S),
        verdict(2, "b", False, 1),
        verdict(4, "b", False, 8 * DAY_S),
    ]
    found = rows_of_cards(events, size=size)
    assert found.event_ids.tolist() == ["1", "2", "4"] and found.label.tolist() == [1, 0, 0]
    assert ((found.known_us - found.times_us) / DAY_US).tolist() == [7, 7, 7]
    frauds = found.vectors[:, load_features(CARDS).index("frauds_count_30d")].tolist()
    assert frauds == [0, 0, 1], "a verdict counts at the shop from the day on which it came"


def load_features(text):
    return parse(text).features


def test_a_label_dated_before_its_event_is_refused():
    events = [
        verdict(1, "a", True, -8 * DAY_S),
        bought(1, "a", 0),
        bought(2, "b", 1),
        verdict(2, "b", False, 1),
    ]
    with pytest.raises(BadHistory, match="1 labels are dated before their events, the first by verdict at"):
        rows_of_cards(events)


def test_protected_fields_are_kept_by_customer_for_the_report():
    text = TEXT.replace("label:", "protected: [customer.state]\nlabel:")
    use_case = parse(text)
    decoded = [
        (name, decode(use_case, name, json.dumps(body).encode(), NOW_US + DAY_US)) for name, body in EVENTS
    ]
    found = collect(use_case, replayed(use_case, decoded, [NOW_US + DAY_US] * len(EVENTS)))
    assert found.people["customer.state"].tolist() == ["ACTIVE", "ACTIVE", "ACTIVE", "SUSPENDED"]
