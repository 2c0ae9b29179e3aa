"""`where: {changed: [...]}`: an event counts when it says something new. The oracle has the rule, too."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from features import kernel
from features.events import Batch, decode, from_row, make_batch
from features.kernel.plan import EVER, Statistic
from features.record import loads
from features.replay import replay
from features.times import rfc3339
from features.usecase import BadUseCase, UseCase, feature_rows, load, parse

TEXT = """
use_case: addresses
subject: customer
events:
  profile:
    id: [id]
    time: [at]
    entities: {customer: who}
    fields:
      id: string
      at: time
      who: string
      seen: {type: time, optional: true}
      locale: {type: string, optional: true}
      occupation: {type: string, optional: true}
      kyc: [COMPLETED, FAILED, PENDING]
      limit: {type: number, optional: true}
      gender: {values: [M, F], optional: true}
      outcome: {values: [GOOD, BAD], optional: true}
  payment:
    scored: true
    id: [id]
    time: [at]
    entities: {customer: who}
    fields: {id: string, at: time, who: string, amount: number, device: {type: string, optional: true}}
protected: [profile.gender]
features:
  customer:
    aggregates:
      paid: {event: payment, value: amount, statistics: [count, sum], windows: [24h]}
      moved: {event: profile, where: {changed: [locale, occupation]}, statistics: [count], windows: [30d]}
      anything: {event: profile, where: {changed: true}, statistics: [count, since_last], windows: [30d, ever]}
      failed: {event: profile, where: {kyc: FAILED, changed: kyc}, statistics: [count], windows: [30d]}
      limits: {event: profile, where: {changed: [limit]}, value: limit, statistics: [sum], windows: [30d]}
      devices: {event: payment, where: {changed: [device]}, statistics: [count], windows: [24h]}
  event: [amount]
