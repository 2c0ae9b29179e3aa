"""Patterns for JSON Schema: times, dates and texts that are not blank.

A pattern allows nothing that is refused. At the edges it is stricter than the decoder, which accepts a leap second, an
offset without a colon, and some years before the first and after the last of the pattern. ECMA 262 and Python share
the syntax.
"""

import re

from features.usecase import EventType, Field, Kind

BLANKS = r"\s\u001c-\u001f\u0085\ufeff"  # blank for Python or for JavaScript
NOT_BLANK = f"[^{BLANKS}]"
_DAY = "(0[1-9]|1[0-9]|2[0-8])"
_MONTH_DAY = (
    f"((0[1-9]|1[0-2])-{_DAY}|(0[13-9]|1[0-2])-(29|30)|(0[13578]|1[02])-31)"  # but for the 29th of February
)
_LEAP = "(0[48]|[2468][048]|[13579][26])"  # of hundred years, without the first
_YEAR = "(190[1-9]|19[1-9][0-9]|2[01][0-9]{2}|22[0-5][0-9])"
_LEAP_YEAR = f"((19|2[01]){_LEAP}|2000|22(0[48]|[24][048]|[135][26]))"
_CLOCK = "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
_FRACTION = r"\.[0-9]{1,6}"
_ANY_YEAR = "([1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])"
DAY = f"({_YEAR}-{_MONTH_DAY}|{_LEAP_YEAR}-02-29)"  # of a time: of 1901 to 2259
DATE = f"({_ANY_YEAR}-{_MONTH_DAY}|([0-9]{{2}}{_LEAP}|{_LEAP}00)-02-29)"
OFFSET = "(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"
RFC3339 = f"{DAY}T{_CLOCK}({_FRACTION})?{OFFSET}"
DIRECTIVES = {
    "%Y-%m-%d": DAY,
    "%H:%M:%S": _CLOCK,
    ".%f": _FRACTION,
    "%y%m%d": "[0-9]{2}(0[1-9]|1[0-2])" + _DAY,
}


def whole(pattern: str, or_empty: bool = False) -> str:
    """Return the pattern of a complete text."""
    return f"^({pattern}){'?' if or_empty else ''}$"


def pattern_of(f: Field, event_type: EventType) -> str | None:
    """Return the pattern of a field's texts; None if any text is accepted, or no pattern is known."""
    if f.kind is Kind.STRING and not f.optional:
        return NOT_BLANK  # blanks around a text are no part of it
    if f.kind is Kind.DATE:
        return whole(DATE, f.optional)
    if f.kind is Kind.TIME:
        declared = [written(form) for form in event_type.time_format if form.startswith("%")]
        return None if None in declared else whole("|".join([RFC3339, *filter(None, declared)]), f.optional)
    return None


def written(form: str) -> str | None:
    """Return the pattern of a declared time format; None if it has an unknown directive."""
    parts = re.split(f"({'|'.join(map(re.escape, DIRECTIVES))})", form)
    if any("%" in part for part in parts[::2]):
        return None
    return "".join(DIRECTIVES.get(part) or re.sub(r"([.+*?()\\[\]{}|^$/])", r"\\\1", part) for part in parts)
