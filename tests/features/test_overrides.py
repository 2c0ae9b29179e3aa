"""The length of a human's decision: the use case limits it, at every door, and the log is read all the same."""

import pytest

from features.events import BadEvent, decode, decode_all, event_time_us, from_row
from features.times import rfc3339
from features.usecase import BadUseCase, UseCase, parse

DAY_US = 86_400_000_000
NOW_US = 1_700_000_000_000_000
FILE = """
use_case: shop
subject: customer
events:
  payment:
    scored: true
    id: [id]
    time: [at]
    entities: {customer: customer}
    fields: {id: string, at: time, customer: string, amount: number}
  word:
    id: ["*"]
    time: published
    entities: {customer: customer}
    fields: {customer: string, level: [LOW, HIGH], author: string, reason: string, until: time}
    override: {level: level, until: until, author: author, reason: reason, max_duration: 30d}
  ruling:
    id: [id]
    time: [decided_at]
    time_format: "%d.%m.%Y %H:%M"
    timezone: Europe/Paris
    entities: {customer: customer}
    fields: {id: string, customer: string, level: [LOW, HIGH], by: string, why: string, until: time, decided_at: time}
    override: {level: level, until: until, author: by, reason: why, max_duration: 30d}
features:
  customer:
    aggregates: {paid: {event: payment, value: amount, statistics: [sum], windows: [24h]}}
"""
LIMITED = parse(FILE)
FREE = parse(FILE.replace(", max_duration: 30d", ""))


def word(until_us: int) -> bytes:
    said = f'"customer": "c", "level": "HIGH", "author": "ann", "reason": "known", "until": "{rfc3339(until_us)}"'
    return f"{{{said}}}".encode()


def ruling(until: str) -> bytes:
    said = '"id": "1", "customer": "c", "level": "LOW", "by": "ann", "why": "known", "decided_at": "01.10.2023 12:00"'
    return f'{{{said}, "until": "{until}"}}'.encode()


def outcome(use_case: UseCase, event_type: str, body: bytes, event_time: str | None = None) -> str:
    """Return the outcome of `decode`, which is that of `decode_all` too, alone and in company."""
    try:
        told = str(event_time_us(decode(use_case, event_type, body, NOW_US, event_time)))
    except BadEvent as error:
        told = f"{error.reason}: {error.detail}"
    for bodies in ([body], [body, body]):
        n = len(bodies)
        for found in decode_all(use_case, [event_type] * n, bodies, [NOW_US] * n, [event_time] * n):
            same = (
                f"{found.reason}: {found.detail}"
                if isinstance(found, BadEvent)
                else str(event_time_us(found))
            )
            assert same == told
    return told


def test_a_decision_may_last_as_long_as_the_use_case_says() -> None:
    assert outcome(LIMITED, "word", word(NOW_US + 30 * DAY_US)) == str(NOW_US)
    refused = outcome(LIMITED, "word", word(NOW_US + 30 * DAY_US + 1))
    assert refused.startswith(
        "invalid: until: '2023-12-14T22:13:20.000001Z' is later than expected: at most 2,592,000 s"
    )
    assert outcome(FREE, "word", word(NOW_US + 4_000 * DAY_US)) == str(NOW_US)
    assert outcome(LIMITED, "word", word(NOW_US - DAY_US)) == str(NOW_US), "it withdraws"


def test_it_is_measured_from_the_events_own_time_in_its_own_format() -> None:
    assert not outcome(LIMITED, "ruling", ruling("31.10.2023 11:00")).startswith("invalid")
    assert not outcome(LIMITED, "ruling", ruling("2023-10-31T10:00:00Z")).startswith("invalid")
    assert outcome(LIMITED, "ruling", ruling("31.10.2023 11:01")).startswith(
        "invalid: until: '31.10.2023 11:01'"
    )
    earlier = rfc3339(NOW_US - 10 * DAY_US)
    assert outcome(LIMITED, "word", word(NOW_US + 21 * DAY_US), earlier).startswith("invalid: until")
    assert outcome(LIMITED, "word", word(NOW_US + 20 * DAY_US), earlier) == str(NOW_US - 10 * DAY_US)


def test_a_row_of_a_file_is_held_to_it_too() -> None:
    row = {"customer": "c", "level": "HIGH", "author": "ann", "reason": "known"}
    until = {"until": rfc3339(NOW_US + 31 * DAY_US)}
    with pytest.raises(BadEvent, match="later than expected"):
        from_row(LIMITED, "word", row | until, NOW_US)
    assert from_row(FREE, "word", row | until, NOW_US)


def test_a_limit_changes_no_feature_and_not_what_the_log_holds() -> None:
    assert LIMITED.fingerprint == FREE.fingerprint
    assert not outcome(LIMITED.as_logged, "word", word(NOW_US + 31 * DAY_US)).startswith("invalid")
    assert FREE.as_logged is FREE


def test_a_limit_that_is_no_duration_is_refused() -> None:
    with pytest.raises(BadUseCase, match=r"max_duration: 'a year' is not a duration"):
        parse(FILE.replace("max_duration: 30d", "max_duration: a year"))
