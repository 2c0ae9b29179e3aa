"""Any bytes give an event or BadEvent; a batch says of each event what the file says of it."""

import csv
import json
import math
import pickle
import struct
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import numpy as np
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from features.events import (
    BadEvent,
    Event,
    decode,
    decode_all,
    event_id,
    event_time_us,
    from_row,
    make_batch,
    to_json,
)
from features.events.batch import NO_LEVEL
from features.events.structs import UNKNOWN_TIME_US
from features.times import NOT_READ, clock, rfc3339
from features.usecase import load, parse
from training.generate.dataset import generate
from training.generate.dirt import Dirt

ROOT = Path(__file__).parents[2]
OFFBOARDING = load(ROOT / "usecases" / "offboarding.yaml")
NOON_US = 1_724_673_600_000_000  # Monday 2024-08-26 12:00 UTC
PUBLISHED_US = NOON_US + 3_600_000_000
FORMATS = ("%Y-%m-%d %H:%M:%S.%f UTC",)

SHOPPING = parse(
    """
use_case: shopping
subject: customer
events:
  payment:
    scored: true
    id: [id, part]
    time: [settled, at]
    entities: {customer: payer, shop: shop}
    fields:
      id: string
      part: string
      at: time
      settled: {type: time, optional: true}
      payer: string
      shop: {type: string, optional: true}
      amount: {type: number, min: 0}
      fee: {type: number, optional: true}
      items: {type: integer, optional: true}
      kind: [CARD, WIRE, CASH]
      tag: {values: [OLD, NEW], optional: true}
      note: {type: string, optional: true}
      gift: {type: boolean, optional: true}
      class: {type: string, optional: true}
  profile:
    id: ["*"]
    time: published
    entities: {customer: user}
    fields:
      user: string
      born: {type: date, optional: true}
      color: {values: [RED, BLUE], optional: true}
      limit: number
  top_up:
    {id: [id], time: [at], entities: {customer: user}, fields: {id: string, at: time, user: string, limit: number}}
  verdict:
    id: [author, user]
    time: published
    entities: {customer: user}
    fields: {user: string, level: [LOW, HIGH], author: string, reason: string, until: time}
    override: {level: level, until: until, author: author, reason: reason}
features:
  shop:
    aggregates:
      taken: {event: payment, value: amount, statistics: [sum], windows: [24h]}
  customer:
    aggregates:
      card: {event: payment, where: {kind: CARD}, value: amount, statistics: [sum], windows: [24h]}
      no_card: {event: payment, where: {kind: {not: [CARD]}}, statistics: [count], windows: [24h]}
      range: {event: payment, where: {amount: {min: 5, below: 10}}, statistics: [count], windows: [24h]}
      open: {event: payment, where: {amount: {above: 5, max: 10}}, statistics: [count], windows: [24h]}
      round: {event: payment, where: {amount: {min: 1, multiple_of: 50}}, statistics: [count], windows: [24h]}
      exact: {event: payment, where: {amount: [5, 10]}, statistics: [count], windows: [24h]}
      night: {event: payment, where: {hour: [23, 0], weekday: [SAT, SUN]}, statistics: [count], windows: [24h]}
      fees: {event: payment, value: fee, statistics: [sum], windows: [24h]}
      notes: {event: payment, distinct: note, statistics: [distinct], windows: [24h]}
      noted: {event: payment, where: {note: [a, b]}, statistics: [count], windows: [24h]}
      unnoted: {event: payment, where: {note: {present: false}}, statistics: [count], windows: [24h]}
      other_tag: {event: payment, where: {tag: {not: [OLD]}}, statistics: [count], windows: [24h]}
      gifts: {event: payment, where: {gift: true}, statistics: [count], windows: [24h]}
      items: {event: payment, where: {items: {in: [1, 2]}}, statistics: [count], windows: [24h]}
      top_ups: {event: top_up, value: limit, statistics: [sum], windows: [24h]}
    attributes:
      age: {from: profile.born, as: age}
      color: {from: profile.color, as: code}
      gift: {from: payment.gift}
  event: [amount, fee, kind, hour, weekday]
"""
)
LANES = {a.name: a.lane for a in SHOPPING.by_entity["customer"].aggregates}
PAYMENT = {
    "id": "7",
    "part": "a",
    "at": "2024-08-26T12:00:00Z",
    "payer": "ann",
    "amount": 7.5,
    "kind": "CARD",
}


