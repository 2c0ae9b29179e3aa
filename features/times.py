"""Text to int64 microseconds since 1970 UTC: RFC 3339 always, other formats only as declared.

Times without an offset are read in the declared time zone. Nothing is guessed; years run from 1900 to 2262.
"""

from collections.abc import Callable
from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NAIVE_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - the same instant for texts that end in the word UTC
FIRST_US = -2_208_988_800_000_000  # 1900-01-01
LAST_US = 9_214_646_400_000_000  # 2262-01-01; int64 nanoseconds of pandas and Arrow end that April
ISO_FORMS = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S")
REMEMBERED_TIMES = 65_536  # strptime takes microseconds; dates repeat

Reader = Callable[[str], int]  # raises ValueError


@lru_cache(maxsize=256)
def reader(formats: tuple[str, ...], timezone: str) -> Reader:
    """The function that reads one event type's times."""
    zone = UTC if timezone == "UTC" else ZoneInfo(timezone)
    iso = {f.replace(".%f", "") for f in formats}
    word_utc = any(form + " UTC" in iso for form in ISO_FORMS)
    naive = any(form in iso for form in ISO_FORMS)
    fast = _iso_reader(word_utc, zone if naive else None)
    slow = _format_reader(formats, zone)

    def read(text: str) -> int:
        try:
            return fast(text)
        except ValueError:
            return slow(text)

    return read if formats else fast


def _iso_reader(word_utc: bool, naive_zone: tzinfo | None) -> Reader:
    """RFC 3339; also with the word UTC, or without an offset, where a format declares it."""

    def read(text: str) -> int:
        if len(text) < 19 or text[4] != "-" or text[7] != "-" or text[13] != ":" or text[16] != ":":
            raise ValueError("not YYYY-MM-DDTHH:MM:SS with an offset")
        if word_utc and text[-4:] == " UTC":
            since = datetime.fromisoformat(text[:-4]) - NAIVE_EPOCH  # TypeError if it has an offset too
        else:
            moment = datetime.fromisoformat(text)
            if moment.tzinfo is None:
                if naive_zone is None:
                    raise ValueError("no offset from UTC")
                moment = moment.replace(tzinfo=naive_zone)
            since = moment - EPOCH
        time_us = since.days * 86_400_000_000 + since.seconds * 1_000_000 + since.microseconds
        if FIRST_US <= time_us < LAST_US and text[10] in "T t" and "," not in text:
            return time_us
        raise ValueError("the year is not within 1900 to 2261")

    def strict(text: str) -> int:
        try:
            return read(text)
        except (TypeError, OverflowError) as error:
            raise ValueError(str(error)) from None

    return strict if word_utc else read


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


def rfc3339(time_us: int) -> str:
    """The instant as RFC 3339 in UTC with microseconds, ending in Z."""
    seconds, fraction = divmod(time_us, 1_000_000)
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{fraction:06d}Z"
