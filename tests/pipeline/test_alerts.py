"""Alerts are shown as they come, each once, and nobody else misses any."""

import json
import logging
import time
from collections.abc import Iterator

import pytest
from rich.console import Console

from commands.alerts import show_alerts
from deploy.local.pubsub.server import stats
from pipeline.operations.follow_alerts import Recent, following
from pipeline.pubsub.client import Publication
from pipeline.runtime.errors import PubSubRefused, PubSubUnavailable
from tests.pipeline.broker import PROJECT, Broker, broker_of


@pytest.fixture
def broker() -> Iterator[Broker]:
    with broker_of("shop") as broker:
        yield broker


def alert(seq: int, **changed: object) -> Publication:
    said = {
        "use_case": "shop", "customer": f"c{seq}", "seq": seq, "event_id": f"s{seq}",
        "event_time": "2024-01-02T09:00:00.123456Z", "assessed_at": "2024-01-02T09:00:01.000000Z", "score": 0.75,
        "level_before": "LOW", "level": "HIGH", "transition": "RECOMMENDED", "model": "m1",
    }  # fmt: skip
    return Publication(json.dumps(said | changed).encode(), {"id": f"shop:c{seq}:{seq}"})


def test_alerts_come_as_published_and_nobody_else_misses_them(broker: Broker) -> None:
    topic = broker.names.alerts
    with following(PROJECT, topic, limit=3) as alerts:
        broker.publish(topic, *map(alert, range(3)))
        found = list(alerts)
    assert [(one.id, one.alert.customer, one.alert.score) for one in found] == [
        ("shop:c0:0", "c0", 0.75), ("shop:c1:1", "c1", 0.75), ("shop:c2:2", "c2", 0.75),
    ]  # fmt: skip
    assert [one.body for one in found] == [alert(seq).data for seq in range(3)]
    assert len(broker.messages(topic, 3)) == 3


def test_an_own_subscription_ends_with_the_reading_however_it_ends(broker: Broker) -> None:
    usual = broker.subscriptions()
    with following(PROJECT, "shop-alerts", seconds=0.1) as alerts:
        assert len(broker.subscriptions()) == len(usual) + 1
        assert list(alerts) == []
    assert broker.subscriptions() == usual
    with pytest.raises(KeyboardInterrupt), following(PROJECT, "shop-alerts") as alerts:
        broker.publish(broker.names.alerts, alert(1))
        next(alerts)
        raise KeyboardInterrupt
    assert broker.subscriptions() == usual


def test_the_same_alert_is_shown_once(broker: Broker) -> None:
    with following(PROJECT, broker.names.alerts, seconds=1.0) as alerts:
        broker.publish(broker.names.alerts, alert(1), alert(2), alert(1))
        broker.publish(broker.names.alerts, alert(2), alert(3))
        assert [one.id for one in alerts] == ["shop:c1:1", "shop:c2:2", "shop:c3:3"]


def test_of_a_given_subscription_what_was_shown_is_acknowledged_and_the_rest_handed_back(
    broker: Broker,
) -> None:
    name, path = "shop-alerts-riskstream", broker.names.reader(broker.names.alerts)
    broker.publish(broker.names.alerts, *map(alert, range(10)))
    for shown, left in (([0, 1, 2], 7), ([3, 4], 5)):
        with following(PROJECT, broker.names.alerts, subscription=name, limit=len(shown)) as alerts:
            assert sorted(one.alert.customer for one in alerts) == [f"c{seq}" for seq in shown]
        figures = stats(broker.server.address)[path]
        assert (figures["num_undelivered_messages"], figures["num_outstanding_messages"]) == (left, 0)
    assert path in broker.subscriptions()


def test_an_alert_is_acknowledged_only_after_it_was_shown(broker: Broker) -> None:
    path = broker.names.reader(broker.names.alerts)
    broker.publish(broker.names.alerts, alert(1))
    with following(PROJECT, broker.names.alerts, subscription=path) as alerts:
        next(alerts)
        assert stats(broker.server.address)[path]["num_undelivered_messages"] == 1
    assert stats(broker.server.address)[path]["num_undelivered_messages"] == 0


def test_a_message_that_is_no_alert_is_told_and_passed_over(
    broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    former = alert(2).data.replace(b'"transition"', b'"change"')
    strange = [b"no alert", b"\xff", b'{"customer": 1}', b"", former]
    with following(PROJECT, broker.names.alerts, limit=1) as alerts, caplog.at_level(logging.WARNING):
        broker.publish(broker.names.alerts, *(Publication(body, {"id": "x"}) for body in strange), alert(1))
        assert [one.id for one in alerts] == ["shop:c1:1"]
    assert sum("is no alert" in record.message for record in caplog.records) == len(strange)
    assert "missing required field `transition`" in caplog.text, "the former name is not taken for it"


def test_reading_ends_in_time(broker: Broker) -> None:
    started_s = time.monotonic()
    with following(PROJECT, broker.names.alerts, seconds=0.5) as alerts:
        assert list(alerts) == []
    assert 0.4 < time.monotonic() - started_s < 3


def test_what_is_missing_is_told_at_once(broker: Broker) -> None:
    with pytest.raises(PubSubRefused, match="topics/none"), following(PROJECT, "none"):
        pass
    with (
        pytest.raises(PubSubRefused, match="subscriptions/none"),
        following(PROJECT, "none", subscription="none"),
    ):
        pass
    broker.server.stop()
    with pytest.raises(PubSubUnavailable), following(PROJECT, broker.names.alerts):
        pass


def test_ids_are_forgotten_only_when_there_are_too_many() -> None:
    recent = Recent(3)
    assert [recent.is_new(text) for text in ("a", "b", "a", "c", "d", "a", "d")] == [
        True,
        True,
        False,
        True,
        True,
        True,
        False,
    ]


def test_a_table_shows_the_latest_alerts(broker: Broker) -> None:
    console = Console(record=True, width=120)
    with following(PROJECT, broker.names.alerts, limit=25) as alerts:
        broker.publish(
            broker.names.alerts, *(alert(seq, score=None, transition=None) for seq in range(24)), alert(24)
        )
        assert show_alerts(alerts, console) == 25
    text = console.export_text()
    assert "2024-01-02 09:00:00  c24       LOW -> HIGH  RECOMMENDED  0.750  m1" in text
    assert "25 alerts" in text and " c4 " not in text and " c5 " in text