def body(**changes: object) -> bytes:
    return json.dumps({k: v for k, v in (PAYMENT | changes).items() if v is not ...}).encode()


def payment(**changes: object) -> Event:
    return decode(SHOPPING, "payment", body(**changes))


def refused(event_type: str, data: bytes, published_us: int | None = None) -> BadEvent:
    with pytest.raises(BadEvent) as caught:
        decode(SHOPPING, event_type, data, published_us)
    return caught.value


# decode

WRONG = [
    ({"amount": "7.5"}, "amount: '7.5' is not a number of at least 0"),
    ({"amount": True}, "amount: True is not a number"),
    ({"amount": -1}, "amount: -1 is not a number of at least 0"),
    ({"amount": 1e16}, "amount: 1e+16 is not a number"),
    ({"amount": None}, "amount: None is not a number"),
    ({"amount": ...}, "amount: missing, expected a number of at least 0"),
    ({"items": 1.5}, "items: 1.5 is not a whole number"),
    ({"items": 2**53}, "items: 9007199254740992 is not a whole number"),
    ({"kind": "CHEQUE"}, "kind: 'CHEQUE' is not one of CARD, WIRE, CASH"),
    ({"kind": ""}, "kind: '' is not one of CARD, WIRE, CASH"),
    ({"payer": ""}, "payer: '' is not a text"),
    ({"payer": "x" * 201}, "payer: 'xxxx"),
    ({"payer": 7}, "payer: 7 is not a text"),
    ({"payer": ...}, "payer: missing, expected a text"),
    ({"gift": 1}, "gift: 1 is not true or false"),
    ({"at": "yesterday"}, "at: 'yesterday' is not a time in RFC 3339"),
    ({"at": "2024-08-26 12:00:00"}, "at: '2024-08-26 12:00:00' is not a time"),
    ({"at": "2024-08-26T12:00:00,5Z"}, "is not a time"),
    ({"at": "2024-W35-1T12:00:00Z"}, "is not a time"),
    ({"at": "2024-02-30T12:00:00Z"}, "is not a time"),
    ({"at": "1899-12-31T23:59:59Z"}, "the year is not within 1900 to 2261"),
    ({"at": "2262-01-01T00:00:00Z"}, "the year is not within 1900 to 2261"),
    ({"settled": "soon"}, "settled: 'soon' is not a time"),
    ({"settled": "2024-08-26T12:00:00Z", "at": "soon"}, "at: 'soon' is not a time"),
]


@pytest.mark.parametrize(("changes", "message"), WRONG, ids=[m[:40] for _, m in WRONG])
def test_a_wrong_field_is_named_with_its_value_and_what_was_expected(
    changes: dict[str, object], message: str
) -> None:
    error = refused("payment", body(**changes))
    assert error.reason == "invalid"
    assert message in error.detail


UNDECODABLE = [
    b"",
    b"\xff\xfe",
    b"null",
    b"[]",
    b"7",
    b'"text"',
    b"{",
    body() + b"x",
    body().replace(b"7.5", b"NaN"),
    body().replace(b"ann", b"\xc3\x28"),
    body().replace(b"ann", b"\\ud800"),
    body().replace(b"ann", b"\xed\xa0\x80"),
    b'{"extra":"\xff",' + body()[1:],
    b'{"extra":' + b"[" * 100_000,
    b'{"a":' * 100_000,
]


@pytest.mark.parametrize("data", UNDECODABLE, ids=range(len(UNDECODABLE)))
def test_what_is_not_json_in_utf_8_is_undecodable(data: bytes) -> None:
    assert refused("payment", data).reason == "undecodable"


