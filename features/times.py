"""Times: text to int64 microseconds since 1970 UTC. RFC 3339 is always read, other formats only as declared.

Times without an offset are read in the declared time zone. Nothing is guessed; years run from 1900 to 2261.
`read` takes one text; `read_all` takes many at once and leaves the unusual ones to `read`. A local time that a
change of clocks skips has the offset from before the change; a local time that comes twice means the first.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import TypeVar
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

NAIVE_EPOCH = datetime(1970, 1, 1)
EPOCH = NAIVE_EPOCH.replace(tzinfo=UTC)
FIRST_US = -2_208_988_800_000_000  # 1900-01-01
LAST_US = 9_214_646_400_000_000  # 2262-01-01; int64 nanoseconds of pandas and Arrow end that April
DAY_US = 86_400_000_000
NOT_READ = -(2**63)  # in read_all: use `read`
EPOCHS = {
    "epoch_s": 1,
    "epoch_ms": 1_000,
    "epoch_us": 1_000_000,
    "epoch_ns": 1_000_000_000,
}  # counts a second
COUNT = re.compile(r"(-?\d{1,19})(?:\.0+)?", re.ASCII)  # pandas writes 5.0 where a column has gaps
ISO_FORMS = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S")
ISO_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d):(\d\d)(\.\d+)?([Zz]|[-+]\d\d(?::?\d\d)?| UTC)?", re.ASCII
)
SHAPES = ("--T::", "-- ::")  # every third character of an ISO text from the fifth on
UNLIKE = "not YYYY-MM-DDTHH:MM:SS with an offset"
WORD = " UTC"
UTC_ENDINGS = ("UTC", "GMT", "Z")  # of a declared format: its times are in UTC, whatever the time zone
REMEMBERED_TIMES = 65_536  # strptime takes microseconds; dates repeat

Reader = Callable[[str], int]  # raises ValueError
_Int = TypeVar("_Int", np.int32, np.uint64)


@dataclass(frozen=True)
class Clock:
    """A reader of one event type's times."""

    read: Reader
    word_utc: bool  # may a text end in the word UTC
    zone: tzinfo  # of times without an offset
    epoch: str  # the declared one of EPOCHS, "" if there is none
    counts_first: bool  # digits alone are a count, whatever other formats there are

    def read_all(self, texts: list[str]) -> NDArray[np.int64]:
        """Return microseconds [n]; NOT_READ where only `read` can tell. Much faster than `read` text by text."""
        lengths = list(map(len, texts))
        if len(set(lengths)) == 1:
            return self._read_same(texts, lengths[0])
        times_us = np.full(len(texts), NOT_READ)
        array = np.array(lengths, dtype=np.int64)
        for length in set(lengths):
            rows = np.flatnonzero(array == length)
            times_us[rows] = self._read_same([texts[i] for i in rows.tolist()], length)
        return times_us

    def _read_same(self, texts: list[str], length: int) -> NDArray[np.int64]:
        """Read texts of one length; the first shows how they end."""
        suffix = WORD if self.word_utc and texts[0].endswith(WORD) else "Z"
        digits = length - len("YYYY-MM-DDTHH:MM:SS.") - len(suffix)
        if digits == -1 or 1 <= digits <= 6:
            return _read_layout(texts, length, suffix)
        if self.counts_first and 1 <= length <= 19:
            return _read_counts(texts, length, EPOCHS[self.epoch])
        return np.full(len(texts), NOT_READ)

    def instants(self, local_us: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return local times of the declared zone, in microseconds since 1970-01-01 00:00 there, as UTC."""
        if self.zone is UTC:
            return local_us
        seconds, rows = np.unique(local_us // 1_000_000, return_inverse=True)
        moments = [NAIVE_EPOCH + timedelta(seconds=second) for second in seconds.tolist()]
        offsets = [_offset_us(moment, self.zone) for moment in moments]
        return local_us - np.array(offsets, dtype=np.int64)[rows]


@lru_cache(maxsize=256)
def clock(formats: tuple[str, ...], timezone: str) -> Clock:
    """Return the clock for the formats that a file declares beside RFC 3339."""
    zone: tzinfo = UTC if timezone == "UTC" else ZoneInfo(timezone)
    plain = {f.replace(".%f", "") for f in formats}
    word_utc = any(form + WORD in plain for form in ISO_FORMS)
    naive = any(form in plain for form in ISO_FORMS)
    fast = _iso_reader(word_utc, zone if naive else None)
    slow = _format_reader(formats, zone)

    def read(text: str) -> int:
        try:
            return fast(text)
        except ValueError as error:
            return _otherwise(text, slow, error)

    epoch = next((form for form in formats if form in EPOCHS), "")
    return Clock(read if formats else fast, word_utc, zone, epoch, bool(epoch) and formats[0] == epoch)


def _otherwise(text: str, slow: Reader, error: ValueError) -> int:
    """Read a text by the declared formats; if none fits, raise what is wrong with it as RFC 3339."""
    try:
        return slow(text)
    except ValueError:
        if str(error) != UNLIKE:
            raise error from None
        raise


def _iso_reader(word_utc: bool, naive_zone: tzinfo | None) -> Reader:
    """Return a reader of RFC 3339; also with the word UTC, or without an offset, where a format declares it."""

    def read(text: str) -> int:
        plain = (
            text[:-1] if text[-1:] == "Z" else text[: -len(WORD)] if word_utc and text.endswith(WORD) else ""
        )
        if plain[4:17:3] in SHAPES and (len(plain) == 19 or (plain[19] == "." and plain[20:].isdigit())):
            try:  # the usual text, in half the time
                return _within(_microseconds(datetime.fromisoformat(plain) - NAIVE_EPOCH))
            except ValueError:
                pass
        parts = ISO_TIME.fullmatch(text)
        if parts is None or (parts[5] == WORD and not word_utc) or (parts[5] is None and naive_zone is None):
            raise ValueError(UNLIKE)
        day, minute, second, fraction, offset = parts.groups("")
        leap = second == "60"
        moment = datetime.fromisoformat(f"{day} {minute}:{'59' if leap else second}{fraction[:7]}")
        moved_us = _written_offset_us(offset) if offset else _offset_us(moment, naive_zone)
        time_us = _within(_microseconds(moment - NAIVE_EPOCH) - moved_us)
        return _after_leap(time_us) if leap else time_us

    return read


def _written_offset_us(text: str) -> int:
    if text in ("Z", "z", WORD):
        return 0
    hours, minutes = int(text[1:3]), int(text[3:].removeprefix(":") or 0)
    if hours > 23 or minutes > 59:
        raise ValueError(f"the offset {text} is not within -23:59 to +23:59")
    return (hours * 60 + minutes) * (-60_000_000 if text[0] == "-" else 60_000_000)


def _offset_us(moment: datetime, zone: tzinfo | None) -> int:
    """Return how far a naive moment of the zone is ahead of UTC."""
    assert zone is not None
    offset = moment.replace(tzinfo=zone).utcoffset()
    return 0 if offset is None else _microseconds(offset)


def _after_leap(time_us: int) -> int:
    """Return a leap second as POSIX counts it, the first second of the next day. `time_us` is one second before it."""
    after_us = time_us + 1_000_000
    day = EPOCH + timedelta(days=after_us // DAY_US)
    if after_us % DAY_US >= 1_000_000 or (day.month, day.day) not in ((1, 1), (7, 1)):
        raise ValueError("a leap second is 23:59:60 UTC at the end of June or December")
    return after_us


def _format_reader(formats: tuple[str, ...], zone: tzinfo) -> Reader:
    @lru_cache(maxsize=REMEMBERED_TIMES)
    def read(text: str) -> int:
        for form in formats:
            try:
                time_us = _count_us(text, EPOCHS[form]) if form in EPOCHS else _declared_us(text, form, zone)
            except ValueError:
                continue
            return _within(time_us)
        raise ValueError("no declared format fits")

    return read


def _count_us(text: str, per_second: int) -> int:
    parts = COUNT.fullmatch(text)
    if parts is None:
        raise ValueError("not a whole number")
    return int(parts[1]) * 1_000_000 // per_second


def _declared_us(text: str, form: str, zone: tzinfo) -> int:
    moment = parsed(text, form)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC if form.endswith(UTC_ENDINGS) else zone)
    return _microseconds(moment - EPOCH)


def parsed(text: str, form: str) -> datetime:
    """Read a text by a format of strptime, with the digits 0 to 9 only. Raises ValueError."""
    if not text.isascii() and any(letter.isdigit() for letter in text if not letter.isascii()):
        raise ValueError("expected the digits 0 to 9")
    return datetime.strptime(text, form)


def _microseconds(since: timedelta) -> int:
    return since.days * DAY_US + since.seconds * 1_000_000 + since.microseconds


def _within(time_us: int) -> int:
    if not FIRST_US <= time_us < LAST_US:
        raise ValueError("the year is not within 1900 to 2261")
    return time_us


@lru_cache(maxsize=64)
def _layout(length: int, suffix: str) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.uint8]]:
    """Return the positions of digits, those of other characters (the 10th aside), and these characters."""
    fraction = length - 20 - len(suffix)
    template = "0000-00-00?00:00:00" + ("." + "0" * fraction if fraction > 0 else "") + suffix
    expected = np.frombuffer(template.encode(), dtype=np.uint8)
    others = np.flatnonzero((expected != ord("0")) & (expected != ord("?")))
    return np.flatnonzero(expected == ord("0")), others, expected[others]


def _read_layout(texts: list[str], length: int, suffix: str) -> NDArray[np.int64]:
    """Read texts of one length that end in `suffix`, digit position by digit position."""
    at_digits, at_others, expected = _layout(length, suffix)
    letters = "".join(texts).encode()
    if len(letters) != length * len(texts):
        return np.full(len(texts), NOT_READ)  # not ASCII
    grid = np.ascontiguousarray(np.frombuffer(letters, dtype=np.uint8).reshape(-1, length).T)
    digits = grid[at_digits] - np.uint8(ord("0"))  # wraps below "0", so that one comparison finds all others
    good = (digits <= 9).all(axis=0) & (grid[at_others] == expected[:, None]).all(axis=0)
    good &= (grid[10] == ord("T")) | (grid[10] == ord(" "))
    wide = digits.astype(np.int32)
    year, month, day = _number(wide[0:4]), _number(wide[4:6]), _number(wide[6:8])
    hour, minute, second = _number(wide[8:10]), _number(wide[10:12]), _number(wide[12:14])
    micro = _number(wide[14:]) * 10 ** (6 - len(wide[14:]))
    months = np.where(good, (year - 1970) * 12 + month - 1, 0)
    first, following = _first_day(months), _first_day(months + 1)
    good &= (year >= 1900) & (year < 2262) & (month >= 1) & (month <= 12) & (day >= 1)
    good &= (day <= following - first) & (hour < 24) & (minute < 60) & (second < 60)
    seconds = (first + day - 1) * 86_400 + (hour * 3_600 + minute * 60 + second)
    return np.where(good, seconds * 1_000_000 + micro, NOT_READ)


def _read_counts(texts: list[str], length: int, per_second: int) -> NDArray[np.int64]:
    """Read counts of an epoch: texts of one length, at most 19 digits."""
    letters = "".join(texts).encode()
    if len(letters) != length * len(texts):
        return np.full(len(texts), NOT_READ)  # not ASCII
    digits = np.frombuffer(letters, dtype=np.uint8).reshape(-1, length).T - np.uint8(ord("0"))
    count = _number(digits.astype(np.uint64))
    good = (digits <= 9).all(axis=0) & (count < LAST_US // 1_000_000 * per_second)
    counts = np.where(good, count, 0).astype(np.int64)
    time_us = (
        counts * (1_000_000 // per_second) if per_second <= 1_000_000 else counts // (per_second // 1_000_000)
    )
    return np.where(good, time_us, NOT_READ)


def _number(digits: NDArray[_Int]) -> NDArray[_Int]:
    """Return the number that rows of digits write."""
    number = np.zeros(digits.shape[1], dtype=digits.dtype)
    for row in digits:
        number = number * 10 + row
    return number


def _first_day(months: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return the days since 1970 of the first day of a month counted from January 1970."""
    return months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)


def rfc3339(time_us: int) -> str:
    """Return the instant as RFC 3339 in UTC with microseconds, ending in Z."""
    seconds, fraction = divmod(time_us, 1_000_000)
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{fraction:06d}Z"


def rfc3339_all(times_us: NDArray[np.int64]) -> list[str]:
    """Return `rfc3339` of each time."""
    texts: list[str] = np.datetime_as_string(times_us.astype("M8[us]"), timezone="UTC").tolist()
    return texts
