"""The records that a process wrote last: the newest of each key, within a bound, and only what was written."""

from pipeline.stores import recent_writes as module
from pipeline.stores.recent_writes import Latest
from pipeline.stores.redis_store import RedisStore
from tests.pipeline.market import market
from tests.pipeline.small_records import record


def keys(first: int, n: int) -> list[bytes]:
    return [b"%d" % i for i in range(first, first + n)]


def noted(latest: Latest, first: int, n: int, seq: int = 1) -> None:
    latest.note(keys(first, n), [record(seq)] * n, [True] * n)


def test_what_was_not_written_is_not_expected() -> None:
    latest = Latest(market(), "riskstream")
    latest.note(keys(0, 3), [record(1), record(2), record(3)], [True, False, True])
    assert latest.records() == {b"0": record(1), b"2": record(3)}


def test_the_newest_record_of_a_key_counts() -> None:
    latest = Latest(market(), "riskstream")
    noted(latest, 0, 10)
    noted(latest, 5, 1, seq=2)
    assert len(latest.records()) == 10 and latest.records()[b"5"] == record(2)


def test_the_oldest_batches_go_and_the_latest_stays() -> None:
    latest, most = Latest(market(), "riskstream"), module.MOST_RECORDS
    noted(latest, 0, 10)
    noted(latest, 10, most - 5)
    assert len(latest.records()) == most - 5, "the first batch has gone"
    noted(latest, 0, most + 1)
    assert len(latest.records()) == most + 1, "one batch is kept whatever its size"
    latest.clear()
    assert latest.records() == {}


def test_a_sample_is_some_of_them() -> None:
    latest = Latest(market(), "riskstream")
    for first in range(0, 5_000, 100):
        noted(latest, first, 100)
    sample = latest.sample(200)
    assert 0 < len(sample) <= 200 and sample.items() <= latest.records().items()
    assert Latest(market(), "riskstream").sample(200) == {}


def test_missing_and_older_records_are_behind_and_newer_ones_are_not(redis_store: RedisStore) -> None:
    latest = Latest(market(), "riskstream")
    use_case = market()
    stem = f"riskstream:{use_case.name}:{use_case.fingerprint}:customer:".encode()
    known = {stem + b"gone": record(3), stem + b"newer": record(3), stem + b"same": record(3)}
    redis_store.commit([stem + b"newer", stem + b"same"], [0, 0], [record(4), record(3)])
    assert latest.behind(redis_store, known) == [stem + b"gone"]