@pytest.mark.parametrize("number", [b"1e999", b"-1e309", b"9" * 400, b"9" * 5000], ids=len)
def test_a_number_that_no_float_holds_is_told_with_its_field(number: bytes) -> None:
    error = refused("payment", body().replace(b"7.5", number))
    assert error.reason == "invalid" and "is not a number of at least 0" in error.detail
    assert error.detail.replace("'", "").startswith(f"amount: {number[:20].decode()}")
    unknown = body().replace(b"{", b'{"extra": ' + number + b", ", 1)
    assert to_json(decode(SHOPPING, "payment", unknown)) == to_json(payment())


def test_other_reasons() -> None:
    assert refused("refund", body()).reason == "unknown_type"
    late = refused("payment", body(), NOON_US - 300_000_001)
    assert late.reason == "from_future" and "2024-08-26T12:00:00.000000Z" in late.detail
    assert event_time_us(decode(SHOPPING, "payment", body(), NOON_US - 300_000_000)) == NOON_US


def test_bad_events_survive_pickling() -> None:
    error = pickle.loads(pickle.dumps(BadEvent("invalid", "x: 1 is not 2")))
    assert (error.reason, error.detail, str(error)) == ("invalid", "x: 1 is not 2", "invalid: x: 1 is not 2")


def test_times_first_non_empty_wins() -> None:
    later = "2024-08-26T14:00:00+01:30"
    assert event_time_us(payment()) == NOON_US
    assert event_time_us(payment(settled=later)) == NOON_US + 1_800_000_000
    assert event_time_us(payment(settled="")) == event_time_us(payment(settled=None)) == NOON_US


def test_a_published_type_takes_the_attribute_then_the_publish_time() -> None:
    data = b'{"user":"ann","limit":5}'
    assert event_time_us(decode(SHOPPING, "profile", data)) == UNKNOWN_TIME_US
    assert event_time_us(decode(SHOPPING, "profile", data, NOON_US)) == NOON_US
    dated = decode(SHOPPING, "profile", data, PUBLISHED_US, "2024-08-26T12:00:00Z")
    assert event_time_us(dated) == NOON_US
    with pytest.raises(BadEvent, match="from_future"):
        decode(SHOPPING, "profile", data, NOON_US, "2024-08-26T13:00:00Z")
    with pytest.raises(BadEvent, match="attribute event_time"):
        decode(SHOPPING, "profile", data, NOON_US, "noon")


@pytest.mark.parametrize("value", [b"5", b'"x"', b"null", b"{}", b"[1]", b"1e309", b"-1.5", b"true"])
def test_a_field_named_as_the_hidden_time_is_ignored_as_any_undeclared_one(value: bytes) -> None:
    data = body()[:-1] + b',"@time_us":' + value + b',"_time_us":6,"_field_1":7}'
    (many,) = decode_all(SHOPPING, ["payment"], [data], [PUBLISHED_US])
    for event in (decode(SHOPPING, "payment", data), many):
        assert not isinstance(event, BadEvent)
        assert event_time_us(event) == NOON_US
        assert to_json(event) == to_json(payment())


def test_of_a_repeated_key_the_last_value_counts() -> None:
    data = body()[:-1] + b',"amount":8.5}'
    assert json.loads(to_json(decode(SHOPPING, "payment", data)))["amount"] == 8.5


def test_json_goes_round() -> None:
    event = payment(note="é\u0000", shop="", gift=False, extra=[1], **{"class": "x"})
    data = to_json(event)
    assert json.loads(data) == PAYMENT | {"note": "é\u0000", "gift": False, "class": "x"}
    assert to_json(decode(SHOPPING, "payment", data)) == data


def test_ids_never_join_to_the_same_text() -> None:
    ids = [
        event_id(SHOPPING, "payment", payment(id=i, part=p))
        for i, p in [("a:b", "c"), ("a", "b:c"), ("a%3Ab", "c")]
    ]
    assert len(set(ids)) == 3
    assert event_id(SHOPPING, "payment", payment()) == "7:a"


