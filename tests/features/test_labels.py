"""Labels of events by reference, and events that happen some time after the time they hold."""

import json

import pytest

from features.events import decode, decode_all, event_time_us
from features.usecase import BadUseCase, parse

TEXT = """
use_case: cards
subject: customer
events:
  payment:
    scored: true
    id: [id, leg]
    time: [at]
    entities: {customer: user_id}
    fields: {id: string, leg: string, user_id: string, at: time, fraud: boolean}
  verdict:
    id: [payment_id, leg]
    time: [at]
    time_offset: 7d
    entities: {customer: user_id}
    fields: {payment_id: string, leg: string, number: integer, user_id: string, at: time, fraud: boolean}
  note: {id: ["*"], time: published, entities: {customer: user_id}, fields: {user_id: string, kind: [GOOD, BAD]}}
features:
  customer: {aggregates: {paid: {event: payment, statistics: [count], windows: [24h]}}}
label: {from: verdict.fraud, positive: [true], event: payment, event_id: [payment_id, leg], delay: 2d}
"""
DAY_US = 86_400_000_000


def test_it_says_whose_label_and_when_it_is_known() -> None:
    label = parse(TEXT).label
    assert label is not None
    assert (label.event, label.event_id, label.positive, label.delay_us) == (
        "payment", ("payment_id", "leg"), (True,), 2 * DAY_US,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ("event_id: [payment_id, leg], ", "", "label: event and event_id go together"),
        ("event: payment, event_id", "event_id", "label: event and event_id go together"),
        ("event: payment, event_id", "event: note, event_id", "label.event: note is not scored"),
        ("from: verdict.fraud", "from: payment.fraud", "label.event: a label of payment itself needs neither"),
        ("event_id: [payment_id, leg]", "event_id: payment_id",
         "is not as many fields as the id of payment has: id, leg"),
        ("event_id: [payment_id, leg]", "event_id: [number, leg]",
         "number is a whole number, but payment.id is a text"),
        ("positive: [true]", "positive: ['yes']", "label.positive[0]: 'yes' is not true or false"),
        ("from: verdict.fraud", "from: verdict.payment_id", "a label needs declared values, or true and false"),
        ("time: published,", "time: published, time_offset: 1d,", "leave time_offset out"),
    ],
)  # fmt: skip
def test_errors_name_file_path_value_and_expectation(old: str, new: str, error: str) -> None:
    with pytest.raises(BadUseCase) as told:
        parse(TEXT.replace(old, new), "x.yaml")
    (fault,) = told.value.faults
    assert str(fault).startswith("x.yaml:") and error in str(fault)


def test_an_event_happens_after_the_time_it_holds_whichever_way_it_is_decoded() -> None:
    use_case = parse(TEXT)
    body = {"payment_id": "1", "leg": "a", "number": 1, "user_id": "u", "at": "2024-07-01T00:00:00Z"}
    bodies = [json.dumps(body | {"fraud": fraud}).encode() for fraud in (True, False)]
    published_us = 1_720_396_800_000_000  # 2024-07-08
    events = decode_all(use_case, ["verdict"] * 2, bodies, [published_us] * 2)
    alone = decode(use_case, "verdict", bodies[0], published_us)
    assert [event_time_us(event) for event in (*events, alone)] == [published_us] * 3  # type: ignore[arg-type]
    (early,) = decode_all(use_case, ["verdict"], bodies[:1], [published_us - DAY_US])
    assert "the event's time 2024-07-08" in str(early), "a verdict that is not known yet is from the future"


def test_after_is_part_of_the_fingerprint_and_the_label_is_not() -> None:
    plain = parse(TEXT)
    assert parse(TEXT.replace("time_offset: 7d", "time_offset: 8d")).fingerprint != plain.fingerprint
    assert parse(TEXT.replace("delay: 2d", "delay: 3d")).fingerprint == plain.fingerprint


def test_a_label_that_comes_as_an_event_may_be_counted() -> None:
    counted = "known: {event: verdict, where: {fraud: true}, statistics: [count], windows: [24h]}, paid"
    assert (
        parse(TEXT.replace("aggregates: {paid", "aggregates: {" + counted)).features[0] == "known_count_24h"
    )
    with pytest.raises(BadUseCase, match="is the label"):
        own = TEXT.replace("from: verdict.fraud", "from: payment.fraud").replace(
            "event: payment, event_id: [payment_id, leg], ", ""
        )
        parse(
            own.replace(
                "aggregates: {paid",
                "aggregates: {f: {event: payment, where: {fraud: true}, statistics: [count], windows: [24h]}, paid",
            )
        )
