"""Roles of columns: the customer, the id and the time of an event, and the label.

A role that the author names is taken. One that only one column can have is assumed, and the assumption is listed.
Where several could, or none, `CannotDraft` says which flag decides.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from features.errors import BadInput
from features.usecase import Kind
from training.draft.kinds import BIRTH, IDENTIFIER, Guess
from training.draft.reading import Sample

SUBJECT = re.compile(
    r"(id_?)?(customer|client|user|account|member|player|subscriber|borrower|applicant|cust|acct|person)"
    r"(_?(id|no|nr|number|key|uuid|code))?",
    re.I,
)
LABEL = re.compile(
    r"(is_?)?(label|target|fraud|fraude|fraudulent|default|defaulted|churn|churned|suspended|chargeback|bad|class|"
    r"tx_fraud|outcome)(_?(flag|label))?",
    re.I,
)
POSITIVE = ("1", "true", "yes", "y", "t", "si", "ja", "fraud", "bad", "default", "suspended", "churned")
KEYS = frozenset({Kind.STRING, Kind.INTEGER, Kind.CATEGORY})


class CannotDraft(BadInput):
    """The data do not say what a column is for, or a flag names what is not there; the message names the flag."""


@dataclass(frozen=True)
class Asked:
    """The roles that the author names: columns as `column` or `type.column`."""

    subject: str = ""
    id: tuple[str, ...] = ()
    time: tuple[str, ...] = ()
    label: str = ""  # COLUMN, or COLUMN=VALUE with the positive value


@dataclass(frozen=True)
class File:
    """One file of the draft: its event type and what its columns hold, by field."""

    sample: Sample
    event_type: str
    guesses: Mapping[str, Guess]  # by field

    def find(self, name: str) -> str:
        """The field that `column` or `type.column` names here; empty if it names none."""
        kind, _, column = name.rpartition(".")
        if kind not in ("", self.event_type):
            kind, column = "", name
        if kind not in ("", self.event_type):
            return ""
        return next((f for f, g in self.guesses.items() if column in (f, g.column.name)), "")


@dataclass
class Roles:
    """The chosen fields, by event type where each has its own, and what was assumed on the way."""

    subject: dict[str, str] = field(default_factory=dict)
    id: dict[str, tuple[str, ...]] = field(default_factory=dict)  # empty: the whole event
    time: dict[str, str] = field(default_factory=dict)  # empty: the publish time
    label: tuple[str, str] | None = None  # event type, field
    positive: str = ""
    assumed: list[str] = field(default_factory=list)


def roles(files: Sequence[File], asked: Asked) -> Roles:
    """Return the roles of all columns. Raises CannotDraft."""
    chosen = Roles()
    _choose_subject(files, asked, chosen)
    _choose_label(files, asked, chosen)
    for file in files:
        _choose_id(file, asked, chosen)
        _choose_time(file, asked, chosen)
    for flag, names in (("--id", asked.id), ("--time", asked.time)):
        for name in names:
            if not any(file.find(name) for file in files):
                raise CannotDraft(f"{flag} {name}: no file has such a column; found {_columns(files)}")
    if not any(chosen.time.values()):
        raise CannotDraft(
            "no column could be read as a time, and features need one: name it with --time; times are read in RFC 3339 "
            f"and in the usual formats of dates; found {_columns(files)}"
        )
    return chosen


def _columns(files: Iterable[File]) -> str:
    return "; ".join(f"{file.event_type}: {', '.join(file.guesses)}" for file in files)


def _choose_subject(files: Sequence[File], asked: Asked, chosen: Roles) -> None:
    """One column that every file has; the events of one value of it make one customer's history."""
    names = [asked.subject] if asked.subject else _subjects(files)
    if len(names) != 1:
        several = f"several columns could name the customer ({', '.join(names)})"
        raise CannotDraft(
            f"{several if names else 'no column of all files looks like the id of a customer'}: "
            f"choose one with --subject; found {_columns(files)}"
        )
    for file in files:
        found_field = file.find(names[0])
        if not found_field:
            raise CannotDraft(
                f"--subject {names[0]}: {file.sample.path} has no such column, and every event needs its customer; "
                f"found {', '.join(file.guesses)}; leave the file out, or join the column to it"
            )
        guess = file.guesses[found_field]
        if guess.kind not in KEYS or guess.optional:
            wrong = "is missing in some rows" if guess.kind in KEYS else f"holds {guess.kind}s"
            raise CannotDraft(f"--subject {names[0]}: the column {wrong}; an id must be there in every row")
        chosen.subject[file.event_type] = found_field
    if not asked.subject:
        chosen.assumed.append(f"{names[0]} names the customer whose risk is decided (--subject)")