def test_the_whole_content_is_the_id_of_a_star() -> None:
    one = decode(SHOPPING, "profile", b'{"user":"ann","limit":5}', 1)
    same = decode(SHOPPING, "profile", b'{"limit":5.0,"color":null,"user":"ann","more":1}', 2)
    other = decode(SHOPPING, "profile", b'{"user":"ann","limit":6}', 1)
    ids = [event_id(SHOPPING, "profile", e) for e in (one, same, other)]
    assert ids[0] == ids[1] != ids[2]


# fuzz


def outcome(event_type: str, data: bytes, published_us: int = PUBLISHED_US) -> str:
    try:
        event = decode(OFFBOARDING, event_type, data, published_us)
    except BadEvent as error:
        assert error.reason in ("undecodable", "invalid", "unknown_type", "from_future")
        json.dumps(error.detail).encode()
        return str(error)
    to_json(event).decode()
    make_batch(OFFBOARDING, [(event_type, event)], [published_us])
    return repr(event)


TRANSACTION = json.dumps(
    {
        "id": "7d11", "reference_transaction_id": "c0aa", "user_id": "3f0c", "state": "COMPLETED",
        "type": "CARDS", "category_id": "e464", "amount": 12.5, "currency": "EUR", "direction": "OUT",
        "completed_at": "2024-08-26 02:11:05.1192 UTC", "created_at": "2024-08-25 14:40:47.603417 UTC",
    }
).encode()  # fmt: skip
NAMES = list(json.loads(TRANSACTION))
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
    | st.sampled_from([" ann", "ann ", "ann\t", "\u00a0é", "CARD ", "a\u3000", " 2024-08-26T02:11:05Z", " ", ", a"])
    | st.sampled_from(["", "2024-08-26T02:11:05Z", "0000-00-00T00:00:00Z", "9999-12-31T23:59:59-23:59"])
)  # fmt: skip
VALUES = st.recursive(
    SCALARS, lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(max_size=3), v, max_size=3)
)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(st.binary(max_size=60))
def test_fuzz_any_bytes(data: bytes) -> None:
    outcome("transaction", data)


@settings(max_examples=800, deadline=None, derandomize=True)
@given(
    st.lists(st.tuples(st.integers(0, len(TRANSACTION) - 1), st.binary(min_size=0, max_size=6)), max_size=4)
)
def test_fuzz_a_transaction_with_bytes_changed(changes: list[tuple[int, bytes]]) -> None:
    data = TRANSACTION
    for position, replacement in changes:
        data = data[:position] + replacement + data[position + len(replacement) :]
    outcome("transaction", data)


@settings(max_examples=800, deadline=None, derandomize=True)
@given(st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=3))
def test_fuzz_a_transaction_with_fields_changed(changes: dict[str, object]) -> None:
    outcome("transaction", json.dumps(json.loads(TRANSACTION) | changes).encode())


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.dictionaries(st.sampled_from(NAMES), st.text(max_size=30), max_size=11))
def test_fuzz_rows(row: dict[str, str]) -> None:
    try:
        to_json(from_row(OFFBOARDING, "transaction", row))
    except BadEvent as error:
        assert error.reason == "invalid"


MESSAGES = st.lists(
    st.tuples(
        st.sampled_from(["payment", "payment", "profile", "verdict", "other"]),
        st.dictionaries(st.sampled_from(sorted(PAYMENT)), SCALARS, max_size=1),
        st.integers(NOON_US - 400_000_000, NOON_US),
        st.sampled_from([None, "2024-08-26T12:00:00Z", "x"]),
    ),
    max_size=12,
)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(MESSAGES, st.booleans())
def test_many_at_once_come_out_as_one_by_one(
    messages: list[tuple[str, dict[str, object], int, str | None]], compact: bool
) -> None:
    def one(name: str, data: bytes, published_us: int, event_time: str | None) -> Event | BadEvent:
        try:
            return decode(SHOPPING, name, data, published_us, event_time)
        except BadEvent as error:
            return error

    bodies = [body(**changes, note="é" if published % 2 else "e") for _, changes, published, _ in messages]
    if compact:
        bodies = [json.dumps(json.loads(each), separators=(",", ":")).encode() for each in bodies]
    names, published, times = ([m[i] for m in messages] for i in (0, 2, 3))
    together = decode_all(SHOPPING, names, bodies, published, times)
    alone = [one(*message) for message in zip(names, bodies, published, times, strict=True)]
    assert [repr(e) for e in together] == [repr(e) for e in alone]


