"""Names, limits and settings of topics and subscriptions, checked before anything changes.

Every refusal is a `CallRefused` with the canonical gRPC status name, what was found and what was expected.
A setting that this server does not implement is refused: a setting that is silently ignored would let a test pass
here and fail on the real service. Sizes are bytes, durations seconds.
"""

import re
from collections.abc import Iterable
from typing import Any

from features.errors import Refused

MAX_MESSAGE_BYTES = 10_000_000  # the service's quota is decimal: 10 MB a message and a publish request
MAX_PUBLISH_MESSAGES = 1_000
MAX_PULL_MESSAGES = 1_000
MAX_ATTRIBUTES = 100
MAX_ATTRIBUTE_KEY_BYTES = 256
MAX_ATTRIBUTE_VALUE_BYTES = 1_024
MAX_ORDERING_KEY_BYTES = 1_024
MAX_PAGE_SIZE = 1_000
ACK_DEADLINE_S = range(10, 601)
EXTENSION_S = range(601)  # ModifyAckDeadline; 0 hands the message back
DELIVERY_ATTEMPTS = range(5, 101)
BACKOFF_S = range(601)
DEFAULT_ACK_DEADLINE_S = 10
DEFAULT_DELIVERY_ATTEMPTS = 5

# Kept and returned, but nothing here acts on the last three: messages stay until they are acknowledged.
TOPIC_SETTINGS = {"name", "labels", "message_retention_duration"}
SUBSCRIPTION_SETTINGS = {
    "name",
    "topic",
    "ack_deadline_seconds",
    "enable_message_ordering",
    "dead_letter_policy",
    "retry_policy",
    "labels",
    "message_retention_duration",
    "expiration_policy",
}
FIXED_SETTINGS = {"name", "topic", "enable_message_ordering"}

_RESOURCE_ID = r"(?!goog)[A-Za-z][A-Za-z0-9\-_.~+%]{2,254}"
_NAME = {kind: re.compile(rf"projects/[^/\s]+/{kind}/{_RESOURCE_ID}") for kind in ("topics", "subscriptions")}
_PROJECT = re.compile(r"projects/[^/\s]+")


class CallRefused(Refused):
    """The call cannot be served; `status` is the canonical name of the gRPC status."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


def invalid(reason: str) -> CallRefused:
    """Return the refusal of an invalid argument."""
    return CallRefused("INVALID_ARGUMENT", reason)


def not_found(name: str) -> CallRefused:
    """Return the refusal of a name that does not exist."""
    return CallRefused("NOT_FOUND", f"Resource not found (resource={name}).")


def already_exists(name: str) -> CallRefused:
    """Return the refusal of a name that exists."""
    return CallRefused("ALREADY_EXISTS", f"Resource already exists in the project (resource={name}).")


def check_name(kind: str, name: str) -> None:
    """Refuse a name that the service would refuse; `kind` is 'topics' or 'subscriptions'."""
    if not _NAME[kind].fullmatch(name):
        raise invalid(
            f"Invalid [{kind}] name: (name={name}). Expected projects/PROJECT/{kind}/ID, where ID has 3 to 255 "
            "letters, digits or -_.~+%, starts with a letter and not with 'goog'."
        )


def check_project(name: str) -> None:
    """Refuse what is not projects/PROJECT."""
    if not _PROJECT.fullmatch(name):
        raise invalid(f"Invalid project name: (name={name}). Expected projects/PROJECT.")


def page(names: Iterable[str], size: int, token: str) -> tuple[list[str], str]:
    """Return a page of sorted names, and the token of the next ('' after the last): the last name of this page."""
    later = sorted(name for name in names if name > token)
    size = min(size, MAX_PAGE_SIZE) if size > 0 else MAX_PAGE_SIZE
    return later[:size], later[size - 1] if len(later) > size else ""


def check_between(setting: str, value: int, allowed: range) -> None:
    """Refuse a number of seconds out of its range."""
    if value not in allowed:
        raise invalid(f"{setting} is {value} s; it must be between {allowed[0]} and {allowed[-1]}.")


def check_settings(settings: Any, implemented: set[str]) -> None:
    """Refuse a topic or subscription with a field that this server does not implement."""
    for field, _ in settings.ListFields():
        if field.name not in implemented:
            raise CallRefused(
                "UNIMPLEMENTED",
                f"{settings.DESCRIPTOR.name}.{field.name} is not implemented by the local Pub/Sub server; "
                f"implemented are {', '.join(sorted(implemented))}.",
            )


def check_topic(topic: Any) -> None:
    """Refuse a topic with a wrong name or a setting that is not implemented."""
    check_name("topics", topic.name)
    check_settings(topic, TOPIC_SETTINGS)


def check_subscription(subscription: Any) -> None:
    """Refuse a subscription with a setting out of range or not implemented (after `with_defaults`)."""
    check_name("subscriptions", subscription.name)
    check_settings(subscription, SUBSCRIPTION_SETTINGS)
    check_between("ack_deadline_seconds", subscription.ack_deadline_seconds, ACK_DEADLINE_S)
    if subscription.HasField("dead_letter_policy"):
        _check_dead_letter_policy(subscription.dead_letter_policy)
    if subscription.HasField("retry_policy"):
        check_between("minimum_backoff", subscription.retry_policy.minimum_backoff.seconds, BACKOFF_S)
        check_between("maximum_backoff", subscription.retry_policy.maximum_backoff.seconds, BACKOFF_S)


def _check_dead_letter_policy(policy: Any) -> None:
    check_name("topics", policy.dead_letter_topic)
    if policy.max_delivery_attempts not in DELIVERY_ATTEMPTS:
        raise invalid(
            f"max_delivery_attempts is {policy.max_delivery_attempts}; it must be between "
            f"{DELIVERY_ATTEMPTS[0]} and {DELIVERY_ATTEMPTS[-1]}."
        )


def with_defaults(subscription: Any) -> Any:
    """Return a copy with the service's defaults where the caller left a number at zero."""
    full = type(subscription)()
    full.CopyFrom(subscription)
    full.ack_deadline_seconds = full.ack_deadline_seconds or DEFAULT_ACK_DEADLINE_S
    if full.HasField("dead_letter_policy"):
        policy = full.dead_letter_policy
        policy.max_delivery_attempts = policy.max_delivery_attempts or DEFAULT_DELIVERY_ATTEMPTS
    if full.HasField("retry_policy"):
        _default_backoff(full.retry_policy)
    return full


