"""Topics and subscriptions are made once, and found to be there ever after."""

import pytest

from deploy.local.pubsub.server import serve
from pipeline.pubsub.topics import Names, create, publisher_client, short, subscriber_client, topic_path
from pipeline.runtime.errors import PubSubRefused, PubSubUnavailable

NAMES = Names("tests", "shop")


@pytest.fixture(autouse=True)
def server(monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    with serve() as server:
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", server.address)
        yield server


def test_everything_is_made_once_and_kept_when_asked_for_again() -> None:
    first, again = create(NAMES), create(NAMES)
    assert [(one.kind, one.name) for one in first] == [
        ("topic", "shop-events"),
        ("topic", "shop-alerts"),
        ("topic", "shop-dead-letters"),
        ("subscription", "shop-events-riskstream"),
        ("subscription", "shop-alerts-riskstream"),
        ("subscription", "shop-dead-letters-riskstream"),
    ]
    assert {one.action for one in first} == {"created"}
    assert {one.action for one in again} == {"kept"}


def test_what_is_missing_is_added_to_what_is_there() -> None:
    create(NAMES)
    with subscriber_client() as client:
        client.delete_subscription(subscription=NAMES.reader(NAMES.alerts))
    assert [one.name for one in create(NAMES) if one.action == "created"] == ["shop-alerts-riskstream"]


def test_subscriptions_give_a_job_time_and_never_expire() -> None:
    create(NAMES)
    with subscriber_client() as client:
        found = client.get_subscription(subscription=NAMES.reader(NAMES.events))
    assert (found.topic, found.ack_deadline_seconds) == (NAMES.events, 60)
    assert "expiration_policy" in found and not found.expiration_policy.ttl


def test_a_subscription_of_another_topic_is_not_taken_for_ours() -> None:
    with publisher_client() as publisher, subscriber_client() as subscriber:
        other = publisher.create_topic(name=topic_path("tests", "other")).name
        subscriber.create_subscription(name=NAMES.reader(NAMES.events), topic=other)
    with pytest.raises(PubSubRefused, match=r"reads projects/tests/topics/other, expected .*shop-events"):
        create(NAMES)


def test_a_server_that_is_away_and_a_name_that_cannot_be_are_told_apart(server) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(PubSubRefused, match="goog"):
        create(Names("tests", "goog"))
    server.stop()
    with pytest.raises(PubSubUnavailable, match="shop-events"):
        create(NAMES)


def test_names_may_be_short_or_whole() -> None:
    assert topic_path("tests", "x") == "projects/tests/topics/x" == topic_path("y", "projects/tests/topics/x")
    assert short("projects/tests/topics/x") == "x"