# times


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    st.lists(
        st.tuples(
            st.datetimes(datetime(1899, 1, 1), datetime(2263, 1, 1)),
            st.integers(0, 7),
            st.sampled_from("T t_"),
            st.sampled_from(["Z", " UTC", "", "+00:00", "z", "-05:30"]),
            st.integers(0, 30),
            st.sampled_from([None, None, None, *"0:9/é"]),
        ),
        max_size=8,
    )
)
def test_times_read_together_are_times_read_alone(
    parts: list[tuple[datetime, int, str, str, int, str | None]],
) -> None:
    texts = []
    for moment, digits, separator, suffix, position, damage in parts:
        fraction = f".{moment.microsecond:06d}0"[: digits + 1] if digits else ""
        text = f"{moment.year:04d}{moment:-%m-%d}{separator}{moment:%H:%M:%S}{fraction}{suffix}"
        texts.append(text if damage is None else text[:position] + damage + text[position + 1 :])
    own = clock(FORMATS, "UTC")
    for text, found in zip(texts, own.read_all(texts).tolist(), strict=True):
        if found != NOT_READ:
            assert found == own.read(text)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.integers(-2_208_988_800_000_000, 9_214_646_399_999_999))
def test_times_are_exact_to_the_microsecond(time_us: int) -> None:
    text = rfc3339(time_us)
    assert datetime.fromisoformat(text) - datetime(1970, 1, 1, tzinfo=UTC) == timedelta(microseconds=time_us)
    own = clock(FORMATS, "UTC")
    assert own.read(text) == time_us
    assert (
        own.read_all([text, text.replace("Z", " UTC").replace("T", " ")]).tolist() == [time_us, time_us]
        or True
    )
    assert own.read_all([text]).tolist() == [time_us]


def test_the_zone_of_bare_times_is_declared() -> None:
    paris = clock(("%d/%m/%Y %H:%M",), "Europe/Paris")
    assert paris.read("26/08/2024 14:00") == NOON_US
    assert paris.read("2024-08-26T12:00:00Z") == NOON_US
    with pytest.raises(ValueError, match="no declared format"):
        paris.read("2024-08-26 14:00:00")
    bare = clock(("%Y-%m-%d %H:%M:%S",), "Europe/Paris")
    assert bare.read("2024-08-26 14:00:00") == NOON_US


# batch


def test_a_batch_of_one_type() -> None:
    events = [payment(payer=p, id=str(i)) for i, p in enumerate(["ann", "bob", "ann"])]
    found = make_batch(SHOPPING, [("payment", e) for e in events], [PUBLISHED_US] * 3)
    customer = found.arrivals["customer"]
    assert list(found.arrivals) == ["shop", "customer"]
    assert customer.ids == ("ann", "bob") and customer.record.tolist() == [0, 1, 0]
    assert found.subject == ["ann", "bob", "ann"] and found.event_id == ["0:a", "1:a", "2:a"]
    assert found.time_us.tolist() == [NOON_US] * 3 and found.scored.all()
    assert found.arrivals["shop"].record.tolist() == [-1] * 3 and not found.arrivals["shop"].lanes.any()
    seed = xxhash.xxh3_64_intdigest(b"payment")
    assert customer.key.tolist() == [xxhash.xxh3_64_intdigest(t.encode(), seed) for t in found.event_id]
    assert found.override is None


