"""Cleaning rules of training: leave out rows of a history, and count them by rule. The stream is never cleaned.

The rules of an event type are applied in their order, each to the rows that the ones before have left. "first" and
"latest" are by event time, and among equal times by the order of the files. A missing value is unknown and equals no
other: a row that lacks one of the fields of a `keep` stays, unless the rule names all fields ("*").
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import compress
from typing import Any

import numpy as np
from msgspec import Struct

from features.events import Columns
from features.usecase import CleaningRule, Drop, EventType, Keep, UseCase
from training.arrays import Indices, Mask
from training.data.files import EventRows, columns


class CleaningCount(Struct, frozen=True):
    """Number of rows that one rule left out."""

    event_type: str
    rule: str
    reason: str
    rows: int

    def __str__(self) -> str:
        return f"{self.event_type}: {self.rows} rows left out: {self.rule}, because {self.reason}"


def clean(use_case: UseCase, rows: EventRows) -> tuple[EventRows, list[CleaningCount]]:
    """Return the rows that stay, in their order, and the count of every rule, which may be 0."""
    stays, counts = np.ones(len(rows), np.bool_), list[CleaningCount]()
    for event_type in use_case.event_types.values():
        if event_type.clean:
            hit, dropped = _left_out(use_case, event_type, rows)
            stays[hit] = False
            counts += [
                CleaningCount(event_type.name, rule.words, rule.reason, n)
                for rule, n in zip(event_type.clean, dropped, strict=True)
            ]
    return (rows if stays.all() else _kept(rows, stays)), counts


def _kept(rows: EventRows, stays: Mask) -> EventRows:
    types, bodies = list(compress(rows.types, stays)), list(compress(rows.bodies, stays))
    return replace(rows, types=types, bodies=bodies, time_us=rows.time_us[stays])


def _left_out(use_case: UseCase, event_type: EventType, rows: EventRows) -> tuple[Indices, list[int]]:
    """Return the places of the event type's rows that are left out, and the number of rows that each rule left out."""
    places: list[Indices] = [np.empty(0, np.intp)]
    evidence: list[list[Any]] = [[] for _ in event_type.clean]
    for part, fields in columns(use_case, event_type.name, rows):
        places.append(part)
        for rule, values in zip(event_type.clean, evidence, strict=True):
            values.extend(_EVIDENCE[type(rule)](fields, rule))
    every = np.concatenate(places)
    stays, dropped = np.ones(len(every), np.bool_), []
    for rule, values in zip(event_type.clean, evidence, strict=True):
        hit = _HIT[type(rule)](rule, values, stays)
        dropped.append(int(hit.sum()))
        stays &= ~hit
    return every[~stays], dropped


def _passes(fields: Columns, rule: Drop) -> list[bool]:
    """Return True for each row that passes all tests of the rule."""
    passes: list[bool] = np.logical_and.reduce([fields.mask(condition) for condition in rule.where]).tolist()
    return passes


def _keys(fields: Columns, rule: Keep) -> Sequence[tuple[Any, ...] | None]:
    """Return the key by which a rule tells rows apart; None where it is unknown."""
    names = rule.per or tuple(fields.codec.event_type.fields)
    values = ([None if value == "" else value for value in fields.objects(name)] for name in names)
    keys = list(zip(*values, strict=True))
    return [None if None in key else key for key in keys] if rule.per else keys


def _dropped(_rule: Drop, passes: list[bool], stays: Mask) -> Mask:
    return np.array(passes, np.bool_) & stays


def _repeated(rule: Keep, keys: list[tuple[Any, ...] | None], stays: Mask) -> Mask:
    seen, hit = set[tuple[Any, ...]](), np.zeros(len(keys), np.bool_)
    places = np.flatnonzero(stays).tolist()
    for i in places if rule.which == "first" else reversed(places):
        key = keys[i]
        if key is None:
            continue
        hit[i] = key in seen
        seen.add(key)
    return hit


_EVIDENCE: dict[type[CleaningRule], Callable[..., Sequence[Any]]] = {Drop: _passes, Keep: _keys}
_HIT: dict[type[CleaningRule], Callable[..., Mask]] = {Drop: _dropped, Keep: _repeated}