def _subjects(files: Sequence[File]) -> list[str]:
    """Columns of all files that are called like a customer's id; names with an id in them come before others."""
    shared = [name for name in files[0].guesses if all(file.find(name) for file in files)]
    called = [n for n in shared if SUBJECT.fullmatch(n) and all(_is_key(f, f.find(n)) for f in files)]
    return [
        name for name in called if IDENTIFIER.search(name) and re.search("id|no|nr|key", name, re.I)
    ] or called


def _is_key(file: File, name: str) -> bool:
    return file.guesses[name].kind in KEYS and not file.guesses[name].optional


def _choose_id(file: File, asked: Asked, chosen: Roles) -> None:
    named = tuple(file.find(name) for name in asked.id if file.find(name))
    if named:
        rows = list(zip(*(file.guesses[name].column.values for name in named), strict=True))
        if repeated := len(rows) - len(set(rows)):
            chosen.assumed.append(
                f"{file.event_type}: {repeated:,} rows repeat the id {', '.join(named)}; they count as sent twice"
            )
        chosen.id[file.event_type] = named
        return
    subject = chosen.subject[file.event_type]
    unique = [
        name
        for name, guess in file.guesses.items()
        if IDENTIFIER.search(name) and _is_key(file, name) and name != subject and _is_unique(guess)
    ]
    chosen.id[file.event_type] = tuple(unique[:1])
    words = f"{unique[0]} names an event" if unique else "equal rows are one event, as no column names it"
    chosen.assumed.append(f"{file.event_type}: {words} (--id)")


def _is_unique(guess: Guess) -> bool:
    return len(set(guess.column.values)) == len(guess.column.values)


def _choose_time(file: File, asked: Asked, chosen: Roles) -> None:
    named = [file.find(name) for name in asked.time if file.find(name)]
    datable = [n for n, g in file.guesses.items() if g.kind in (Kind.TIME, Kind.DATE) and not g.optional]
    if named and named[0] not in datable:
        guess = file.guesses[named[0]]
        wrong = (
            "is missing in some rows"
            if guess.optional
            else f"holds {guess.kind}s, not times in a known format"
        )
        raise CannotDraft(f"--time {named[0]}: the column {wrong} ({file.sample.path})")
    likely = [name for name in datable if not BIRTH.search(name)]
    finest = [name for name in likely if file.guesses[name].has_clock] or likely
    if not named and len(finest) > 1:
        raise CannotDraft(
            f"{file.sample.path}: several columns could date an event ({', '.join(finest)}): choose one with --time"
        )
    chosen.time[file.event_type] = (named or finest or [""])[0]
    if not named:
        dated = (
            f"{finest[0]} dates an event"
            if finest
            else "no column dates its rows, so their values are a profile"
        )
        chosen.assumed.append(f"{file.event_type}: {dated} (--time)")


def _choose_label(files: Sequence[File], asked: Asked, chosen: Roles) -> None:
    name, _, value = asked.label.partition("=")
    places = [(file, file.find(name)) for file in files if name and file.find(name)]
    if name and not places:
        raise CannotDraft(f"--label {name}: no file has such a column; found {_columns(files)}")
    if not name:
        places = [(f, n) for f in files for n, g in f.guesses.items() if LABEL.fullmatch(n) and _answers(g)]
    if len(places) > 1:
        names = ", ".join(f"{file.event_type}.{column}" for file, column in places)
        raise CannotDraft(f"several columns could be the label ({names}): choose one with --label")
    if not places:
        chosen.assumed.append("no column looks like a label, which training needs (--label COLUMN=VALUE)")
        return
    ((file, column),) = places
    chosen.label = (file.event_type, column)
    chosen.positive = _positive(file.guesses[column], column, value)
    if not value:
        words = f"{column} is the label" if not name else f"the label {column}"
        chosen.assumed.append(f"{words}, positive where it is {chosen.positive!r} (--label {column}=VALUE)")


def _answers(guess: Guess) -> tuple[str, ...]:
    """The values of a label; none if there are more than a label has."""
    if guess.kind is Kind.BOOLEAN:
        return ("true", "false")
    values = sorted(set(guess.column.values) - {""} - set(guess.missing))
    is_listed = guess.kind in (Kind.STRING, Kind.CATEGORY) or guess.kind is Kind.INTEGER
    return tuple(values) if is_listed and 2 <= len(values) <= 10 else ()


def _positive(guess: Guess, column: str, value: str) -> str:
    answers = _answers(guess)
    if not answers:
        raise CannotDraft(
            f"--label {column}: the column holds {guess.kind}s; a label has from 2 to 10 values"
        )
    if value:
        if value not in answers:
            raise CannotDraft(f"--label {column}={value}: the values are {', '.join(answers)}")
        return value
    usual = [answer for answer in answers if answer.lower() in POSITIVE]
    if guess.kind is Kind.BOOLEAN:
        return "true"
    if len(usual) != 1:
        raise CannotDraft(
            f"the values of {column} are {', '.join(answers)}: say which of them is positive with "
            f"--label {column}=VALUE"
        )
    return usual[0]