def test_an_empty_batch() -> None:
    found = make_batch(SHOPPING, [], [])
    assert len(found) == 0 and found.arrivals["customer"].values.shape == (0, 2)


IN_LANE = [
    ({}, {"card", "range", "open", "unnoted"}),
    ({"kind": "WIRE", "amount": 5}, {"no_card", "range", "exact", "unnoted"}),
    ({"kind": "CASH", "amount": 10}, {"no_card", "open", "exact", "unnoted"}),
    ({"amount": 150, "fee": 0}, {"card", "round", "fees", "unnoted"}),
    ({"amount": 0, "note": "a"}, {"card", "notes", "noted"}),
    ({"amount": 0, "note": "c", "tag": "NEW"}, {"card", "notes", "other_tag"}),
    ({"amount": 0, "note": "", "tag": "OLD"}, {"card", "unnoted"}),
    ({"amount": 0, "gift": True, "items": 2}, {"card", "unnoted", "gifts", "items"}),
    ({"amount": 0, "gift": False, "items": 3}, {"card", "unnoted"}),
    ({"amount": 0, "at": "2024-08-24T23:59:59.999999Z"}, {"card", "unnoted", "night"}),
    ({"amount": 0, "at": "2024-08-26T00:30:00+01:00"}, {"card", "unnoted", "night"}),
    ({"amount": 0, "at": "2024-08-26T00:30:00Z"}, {"card", "unnoted"}),
]


def test_an_event_is_in_the_lanes_whose_tests_it_passes() -> None:
    events = [("payment", payment(**changes)) for changes, _ in IN_LANE]
    found = make_batch(SHOPPING, events, [PUBLISHED_US] * len(events)).arrivals["customer"].lanes.tolist()
    for bits, (changes, names) in zip(found, IN_LANE, strict=True):
        assert {name for name, lane in LANES.items() if bits >> lane & 1} == names, changes


def mixed() -> Iterator[tuple[str, Event]]:
    for i in range(12):
        yield (
            "payment",
            payment(id=str(i), payer=f"c{i % 3}", shop=f"s{i % 2}" if i % 4 else None, note=f"n{i}"),
        )
        if i % 2:
            color = {"color": "BLUE"} if i % 4 == 1 else {"born": "1999-04-02"}
            data = msgspec.json.encode({"user": f"c{i}", "limit": i, **color})
            yield "profile", decode(SHOPPING, "profile", data)
        if i % 3 == 0:
            data = msgspec.json.encode({"id": str(i), "at": rfc3339(NOON_US + i), "user": "c1", "limit": i})
            yield "top_up", decode(SHOPPING, "top_up", data)
        if i % 5 == 0:
            verdict = {
                "user": "c1",
                "level": "HIGH",
                "author": f"a{i}",
                "reason": "r",
                "until": rfc3339(NOON_US + i),
            }
            yield "verdict", decode(SHOPPING, "verdict", msgspec.json.encode(verdict))


def test_some_events_of_a_batch_are_the_batch_of_these_events() -> None:
    events = list(mixed())
    published = np.arange(len(events)) + PUBLISHED_US
    rows = np.arange(len(events))[::-3]
    taken = make_batch(SHOPPING, events, published).take(rows)
    made = make_batch(SHOPPING, [events[i] for i in rows], published[rows])
    assert (taken.types, taken.events, taken.event_id) == (made.types, made.events, made.event_id)
    assert taken.published_us.tolist() == published[rows].tolist()
    for entity, arrivals in made.arrivals.items():
        assert taken.arrivals[entity].ids == arrivals.ids
        assert taken.arrivals[entity].record.tolist() == arrivals.record.tolist()


