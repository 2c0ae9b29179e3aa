"""The bank's own files, and what of them there would have been on a day. Days are texts, yymmdd, all of one century."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

SPLIT = "971001"  # the first day after what is learned from: 18 of the 30 bad loans were granted before
ANSWERS = ("label", "status_berka")  # columns of a loan that nobody knew on its date
LAST = "999999"
FILES = (
    ("account", "account.csv", ";"),
    ("transaction", "trans_test.csv", ";"),
    ("loan", "loan_test_labelled.csv", ","),
)

File = tuple[str, Path]  # an event type and a file of such events


@dataclass(frozen=True)
class Table:
    """A file with its rows as they stand, in file order."""

    separator: str
    header: list[str]
    rows: list[list[str]]

    def days(self) -> list[str]:
        return self.column("date")

    def column(self, name: str) -> list[str]:
        place = self.header.index(name)
        return [row[place] for row in self.rows]

    def between(self, first: str, end: str) -> "Table":
        """Write the rows from the day `first` to the day before `end`."""
        chosen = [row for row, day in zip(self.rows, self.days(), strict=True) if first <= day < end]
        return replace(self, rows=chosen)

    def without(self, names: Sequence[str]) -> "Table":
        kept = [place for place, name in enumerate(self.header) if name not in names]
        cut = ([row[place] for place in kept] for row in (self.header, *self.rows))
        return Table(self.separator, next(cut), list(cut))

    def write(self, path: Path) -> Path:
        with path.open("w", newline="", encoding="utf-8") as text:
            csv.writer(text, delimiter=self.separator).writerows([self.header, *self.rows])
        return path


Bank = dict[str, Table]  # by event type, in the order in which a day's files come


def load(folder: Path) -> Bank:
    return {event_type: _read(folder / name, separator) for event_type, name, separator in FILES}


def _read(path: Path, separator: str) -> Table:
    with path.open(newline="", encoding="utf-8") as text:
        header, *rows = csv.reader(text, delimiter=separator)
    return Table(separator, header, rows)


def before(bank: Bank, end: str, folder: Path) -> list[File]:
    """Write the rows up to the day before `end`, one file a kind."""
    folder.mkdir()
    return [(name, table.between("", end).write(folder / f"{name}.csv")) for name, table in bank.items()]


def parcels(bank: Bank, folder: Path) -> Iterator[File]:
    """All of it in the order of time: on each day with loans what came since the last, the day's loans at the end.

    Of the accounts all come first, and of the loans nothing that was not known on their date.
    """
    folder.mkdir()
    loans, done = bank["loan"].without(ANSWERS), ""
    yield "account", bank["account"].write(folder / "account.csv")
    for day in [*sorted(set(loans.days())), LAST]:
        for name, table in (("transaction", bank["transaction"]), ("loan", loans)):
            part = table.between(done, day + "~")
            if part.rows:
                yield name, part.write(folder / f"{day}-{name}.csv")
        done = day + "~"  # sorts right after the day
