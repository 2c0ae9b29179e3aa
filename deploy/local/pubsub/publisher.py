"""The google.pubsub.v1.Publisher service: topics, and publishing to them.

Each function takes the engine, the protobuf request and the gRPC context, and returns the protobuf response.
"""

from collections.abc import Callable
from typing import Any

from google.protobuf.empty_pb2 import Empty
from google.pubsub_v1 import types

from .engine import SharedBroker
from .resources import check_name, check_project, check_publish, check_topic, masked, page

Handler = Callable[[SharedBroker, Any, Any], Any]

_PublishResponse: Any = types.PublishResponse.pb()
_ListTopicsResponse: Any = types.ListTopicsResponse.pb()
_ListTopicSubscriptionsResponse: Any = types.ListTopicSubscriptionsResponse.pb()
_DetachSubscriptionResponse: Any = types.DetachSubscriptionResponse.pb()


def create_topic(engine: SharedBroker, request: Any, context: Any) -> Any:
    """Create a topic."""
    check_topic(request)
    with engine.open() as broker:
        broker.create_topic(request)
    return request


def get_topic(engine: SharedBroker, request: Any, context: Any) -> Any:
    """Return a topic."""
    check_name("topics", request.topic)
    with engine.open() as broker:
        return broker.topic(request.topic).settings


def update_topic(engine: SharedBroker, request: Any, context: Any) -> Any:
    """Change the fields of a topic that the mask names."""
    with engine.open() as broker:
        topic = broker.topic(request.topic.name)
        settings = masked(topic.settings, request.topic, request.update_mask.paths)
        check_topic(settings)
        topic.settings = settings
    return settings


def list_topics(engine: SharedBroker, request: Any, context: Any) -> Any:
    """Return a page of a project's topics."""
    check_project(request.project)
    with engine.open() as broker:
        names = [name for name in broker.topics if name.startswith(request.project + "/")]
        shown, token = page(names, request.page_size, request.page_token)
        return _ListTopicsResponse(
            topics=[broker.topics[name].settings for name in shown], next_page_token=token
        )


def list_topic_subscriptions(engine: SharedBroker, request: Any, context: Any) -> Any:
    """Return a page of the subscriptions of a topic."""
    with engine.open() as broker:
        names = broker.topic(request.topic).subscriptions
        shown, token = page(names, request.page_size, request.page_token)
    return _ListTopicSubscriptionsResponse(subscriptions=shown, next_page_token=token)


def delete_topic(engine: SharedBroker, request: Any, context: Any) -> Any:
    """Delete a topic; its subscriptions stay."""
    with engine.open() as broker:
        broker.delete_topic(request.topic)
    return Empty()


def detach_subscription(engine: SharedBroker, request: Any, context: Any) -> Any:
    """Detach a subscription from its topic."""
    with engine.open() as broker:
        broker.detach_subscription(request.subscription)
    return _DetachSubscriptionResponse()


def publish(engine: SharedBroker, request: Any, context: Any) -> Any:
    """Publish messages and return their ids."""
    check_name("topics", request.topic)
    check_publish(request.messages, request.ByteSize())
    prepared = engine.unlocked.prepare(request.messages, engine.now_s())
    with engine.open() as broker:
        broker.publish(request.topic, prepared)
    return _PublishResponse(message_ids=[f"{message_id:016d}" for message_id, _ in prepared])


METHODS: dict[str, tuple[Any, Handler]] = {
    "CreateTopic": (types.Topic.pb(), create_topic),
    "GetTopic": (types.GetTopicRequest.pb(), get_topic),
    "UpdateTopic": (types.UpdateTopicRequest.pb(), update_topic),
    "ListTopics": (types.ListTopicsRequest.pb(), list_topics),
    "ListTopicSubscriptions": (types.ListTopicSubscriptionsRequest.pb(), list_topic_subscriptions),
    "DeleteTopic": (types.DeleteTopicRequest.pb(), delete_topic),
    "DetachSubscription": (types.DetachSubscriptionRequest.pb(), detach_subscription),
    "Publish": (types.PublishRequest.pb(), publish),
}
