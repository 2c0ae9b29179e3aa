"""Overrides over HTTP: one that has expired is refused, unless the caller says that it withdraws another.

In the stream an override that ends before its own event withdraws the one in force. A caller may as well have mistaken
the year, so over HTTP the withdrawal must be explicit. Times are int64 microseconds since 1970 UTC.
"""

from features.events import BadEvent, Event, event_time_us, known_codec
from features.times import rfc3339
from features.usecase import UseCase


def refuse_over(use_case: UseCase, event_type: str, event: Event, now_us: int, withdraw: bool) -> None:
    """Refuse an override that has expired or, with `withdraw`, one that has not. Raises BadEvent."""
    known = known_codec(use_case, event_type)
    override, time_us = known.event_type.override, event_time_us(event)
    if override is None:
        raise ValueError(f"{event_type} is no override")
    until = known.getters[override.until](event)
    until_us = known.clock.read(until)
    if withdraw and until_us > time_us:
        expected = (
            f"expected a time not after the event's, {rfc3339(time_us)}, to withdraw the override in force"
        )
        raise BadEvent(
            "invalid", f"{override.until}: found {until!r}, {expected}; or leave withdraw=true out"
        )
    if not withdraw and until_us <= max(time_us, now_us):
        over = f"is over already, at {rfc3339(max(time_us, now_us))}"
        raise BadEvent(
            "invalid", f"{override.until}: {until!r} {over}; withdraw=true withdraws the override in force"
        )


def author_of(use_case: UseCase, event_type: str, event: Event) -> str | None:
    """Return the author of an override; None for any other event."""
    known = known_codec(use_case, event_type)
    override = known.event_type.override
    return str(known.getters[override.author](event)) if override else None
