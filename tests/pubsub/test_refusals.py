"""Conformance: limits, unknown and duplicate names, settings, and the administrative calls."""

from typing import Any

import pytest
from google.api_core import exceptions

from .conftest import PROJECT, Clients

MEGABYTE = 1_000_000

BAD_MESSAGES = {
    "empty": [{}],
    "empty_with_key": [{"ordering_key": "a"}],
    "too_large": [{"data": bytes(10 * MEGABYTE + 1)}],
    "request_too_large": [{"data": bytes(6 * MEGABYTE)}] * 2,
    "too_many": [{"data": b"x"}] * 1_001,
    "none": [],
    "too_many_attributes": [{"attributes": {str(i): "" for i in range(101)}}],
    "attribute_key_too_long": [{"attributes": {"é" * 129: ""}}],
    "attribute_value_too_long": [{"attributes": {"a": "é" * 513}}],
    "ordering_key_too_long": [{"data": b"x", "ordering_key": "é" * 513}],
    "second_of_two": [{"data": b"x"}, {}],
}


@pytest.mark.parametrize("messages", BAD_MESSAGES.values(), ids=BAD_MESSAGES)
def test_a_publish_beyond_the_limits_is_refused_whole(
    clients: Clients, messages: list[dict[str, Any]]
) -> None:
    topic = clients.topic()
    subscription = clients.subscription(topic)
    with pytest.raises(exceptions.InvalidArgument):
        clients.low_level.publish(request={"topic": topic, "messages": messages})
    assert clients.pull_at_once(subscription) == []


def test_a_publish_at_the_limits_is_taken(clients: Clients) -> None:
    topic = clients.topic()
    attributes = {f"{i:03d}".ljust(256, "k"): "v" * 1_024 for i in range(100)}
    message = {"attributes": attributes, "ordering_key": "o" * 1_024}
    assert clients.low_level.publish(request={"topic": topic, "messages": [message]}).message_ids
    assert len(clients.publish(topic, *["x"] * 1_000)) == 1_000


BAD_SUBSCRIPTIONS = {
    "deadline_too_short": {"ack_deadline_seconds": 9},
    "deadline_too_long": {"ack_deadline_seconds": 601},
    "too_few_attempts": {"dead_letter_policy": {"max_delivery_attempts": 4}},
    "too_many_attempts": {"dead_letter_policy": {"max_delivery_attempts": 101}},
    "backoff_too_long": {"retry_policy": {"maximum_backoff": {"seconds": 601}}},
    "name_too_short": {"name": f"{PROJECT}/subscriptions/ab"},
    "name_of_google": {"name": f"{PROJECT}/subscriptions/google-s"},
    "name_of_a_topic": {"name": f"{PROJECT}/topics/s-wrong"},
    "name_with_space": {"name": f"{PROJECT}/subscriptions/s wrong"},
}


@pytest.mark.parametrize("settings", BAD_SUBSCRIPTIONS.values(), ids=BAD_SUBSCRIPTIONS)
def test_a_subscription_out_of_range_is_refused(clients: Clients, settings: dict[str, Any]) -> None:
    topic = clients.topic()
    if "dead_letter_policy" in settings:
        settings["dead_letter_policy"]["dead_letter_topic"] = topic
    request = {"name": f"{PROJECT}/subscriptions/s-bad", "topic": topic, **settings}
    with pytest.raises(exceptions.InvalidArgument):
        clients.subscriber.create_subscription(request=request)


NOT_IMPLEMENTED = {
    "filter": 'attributes.a = "b"',
    "enable_exactly_once_delivery": True,
    "push_config": {"push_endpoint": "https://example.com/"},
    "retain_acked_messages": True,
}


@pytest.mark.parametrize("field", NOT_IMPLEMENTED)
def test_a_setting_that_is_not_implemented_is_refused_by_name(
    clients: Clients, embedded_only: None, field: str
) -> None:
    with pytest.raises(exceptions.MethodNotImplemented, match=field):
        clients.subscription(clients.topic(), **{field: NOT_IMPLEMENTED[field]})


TOPIC, SUBSCRIPTION = f"{PROJECT}/topics/unknown", f"{PROJECT}/subscriptions/unknown"
UNKNOWN_TOPIC = {
    "get_topic": {"topic": TOPIC},
    "delete_topic": {"topic": TOPIC},
    "list_topic_subscriptions": {"topic": TOPIC},
    "update_topic": {"topic": {"name": TOPIC}, "update_mask": {"paths": ["labels"]}},
}
UNKNOWN_SUBSCRIPTION = {
    "create_subscription": {"name": SUBSCRIPTION, "topic": TOPIC},
    "get_subscription": {"subscription": SUBSCRIPTION},
    "delete_subscription": {"subscription": SUBSCRIPTION},
    "pull": {"subscription": SUBSCRIPTION, "max_messages": 1},
    "acknowledge": {"subscription": SUBSCRIPTION, "ack_ids": ["1"]},
    "modify_ack_deadline": {"subscription": SUBSCRIPTION, "ack_ids": ["1"], "ack_deadline_seconds": 10},
    "update_subscription": {
        "subscription": {"name": SUBSCRIPTION, "topic": TOPIC},
        "update_mask": {"paths": ["labels"]},
    },
}


@pytest.mark.parametrize("method", UNKNOWN_TOPIC)
def test_an_unknown_topic_is_not_found(clients: Clients, method: str) -> None:
    with pytest.raises(exceptions.NotFound, match="topics/unknown"):
        getattr(clients.publisher, method)(request=UNKNOWN_TOPIC[method])


