"""Every good row of a file is published once, in event-time order, with its attributes, at the pace asked for."""

import json
import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

import pytest

from commands.publish import summary
from commands.terminal import staged
from features.events import decode, event_id, event_time_us
from features.times import rfc3339
from features.usecase import load, parse
from pipeline.files import BadFile
from pipeline.operations.publish_file import Pace, Published, publish
from pipeline.pubsub.message import Message
from pipeline.pubsub.topics import publisher_client
from pipeline.runtime.errors import PubSubRefused, PubSubUnavailable
from tests.pipeline.broker import PROJECT, Broker, Relay, broker_of
from tests.pipeline.shop import SHOP, sales_file
from training.generate import Dirt, generate

ROOT = Path(__file__).parents[2]
OFFBOARDING = load(ROOT / "usecases" / "offboarding.yaml")
START = datetime(2024, 1, 2, 9, tzinfo=UTC)


@pytest.fixture
def broker() -> Iterator[Broker]:
    with broker_of(SHOP.name) as broker:
        yield broker


def row(number: int, customer: str = "anna", after_s: float = 0.0, note: str = "") -> str:
    at = START + timedelta(seconds=after_s)
    return f"s{number};{customer};1,5;;;;;{at.isoformat()};02.01.2024;09:00;{note}"


def published(broker: Broker, path: Path, **how: object) -> tuple[Published, list[Message]]:
    done = publish(SHOP, [path], broker.names.events, PROJECT, **how)  # type: ignore[arg-type]
    return done, broker.messages(broker.names.events, done.published)


def ids(messages: list[Message]) -> list[str]:
    return [message.attributes["event_id"] for message in messages]


def test_a_generated_file_arrives_whole_with_attributes_that_say_what_bodies_say(tmp_path: Path) -> None:
    made = generate(50, 40, 5, tmp_path, dirt=Dirt(duplicate_rows=0.05, late_rows=0.1))
    with broker_of(OFFBOARDING.name) as broker:
        topic = broker.names.events
        done = publish(OFFBOARDING, [tmp_path / "transactions.csv"], topic, PROJECT)
        messages = broker.messages(topic, done.published)
    assert done.rows == done.published == made.transaction_rows == len(messages)
    for message in messages:
        event = decode(OFFBOARDING, "transaction", message.data, message.publish_us)
        assert message.attributes == {
            "event_type": "transaction",
            "event_id": event_id(OFFBOARDING, "transaction", event),
            "event_time": rfc3339(event_time_us(event)),
        }
    rows = (tmp_path / "transactions.csv").read_text().splitlines()[1:]
    assert sorted(ids(messages)) == sorted(":".join(line.split(",")[0:4:3]) for line in rows)
    by_customer: dict[str, list[str]] = {}
    for message in messages:
        by_customer.setdefault(json.loads(message.data)["user_id"], []).append(
            message.attributes["event_time"]
        )
    assert all(times == sorted(times) for times in by_customer.values())


def test_bad_rows_stop_nothing_and_are_told_with_their_lines(broker: Broker, tmp_path: Path) -> None:
    path = sales_file(
        tmp_path, row(1, note='"two\nlines"'), "bad", row(2), row(3).replace("1,5", "1.5"), row(4)
    )
    done, messages = published(broker, path)
    assert (done.by_type, done.rows, done.published, done.bad) == ({"sale": 3}, 5, 3, 2)
    assert [(bad.line, bad.reason) for _, bad in done.bad_rows] == [(4, "undecodable"), (6, "invalid")]
    assert sorted(ids(messages)) == ["s1", "s2", "s4"]


def test_of_many_bad_rows_the_first_are_shown_and_all_are_counted(broker: Broker, tmp_path: Path) -> None:
    done, _ = published(broker, sales_file(tmp_path, *["bad"] * 10_000, row(1)))
    assert (done.bad, len(done.bad_rows), done.bad_rows[-1][1].line) == (10_000, 100, 101)


