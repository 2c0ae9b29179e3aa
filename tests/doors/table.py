"""The table of values.md as cases, and what each of them is in JSON, in CSV and in Arrow."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from features.events import BadEvent, Event, known_codec
from features.times import LAST_US, clock, rfc3339
from features.usecase import Kind, UseCase, load

FOLDER = Path(__file__).parent
DOORS: UseCase = load(FOLDER / "doors.yaml")
NOW_US = LAST_US  # no row is from the future
USUAL = {"id": "1", "who": "somebody", "at": "2024-01-01T00:00:00Z"}
REASONS = ("invalid", "undecodable")
REPEATED = re.compile(r"\{(.)\*(\d+)\}")  # {x*200}


@dataclass(frozen=True)
class Case:
    """One row of the table. None: the door cannot express the value."""

    event_type: str
    field: str
    what: str
    json: str | None
    csv: str | None
    stored: tuple[tuple[str, str], ...]  # Arrow type, value
    answer: str

    def __str__(self) -> str:
        return f"{self.event_type}.{self.field}, {self.what}"

    @property
    def body(self) -> bytes:
        """The event as a JSON object; the value stands in it as the table has it."""
        others = [f"{json.dumps(k)}: {json.dumps(v)}" for k, v in USUAL.items() if k != self.field]
        own = [] if self.json == "absent" else [f"{json.dumps(self.field)}: {self.json}"]
        return ("{" + ", ".join(others + own) + "}").encode()

    @property
    def expected(self) -> str:
        """Return the value that the event keeps, or the reason and a part of its message."""
        if self.answer == "missing" or self.answer.startswith(REASONS):
            return self.answer
        f = DOORS.event_types[self.event_type].fields[self.field]
        if f.kind is Kind.TIME:
            return rfc3339(clock((), "UTC").read(self.answer))
        return repr(json.loads(self.answer))

    def is_answered_by(self, outcome: str) -> bool:
        if not self.expected.startswith(REASONS):
            return outcome == self.expected
        reason, _, part = self.expected.partition(": ")
        return outcome.startswith(f"{reason}: ") and part in outcome


def outcome(case: Case, event: Event | BadEvent) -> str:
    """Return the fate of the case's value."""
    if isinstance(event, BadEvent):
        return str(event)
    known = known_codec(DOORS, case.event_type)
    value = known.getters[case.field](event)
    if value in (None, ""):
        return "missing"
    is_time = known.event_type.fields[case.field].kind is Kind.TIME
    return rfc3339(known.clock.read(value)) if is_time else repr(value)


@cache
def cases() -> tuple[Case, ...]:
    return tuple(_rows())


@cache
def refused_columns() -> tuple[tuple[str, str, str], ...]:
    """Event type, field and Arrow type."""
    rows = [row for title, row in _lines() if title.startswith("Columns")]
    return tuple((*row[0].split("."), name) for row in rows for name in row[1].split("; "))  # type: ignore[misc]


def _rows() -> Iterator[Case]:
    for title, row in _lines():
        if not title.startswith("Columns"):
            what, of_json, of_csv, stored, answer = row
            event_type, field = title.split(".")
            parts = () if stored == "-" else tuple(tuple(each.split(" ", 1)) for each in stored.split("; "))
            text = None if of_csv == "-" else json.loads(of_csv) if of_csv.startswith('"') else of_csv
            yield Case(event_type, field, what, None if of_json == "-" else of_json, text, parts, answer)  # type: ignore[arg-type]


def _lines() -> Iterator[tuple[str, list[str]]]:
    """The rows below the two lines that head each table, with the title above it."""
    title, heading = "", 2
    for line in (FOLDER / "values.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            title, heading = line.removeprefix("## "), 2
        elif line.startswith("|"):
            heading -= 1
            if heading < 0:
                whole = REPEATED.sub(lambda found: found[1] * int(found[2]), line)
                yield title, [cell.strip() for cell in whole.strip("|").split("|")]


def array(name: str, values: Sequence[str]) -> pa.Array:
    """The values of one column, written as in the table."""
    if name == "dictionary":
        return pa.array([_plain(value) for value in values]).dictionary_encode()
    if name == "bytes":  # a column of text whose writer did not look at what it wrote
        return pa.array([_plain(value).encode(errors="surrogateescape") for value in values]).view(
            pa.string()
        )
    of = arrow_type(name)
    if pa.types.is_temporal(of):
        unit = "D" if pa.types.is_date32(of) else "ms" if pa.types.is_date64(of) else of.unit
        width = pa.int32() if of.bit_width == 32 else pa.int64()
        return pa.array([_count(value, unit) for value in values], width).view(of)
    if pa.types.is_decimal(of):
        return pa.array([None if value == "null" else Decimal(value) for value in values], of)
    if pa.types.is_floating(of):
        return pa.array([None if value == "null" else float(value) for value in values], pa.float64()).cast(
            of
        )
    return pa.array([_plain(value) for value in values], of)


def arrow_type(name: str) -> pa.DataType:
    """The type that the table calls so."""
    name, _, parameters = name.rstrip("])>").replace("<", "[").replace("(", "[").partition("[")
    if name == "timestamp":
        unit, _, zone = parameters.partition(",")
        return pa.timestamp(unit, zone or None)
    if name in ("decimal128", "decimal256"):
        return getattr(pa, name)(*map(int, parameters.split(",")))
    if name in ("time64", "duration"):
        return getattr(pa, name)(parameters)
    if name == "list":
        return pa.list_(arrow_type(parameters))
    if name == "struct":
        return pa.struct([("a", pa.string())])
    return {"double": pa.float64(), "float": pa.float32(), "halffloat": pa.float16(), "bool": pa.bool_()}.get(
        name
    ) or getattr(pa, name)()


def _plain(value: str) -> Any:
    return json.loads(value)


def _count(value: str, unit: str) -> int | None:
    if value == "null":
        return None
    if re.fullmatch(r"-?\d{19}", value):
        return int(value)
    return int(np.datetime64(value, unit).astype(np.int64))
