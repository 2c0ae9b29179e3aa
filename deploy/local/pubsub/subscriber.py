"""The google.pubsub.v1.Subscriber service: subscriptions, and pulling from them.

Each function takes the engine, the protobuf request and the gRPC context, and returns the protobuf response
or its bytes. A pull waits on a condition, never polls, and never leases messages to a call that has ended.
"""

from collections.abc import Callable, Iterable
from typing import Any

from google.protobuf.empty_pb2 import Empty
from google.pubsub_v1 import types

from . import wire
from .engine import SharedBroker
from .resources import check_name, check_project, check_subscription, invalid, masked, page, with_defaults
from .subscription import Delivery

Handler = Callable[[SharedBroker, Any, Any], Any]

LONGEST_PULL_S = 90.0  # how long a pull without a deadline waits for a first message

_ListSubscriptionsResponse: Any = types.ListSubscriptionsResponse.pb()


def create_subscription(engine: SharedBroker, request: Any, context: Any) -> Any:
    """Create a subscription."""
    settings = with_defaults(request)
    check_name("topics", settings.topic)
    check_subscription(settings)
    with engine.open() as broker:
        broker.create_subscription(settings)
    return settings


def get_subscription(engine: SharedBroker, request: Any, context: Any) -> Any:
    """Return a subscription."""
    check_name("subscriptions", request.subscription)
    with engine.open() as broker:
        return broker.subscription(request.subscription).settings


def update_subscription(engine: SharedBroker, request: Any, context: Any) -> Any:
    """Change the fields of a subscription that the mask names."""
    with engine.open() as broker:
        current = broker.subscription(request.subscription.name).settings
        settings = with_defaults(masked(current, request.subscription, request.update_mask.paths))
        check_subscription(settings)
        broker.update_subscription(settings)
    return settings


def list_subscriptions(engine: SharedBroker, request: Any, context: Any) -> Any:
    """Return a page of a project's subscriptions."""
    check_project(request.project)
    with engine.open() as broker:
        names = [name for name in broker.subscriptions if name.startswith(request.project + "/")]
        shown, token = page(names, request.page_size, request.page_token)
        settings = [broker.subscriptions[name].settings for name in shown]
        return _ListSubscriptionsResponse(subscriptions=settings, next_page_token=token)


def delete_subscription(engine: SharedBroker, request: Any, context: Any) -> Any:
    """Delete a subscription with its messages."""
    with engine.open() as broker:
        broker.delete_subscription(request.subscription)
    return Empty()


def pull(engine: SharedBroker, request: Any, context: Any) -> bytes:
    """Return messages as soon as there is one, or none when the time is over."""
    check_name("subscriptions", request.subscription)
    if request.max_messages <= 0:
        raise invalid(f"max_messages is {request.max_messages}; it must be at least 1.")
    deliveries = _first_deliveries(engine, request, context)
    return wire.response(deliveries)


def _first_deliveries(engine: SharedBroker, request: Any, context: Any) -> list[Delivery]:
    until_s = engine.now_s() + (0.0 if request.return_immediately else _patience_s(context))
    is_watched = False
    with engine.open() as broker:
        while context.is_active():
            deliveries = broker.deliver(request.subscription, request.max_messages, now_s := engine.now_s())
            if deliveries or now_s >= until_s or engine.is_closing:
                return deliveries
            if not is_watched:
                is_watched = context.add_callback(lambda: engine.wake(request.subscription))
            engine.wait(request.subscription, until_s - now_s)
    return []


def _patience_s(context: Any) -> float:
    """Return how long a pull may wait: an empty answer must still reach the caller before its deadline."""
    remaining_s: float | None = context.time_remaining()
    if remaining_s is None:
        return LONGEST_PULL_S
    return min(LONGEST_PULL_S, max(0.0, remaining_s - min(0.25, remaining_s / 5)))


def acknowledge(engine: SharedBroker, request: Any, context: Any) -> Any:
    """Acknowledge messages."""
    _check_ack_ids(request.ack_ids)
    with engine.open() as broker:
        broker.ack(request.subscription, request.ack_ids)
    return Empty()


def modify_ack_deadline(engine: SharedBroker, request: Any, context: Any) -> Any:
    """Move the deadlines of messages; 0 seconds hands them back."""
    _check_ack_ids(request.ack_ids)
    with engine.open() as broker:
        extensions = ((ack_id, request.ack_deadline_seconds) for ack_id in request.ack_ids)
        broker.extend(request.subscription, extensions, engine.now_s())
    return Empty()


def _check_ack_ids(ack_ids: Iterable[str]) -> None:
    if not ack_ids:
        raise invalid("No ack ids given.")


METHODS: dict[str, tuple[Any, Handler]] = {
    "CreateSubscription": (types.Subscription.pb(), create_subscription),
    "GetSubscription": (types.GetSubscriptionRequest.pb(), get_subscription),
    "UpdateSubscription": (types.UpdateSubscriptionRequest.pb(), update_subscription),
    "ListSubscriptions": (types.ListSubscriptionsRequest.pb(), list_subscriptions),
    "DeleteSubscription": (types.DeleteSubscriptionRequest.pb(), delete_subscription),
    "Pull": (types.PullRequest.pb(), pull),
    "Acknowledge": (types.AcknowledgeRequest.pb(), acknowledge),
    "ModifyAckDeadline": (types.ModifyAckDeadlineRequest.pb(), modify_ack_deadline),
}
