"""The kind of field that a column makes: its type, its formats, its vocabulary and its tokens for missing values."""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from features.times import FIRST_US, clock
from features.usecase import Kind
from training.draft.reading import BOOLEAN, DATE, INTEGER, JSON_TEXT, TEXT, TIME, Column

MISSING_WORDS = frozenset({"N/A", "n/a", "#N/A", "NULL", "null", "NaN", "nan", "None", "none"})
MISSING_AMONG_NUMBERS = MISSING_WORDS | {"NA", "na", "-", "--", "?", "."}
WORDS_OF_TRUTH = (("true", "false"), ("yes", "no"), ("y", "n"), ("t", "f"), ("si", "no"), ("ja", "nein"))
MAX_LETTERS = 40  # of a value of a category
MAX_CATEGORIES = 20  # more values are a text; its values can be counted, not listed
ROWS_A_CATEGORY = 5  # fewer rows for each value, and the values are not a vocabulary
TRIED_TEXTS = 5_000  # different texts that a format of times is tried on
WHOLE = re.compile(r"[-+]?\d{1,15}", re.ASCII)
LEADING_ZERO = re.compile(r"[-+]?0\d+", re.ASCII)
IDENTIFIER = re.compile(
    r"(^|_|\b)(id|ids|uuid|guid|key|code|iban|phone|zip|postal|postcode|account|card)(_|\b|$)"
    r"|_(no|nr|num|number)$|(?-i:[a-z]Id$)",
    re.I,
)
BIRTH = re.compile(r"birth|born|dob", re.I)
TIMELY = re.compile(r"(date|time|day|_at$|^at$|_on$|timestamp|^ts$|_ts$|fecha|datum|moment|when)", re.I)
DAY_FORMS = ("%Y-%m-%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%Y/%m/%d", "%d-%m-%Y", "%Y%m%d", "%y%m%d")
ISO_DATE = "%Y-%m-%d"
NO_FORM = "none"
DIGITS_ONLY = ("%Y%m%d", "%y%m%d")  # believed only where the column's name speaks of a time
CLOCK_FORMS = (" %H:%M:%S", " %H:%M", " %H:%M:%S.%f", " %H:%M:%S UTC", " %H:%M:%S.%f UTC")
EPOCH_LENGTHS = {
    10: "epoch_s",
    13: "epoch_ms",
    16: "epoch_us",
    19: "epoch_ns",
}  # digits of a count since 2001


@dataclass(frozen=True)
class Guess:
    """Content of a column. `form` is the format of a time or a date, "" for RFC 3339."""

    column: Column
    kind: Kind
    optional: bool
    values: tuple[str, ...] = ()
    form: str = ""
    has_clock: bool = False  # the times are finer than days
    missing: tuple[str, ...] = ()
    true: tuple[str, ...] = ()
    false: tuple[str, ...] = ()
    doubt: str = ""  # what the author should check

    @property
    def is_numeric(self) -> bool:
        return self.kind in (Kind.NUMBER, Kind.INTEGER)


def guess(column: Column, decimal: str = ".") -> Guess:
    """Return what a column holds, with `decimal` before the decimals of numbers in text."""
    counts = Counter(column.values)
    blank = counts.pop("", 0) > 0
    if column.stored == JSON_TEXT and (texts := list(counts)):
        made = _time(column, texts, counts, decimal) or _category(column, texts, counts, decimal)
        is_taken = made is not None and (made.kind is not Kind.DATE or made.form == ISO_DATE)
        return replace(made, optional=blank) if made and is_taken else Guess(column, Kind.STRING, blank)
    if column.stored not in (TEXT, JSON_TEXT):
        return _typed(column, blank, counts)
    for missing in (MISSING_AMONG_NUMBERS, MISSING_WORDS):
        words = sorted(missing & counts.keys())
        texts = [text for text in counts if text not in words]
        if not texts:
            return Guess(column, Kind.STRING, True, missing=tuple(words), doubt="it is always empty")
        for reading in (_truth, _time, _number) if missing is MISSING_AMONG_NUMBERS else (_category, _string):
            if made := reading(column, texts, counts, decimal):
                is_optional = blank or bool(words) or made.optional
                return replace(made, optional=is_optional, missing=tuple(words))
    raise AssertionError("every column is a text at last")


def decimal_sign(columns: Sequence[Column], separator: str) -> str:
    """Return the sign before decimals: a comma where a column has numbers with a comma and none has a point."""
    texts = [set(c.values) - {""} - MISSING_AMONG_NUMBERS for c in columns]
    with_comma = sum(bool(t) and _are_numbers(t, ",") and any("," in each for each in t) for t in texts)
    with_point = sum(bool(t) and _are_numbers(t, ".") and any("." in each for each in t) for t in texts)
    return "," if with_comma > with_point and separator != "," else "."


