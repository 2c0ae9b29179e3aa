"""Reading a use case file as a tree in which every value knows its path and its line.

A `Node` that is asked for something it does not hold raises `BadUseCase`. `attempt`, `each` and `record` keep such a
fault and go on, so that `whole` can report all of them at once.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn, ParamSpec, TypeVar

from features.usecase import hints
from features.usecase.declaration import Section
from features.usecase.faults import UNREAD, BadUseCase, Fault, in_order, known, need
from features.usecase.renamed_keys import renamed
from features.usecase.yaml_values import FrozenDict, FrozenList, values

__all__ = ["UNREAD", "BadUseCase", "FrozenDict", "Node", "known", "need", "one_of", "read", "section"]

MICROSECONDS = {
    "s": 1_000_000,
    "m": 60 * 1_000_000,
    "h": 3_600 * 1_000_000,
    "d": 86_400 * 1_000_000,
}
MAX_SHOWN = 60  # characters of a wrong value repeated in a message
# required keys that have a word for "there is none"
NONE_OF_ITS_OWN = {
    "time": "time: published, which dates an event by its publication",
    "id": 'id: "*", which takes the whole event',
}

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Node:
    """A value of the file with the path that leads to it; `faults` are those of all nodes of one reading."""

    file: str
    path: str
    value: Any
    line: int = 0  # from 1; 0: not known
    faults: list[Fault] = field(default_factory=list, compare=False, repr=False)

    def fail(self, expected: str, hint: str = "") -> NoReturn:
        """The value is not what was expected. Raises BadUseCase."""
        meant = f" (did you mean {hint}?)" if hint else ""
        self._raise(f"{self.shown} is not {expected}{meant}", expected, hint)

    def blame(self, message: str, hint: str = "") -> NoReturn:
        """Something else is wrong here. Raises BadUseCase."""
        self._raise(message, "", hint)

    def _raise(self, message: str, expected: str, hint: str) -> NoReturn:
        raise BadUseCase(Fault(self.file, self.path, self.line, self.shown, message, expected, hint))

    @property
    def shown(self) -> str:
        text = repr(self.value)
        return text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "..."

    def attempt(self, read: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what `read` returns. If it raises BadUseCase, keep its faults and return UNREAD."""
        try:
            return read(*args, **kwargs)
        except BadUseCase as error:
            self.faults.extend(error.faults)
            return UNREAD  # type: ignore[no-any-return]

    def each(self, read: "Callable[[Node], T]") -> tuple[T, ...]:
        """Return what `read` makes of every item of a list; all items are read before a fault ends the reading."""
        made = tuple(item.attempt(read, item) for item in self.items())
        need(*made)
        return made

    def whole(self, read: "Callable[[Node], T]") -> T:
        """Return what `read` makes of a file or a section. Raises one BadUseCase with all the faults in it."""
        made = self.attempt(read, self)
        if self.faults:
            raise in_order(self.faults)
        return made

    def child(self, key: str, value: object) -> "Node":
        path = f"{self.path}.{key}" if self.path else key
        return Node(self.file, path, value, self._line_of(key), self.faults)

    def child_of_key(self, key: str) -> "Node":
        """The key that leads here, or a part of this text, as a value."""
        return Node(self.file, self.path, key, self.line, self.faults)

    def _line_of(self, key: str) -> int:
        lines = self.value.lines if isinstance(self.value, FrozenDict) else {}
        return lines.get(key, self.line)

    def entries(self) -> "dict[str, Node]":
        """A mapping's children by key."""
        if not isinstance(self.value, dict):
            self.fail("a mapping (key: value)")
        return {key: self.child(key, value) for key, value in self.value.items()}

    def descend(self, *keys: str) -> "Node":
        """Return the node below these keys, one after the other."""
        node = self
        for key in keys:
            node = node.entries()[key]
        return node

    def record(self, required: Iterable[str] = (), optional: Iterable[str] = ()) -> "dict[str, Node]":
        """A mapping of known keys; `required` must be there, null counts as absent.

        Unknown and missing keys are kept as faults. What an unknown key was meant for is read from it, and else a
        missing one is UNREAD.
        """
        required = tuple(required)
        known = (*required, *optional)
        entries = self.entries()
        found = {key: node for key, node in entries.items() if key in known and node.value is not None}
        for key in (key for key in entries if key not in known):
            new = renamed(key, known)
            self.attempt(_refuse_key, entries[key].child_of_key(key), known, new)
            meant = new or hints.nearest(key, known)
            if meant and meant not in found:
                found[meant] = entries[key]
        for key in required:
            if key not in found:
                self.attempt(self._miss, key)
                found[key] = UNREAD
        return found

    def section(self, declared: Section) -> "dict[str, Node]":
        """Read the keys that a section declares, as `record` does."""
        return self.record(declared.required, declared.optional)

    def _miss(self, key: str) -> NoReturn:
        self.need_whole()
        hint = NONE_OF_ITS_OWN.get(key, "")
        where = Node(self.file, self.path, key, self._line_of(key), self.faults)
        where.blame(f"{key} is missing" + (f" (if there is none: {hint})" if hint else ""), hint)

    def need_whole(self) -> None:
        """Raises a BadUseCase without a fault if a key of the mapping is no text: it may be the one that is missing."""
        if not getattr(self.value, "is_whole", True):
            raise BadUseCase

    def items(self) -> "list[Node]":
        """A list's children; anything that is not a list counts as a list of one."""
        if not isinstance(self.value, list | tuple):
            return [self]
        lines = self.value.lines if isinstance(self.value, FrozenList) else (self.line,) * len(self.value)
        return [
            Node(self.file, f"{self.path}[{i}]", value, lines[i], self.faults)
            for i, value in enumerate(self.value)
        ]

    def text(self) -> str:
        if not isinstance(self.value, str) or not self.value:
            self.fail("a text (put numbers and true or false in quotes)")
        return str(self.value)

    def texts(self) -> tuple[str, ...]:
        return self.each(Node.text)

    def flag(self) -> bool:
        if not isinstance(self.value, bool):
            self.fail("true or false", hints.nearest(str(self.value), ("true", "false")))
        return bool(self.value)

    def number(self) -> float:
        if isinstance(self.value, bool) or not isinstance(self.value, int | float):
            self.fail("a number")
        if not -1e15 <= self.value <= 1e15:
            self.fail("a number between -1e15 and 1e15")
        return float(self.value)

    def name(self) -> str:
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", self.text()):
            self.fail("a name of letters, digits and underscores that starts with a letter")
        return self.text()

    def choice(self, options: Iterable[str]) -> str:
        return one_of(self, options)

    def duration_us(self) -> int:
        found = re.fullmatch(r"([1-9][0-9]{0,4})([smhd])", str(self.value))
        if not found:
            self.fail("a duration such as 5m, 24h or 30d", hints.duration(str(self.value)))
        return int(found[1]) * MICROSECONDS[found[2]]


def _refuse_key(key: Node, known: Iterable[str], new: str) -> None:
    if new:
        key.blame(f"{key.value} is now called {new}", new)
    one_of(key, known)


def one_of(node: Node, options: Iterable[str], others: Mapping[str, str] | None = None) -> str:
    """The node's text, which must be one of `options`; what was probably meant is named.

    `others` are hints for words that are none of the options and stand for none of them.
    """
    options = tuple(options)
    if isinstance(node.value, str) and node.value in options:
        return node.value
    hint = (others or {}).get(str(node.value).lower()) or hints.nearest(str(node.value), options)
    node.fail(f"one of {', '.join(options) or 'nothing: none is declared'}", hint)


def section(file: str, path: str, value: Mapping[str, Any] | None) -> Node:
    """A part of a use case that has been read already, to be read further by another room."""
    return Node(file, path, FrozenDict() if value is None else value, getattr(value, "line", 0))


def read(text: str, file: str) -> Node:
    """The file's root, with the faults of its YAML. Raises BadUseCase if it is not YAML at all."""
    content, faults = values(text, file)
    if content is None and faults:
        raise BadUseCase(*faults)
    return Node(file, "", content, 1, faults)
