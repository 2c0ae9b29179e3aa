"""Meanings of features as phrases that a sentence can go on from ("number of declined transactions in 7 days").

A `description` of the use case file takes the place of names: a field's ("amount in euros"), an aggregate's for its
events ("declined transactions"), that of a ratio, a difference or an attribute for the whole phrase.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

from features.kernel.plan import Statistic
from features.usecase.schema import Aggregate, Field

STATISTICS = {
    Statistic.COUNT: "number of {events}",
    Statistic.SUM: "total {value} of {events}",
    Statistic.MEAN: "mean {value} of {events}",
    Statistic.STD: "standard deviation of the {value} of {events}",
    Statistic.MIN: "smallest {value} of {events}",
    Statistic.MAX: "largest {value} of {events}",
    Statistic.DISTINCT: "number of different {distinct} of {events}",
    Statistic.LAST: "{value} of the latest of the {events}",
    Statistic.SINCE_LAST: "time since the latest of the {events}",
    Statistic.SINCE_FIRST: "time since the first of the {events}",
}
UNITS = {Statistic.SINCE_LAST: "seconds", Statistic.SINCE_FIRST: "seconds"}
SPANS = {"s": "second", "m": "minute", "h": "hour", "d": "day"}
DERIVED = {"hour": "hour (UTC)", "weekday": "weekday (0 is Monday)"}


class Side(NamedTuple):
    """One side of a ratio or a difference: its phrase without the window, and the window as the file has it."""

    words: str
    window: str = ""


def of_aggregate(statistic: Statistic, aggregate: Aggregate, fields: Mapping[str, Field]) -> str:
    """Return the phrase without the window. `fields` are those of the aggregate's event type."""
    return STATISTICS[statistic].format(
        events=events(aggregate),
        value=field(fields[aggregate.value]) if aggregate.value else "",
        distinct=field(fields[aggregate.distinct]) if aggregate.distinct else "",
    )


def events(aggregate: Aggregate) -> str:
    if aggregate.description:
        return aggregate.description
    where = ", ".join(condition.words for condition in aggregate.where)
    return f"{aggregate.event_type} events" + (f" ({where})" if where else "")


def field(found: Field) -> str:
    return found.description or DERIVED.get(found.name, found.name)


def during(words: str, window: str) -> str:
    """`ever` needs no words unless things are counted: a time since the first event has no other end."""
    if window == "ever":
        return f"{words} so far" if words.startswith("number of") else words
    return f"{words} in {span(window)}" if window else words


def span(window: str) -> str:
    """24h: 24 hours."""
    found = re.fullmatch(r"(\d+)([smhd])", window)
    if not found:
        return window
    return f"{found[1]} {SPANS[found[2]]}{'' if found[1] == '1' else 's'}"


def of_two(one: Side, link: str, other: Side, description: str, whose: str) -> str:
    """A ratio's or difference's; a window that both sides share, or the only one there is, comes at the end."""
    windows = {side.window for side in (one, other)}
    if description:
        named = windows - {""}
        return during(description + whose, named.pop() if len(named) == 1 else "")
    if len(windows) == 1:
        return during(f"{one.words} {link} {other.words}{whose}", windows.pop())
    return f"{during(one.words, one.window)} {link} {during(other.words, other.window)}{whose}"
