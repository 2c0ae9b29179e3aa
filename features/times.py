"""Text to int64 microseconds since 1970 UTC: RFC 3339 always, other formats only as declared.

Times without an offset are read in the declared time zone. Nothing is guessed; years run from 1900 to 2261.
`read` takes one text; `read_all` takes many at once and leaves the unusual ones to `read`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NAIVE_EPOCH = datetime(1970, 1, 1)  # the same instant for texts that end in the word UTC
FIRST_US = -2_208_988_800_000_000  # 1900-01-01
LAST_US = 9_214_646_400_000_000  # 2262-01-01; int64 nanoseconds of pandas and Arrow end that April
NOT_READ = -(2**63)  # in read_all: use `read`
ISO_FORMS = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S")
SHAPES = ("--T::", "-- ::", "--t::")  # every third character of an ISO text from the fifth on
WORD = " UTC"
REMEMBERED_TIMES = 65_536  # strptime takes microseconds; dates repeat

Reader = Callable[[str], int]  # raises ValueError


@dataclass(frozen=True)
class Clock:
    """What reads one event type's times."""

    read: Reader
    word_utc: bool  # may a text end in the word UTC

    def read_all(self, texts: list[str]) -> NDArray[np.int64]:
        """Microseconds; NOT_READ where only `read` can tell. Much faster than `read` text by text."""
        lengths = list(map(len, texts))
        if len(set(lengths)) == 1:
            return self._read_same(texts, lengths[0])
        found = np.full(len(texts), NOT_READ)
        array = np.array(lengths, dtype=np.int64)
        for length in set(lengths):
            rows = np.flatnonzero(array == length)
            found[rows] = self._read_same([texts[i] for i in rows.tolist()], length)
        return found

    def _read_same(self, texts: list[str], length: int) -> NDArray[np.int64]:
        """Texts of one length; the first shows how they end."""
        suffix = WORD if self.word_utc and texts[0].endswith(WORD) else "Z"
        digits = length - len("YYYY-MM-DDTHH:MM:SS.") - len(suffix)
        if digits == -1 or 1 <= digits <= 6:
            return _read_layout(texts, length, suffix)
        return np.full(len(texts), NOT_READ)


@lru_cache(maxsize=256)
def clock(formats: tuple[str, ...], timezone: str) -> Clock:
    """The clock for the formats a file declares beside RFC 3339."""
    zone: tzinfo = UTC if timezone == "UTC" else ZoneInfo(timezone)
    plain = {f.replace(".%f", "") for f in formats}
    word_utc = any(form + WORD in plain for form in ISO_FORMS)
    naive = any(form in plain for form in ISO_FORMS)
    fast = _iso_reader(word_utc, zone if naive else None)
    slow = _format_reader(formats, zone)

    def read(text: str) -> int:
        try:
            return fast(text)
        except ValueError:
            return slow(text)

    return Clock(read if formats else fast, word_utc)


def _iso_reader(word_utc: bool, naive_zone: tzinfo | None) -> Reader:
    """RFC 3339; also with the word UTC, or without an offset, where a format declares it."""

    def read(text: str) -> int:
        if text[4:17:3] not in SHAPES or text[19:20] == ",":
            raise ValueError("not YYYY-MM-DDTHH:MM:SS with an offset")
        try:
            if word_utc and text[-4:] == WORD:
                since = datetime.fromisoformat(text[:-4]) - NAIVE_EPOCH
            else:
                moment = datetime.fromisoformat(text)
                if moment.tzinfo is None:
                    moment = moment.replace(tzinfo=naive_zone)
                since = moment - EPOCH
        except TypeError:
            raise ValueError("an offset where none may be, or none where one must be") from None
        time_us = since.days * 86_400_000_000 + since.seconds * 1_000_000 + since.microseconds
        if FIRST_US <= time_us < LAST_US:
            return time_us
        raise ValueError("the year is not within 1900 to 2261")

    return read


def _format_reader(formats: tuple[str, ...], zone: tzinfo) -> Reader:
    @lru_cache(maxsize=REMEMBERED_TIMES)
    def read(text: str) -> int:
        for form in formats:
            try:
                moment = datetime.strptime(text, form)
            except ValueError:
                continue
            return _microseconds(moment if moment.tzinfo else moment.replace(tzinfo=zone))
        raise ValueError("no declared format fits")

    return read


def _microseconds(moment: datetime) -> int:
    since = moment - EPOCH
    time_us = since.days * 86_400_000_000 + since.seconds * 1_000_000 + since.microseconds
    if not FIRST_US <= time_us < LAST_US:
        raise ValueError("the year is not within 1900 to 2261")
    return time_us


@lru_cache(maxsize=64)
def _layout(length: int, suffix: str) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.uint8]]:
    """Positions of digits, positions of other characters (the 10th aside), and what those must be."""
    fraction = length - 20 - len(suffix)
    template = "0000-00-00?00:00:00" + ("." + "0" * fraction if fraction > 0 else "") + suffix
    expected = np.frombuffer(template.encode(), dtype=np.uint8)
    others = np.flatnonzero((expected != ord("0")) & (expected != ord("?")))
    return np.flatnonzero(expected == ord("0")), others, expected[others]


def _read_layout(texts: list[str], length: int, suffix: str) -> NDArray[np.int64]:
    """Texts of one length that end in `suffix`, digit position by digit position."""
    at_digits, at_others, expected = _layout(length, suffix)
    letters = "".join(texts).encode()
    if len(letters) != length * len(texts):
        return np.full(len(texts), NOT_READ)  # not ASCII
    grid = np.ascontiguousarray(np.frombuffer(letters, dtype=np.uint8).reshape(-1, length).T)
    digits = grid[at_digits] - np.uint8(ord("0"))  # wraps below "0", so that one comparison finds all others
    good = (digits <= 9).all(axis=0) & (grid[at_others] == expected[:, None]).all(axis=0)
    good &= (grid[10] == ord("T")) | (grid[10] == ord(" "))
    wide = digits.astype(np.int32)
    year, month, day = _whole(wide[0:4]), _whole(wide[4:6]), _whole(wide[6:8])
    hour, minute, second = _whole(wide[8:10]), _whole(wide[10:12]), _whole(wide[12:14])
    micro = _whole(wide[14:]) * 10 ** (6 - len(wide[14:]))
    months = np.where(good, (year - 1970) * 12 + month - 1, 0)
    first, following = _first_day(months), _first_day(months + 1)
    good &= (year >= 1900) & (year < 2262) & (month >= 1) & (month <= 12) & (day >= 1)
    good &= (day <= following - first) & (hour < 24) & (minute < 60) & (second < 60)
    seconds = (first + day - 1) * 86_400 + (hour * 3_600 + minute * 60 + second)
    return np.where(good, seconds * 1_000_000 + micro, NOT_READ)


def _whole(digits: NDArray[np.int32]) -> NDArray[np.int32]:
    """The number written by rows of digits."""
    number = np.zeros(digits.shape[1], dtype=np.int32)
    for row in digits:
        number = number * 10 + row
    return number


def _first_day(months: NDArray[np.int32]) -> NDArray[np.int64]:
    """Days since 1970 of the first day of a month counted from January 1970."""
    return months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)


def rfc3339(time_us: int) -> str:
    """The instant as RFC 3339 in UTC with microseconds, ending in Z."""
    seconds, fraction = divmod(time_us, 1_000_000)
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{fraction:06d}Z"
