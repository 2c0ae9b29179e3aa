"""Several files published in one call: their events come together in event-time order, whatever the files."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from commands.publish import summary
from features.usecase import load
from pipeline.files import BadFile, place
from pipeline.operations.publish_file import publish
from pipeline.pubsub.client import Subscription
from tests.commands import Run
from tests.pipeline.broker import PROJECT, Broker, broker_of
from tests.pipeline.shop import SHOP, sales_file
from tests.pipeline.test_publish import START, row

CARDS = load(Path(__file__).parents[2] / "usecases" / "card_fraud.yaml")
START_US = int(START.timestamp()) * 1_000_000


@pytest.fixture
def broker() -> Iterator[Broker]:
    with broker_of(SHOP.name) as broker:
        yield broker


@pytest.fixture
def card_broker() -> Iterator[Broker]:
    with broker_of(CARDS.name) as broker:
        yield broker


def came(broker: Broker, count: int) -> list[tuple[str, str, str]]:
    """Event type, id (or body) and time of each event, as delivered."""
    return [
        (
            m.attributes["event_type"],
            json.loads(m.data).get("page") or m.attributes["event_id"],
            m.attributes["event_time"],
        )
        for m in broker.messages(broker.names.events, count)
    ]


def at(after_s: float) -> str:
    return f"{START + timedelta(seconds=after_s):%Y-%m-%dT%H:%M:%S.%fZ}"


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Two files of sales, neither in order, and one of visits, which have no time."""
    first = sales_file(tmp_path, row(3, after_s=30), row(1, after_s=10), name="a.csv")
    second = sales_file(tmp_path, row(4, after_s=40), row(2, after_s=20), "bad", name="b.csv")
    visits = tmp_path / "visits.csv"
    visits.write_text("who,page\nanna,home\nanna,shop\n")
    return [first, visits, second]


def test_files_of_several_types_are_merged_by_event_time_and_what_has_none_comes_first(
    broker: Broker, files: list[Path]
) -> None:
    done = publish(SHOP, files, broker.names.events, PROJECT, rate=9_000)
    assert (done.rows, done.published, done.by_type, done.bad) == (7, 6, {"visit": 2, "sale": 4}, 1)
    [(file, bad)] = done.bad_rows
    assert (file, bad.line) == (files[2], 4)
    visits = [("visit", page, at(10)) for page in ("home", "shop")]
    assert came(broker, 6) == visits + [("sale", f"s{n}", at(10 * n)) for n in (1, 2, 3, 4)]


def test_what_has_no_time_stands_where_it_is_dated(broker: Broker, files: list[Path]) -> None:
    publish(SHOP, files, broker.names.events, PROJECT, rate=9_000, dated_us=START_US + 20_000_000)
    assert [(kind, time) for kind, _, time in came(broker, 6)] == [
        ("sale", at(10)), ("visit", at(20)), ("visit", at(20)), ("sale", at(20)), ("sale", at(30)), ("sale", at(40)),
    ]  # fmt: skip


def test_in_file_order_one_file_comes_after_the_other(broker: Broker, files: list[Path]) -> None:
    publish(SHOP, files, broker.names.events, PROJECT, rate=9_000, dated_us=START_US, in_file_order=True)
    assert [name for _, name, _ in came(broker, 6)] == ["s3", "s1", "home", "shop", "s4", "s2"]


def test_files_without_times_alone_are_dated_now(broker: Broker, files: list[Path]) -> None:
    before = datetime.now(UTC)
    publish(SHOP, files[1:2], broker.names.events, PROJECT)
    for _, _, time in came(broker, 2):
        assert before <= datetime.fromisoformat(time) <= datetime.now(UTC)


@pytest.fixture
def cards(tmp_path: Path) -> Path:
    """One file whose rows are payments and, a week later, verdicts; a payment a day, the last day first."""
    head = "TRANSACTION_ID,TX_DATETIME,CUSTOMER_ID,TERMINAL_ID,TX_AMOUNT,TX_FRAUD\n"
    rows = [f"{day},2024-01-{day:02} 10:00:00,c1,t1,5.0,{day % 2}\n" for day in range(20, 0, -1)]
    path = tmp_path / "cards.csv"
    path.write_text(head + "".join(rows))
    return path


def test_verdicts_and_payments_of_one_file_are_sent_together(card_broker: Broker, cards: Path) -> None:
    places = [place(f"{kind}={cards}") for kind in ("payment", "verdict")]
    done = publish(CARDS, places, card_broker.names.events, PROJECT, rate=9_000)
    assert done.by_type == {"payment": 20, "verdict": 20}
    found = came(card_broker, 40)
    assert [time for _, _, time in found] == sorted(time for _, _, time in found)
    assert [kind for kind, _, _ in found[:9]] == ["payment"] * 7 + ["payment", "verdict"]
    assert {(kind, id) for kind, id, _ in found} == {
        (kind, str(n)) for kind in ("payment", "verdict") for n in range(1, 21)
    }


def test_what_the_command_line_suggests_is_what_it_takes(run: Run, card_broker: Broker, cards: Path) -> None:
    """A file that fits two event types is refused with the words that publish it, and these do."""
    words = ("--project", PROJECT, "--use-case", CARDS.file)
    refused = run("publish", str(cards), *words)
    assert refused.code == 2
    suggested = re.search(r"for all of them: (payment=\S+ verdict=\S+)", refused.err)
    assert suggested, refused.err
    ended = run("publish", *suggested[1].split(), "--json", *words)
    assert ended.code == 0
    assert json.loads(ended.out)["by_type"] == {"payment": 20, "verdict": 20}


def test_a_wrong_file_among_good_ones_ends_it_before_anything_is_published(
    broker: Broker, files: list[Path], tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong.csv"
    wrong.write_text("colour\nred\n")
    for places in ([*files, wrong], [*files, place(f"order={files[0]}")]):
        with pytest.raises(BadFile, match=r"no event type fits|'order' is not one of sale, visit"):
            publish(SHOP, places, broker.names.events, PROJECT)
    source = Subscription(broker.names.reader(broker.names.events))
    with broker.server._engine.open() as own:
        assert own.figures(0.0)[source.path]["num_undelivered_messages"] == 0
    source.close()


def test_a_date_that_has_not_come_is_refused_on_the_command_line(run: Run, files: list[Path]) -> None:
    ended = run("publish", str(files[1]), "--project", "p", "--default-event-time", "2999-01-01")
    assert ended.code == 2
    assert "--default-event-time" in ended.err and "expected a time that has come" in ended.err


def test_a_person_sees_the_file_of_a_bad_row_and_what_was_published(
    broker: Broker, files: list[Path]
) -> None:
    told: list[tuple[str, int, int | None]] = []
    done = publish(SHOP, files, broker.names.events, PROJECT, progress=lambda *step: told.append(step))
    assert [step for step in told if step[0] == "reading"][-1] == ("reading", 7, None)
    assert told[-1] == ("publishing", 6, 6)
    text = summary(done)
    assert f"{files[2]}  4     undecodable" in text
    assert "published 6 of 7 rows as 2 visit and 4 sale events" in text
