"""YAML as plain frozen values that know their lines.

YAML 1.2 words: only true and false are booleans (NO is Norway), dates stay text. Keys are the text that was written;
a repeated key or one that is no text is a fault.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import yaml  # type: ignore[import-untyped,unused-ignore]

from features.usecase.faults import Fault

A_KEY = "a list or mapping stands where a key is expected; put [ ] and { } in quotes, or after the key"
MERGE = "tag:yaml.org,2002:merge"


class FrozenDict(dict[str, Any]):
    """A mapping that cannot be changed and, unlike MappingProxyType, can be pickled. Lines are counted from 1."""

    line: int = 0  # of the mapping; 0: not known
    lines: Mapping[str, int] = {}  # of its keys
    is_whole = True  # False: a key that is no text was left out

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise TypeError("a use case cannot be changed")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self) -> tuple[type["FrozenDict"], tuple[dict[str, Any]]]:
        return FrozenDict, (dict(self),)


class FrozenList(tuple[Any, ...]):
    """A list of the file that cannot be changed, shown as a list."""

    line: int = 0
    lines: tuple[int, ...] = ()  # of its items

    def __repr__(self) -> str:
        return repr(list(self))

    def __reduce__(self) -> tuple[type["FrozenList"], tuple[list[Any]]]:
        return FrozenList, (list(self),)


class _Loader(yaml.SafeLoader):  # type: ignore[misc,unused-ignore]
    """SafeLoader with YAML 1.2's booleans and without dates; what is wrong with keys is collected in `faults`."""

    def __init__(self, text: str, file: str) -> None:
        self.faults: list[Fault] = []
        self.file = file
        super().__init__(text)

    def compose_mapping_node(self, anchor: Any) -> Any:
        """Before merges (<<) are resolved, so that a mapping may override what it takes over."""
        node: Any = super().compose_mapping_node(anchor)
        first: dict[str, int] = {}
        pairs = []
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                self._add(line, "", A_KEY)
            elif key.tag != MERGE and key.value in first:
                twice = f"{key.value!r} is there twice, first on line {first[key.value]}"
                self._add(line, repr(key.value), twice)
            else:
                first.setdefault(key.value, line)
                pairs.append((key, value))
        node.is_whole = all(isinstance(key, yaml.ScalarNode) for key, _ in node.value)
        node.value = pairs
        return node

    def _add(self, line: int, found: str, message: str) -> None:
        self.faults.append(Fault(self.file, "", line, found, message))


def _mapping(loader: Any, node: Any) -> FrozenDict:
    loader.flatten_mapping(node)
    made = FrozenDict({key.value: loader.construct_object(value, True) for key, value in node.value})
    made.line, made.is_whole = node.start_mark.line + 1, node.is_whole
    made.lines = {key.value: key.start_mark.line + 1 for key, _ in node.value}
    return made


def _list(loader: Any, node: Any) -> FrozenList:
    made = FrozenList(loader.construct_object(item, True) for item in node.value)
    made.line = node.start_mark.line + 1
    made.lines = tuple(item.start_mark.line + 1 for item in node.value)
    return made


def _number(convert: Callable[[str], object]) -> Callable[[Any, Any], object]:
    def number(loader: Any, node: Any) -> object:
        try:
            return convert(loader.construct_scalar(node))
        except ValueError as error:
            raise yaml.constructor.ConstructorError(None, None, str(error), node.start_mark) from None

    return number


_LEFT_OUT = (":bool", ":timestamp", ":int", ":float", ":value")
_Loader.yaml_implicit_resolvers = {
    first: [rule for rule in rules if not rule[0].endswith(_LEFT_OUT)]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_NUMBER_START = list("-+.0123456789")
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"(true|false)\Z"), list("tf"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"[-+]?[0-9]+\Z"), _NUMBER_START)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?\Z"),
    _NUMBER_START,
)
_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)
_Loader.add_constructor("tag:yaml.org,2002:seq", _list)
_Loader.add_constructor("tag:yaml.org,2002:int", _number(int))
_Loader.add_constructor("tag:yaml.org,2002:float", _number(float))


def values(text: str, file: str) -> tuple[Any, list[Fault]]:
    """The file's values, None if it is no YAML, and what is wrong with it as YAML."""
    try:
        loader = _Loader(text, file)
        return loader.get_single_data(), loader.faults
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        return None, [_no_yaml(file, line, f"{error.reason}: {chr(error.character)!r}")]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        began = f" (from line {error.context_mark.line + 1} on)" if error.context_mark else ""
        problem = f"{error.context}{began}: {error.problem}" if error.context else str(error.problem)
        return None, [_no_yaml(file, mark.line + 1 if mark else 0, problem)]
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        return None, [_no_yaml(file, 0, " ".join(str(error).split()))]


def _no_yaml(file: str, line: int, problem: str) -> Fault:
    return Fault(file, "", line, "", f"not a YAML file: {problem}", "a YAML file")