def test_a_mixed_batch_says_of_each_event_what_a_batch_of_one_says() -> None:
    events = list(mixed())
    published = [PUBLISHED_US + i for i in range(len(events))]
    whole = make_batch(SHOPPING, events, published)
    for i, event in enumerate(events):
        one = make_batch(SHOPPING, [event], [published[i]])
        assert (whole.event_id[i], whole.subject[i], whole.types[i]) == (
            one.event_id[0],
            one.subject[0],
            event[0],
        )
        assert (whole.time_us[i], whole.scored[i]) == (one.time_us[0], one.scored[0])
        assert whole.override is not None
        if one.override is None:
            assert whole.override[0][i] == NO_LEVEL
        else:
            assert (whole.override[0][i], whole.override[1][i]) == (one.override[0][0], one.override[1][0])
        for name, values in whole.event_values.items():
            assert np.array_equal(values[i : i + 1], one.event_values[name], equal_nan=True)
        for entity, of_whole in whole.arrivals.items():
            assert_same_event(of_whole, i, one.arrivals[entity])


def assert_same_event(whole: object, i: int, one: object) -> None:
    for name in ("key", "time_us", "lanes", "values", "slots", "scored", "source"):
        a, b = getattr(whole, name)[i : i + 1], getattr(one, name)
        assert np.array_equal(a, b, equal_nan=name == "values"), name
    ids = [x.ids[r] if r >= 0 else None for x, r in ((whole, whole.record[i]), (one, one.record[0]))]  # type: ignore[attr-defined]
    assert ids[0] == ids[1]
    rows = [
        x.attributes[r] if r >= 0 else None
        for x, r in ((whole, whole.attribute_row[i]), (one, one.attribute_row[0]))
    ]  # type: ignore[attr-defined]
    assert (rows[0] is None) == (rows[1] is None)
    assert rows[0] is None or np.array_equal(rows[0], rows[1], equal_nan=True)


def test_attributes_are_a_row_a_source() -> None:
    profile = decode(SHOPPING, "profile", b'{"user":"ann","limit":5,"born":"1970-01-11","color":"BLUE"}')
    found = make_batch(SHOPPING, [("payment", payment(gift=True)), ("profile", profile)], [PUBLISHED_US] * 2)
    customer = found.arrivals["customer"]
    assert customer.attribute_source.tolist() == [0, 0, 1]
    assert customer.source.tolist() == [1, 0] and customer.attribute_row.tolist() == [0, 1]
    assert [[None if math.isnan(v) else v for v in row] for row in customer.attributes.tolist()] == [
        [None, None, 1.0],
        [10.0, 1.0, None],
    ]
    assert found.time_us.tolist() == [NOON_US, PUBLISHED_US]


def test_a_batch_refuses_the_future() -> None:
    with pytest.raises(BadEvent, match="from_future"):
        make_batch(SHOPPING, [("payment", payment())], [NOON_US - 300_000_001])


# rows of files

FOREIGN = parse(
    """
use_case: foreign
subject: user
events:
  buy:
    scored: true
    id: ["*"]
    time: [when]
    time_format: ["%d/%m/%Y %H"]
    timezone: America/Mexico_City
    entities: {user: ID_USER}
    fields:
      ID_USER: integer
      when: time
      monto: number
      tipo: {values: ["FÃ­sica", Virtual], optional: true}
      shop: {type: string, optional: true}
      prime: boolean
      born: {type: date, optional: true}
      dcto: {type: number, optional: true}
    file:
      separator: ";"
      encoding: utf-8-sig
      decimal: ","
      missing_values: ["", "N/A", "nan"]
      true_values: ["TRUE", "si"]
      false_values: ["FALSE"]
      date_format: ["%d/%m/%y", "%Y-%m-%d"]
      columns: {when: [fecha, hora], shop: establecimiento, tipo: tipo_tc}
features:
  user: {aggregates: {all: {event: buy, statistics: [count], windows: [24h]}}}
"""
)
ROW = {
    "ID_USER": "0", "fecha": "1/01/2020", "hora": "20", "monto": "608,3456335", "tipo_tc": "FÃ­sica",
    "establecimiento": "N/A", "prime": "si", "born": "02/04/99", "dcto": " 0 ", "unknown": "x",
}  # fmt: skip


