"""Faults of a use case file with their places, and the error that carries all of them.

A reader goes on behind a fault: it keeps the fault, puts `UNREAD` where the value would be, and reads the rest. What
depends on an unread value is left alone, so one mistake gives one fault.
"""

from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

from features.errors import BadDeclaration

T = TypeVar("T")


@dataclass(frozen=True)
class Fault:
    """One mistake. `line` is counted from 1; 0: not known. `expected` and `hint` are empty where there is none."""

    file: str
    path: str  # features.customer.aggregates.paid; empty: the file as a whole
    line: int
    found: str  # the value, as text
    message: str  # all of it in words
    expected: str = ""
    hint: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return ": ".join(filter(None, (place, self.path, self.message)))


class BadUseCase(BadDeclaration):
    """The use case file is wrong. The text has one line a fault, in the order of the file.

    Without any fault it only ends the reading of what depends on an unread value, whose fault is known already.
    """

    def __init__(self, *faults: Fault | str) -> None:
        super().__init__("\n".join(map(str, faults)))
        self.faults = tuple(fault for fault in faults if isinstance(fault, Fault))


class Unread:
    """Stands for a value that could not be read. Any look into it raises a BadUseCase without a fault."""

    def _stop(self, *_: object) -> NoReturn:
        raise BadUseCase

    __getattr__ = __getitem__ = __contains__ = __iter__ = __len__ = __bool__ = __hash__ = _stop
    __add__ = __radd__ = __lt__ = __gt__ = _stop


UNREAD: Any = Unread()


def known(value: T) -> T | None:
    """The value, None if it could not be read."""
    return None if value is UNREAD else value


def need(*values: object) -> None:
    """Raises a BadUseCase without a fault if one of the values could not be read."""
    if any(value is UNREAD for value in values):
        raise BadUseCase


def in_order(faults: list[Fault]) -> BadUseCase:
    """All the faults, each once, by line."""
    return BadUseCase(*sorted(dict.fromkeys(faults), key=lambda fault: fault.line))