def _default_backoff(policy: Any) -> None:
    if not policy.HasField("minimum_backoff"):
        policy.minimum_backoff.seconds = 10
    if not policy.HasField("maximum_backoff"):
        policy.maximum_backoff.seconds = 600


def masked(current: Any, wanted: Any, paths: Iterable[str]) -> Any:
    """Return a copy of `current` with the fields of `paths` taken from `wanted`."""
    changed = type(current)()
    changed.CopyFrom(current)
    for path in _checked_paths(current, paths):
        changed.ClearField(path)
        if path in {field.name for field, _ in wanted.ListFields()}:
            _set_field(changed, wanted, path)
    return changed


def _checked_paths(resource: Any, paths: Iterable[str]) -> list[str]:
    checked = [path.partition(".")[0] for path in paths]
    if not checked:
        raise invalid("update_mask is empty; name the fields to change.")
    for path in checked:
        if path not in resource.DESCRIPTOR.fields_by_name or path in FIXED_SETTINGS:
            raise invalid(
                f"update_mask names {path!r}, which is no field of {resource.DESCRIPTOR.name} or is fixed."
            )
    return checked


def _set_field(changed: Any, wanted: Any, path: str) -> None:
    # Merging a copy that holds nothing else is the one way that serves scalars, messages and maps alike.
    only = type(wanted)()
    only.CopyFrom(wanted)
    for field, _ in wanted.ListFields():
        if field.name != path:
            only.ClearField(field.name)
    changed.MergeFrom(only)


def check_publish(messages: Any, request_bytes: int) -> None:
    """Refuse a publish request by its overall size; `check_message` does the rest, message by message."""
    if not messages:
        raise invalid("The publish request has no messages.")
    if len(messages) > MAX_PUBLISH_MESSAGES:
        raise invalid(
            f"The publish request has {len(messages)} messages; at most {MAX_PUBLISH_MESSAGES} are allowed."
        )
    if request_bytes > MAX_MESSAGE_BYTES:
        raise invalid(
            f"The publish request has {request_bytes} bytes; at most {MAX_MESSAGE_BYTES} are allowed."
        )


def check_message(index: int, message: Any, ordering_key: str) -> None:
    """Refuse one message of a publish request, whose first message has this ordering key."""
    attributes = message.attributes
    if attributes:
        _check_attributes(index, attributes)
    elif not message.data:
        raise invalid(f"messages[{index}] is empty; a message must have data or at least one attribute.")
    if message.ordering_key != ordering_key:
        raise invalid(
            f"messages[{index}] has another ordering key; a request's messages must have the same one."
        )
    if ordering_key and len(ordering_key.encode()) > MAX_ORDERING_KEY_BYTES:
        raise invalid(f"messages[{index}].ordering_key has more than {MAX_ORDERING_KEY_BYTES} bytes.")


def _check_attributes(index: int, attributes: Any) -> None:
    if len(attributes) > MAX_ATTRIBUTES:
        raise invalid(
            f"messages[{index}] has {len(attributes)} attributes; at most {MAX_ATTRIBUTES} are allowed."
        )
    for key, value in attributes.items():
        if not key or len(key.encode()) > MAX_ATTRIBUTE_KEY_BYTES:
            raise invalid(
                f"messages[{index}]: attribute key {key[:40]!r} must have 1 to {MAX_ATTRIBUTE_KEY_BYTES} bytes."
            )
        if len(value.encode()) > MAX_ATTRIBUTE_VALUE_BYTES:
            raise invalid(
                f"messages[{index}]: attribute {key!r} has more than {MAX_ATTRIBUTE_VALUE_BYTES} bytes."
            )