def test_events_are_sorted_by_time_and_equal_times_stay_as_they_stand(broker: Broker, tmp_path: Path) -> None:
    numbers = list(range(5_000))
    random.Random(1).shuffle(numbers)
    path = sales_file(tmp_path, *(row(number, after_s=number // 3) for number in numbers))
    done, messages = published(broker, path, rate=9_000)
    expected = sorted(numbers, key=lambda number: number // 3)
    assert ids(messages) == [f"s{number}" for number in expected]
    assert done.published == 5_000


def test_the_order_of_the_file_can_be_kept(broker: Broker, tmp_path: Path) -> None:
    path = sales_file(tmp_path, *(row(number, after_s=-number) for number in range(3_000)))
    _, messages = published(broker, path, in_file_order=True)
    assert ids(messages) == [f"s{number}" for number in range(3_000)]


def test_an_empty_file_publishes_nothing(broker: Broker, tmp_path: Path) -> None:
    done, messages = published(broker, sales_file(tmp_path))
    assert (done.rows, done.published, messages) == (0, 0, [])


def test_large_events_go_out_in_requests_that_pubsub_takes(broker: Broker, tmp_path: Path) -> None:
    path = tmp_path / "visits.jsonl"
    sizes = [
        1_040_000,
        10,
        *[1_000_000] * 12,
        1_050_000,
        9_000_001,
        10,
    ]  # the job takes no event of more than 1 MiB
    path.write_text("".join(json.dumps({"who": "anna", "page": "x" * size}) + "\n" for size in sizes))
    done, messages = published(broker, path)
    assert [len(json.loads(message.data)["page"]) for message in messages] == [*sizes[:14], 10]
    assert [(bad.line, bad.reason) for _, bad in done.bad_rows] == [(15, "undecodable"), (16, "undecodable")]


def test_events_without_a_time_are_dated_as_told(broker: Broker, tmp_path: Path) -> None:
    path = tmp_path / "visits.csv"
    path.write_text("who,page\nanna,home\n")
    at_us = int(START.timestamp()) * 1_000_000
    _, [message] = published(broker, path, dated_us=at_us)
    assert message.attributes["event_time"] == "2024-01-02T09:00:00.000000Z"
    event = decode(SHOP, "visit", message.data, message.publish_us, message.attributes["event_time"])
    assert event_time_us(event) == at_us


@pytest.mark.parametrize("rate", [500, 2_000])
def test_a_rate_is_kept_in_small_slices(broker: Broker, tmp_path: Path, rate: int) -> None:
    path = sales_file(tmp_path, *(row(number) for number in range(rate)))
    done, messages = published(broker, path, rate=rate)
    at_s = sorted(message.publish_us / 1e6 for message in messages)
    started_s = at_s[-1] - done.seconds
    due_s = [started_s + number / rate for number in range(rate)]
    late_s = [at - due for at, due in zip(at_s, due_s, strict=True)]
    assert min(late_s) > -0.05
    assert median(late_s) < 0.5  # of a machine that does other things
    assert done.seconds == pytest.approx(1.0, abs=0.3)


def test_a_multiple_of_historys_pace_keeps_historys_gaps(broker: Broker, tmp_path: Path) -> None:
    after_s = [0, 10, 10, 50, 100]
    path = sales_file(tmp_path, *(row(number, f"c{number}", after) for number, after in enumerate(after_s)))
    _, messages = published(broker, path, speed=100)
    at_s = {message.attributes["event_id"]: message.publish_us / 1e6 for message in messages}
    waited = [at_s[f"s{number}"] - at_s["s0"] for number in range(5)]
    assert waited == pytest.approx([after / 100 for after in after_s], abs=0.06)


@pytest.mark.parametrize("how", [{"rate": 0}, {"speed": -1}, {"rate": float("nan")}, {"rate": 1, "speed": 1}])
def test_an_impossible_pace_is_refused(how: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected"):
        Pace(**how)


def test_what_is_missing_is_told_before_anything_is_read(broker: Broker, tmp_path: Path) -> None:
    path = sales_file(tmp_path, row(1))
    with pytest.raises(PubSubRefused, match="topics/none"):
        publish(SHOP, [path], "none", PROJECT)
    without_price = tmp_path / "b.csv"
    without_price.write_text("sale_id;who;day;hour\n")
    with pytest.raises(BadFile, match="lacks price"):
        publish(SHOP, [without_price], broker.names.events, PROJECT, event_type="sale")
    broker.server.stop()
    started_s = time.monotonic()
    with pytest.raises(PubSubUnavailable):
        publish(SHOP, [path], broker.names.events, PROJECT)
    assert time.monotonic() - started_s < 3


def test_a_server_that_is_away_for_a_while_loses_nothing(
    broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = sales_file(tmp_path, *(row(number, f"c{number}") for number in range(400)))
    with Relay(broker.server.port) as relay, ThreadPoolExecutor(1) as pool:
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", relay.address)
        sending = pool.submit(publish, SHOP, [path], broker.names.events, PROJECT, rate=200)
        time.sleep(0.7)
        relay.cut()
        time.sleep(0.5)
        assert not sending.done()
        relay.mend()
        done = sending.result(20)
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", broker.server.address)
    assert done.published == 400
    assert set(ids(broker.messages(broker.names.events, 400))) == {f"s{number}" for number in range(400)}


def test_progress_tells_what_is_read_and_what_is_published(broker: Broker, tmp_path: Path) -> None:
    told: list[tuple[str, int, int | None]] = []
    path = sales_file(tmp_path, "bad", *(row(number) for number in range(5_000)))
    published(broker, path, progress=lambda *step: told.append(step))
    assert [step for step in told if step[0] == "reading"] == [
        ("reading", 4_000, None),
        ("reading", 5_001, None),
    ]
    assert told[-1] == ("publishing", 5_000, 5_000)


def test_a_topic_that_ends_on_the_way_ends_publishing(broker: Broker, tmp_path: Path) -> None:
    path = sales_file(tmp_path, *(row(number, f"c{number}") for number in range(2_000)))
    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(publish, SHOP, [path], broker.names.events, PROJECT, rate=200)
        time.sleep(0.5)
        with publisher_client() as client:
            client.delete_topic(topic=broker.names.events)
        with pytest.raises(PubSubRefused, match="shop-events"):
            sending.result(10)


def test_an_id_too_long_for_an_attribute_is_told_apart_by_its_hash(broker: Broker, tmp_path: Path) -> None:
    long = parse(SHOP.text.replace("id: [sale_id]", "id: [sale_id, note]"), "shop.yaml")
    texts = ["ü" * 200, "%" * 199, "x" * 10]
    path = sales_file(tmp_path, *(row(1, note=text).replace("s1;", f"{text[:199]}:;", 1) for text in texts))
    done = publish(long, [path], broker.names.events, PROJECT)
    found = ids(broker.messages(broker.names.events, done.published))
    assert (done.published, len(set(found))) == (3, 3)
    assert all(len(text.encode()) <= 1_024 for text in found)


def test_a_person_sees_a_bar_and_then_what_was_wrong(
    broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich then takes stderr for a terminal
    path = sales_file(tmp_path, *["bad"] * 102, row(1), row(2))
    with staged() as progress:
        done, _ = published(broker, path, progress=progress)
    assert "publishing" in capsys.readouterr().err
    text = summary(done)
    assert "sales.csv  2     undecodable  1 columns, expected 11 as in the header" in text
    assert "... and 2 more" in text
    assert "published 2 of 104 rows as sale events" in text and "102 bad rows were not published" in text
