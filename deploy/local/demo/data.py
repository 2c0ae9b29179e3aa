"""The data of the demo: synthetic customers of two periods, to learn from and to stream, and unusable messages.

The stream is as dirty as real ones: duplicates, rows out of order, repeated profiles.
"""

import csv
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import islice
from math import ceil
from pathlib import Path

import msgspec

from features.times import rfc3339
from pipeline.pubsub.client import Publication
from training.generate import Dirt, generate
from training.generate.calendar import midnight_us

STREAM_START = date(2024, 7, 1)
HISTORY_DAYS = 30  # before the stream starts, of other customers
HISTORY_CUSTOMERS = (300, 1_500)  # as many as are streamed, within these bounds
HISTORY_SEED, STREAM_SEED = 1, 2
EVENTS_PER_CUSTOMER_DAY = 0.5  # at least; surplus events are cut off
DIRT = Dirt(duplicate_rows=0.02, late_rows=0.01, repeated_users=0.05)
USERS, TRANSACTIONS, ASKED = "users.csv", "transactions.csv", "asked.csv"
MOST_ASKED = 300  # one after the other, some milliseconds each
PUBLISHED_AT_ONCE_US = 1_000_000  # profiles come this long before the first transaction


@dataclass(frozen=True)
class StreamFiles:
    """The files to publish: profiles, dated `profiles_us`, and `rows` transactions.

    The last transactions, in `asked`, go to the REST service instead.
    """

    users: Path
    transactions: Path
    asked: Path
    rows: int
    profiles_us: int


def make_history(folder: Path, customers: int) -> list[Path]:
    """Write the files to learn from, and return their paths."""
    fewest, most = HISTORY_CUSTOMERS
    start = STREAM_START - timedelta(days=HISTORY_DAYS)
    generate(min(max(customers, fewest), most), HISTORY_DAYS, HISTORY_SEED, folder, start=start)
    return [folder / USERS, folder / TRANSACTIONS]


def make_stream(folder: Path, customers: int, events: int) -> StreamFiles:
    """Write the files to publish, with at most `events` transactions."""
    whole = folder / "whole"
    folder.mkdir(parents=True, exist_ok=True)
    generate(customers, ceil(events / customers / EVENTS_PER_CUSTOMER_DAY), STREAM_SEED, whole,
             dirt=DIRT, start=STREAM_START)  # fmt: skip
    with (whole / TRANSACTIONS).open() as file:
        titles, *rows = islice(file, events + 1)
    published = len(rows) - min(MOST_ASKED, len(rows) // 10)
    (folder / TRANSACTIONS).write_text("".join([titles, *rows[:published]]))
    (folder / ASKED).write_text("".join([titles, *rows[published:]]))
    profiles_us = midnight_us(STREAM_START) - PUBLISHED_AT_ONCE_US
    return StreamFiles(whole / USERS, folder / TRANSACTIONS, folder / ASKED, published, profiles_us)


def bad_messages(stream: StreamFiles) -> list[Publication]:
    """Return unusable messages for every reason, made from a row of the busiest customer."""
    with stream.transactions.open(newline="") as file:
        rows = list(csv.DictReader(file))
    counts: dict[str, int] = {}
    for row in rows:
        counts[row["user_id"]] = counts.get(row["user_id"], 0) + 1
    busiest = max(counts, key=lambda user: counts[user])
    first = next(row for row in rows if row["user_id"] == busiest)
    good: dict[str, object] = {name: value for name, value in first.items() if value}
    good["amount"] = float(first["amount"])
    future = "2099-01-01 00:00:00.000000 UTC"
    transactions = [
        good | {"state": "COMPLETE"},
        good | {"amount": -12.5},
        good | {"amount": "12.50"},
        good | {"created_at": "yesterday", "completed_at": "yesterday"},
        {name: value for name, value in good.items() if name != "user_id"},
        good | {"id": "from-2099", "created_at": future, "completed_at": future},
        good | {"id": "weeks-late-1"},  # the customer's record has long closed over that time
        good | {"id": "weeks-late-2"},
    ]
    bodies = [msgspec.json.encode(each) for each in transactions]
    bodies += [b"hello?", bodies[0][:80], b"\xff\xfe\x00"]
    attributes = {"event_type": "transaction"}
    return [*(Publication(body, attributes) for body in bodies), Publication(b"{}", {"event_type": "trade"})]


def override(customer: str, now_us: int) -> Publication:
    """Return an analyst's override of a customer's level, dated in the time of the stream."""
    body = {
        "user_id": customer,
        "level": "LOW",
        "author": "analyst@bank.example",
        "reason": "source of funds was shown",
        "expires_at": rfc3339(now_us + timedelta(days=30) // timedelta(microseconds=1)),
    }
    attributes = {"event_type": "override", "event_time": rfc3339(now_us)}
    return Publication(msgspec.json.encode(body), attributes)