def _typed(column: Column, blank: bool, counts: Counter[str]) -> Guess:
    """A column whose type the file knows."""
    if column.stored == BOOLEAN:
        return Guess(column, Kind.BOOLEAN, blank)
    if column.stored == TIME:
        return Guess(column, Kind.TIME, blank, has_clock=True)
    if column.stored == DATE:
        return Guess(column, Kind.DATE, blank, form=ISO_DATE)
    if column.stored == INTEGER and TIMELY.search(column.name) and (form := _epoch(list(counts))):
        return Guess(column, Kind.TIME, blank, form=form, has_clock=True)
    return Guess(column, Kind.INTEGER if column.stored == INTEGER else Kind.NUMBER, blank)


def _truth(column: Column, texts: list[str], _counts: Counter[str], _decimal: str) -> Guess | None:
    words = {text.lower() for text in texts}
    for yes, no in WORDS_OF_TRUTH:
        if words == {yes, no} or (words < {yes, no} and yes == "true"):
            true, false = (tuple(sorted(t for t in texts if t.lower() == word)) for word in (yes, no))
            return Guess(column, Kind.BOOLEAN, False, true=true, false=false)
    return None


def _number(column: Column, texts: list[str], _counts: Counter[str], decimal: str) -> Guess | None:
    if not _are_numbers(texts, decimal):
        return None
    if all(map(WHOLE.fullmatch, texts)):
        if any(map(LEADING_ZERO.fullmatch, texts)) or IDENTIFIER.search(column.name):
            return Guess(column, Kind.STRING, False)
        return Guess(column, Kind.INTEGER, False)
    return Guess(column, Kind.NUMBER, False)


def _are_numbers(texts: Collection[str], decimal: str) -> bool:
    number = re.compile(
        rf"[-+]?(\d+({re.escape(decimal)}\d*)?|{re.escape(decimal)}\d+)([eE][-+]?\d+)?", re.ASCII
    )
    return all(map(number.fullmatch, texts))


def _category(column: Column, texts: list[str], counts: Counter[str], _decimal: str) -> Guess | None:
    rows = sum(counts[text] for text in texts)
    is_listed = len(texts) <= MAX_CATEGORIES and rows >= ROWS_A_CATEGORY * len(texts)
    if not is_listed or IDENTIFIER.search(column.name) or max(map(len, texts)) > MAX_LETTERS:
        return None
    values = tuple(sorted(texts, key=lambda text: (-counts[text], text)))
    odd = [value for value in values if value in MISSING_AMONG_NUMBERS]
    doubt = f"{' and '.join(odd)} may stand for a missing value (missing_values)" if odd else ""
    return Guess(column, Kind.CATEGORY, False, values, doubt=doubt)


def _string(column: Column, _texts: list[str], _counts: Counter[str], _decimal: str) -> Guess:
    return Guess(column, Kind.STRING, False)


def _time(column: Column, texts: list[str], _counts: Counter[str], _decimal: str) -> Guess | None:
    tried = texts[:TRIED_TEXTS]
    if all(map(WHOLE.fullmatch, tried)):
        if not TIMELY.search(column.name):
            return None
        if form := _epoch(tried):
            return Guess(column, Kind.TIME, False, form=form, has_clock=True)
    elif not any(text[:1].isdigit() for text in tried):
        return None
    form = next((form for form in _forms() if _fits(form, tried) and _fits(form, texts)), NO_FORM)
    if form == NO_FORM:
        return None
    american = form.replace("%d/%m", "%m/%d")
    doubt = (
        f"{form} and {american} both fit all its values"
        if american != form and _fits(american, texts)
        else ""
    )
    has_clock = not form or "%H" in form
    return Guess(
        column, Kind.TIME if has_clock else Kind.DATE, False, form=form, has_clock=has_clock, doubt=doubt
    )


def _forms() -> Iterator[str]:
    yield ""  # RFC 3339
    for day in DAY_FORMS:
        yield from (day + time for time in CLOCK_FORMS if day not in DIGITS_ONLY)
        if day == "%Y-%m-%d":
            yield from ("%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S.%f")
        yield day


def _fits(form: str, texts: list[str]) -> bool:
    read: Callable[[str], int] = clock((form,) if form else (), "UTC").read
    if form in DIGITS_ONLY and any(len(text) != (8 if form == "%Y%m%d" else 6) for text in texts):
        return False
    try:
        return all(read(text) >= FIRST_US for text in texts)
    except ValueError:
        return False


def _epoch(texts: list[str]) -> str:
    """The unit of counts since 1970 that all lie between 2001 and 2286; empty if they are none."""
    lengths = {len(text) for text in texts}
    return EPOCH_LENGTHS.get(lengths.pop(), "") if len(lengths) == 1 else ""
