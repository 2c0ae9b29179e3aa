"""The expiry of records in a store, as far as the use case allows one."""

from datetime import timedelta

from features.usecase.file import UseCase

MILLISECOND = timedelta(milliseconds=1)


EXPIRY_SLACK = timedelta(days=31)  # the longest that Pub/Sub keeps a message before it arrives


def expiries_ms(use_case: UseCase) -> dict[str, int]:
    """Return by entity how long after its latest write the store may drop a record; 0 means never.

    By then the kernel begins a new record anyway, unless an event arrives later than EXPIRY_SLACK after it happened.
    """
    max_clock_skew_us = max(event_type.max_clock_skew_us for event_type in use_case.event_types.values())
    slack = EXPIRY_SLACK + timedelta(
        microseconds=max_clock_skew_us
    )  # events may lie that far ahead of the clock
    return {
        entity: (timedelta(microseconds=plan.forget_us) + slack) // MILLISECOND if plan.forget_us else 0
        for entity, plan in use_case.plans.items()
    }