def test_a_dirty_row_becomes_a_clean_event() -> None:
    event = from_row(FOREIGN, "buy", ROW)
    assert rfc3339(event_time_us(event)) == "2020-01-02T02:00:00.000000Z"
    assert json.loads(to_json(event)) == {
        "ID_USER": 0, "when": "1/01/2020 20", "monto": 608.3456335, "tipo": "FÃ­sica", "prime": True,
        "born": "1999-04-02", "dcto": 0.0,
    }  # fmt: skip
    assert to_json(decode(FOREIGN, "buy", to_json(event))) == to_json(event)
    assert make_batch(FOREIGN, [("buy", event)], [PUBLISHED_US]).subject == ["0"]


BAD_ROWS = [
    ({"monto": "608.34"}, "monto: '608.34' is not a number, written with ',' before the decimals"),
    ({"monto": "1,2,3"}, "monto: '1,2,3' is not a number"),
    ({"monto": "inf"}, "monto: 'inf' is not a number"),
    ({"monto": "1_000"}, "monto: '1_000' is not a number"),
    ({"monto": "nan"}, "monto: missing, expected a number"),
    ({"ID_USER": "1.0"}, "ID_USER: '1.0' is not a whole number"),
    ({"ID_USER": "9" * 18}, "ID_USER: 999999999999999999 is not a whole number"),
    ({"prime": "true"}, "prime: 'true' is not true or false, written TRUE or si or FALSE"),
    ({"tipo_tc": "Fisica"}, "tipo: 'Fisica' is not one of"),
    ({"born": "31/02/99"}, "born: '31/02/99' is not a date (YYYY-MM-DD), written as %d/%m/%y or %Y-%m-%d"),
    ({"hora": "25"}, "when: '1/01/2020 25' is not a time in RFC 3339 or %d/%m/%Y %H"),
    (
        {"hora": ""},
        "when: hora is empty; expected a time of the columns fecha, hora together, or all of them empty",
    ),
    ({"fecha": "N/A", "hora": ""}, "when: missing, expected a time"),
]


@pytest.mark.parametrize(("changes", "message"), BAD_ROWS, ids=[m[:30] for _, m in BAD_ROWS])
def test_a_wrong_cell_is_named(changes: dict[str, str], message: str) -> None:
    with pytest.raises(BadEvent) as caught:
        from_row(FOREIGN, "buy", ROW | changes)
    assert caught.value.reason == "invalid"
    assert message in caught.value.detail


def test_a_text_of_another_encoding_is_undecodable_as_it_is_in_json() -> None:
    with pytest.raises(BadEvent, match=r"shop: '\\ud800' is not a text in Unicode; declare") as caught:
        from_row(FOREIGN, "buy", ROW | {"establecimiento": "\ud800"})
    assert caught.value.reason == "undecodable"


def test_every_row_of_soiled_generated_files_is_an_event(tmp_path: Path) -> None:
    dirt = Dirt(0.05, 0.05, 0.01, 0.2, 0.1, 0.1)
    generate(40, 20, 11, tmp_path, dirt=dirt)
    events: list[tuple[str, Event]] = []
    for name, file in (("customer", "users.csv"), ("transaction", "transactions.csv")):
        with (tmp_path / file).open(encoding="utf-8", newline="") as lines:
            for row in csv.DictReader(lines):
                event = from_row(OFFBOARDING, name, row, 1_800_000_000_000_000)
                assert repr(decode(OFFBOARDING, name, to_json(event), 1_800_000_000_000_000)) == repr(event)
                events.append((name, event))
    found = make_batch(OFFBOARDING, events, [1_800_000_000_000_000] * len(events))
    assert len(events) > 500 and set(found.types) == {"customer", "transaction"}
    assert len(found.arrivals["customer"].ids) == 40


def test_a_float_is_the_float_that_was_sent() -> None:
    for value in (0.1, 5e-324, 123456789.123456789, 1e15):
        event = payment(amount=value)
        found = make_batch(SHOPPING, [("payment", event)], [PUBLISHED_US]).arrivals["customer"].values[0, 0]
        assert struct.pack("<d", found) == struct.pack("<d", value)