label: {from: profile.outcome, positive: [BAD]}
"""
CHANGES = parse(TEXT, "addresses.yaml")
START_US = 1_720_000_000_000_000
HOUR_US = 3_600_000_000
Body = tuple[str, dict[str, Any]]


def profile(number: int, hours: float, **says: Any) -> Body:
    at = rfc3339(START_US + int(hours * HOUR_US))
    return "profile", {
        "id": f"p{number}",
        "at": at,
        "who": "ann",
        "kyc": "COMPLETED",
        "locale": "fr_FR",
    } | says


def payment(number: int, hours: float, **says: Any) -> Body:
    at = rfc3339(START_US + int(hours * HOUR_US))
    return "payment", {"id": f"t{number}", "at": at, "who": "ann", "amount": 10.0} | says


def batched(bodies: Iterable[Body], use_case: UseCase = CHANGES) -> Batch:
    events = [(kind, decode(use_case, kind, json.dumps(body).encode())) for kind, body in bodies]
    return make_batch(use_case, events, [START_US + 10_000 * HOUR_US] * len(events))


def last_vector(bodies: Iterable[Body], use_case: UseCase = CHANGES) -> dict[str, float]:
    (found,) = replay([batched(bodies, use_case)])
    return dict(zip(use_case.features, found.vectors[-1].tolist(), strict=True))


def counts(*bodies: Body) -> tuple[float, float, float]:
    """Changes of locale or occupation, of anything, and failed checks in 30 days, as of a payment after all."""
    found = last_vector([*bodies, payment(0, 100)])
    return found["moved_count_30d"], found["anything_count_30d"], found["failed_count_30d"]


def test_a_first_profile_is_no_change_and_neither_is_the_same_again() -> None:
    assert counts() == (0, 0, 0)
    assert counts(profile(1, 0)) == (0, 0, 0)
    assert counts(profile(1, 0), profile(2, 5), profile(3, 9)) == (0, 0, 0)
    assert counts(profile(1, 0, kyc="FAILED")) == (0, 0, 0), (
        "the first one says nothing new, whatever it says"
    )


def test_a_change_counts_for_the_fields_that_changed() -> None:
    assert counts(profile(1, 0), profile(2, 1, locale="en_001")) == (1, 1, 0)
    assert counts(profile(1, 0), profile(2, 1, occupation="IT")) == (1, 1, 0), "a missing value is a value"
    assert counts(profile(1, 0), profile(2, 1, kyc="FAILED"), profile(3, 2, kyc="FAILED")) == (0, 1, 1)
    assert counts(profile(1, 0), profile(2, 1, kyc="FAILED"), profile(3, 2)) == (0, 2, 1)
    back = [profile(n, n, locale=locale) for n, locale in enumerate(["fr_FR", "en_001", "fr_FR", "fr_FR"])]
    assert counts(*back) == (2, 2, 0)


def test_ids_times_the_label_and_protected_fields_are_no_part_of_anything() -> None:
    bodies = [profile(1, 0), profile(2, 1, gender="F", outcome="BAD", seen="2024-01-01T00:00:00Z")]
    assert counts(*bodies) == (0, 0, 0)
    fields = next(w.fields for w in CHANGES.by_entity["customer"].watches if len(w.fields) > 2)
    assert fields == ("kyc", "limit", "locale", "occupation")


def test_values_and_times_of_changes_are_features_as_of_any_event() -> None:
    bodies = [profile(1, 0, limit=5), profile(2, 10, limit=7), profile(3, 20, limit=7), payment(0, 25)]
    found = last_vector(bodies)
    assert found["limits_sum_30d"] == 7 and found["anything_since_last_ever"] == 15 * 3600
    assert found["anything_count_ever"] == 1


@pytest.mark.parametrize(("one", "other"), [(0.0, -0.0), (5, 5.0), (None, ...)])
def test_equal_values_are_equal_however_they_are_written(one: object, other: object) -> None:
    bodies = [profile(1, 0, limit=one), profile(2, 1, limit=other)]
    assert counts(*[(kind, {k: v for k, v in body.items() if v is not ...}) for kind, body in bodies]) == (
        0,
        0,
        0,
    )


def test_values_are_not_run_together() -> None:
    one, other = {"locale": "a", "occupation": "bc"}, {"locale": "ab", "occupation": "c"}
    assert counts(profile(1, 0, **one), profile(2, 1, **other)) == (1, 1, 0)
    assert counts(profile(1, 0, locale="a"), profile(2, 1, locale=None, occupation="a")) == (1, 1, 0)


def test_scored_events_can_change_something_too() -> None:
    devices = ["a", "a", "b", "b", "a"]
    bodies = [payment(n, n, device=device) for n, device in enumerate(devices)]
    (found,) = replay([batched(bodies)])
    column = CHANGES.features.index("devices_count_24h")
    assert found.vectors[:, column].tolist() == [0, 0, 1, 1, 2]


def test_a_change_is_told_from_what_left_the_ring_long_ago() -> None:
    payments = [payment(n, 1 + n / 10) for n in range(300)]
    assert counts(profile(1, 0), *payments, profile(2, 50)) == (0, 0, 0)
    assert counts(profile(1, 0), *payments, profile(2, 50, locale="en_001")) == (1, 1, 0)


def test_a_late_event_is_compared_with_the_one_before_it_and_changes_no_other() -> None:
    bodies = [profile(1, 0), payment(1, 9.9), profile(2, 10, locale="en_001")]
    assert counts(*bodies, profile(3, 9.5, locale="de_DE")) == (2, 2, 0), "it differs from the first"
    assert counts(*bodies, profile(3, 9.5)) == (1, 1, 0), "it says what the first said"
    assert counts(*bodies, profile(3, 9.5, locale="en_001")) == (2, 2, 0), (
        "what it makes old has been counted"
    )
    assert counts(*bodies, profile(3, 10, locale="en_001")) == (1, 1, 0), (
        "of equal times the later arrival is later"
    )


def history(seed: int) -> list[Body]:
    """Profiles and payments of one customer, some late by minutes, some repeated."""
    rng = np.random.default_rng(seed)
    bodies: list[Body] = []
    for n in range(300):
        hours = n / 10 - float(rng.random()) * (rng.random() < 0.2)
        says = {"locale": str(rng.integers(2)), "kyc": ("COMPLETED", "FAILED")[rng.integers(2)]}
        bodies.append(
            profile(n, hours, **says) if n % 4 == 0 else payment(n, hours, device=str(rng.integers(3)))
        )
        if rng.random() < 0.1:
            bodies.append(bodies[rng.integers(max(0, n - 20), len(bodies))])
    return bodies


def test_batches_cut_anyhow_give_the_same_bits_and_a_repetition_its_first_answer() -> None:
    bodies = history(3)
    whole = batched(bodies)
    (together,) = replay([whole])
    alone = list(replay(batched([one]) for one in bodies))
    bits = np.concatenate([one.vectors for one in alone])
    assert bits.tobytes() == together.vectors.tobytes()
    again = together.disposition == kernel.Disposition.DUPLICATE
    first = {
        (kind, event.id): i
        for i, (kind, event) in reversed(list(enumerate(zip(whole.types, whole.events, strict=True))))
    }
    for i in np.flatnonzero(again & whole.scored):
        before = together.vectors[first[whole.types[i], whole.events[i].id]]
        assert np.array_equal(before, together.vectors[i], equal_nan=True)
    assert again.sum() > 20 and np.nanmax(bits[:, CHANGES.features.index("moved_count_30d")]) > 10


def test_a_file_says_what_the_stream_says() -> None:
    bodies = [body for kind, body in history(4) if kind == "profile"]
    rows = [
        from_row(CHANGES, "profile", {name: str(value) for name, value in body.items()}) for body in bodies
    ]
    stream = batched(("profile", body) for body in bodies)
    files = make_batch(CHANGES, [("profile", row) for row in rows], stream.published_us)
    for name in ("lanes", "values"):
        one, other = (getattr(each.arrivals["customer"], name) for each in (stream, files))
        assert one.tobytes() == other.tobytes()


def test_it_needs_no_room_but_a_lane_and_a_number_and_only_where_it_is_used() -> None:
    plan, declared = CHANGES.plans["customer"], CHANGES.by_entity["customer"]
    assert len(plan.lanes) == len(declared.aggregates) + len(plan.watches) == 6 + 5
    assert [bin(watch.gated) for watch in plan.watches] == ["0b10", "0b100", "0b1000", "0b10000", "0b100000"]
    hidden = [(o.lane, o.statistic) for o in plan.outputs if o.window_us == EVER][-5:]
    assert hidden == [(lane, Statistic.LAST) for lane in range(6, 11)]
    without = parse(TEXT.replace("where: {changed: [device]}, ", ""), "addresses.yaml")
    assert len(without.plans["customer"].watches) == 4
    assert not any(plan.watches for plan in load("usecases/offboarding.yaml").plans.values())


def test_the_record_keeps_in_which_lanes_an_event_counted() -> None:
    known = batched([profile(1, 0), profile(2, 1, locale="en_001"), profile(3, 2, locale="en_001")])
    advanced = kernel.advance(CHANGES.plans["customer"], [None], known.arrivals["customer"])
    ring = loads(CHANGES.plans["customer"], advanced.blobs()[0]).ring
    assert [event.lanes & 0b111110 for event in ring] == [0b000000, 0b000110, 0b000000]


def test_the_fingerprint_covers_what_is_compared_and_not_its_order() -> None:
    def other(old: str, new: str) -> str:
        assert old in TEXT
        return parse(TEXT.replace(old, new), "addresses.yaml").fingerprint

    assert other("[locale, occupation]", "[occupation, locale]") == CHANGES.fingerprint
    assert other("changed: kyc", "changed: [kyc]") == CHANGES.fingerprint
    assert other("changed: true", "changed: [kyc, limit, locale, occupation]") == CHANGES.fingerprint
    assert other("[locale, occupation]", "[locale]") != CHANGES.fingerprint
    assert other("where: {changed: [limit]}, ", "") != CHANGES.fingerprint


def test_what_changed_is_told_in_words_with_its_fields() -> None:
    rows = {row.feature: row for row in feature_rows(CHANGES)}
    moved = rows["moved_count_30d"]
    assert moved.meaning == "number of profile events (locale or occupation changed) in 30 days"
    assert moved.fields == "profile.locale, profile.occupation"


def test_the_record_of_another_entity_that_looks_at_changes_is_kept_for_ever() -> None:
    text = TEXT.replace(
        "entities: {customer: who}\n    fields: {id",
        "entities: {customer: who, device: device}\n    fields: {id",
    )
    shared = (
        "  device: {aggregates: {new: {event: payment, where: WHERE, statistics: [count], windows: [24h]}}}\n  "
        "event:"
    )
    text = text.replace("  event:", shared).replace("changed: [device]", "changed: [amount]")
    assert parse(text.replace("WHERE", "{changed: [amount]}")).plans["device"].forget_us == 0
    assert parse(text.replace("WHERE", "{amount: 5}")).plans["device"].forget_us == 25 * HOUR_US


def test_the_readmes_example_is_an_aggregate() -> None:
    (example,) = [line for line in Path("README.md").read_text().splitlines() if "where: {changed: " in line]
    moved = next(line for line in TEXT.splitlines() if line.strip().startswith("moved:"))
    assert parse(TEXT.replace(moved, f"      {example}")).fingerprint == CHANGES.fingerprint


def test_a_declared_field_of_that_name_is_a_field() -> None:
    text = TEXT.replace("device: {type: string, optional: true}", "changed: boolean").replace(
        "where: {changed: [device]}", "where: {changed: true}"
    )
    assert not [w for w in parse(text).by_entity["customer"].watches if w.event_type == "payment"]


@pytest.mark.parametrize(
    ("test", "path", "message"),
    [
        ("[lokale, occupation]", "[0]", "'lokale' is not one of id, at, who, seen, locale"),
        ("[locale, gender]", "[1]", "profile.gender is listed under protected"),
        ("[outcome]", "[0]", "profile.outcome is the label"),
        ("[id]", "[0]", "id tells no change"),
        ("[who]", "[0]", "who tells no change"),
        ("[seen]", "[0]", "seen tells no change"),
        ("false", "", "False is not true or a list of fields"),
        ("[]", "", "[] is not true or a list of fields"),
        ("5", "", "5 is not one of id, at, who"),
    ],
)  # fmt: skip
def test_what_cannot_change_is_refused(test: str, path: str, message: str) -> None:
    with pytest.raises(BadUseCase) as caught:
        parse(TEXT.replace("[locale, occupation]", test), "x.yaml")
    (fault,) = caught.value.faults
    assert (
        fault.path == f"features.customer.aggregates.moved.where.changed{path}" and message in fault.message
    )


def test_a_misspelt_changed_is_understood() -> None:
    with pytest.raises(BadUseCase) as caught:
        parse(TEXT.replace("changed: [locale, occupation]", "chnaged: [locale, occupation]"), "x.yaml")
    (fault,) = caught.value.faults
    assert fault.hint == "changed"


def test_watches_count_among_the_aggregates_of_an_entity() -> None:
    many = "".join(
        f"      a{n}: {{event: payment, statistics: [count], windows: [24h]}}\n" for n in range(54)
    )
    with pytest.raises(BadUseCase, match="found 65 with one for each list of changed fields"):
        parse(TEXT.replace("  event:", many + "  event:"))
