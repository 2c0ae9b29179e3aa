"""Reading a use case file as a tree in which every value knows its path.

YAML 1.2 words: only true and false are booleans (NO is Norway), dates stay text, a repeated key is an
error. Whoever asks a `Node` for something it does not hold gets a `BadUseCase` that says file, path, value
and expectation.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, NoReturn

import yaml  # type: ignore[import-untyped,unused-ignore]

MICROSECONDS = {
    "s": 1_000_000,
    "m": 60 * 1_000_000,
    "h": 3_600 * 1_000_000,
    "d": 86_400 * 1_000_000,
}
_WORDS = {True: "true", False: "false"}  # as keys they are words
MAX_SHOWN = 60  # characters of a wrong value repeated in a message


class BadUseCase(ValueError):
    """The use case file is wrong: file, path, value found, what was expected."""


class FrozenDict(dict[str, Any]):
    """A mapping that cannot be changed and, unlike MappingProxyType, can be pickled."""

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise TypeError("a use case cannot be changed")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self) -> tuple[type["FrozenDict"], tuple[dict[str, Any]]]:
        return FrozenDict, (dict(self),)


def frozen(value: object) -> Any:
    """Lists become tuples and mappings FrozenDicts, all the way down."""
    if isinstance(value, dict):
        return FrozenDict({str(key): frozen(item) for key, item in value.items()})
    if isinstance(value, list | tuple):
        return tuple(frozen(item) for item in value)
    return value


@dataclass(frozen=True)
class Node:
    """A value of the file with the path that leads to it."""

    file: str
    path: str
    value: Any

    def fail(self, expected: str) -> NoReturn:
        shown = repr(self.value)
        shown = shown if len(shown) <= MAX_SHOWN else shown[:MAX_SHOWN] + "..."
        raise BadUseCase(f"{self.file}: {self.path or 'file'}: {shown} is not {expected}")

    def blame(self, message: str) -> NoReturn:
        raise BadUseCase(f"{self.file}: {self.path or 'file'}: {message}")

    def child(self, key: str, value: object) -> "Node":
        return Node(self.file, f"{self.path}.{key}" if self.path else key, value)

    def entries(self) -> "dict[str, Node]":
        """A mapping's children by key."""
        if not isinstance(self.value, dict):
            self.fail("a mapping (key: value)")
        named = {_WORDS.get(key, str(key)): value for key, value in self.value.items()}
        return {key: self.child(key, value) for key, value in named.items()}

    def record(self, required: Iterable[str] = (), optional: Iterable[str] = ()) -> "dict[str, Node]":
        """A mapping of known keys; `required` must be there, null counts as absent."""
        required = tuple(required)
        found = self.entries()
        for key, node in found.items():
            one_of(node.child_of_key(key), (*required, *optional))
        found = {key: node for key, node in found.items() if node.value is not None}
        for key in required:
            if key not in found:
                self.blame(f"{key} is missing")
        return found

    def child_of_key(self, key: str) -> "Node":
        return Node(self.file, self.path, key)

    def items(self) -> "list[Node]":
        """A list's children; anything that is not a list counts as a list of one."""
        if not isinstance(self.value, list | tuple):  # a frozen section has tuples
            return [self]
        return [Node(self.file, f"{self.path}[{i}]", value) for i, value in enumerate(self.value)]

    def text(self) -> str:
        if not isinstance(self.value, str) or not self.value:
            self.fail("a text (put numbers and true or false in quotes)")
        return str(self.value)

    def texts(self) -> tuple[str, ...]:
        return tuple(item.text() for item in self.items())

    def flag(self) -> bool:
        if not isinstance(self.value, bool):
            self.fail("true or false")
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
            self.fail("a duration such as 5m, 24h or 30d")
        return int(found[1]) * MICROSECONDS[found[2]]


def one_of(node: Node, options: Iterable[str]) -> str:
    """The node's text, which must be one of `options`; a near miss is named."""
    options = tuple(options)
    if isinstance(node.value, str) and node.value in options:
        return node.value
    near = get_close_matches(str(node.value), options, 1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    node.fail(f"one of {', '.join(options) or 'nothing: none is declared'}{hint}")


class _Loader(yaml.SafeLoader):  # type: ignore[misc,unused-ignore]
    """SafeLoader with YAML 1.2's booleans and without dates."""


_Loader.yaml_implicit_resolvers = {
    first: [rule for rule in rules if not rule[0].endswith((":bool", ":timestamp", ":int", ":float"))]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _unique_mapping(loader: Any, node: Any) -> dict[Any, Any]:
    loader.flatten_mapping(node)
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            message = "a list or mapping stands where a key is expected; put [ ] and { } in quotes, or after the key"
            raise yaml.constructor.ConstructorError(None, None, message, key.start_mark)
    pairs = [(loader.construct_object(k, True), loader.construct_object(v, True)) for k, v in node.value]
    for i, (key, _) in enumerate(pairs):
        if any(key == earlier for earlier, _ in pairs[:i]):
            raise yaml.constructor.ConstructorError(None, None, f"{key!r} is there twice", node.start_mark)
    return dict(pairs)


def _number(convert: Callable[[str], object]) -> Callable[[Any, Any], object]:
    return lambda loader, node: convert(loader.construct_scalar(node))


_NUMBER_START = list("-+.0123456789")
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"(true|false)\Z"), list("tf"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"[-+]?[0-9]+\Z"), _NUMBER_START)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?\Z"),
    _NUMBER_START,
)
_Loader.add_constructor("tag:yaml.org,2002:map", _unique_mapping)
_Loader.add_constructor("tag:yaml.org,2002:int", _number(int))
_Loader.add_constructor("tag:yaml.org,2002:float", _number(float))


def read(text: str, file: str) -> Node:
    """The file's root. Raises BadUseCase if it is not YAML."""
    try:
        return Node(file, "", yaml.load(text, _Loader))
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        message = " ".join(str(error).split())
        raise BadUseCase(f"{file}: not a YAML file: {message}") from None