@pytest.mark.parametrize("method", UNKNOWN_SUBSCRIPTION)
def test_an_unknown_subscription_is_not_found(clients: Clients, method: str) -> None:
    with pytest.raises(exceptions.NotFound, match="unknown"):
        getattr(clients.subscriber, method)(request=UNKNOWN_SUBSCRIPTION[method])


def test_publishing_to_an_unknown_topic_fails_in_the_future(clients: Clients) -> None:
    with pytest.raises(exceptions.NotFound):
        clients.publisher.publish(TOPIC, b"x").result(10)


def test_a_dead_letter_topic_must_exist(clients: Clients) -> None:
    with pytest.raises(exceptions.NotFound):
        clients.subscription(clients.topic(), dead_letter_policy={"dead_letter_topic": TOPIC})


def test_a_name_can_be_given_once(clients: Clients) -> None:
    topic = clients.topic()
    subscription = clients.subscription(topic)
    with pytest.raises(exceptions.AlreadyExists):
        clients.publisher.create_topic(name=topic)
    with pytest.raises(exceptions.AlreadyExists):
        clients.subscriber.create_subscription(name=subscription, topic=topic)


def test_an_ack_id_that_never_was_one_is_refused(clients: Clients, embedded_only: None) -> None:
    subscription = clients.subscription(clients.topic())
    with pytest.raises(exceptions.InvalidArgument, match="ack ID"):
        clients.subscriber.acknowledge(subscription=subscription, ack_ids=["nonsense"])


@pytest.mark.parametrize("seconds", [-1, 601])
def test_an_extension_out_of_range_is_refused(clients: Clients, seconds: int) -> None:
    topic = clients.topic()
    subscription = clients.subscription(topic)
    clients.publish(topic, "a")
    with pytest.raises(exceptions.InvalidArgument):
        clients.extend(subscription, clients.pull(subscription, 1), seconds)


def test_defaults_are_filled_in(clients: Clients) -> None:
    topic = clients.topic()
    subscription = clients.subscription(topic, dead_letter_policy={"dead_letter_topic": topic})
    settings = clients.subscriber.get_subscription(subscription=subscription)
    assert (settings.topic, settings.ack_deadline_seconds) == (topic, 10)
    assert settings.dead_letter_policy.max_delivery_attempts == 5


def test_topics_and_subscriptions_are_listed_page_by_page(clients: Clients) -> None:
    topics = {clients.topic() for _ in range(3)}
    subscriptions = {clients.subscription(topic) for topic in topics}
    listed = clients.publisher.list_topics(request={"project": PROJECT, "page_size": 2})
    assert topics <= {topic.name for topic in listed}
    listed = clients.subscriber.list_subscriptions(request={"project": PROJECT, "page_size": 2})
    assert subscriptions <= {subscription.name for subscription in listed}


def test_a_topic_lists_its_own_subscriptions(clients: Clients) -> None:
    topic = clients.topic()
    subscriptions = {clients.subscription(topic) for _ in range(3)}
    clients.subscription(clients.topic())
    assert (
        set(clients.publisher.list_topic_subscriptions(request={"topic": topic, "page_size": 2}))
        == subscriptions
    )


def test_updates_change_what_the_mask_names_and_nothing_else(clients: Clients) -> None:
    topic = clients.topic()
    subscription = clients.subscription(topic, labels={"a": "1"}, ack_deadline_seconds=20)
    changed = {"name": subscription, "topic": topic, "ack_deadline_seconds": 30, "labels": {"b": "2"}}
    for path in ("ack_deadline_seconds", "labels"):
        request = {"subscription": changed, "update_mask": {"paths": [path]}}
        clients.subscriber.update_subscription(request=request)
        settings = clients.subscriber.get_subscription(subscription=subscription)
        assert settings.ack_deadline_seconds == 30
        assert dict(settings.labels) == ({"a": "1"} if path == "ack_deadline_seconds" else {"b": "2"})
    request = {"topic": {"name": topic, "labels": {"c": "3"}}, "update_mask": {"paths": ["labels"]}}
    assert dict(clients.publisher.update_topic(request=request).labels) == {"c": "3"}


@pytest.mark.parametrize("path", ["enable_message_ordering", "no_such_field"])
def test_an_update_of_what_is_fixed_is_refused(clients: Clients, path: str) -> None:
    topic = clients.topic()
    subscription = clients.subscription(topic)
    changed = {"name": subscription, "topic": topic, "enable_message_ordering": True}
    with pytest.raises(exceptions.InvalidArgument):
        clients.subscriber.update_subscription(
            request={"subscription": changed, "update_mask": {"paths": [path]}}
        )


def test_a_subscription_outlives_its_topic(clients: Clients) -> None:
    topic = clients.topic()
    subscription = clients.subscription(topic)
    clients.publish(topic, "a")
    clients.publisher.delete_topic(topic=topic)
    assert clients.subscriber.get_subscription(subscription=subscription).topic == "_deleted-topic_"
    assert len(clients.pull(subscription, 1)) == 1


def test_a_detached_subscription_gets_and_gives_nothing(clients: Clients) -> None:
    topic = clients.topic()
    subscription = clients.subscription(topic)
    clients.publish(topic, "a")
    clients.publisher.detach_subscription(request={"subscription": subscription})
    assert clients.subscriber.get_subscription(subscription=subscription).detached
    with pytest.raises(exceptions.FailedPrecondition):
        clients.subscriber.pull(subscription=subscription, max_messages=1)
