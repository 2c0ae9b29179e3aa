"""Backfill: the records that a stream would have left, once and only once, whoever writes beside it or dies."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from export.bundle import promote, save
from export.policy import Transition, transition
from features.events import to_json
from features.kernel import Disposition
from features.record import SEQ
from features.times import rfc3339
from features.usecase import UseCase, parse
from pipeline.batch.backfill import Backfilled, backfill, drop
from pipeline.engine.assess import assess
from pipeline.engine.assessments import Assessments
from pipeline.files.history import history
from pipeline.job.translate import decode
from pipeline.pubsub.message import Message
from pipeline.runtime.errors import ColdStore, StoreUnavailable
from pipeline.stores.readiness import Checkpoint, Readiness
from pipeline.stores.redis_client import Reach
from pipeline.stores.redis_store import RedisStore
from pipeline.stores.store import Expiry, MemoryStore, record_keys
from tests.commands import Run
from tests.pipeline.market import MARKET, MINUTE_US, START_US, Sent, assess_in, market, payment, sent
from tests.pipeline.market import history as events_of
from tests.pipeline.models import engine, trained
from tests.pipeline.servers import RedisServer

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DAY_US = 24 * 60 * MINUTE_US
NOW_US = START_US + 400 * 86_400_000_000
USE_CASE = market()


def sorted_events(n: int, seed: int, use_case: UseCase = USE_CASE) -> list[Sent]:
    """In event-time order; profiles, which have no time, come first and are dated with the first payment."""
    found = [e for e in events_of(use_case, n, seed) if e.event_type == "payment"]
    return sorted(found, key=lambda e: e.event._time_us)


def written(events: Sequence[Sent], folder: Path, name: str = "payments.jsonl") -> Path:
    file = folder / name
    file.write_bytes(b"".join(to_json(e.event) + b"\n" for e in events))
    return file


def filled(
    store: RedisStore, files: Sequence[Path], use_case: UseCase = USE_CASE, batch: int = 700
) -> Backfilled:
    with history(use_case, files, NOW_US) as found:
        readiness = Readiness(store, "riskstream", use_case.name)
        return backfill(engine(use_case, store), found, readiness, NOW, batch=batch)


def records(server: RedisServer, use_case: UseCase = USE_CASE) -> dict[bytes, bytes]:
    keys = server.client.keys(f"riskstream:{use_case.name}:{use_case.fingerprint}:*:*")
    return dict(zip(keys, server.client.mget(keys), strict=True)) if keys else {}


def test_records_equal_those_of_a_stream(
    redis_store: RedisStore, redis_server: RedisServer, tmp_path: Path
) -> None:
    events = sorted_events(3_000, seed=1)
    stream = MemoryStore()
    assess_in(engine(USE_CASE, stream), events, [100] * 50)
    done = filled(redis_store, [written(events, tmp_path)])
    assert records(redis_server) == stream.records
    assert done.applied + done.duplicates + done.too_late == done.events == len(events)
    assert done.duplicates > 0 and done.bad == 0 and done.resumed_at == 0
    marker = Readiness(redis_store, "riskstream", USE_CASE.name).markers()[USE_CASE.fingerprint]
    assert (marker.how, marker.events) == ("backfill", done.applied)


@pytest.mark.parametrize("fails_at", range(1, 14, 3))
def test_a_crash_between_any_two_writes_is_made_good(
    redis_store: RedisStore, redis_server: RedisServer, tmp_path: Path, fails_at: int
) -> None:
    """A merchant has hundreds of events over days: more than a ring holds, and yet none is counted twice."""
    use_case = market("1m")
    events = sorted_events(2_000, 2, use_case)
    file = written(events, tmp_path)
    expected = MemoryStore()
    assess_in(engine(use_case, expected), events, [200] * 10)
    with history(use_case, [file], NOW_US) as found, pytest.raises(StoreUnavailable, match="pulled"):
        readiness = Readiness(redis_store, "riskstream", use_case.name)
        backfill(engine(use_case, Plug(redis_store, fails_at)), found, readiness, NOW, batch=1_500)
    assert records(redis_server, use_case) != expected.records
    done = filled(redis_store, [file], use_case, batch=900)
    assert records(redis_server, use_case) == expected.records
    assert done.events == len(events) and done.applied + done.duplicates + done.too_late == len(events)


@pytest.mark.parametrize("fails_at", [1, 2, 3])
def test_a_crash_over_a_silence_in_which_merchants_are_forgotten_is_made_good(
    redis_store: RedisStore, redis_server: RedisServer, tmp_path: Path, fails_at: int
) -> None:
    """Both lives lie in one batch: an event of the first must not be counted again in the second."""
    use_case = market("1m")
    events = [
        payment(
            use_case, f"p{i}", START_US + i * MINUTE_US + (i >= 40) * 5 * DAY_US, f"c{i % 7}", "m1", 9.0 + i
        )
        for i in range(80)
    ]
    file, expected = written(events, tmp_path), MemoryStore()
    assess_in(engine(use_case, expected), events, [1] * len(events))
    with history(use_case, [file], NOW_US) as found, pytest.raises(StoreUnavailable, match="pulled"):
        readiness = Readiness(redis_store, "riskstream", use_case.name)
        backfill(engine(use_case, Plug(redis_store, fails_at)), found, readiness, NOW)
    filled(redis_store, [file], use_case)
    assert records(redis_server, use_case) == expected.records


@dataclass
class Plug:
    """A store that is pulled after so many writes; the last of them has been done, and nobody is told."""

    store: RedisStore
    writes: int

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        return self.store.read(keys)

    def commit(
        self, keys: Sequence[bytes], before: Sequence[int], blobs: Sequence[bytes], expiry_ms: Expiry = None
    ) -> list[bool]:
        found = self.store.commit(keys, before, blobs, expiry_ms)
        self.writes -= 1
        if self.writes <= 0:
            raise StoreUnavailable("pulled")
        return found


def test_a_second_run_adds_nothing(
    redis_store: RedisStore, redis_server: RedisServer, tmp_path: Path
) -> None:
    file = written(sorted_events(1_000, seed=3), tmp_path)
    first = filled(redis_store, [file])
    before = records(redis_server)
    second = filled(redis_store, [file])
    assert records(redis_server) == before
    assert second.applied == 0 and second.duplicates + second.too_late == first.events


def test_it_goes_on_where_it_was_killed(redis_server: RedisServer, tmp_path: Path) -> None:
    """kill -9 of a process of its own."""
    redis_server.client.flushall()
    events = sorted_events(12_000, seed=4)
    file, root = written(events, tmp_path), str(tmp_path / "bundles")
    save(trained(USE_CASE), root)
    promote(root, trained(USE_CASE).manifest.id)
    command = [
        sys.executable, "-m", "riskstream", "backfill", str(file), "--use-case", str(MARKET), "--bundle", root,
        "--redis-url", redis_server.url, "--batch", "300", "--json",
    ]  # fmt: skip
    place = f"riskstream:{USE_CASE.name}:{USE_CASE.fingerprint}"

    def noted() -> int:
        found = redis_server.client.get(place)
        return int(json.loads(found)["done"]) if found else 0

    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    while noted() == 0 and process.poll() is None:
        time.sleep(0.005)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL, "it was done before it could be killed"
    done = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert 0 < done["resumed_at"] < done["events"] == len(events)
    stream = MemoryStore()
    assess_in(engine(USE_CASE, stream), events, [500] * 30)
    assert records(redis_server) == stream.records
    assert redis_server.client.get(place) is None


def test_beside_a_stream_each_event_is_counted_once(
    redis_store: RedisStore, redis_server: RedisServer, tmp_path: Path
) -> None:
    """Both take the same events of the same customers at the same time, the stream from the other end."""
    use_case = market("365d")  # all lie within what is remembered
    events = sorted_events(1_000, 5, use_case)[:900]
    file, other = written(events, tmp_path), RedisStore(redis_server.url)
    backfill_is_on, stream_is_on = threading.Event(), threading.Event()

    def stream() -> list[Assessments]:
        backfill_is_on.wait()
        first = assess_in(engine(use_case, other), events[:-24:-1], [23])
        stream_is_on.set()
        return first + assess_in(engine(use_case, other), events[-24::-1], [23] * 50)

    def together(*_: object) -> None:
        backfill_is_on.set()
        stream_is_on.wait()

    with ThreadPoolExecutor(1) as pool, history(use_case, [file], NOW_US) as found:
        streaming = pool.submit(stream)
        readiness = Readiness(redis_store, "riskstream", use_case.name)
        done = backfill(engine(use_case, redis_store), found, readiness, NOW, together, batch=31)
        said = streaming.result()
    other.close()
    applied = sum(int((each.disposition == Disposition.APPLIED).sum()) for each in said)
    distinct = len({e.event.id for e in events})
    assert applied + done.applied == distinct
    assert done.applied > 0 and applied > 0
    seqs = [int.from_bytes(blob[SEQ], "little") for key, blob in records(redis_server, use_case).items()
            if b":customer:" in key]  # fmt: skip
    assert sum(seqs) == distinct


def test_history_behind_the_stream_is_refused_and_told_and_new_features_take_it(
    redis_store: RedisStore, redis_server: RedisServer, tmp_path: Path
) -> None:
    events = sorted_events(3_000, 6, market("1m"))
    file = written(events[:1_500], tmp_path)
    assess_in(engine(market("1m"), redis_store), events[1_500:], [500] * 3)
    streamed = records(redis_server, market("1m"))
    late = filled(redis_store, [file], market("1m"))
    assert late.too_late > 0
    fresh = market("2m")  # other features: another fingerprint
    done = filled(redis_store, [file], fresh)
    assert done.too_late < late.too_late and done.applied > late.applied
    assert fresh.fingerprint != market("1m").fingerprint
    expected = MemoryStore()
    assess_in(engine(fresh, expected), events[:1_500], [500] * 3)
    assert records(redis_server, fresh) == expected.records
    assert set(streamed) <= set(records(redis_server, market("1m"))), "those in use are still there"


@pytest.mark.parametrize("kind", ["server", "cluster"])
def test_dropping_takes_one_fingerprint_and_no_other(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    store = request.getfixturevalue("redis_store" if kind == "server" else "cluster_store")
    server = request.getfixturevalue(f"redis_{kind}")
    file = written(sorted_events(300, seed=7), tmp_path)
    old, new = market("1m"), market("2m")
    filled(store, [file], old)
    filled(store, [file], new)
    readiness = Readiness(store, "riskstream", old.name)
    assert readiness.markers().keys() == {old.fingerprint, new.fingerprint}
    kept = record_keys("riskstream", new.name, new.fingerprint, "customer", ["c1", "c2"])
    before = store.read(kept)
    dropped = drop(Reach(server.url, cluster=kind == "cluster"), readiness, old.fingerprint)
    assert dropped > 10
    assert readiness.markers().keys() == {new.fingerprint}
    assert store.read(kept) == before and None not in before
    gone = record_keys("riskstream", old.name, old.fingerprint, "customer", ["c1", "c2"])
    assert store.read(gone) == [None, None]
    assert drop(Reach(server.url, cluster=kind == "cluster"), readiness, old.fingerprint) == 0


def test_a_store_is_cold_until_filled_or_begun_with_nothing_on_purpose(
    redis_store: RedisStore, tmp_path: Path
) -> None:
    readiness = Readiness(redis_store, "riskstream", USE_CASE.name)
    with pytest.raises(ColdStore, match=r"no records of .*market with .*; every.*riskstream backfill"):
        readiness.demand(USE_CASE.fingerprint)
    old = market("1m")
    readiness.mark(old.fingerprint, "cold", NOW)
    with pytest.raises(ColdStore, match=rf"only those of {old.fingerprint} \(cold, 2026-01-01T00:00:00Z\)"):
        readiness.demand(USE_CASE.fingerprint)
    readiness.note(USE_CASE.fingerprint, Checkpoint("0", 1_234))
    with pytest.raises(ColdStore, match=r"a backfill of .* that has done 1,234 events and has not ended"):
        readiness.demand(USE_CASE.fingerprint)
    filled(redis_store, [written(sorted_events(100, seed=8), tmp_path)])
    readiness.demand(USE_CASE.fingerprint)
    readiness.demand(old.fingerprint)


def test_a_file_and_a_message_are_the_same_event(
    redis_store: RedisStore, redis_server: RedisServer, tmp_path: Path
) -> None:
    """Both kinds: payments with a time of their own, profiles with that of publishing, in CSV and in messages."""
    dated_us = START_US - MINUTE_US
    payments = sorted_events(200, seed=9)
    profiles = [sent(USE_CASE, "profile", dated_us, customer=f"c{i}", vip=i % 2 == 0, born="1980-01-02")
                for i in range(5)]  # fmt: skip
    rows = [to_json(each.event) for each in profiles]
    files = [written(payments, tmp_path), tmp_path / "profiles.csv"]
    columns = ["customer", "vip", "born"]
    decoded = [json.loads(row) for row in rows]
    lines = [",".join(columns), *(",".join(str(row[c]).lower() for c in columns) for row in decoded)]
    files[1].write_text("\n".join(lines))
    messages = [
        Message(
            to_json(e.event), {"event_type": e.event_type, "event_time": rfc3339(dated_us)}, str(i), NOW_US
        )
        for i, e in enumerate([*profiles, *payments])
    ]
    stream = decode(USE_CASE, messages)
    assert stream.events is not None and not stream.rejects
    said = assess(engine(USE_CASE, redis_store), stream.events)
    before = records(redis_server)
    with history(USE_CASE, files, NOW_US, dated_us) as found:
        readiness = Readiness(redis_store, "riskstream", USE_CASE.name)
        done = backfill(engine(USE_CASE, redis_store), found, readiness, NOW)
    assert (done.applied, done.duplicates, done.too_late) == (0, len(said.batch), 0)
    assert records(redis_server) == before


def test_history_is_in_event_time_order_whatever_the_files(tmp_path: Path) -> None:
    events = sorted_events(9_000, seed=10)
    files = [written(events[i::2][::-1], tmp_path, f"{i}.jsonl") for i in range(2)]
    with history(USE_CASE, files, NOW_US) as found:
        batches = list(found.batches(2_500))
        assert [len(b) for b in batches] == [2_500] * (len(events) // 2_500) + [len(events) % 2_500]
        times = [time_us for b in batches for time_us in b.time_us.tolist()]
        assert times == [e.event._time_us for e in events]
        rest = [b.event_id for b in found.batches(2_500, done=2_500)]
        assert rest == [b.event_id for b in batches[1:]]
        assert list(found.batches(2_500, done=len(events))) == []
    with history(USE_CASE, [files[0]], NOW_US) as other:
        assert other.digest != found.digest


def test_the_command_tells_what_it_did_and_what_was_wrong(
    redis_store: RedisStore, redis_server: RedisServer, tmp_path: Path, run: Run
) -> None:
    root, file = str(tmp_path / "bundles"), written(sorted_events(300, seed=12), tmp_path)
    save(trained(USE_CASE), root)
    promote(root, trained(USE_CASE).manifest.id)
    where = ("--use-case", str(MARKET), "--redis-url", redis_server.url)
    good = run("backfill", str(file), *where, "--bundle", root)
    assert good.code == 0 and good.err == ""
    assert f"market {USE_CASE.fingerprint}: " in good.out and " 0 bad rows; " in good.out
    with file.open("a") as more:
        more.write('{"id": "no more"}\n')
    bad = run("backfill", str(file), *where, "--bundle", root, "--json")
    told = json.loads(bad.out)
    assert bad.code == 1 and f"{file}:" in bad.err
    assert told["bad"] == 1 and told["applied"] == 0 and told["bad_rows"][0]["file"] == str(file)
    dropped = run("delete-records", USE_CASE.fingerprint, *where)
    assert dropped.code == 0 and dropped.out.endswith("records deleted\n")
    assert records(redis_server) == {}
    assert run("backfill", *where).code == 2
    away = run("backfill", str(file), *where[:3], "redis://127.0.0.1:1", "--bundle", root)
    assert away.code == 5 and "127.0.0.1:1" in away.err


def test_what_the_breaker_has_counted_is_known_after_a_stop(
    redis_store: RedisStore, redis_server: RedisServer, tmp_path: Path
) -> None:
    """Recommendations are limited by everybody's of the last hour, also of those before the stop."""
    use_case = parse(
        MARKET.read_text().replace("cooldown: 2h,", "cooldown: 2h, max_per_hour: 1,"), str(MARKET)
    )
    events = sorted_events(2_000, 16, use_case)
    file, expected = written(events, tmp_path), MemoryStore()
    said = assess_in(engine(use_case, expected), events, [400] * 5)
    held = sum(int((transition(each.outcome) == Transition.HELD).sum()) for each in said)
    assert held > 0, "the test needs a breaker that opens"
    readiness = Readiness(redis_store, "riskstream", use_case.name)
    for stop_at in (140, 280, 420, 560, 700):

        def stop(_stage: str, done: int, _total: int | None, stop_at: int = stop_at) -> None:
            if done >= stop_at:
                raise KeyboardInterrupt

        with history(use_case, [file], NOW_US) as found, pytest.raises(KeyboardInterrupt):
            backfill(engine(use_case, redis_store), found, readiness, NOW, stop, batch=70)
    done = filled(redis_store, [file], use_case, batch=500)
    assert done.resumed_at >= 700
    assert records(redis_server, use_case) == expected.records


def test_the_marker_names_the_history_and_the_model_that_filled_the_store(
    redis_store: RedisStore, tmp_path: Path
) -> None:
    """A second run of the same history changes nothing; another one is counted."""
    events = sorted_events(400, seed=17)
    first, second = (
        written(events[:200], tmp_path, "first.jsonl"),
        written(events[200:], tmp_path, "second.jsonl"),
    )
    readiness = Readiness(redis_store, "riskstream", USE_CASE.name)
    filled(redis_store, [first])
    marker = readiness.markers()[USE_CASE.fingerprint]
    with history(USE_CASE, [first], NOW_US) as found:
        assert (marker.digest, marker.model, marker.earlier) == (
            found.digest,
            trained(USE_CASE).manifest.id,
            0,
        )
    filled(redis_store, [first])
    assert readiness.markers()[USE_CASE.fingerprint] == marker
    filled(redis_store, [second])
    other = readiness.markers()[USE_CASE.fingerprint]
    assert other.digest != marker.digest and other.earlier == 1
