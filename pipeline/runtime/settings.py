"""Declarations of settings: each stands once, beside its type and default, in the room that reads the setting.

A settings class is a frozen dataclass whose fields are annotated with a `Setting`. Flags, environment variables, keys
of environment files, parameters of the Flex Template and reference pages are all made from these declarations.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, Field, dataclass
from functools import cache
from types import UnionType
from typing import Annotated, Any, ClassVar, NamedTuple, Protocol, get_args, get_origin, get_type_hints


class SettingsClass(Protocol):
    """A dataclass whose fields are declared settings."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]


Rules = tuple[
    tuple[Callable[[Any], bool], str], ...
]  # (whether settings agree with each other, what is wrong)


@dataclass(frozen=True, kw_only=True)
class Setting:
    """The declaration of one setting: its help, and the values that it takes."""

    help: str  # whole sentences
    expected: str = ""  # the right values, in words
    pattern: str = ""  # of the whole text; an optional setting may also be empty
    least: float | None = None
    most: float | None = None
    variable: str = ""  # the environment variable that a command reads
    metavar: str = ""
    usual: str = ""  # the default in words, where it depends on other settings

    @property
    def wanted(self) -> str:
        """The right values, in words."""
        if self.expected or (self.least is None and self.most is None):
            return self.expected
        if self.most is None:
            return f"at least {self.least:g}"
        return f"{self.least:g} to {self.most:.0f}"


class Declared(NamedTuple):
    """A field of a settings class, with its declaration."""

    name: str
    kind: type | UnionType  # such as `int | None`
    default: object  # MISSING if there is none
    setting: Setting

    @property
    def flag(self) -> str:
        """The name of the flag."""
        return flag(self.name)

    @property
    def is_required(self) -> bool:
        return self.default is MISSING


def flag(name: str) -> str:
    """Return the flag of a setting."""
    return "--label" if name == "labels" else "--" + name.replace("_", "-")


@cache
def declared(settings: type[SettingsClass]) -> tuple[Declared, ...]:
    """Return the declarations of a settings class, in the order of its fields; other fields are left out."""
    hints = get_type_hints(settings, include_extras=True)
    annotated = ((each, hints[name]) for name, each in settings.__dataclass_fields__.items())
    return tuple(
        _declared(each, *get_args(hint)) for each, hint in annotated if get_origin(hint) is Annotated
    )


def _declared(each: Field[object], kind: type | UnionType, setting: Setting) -> Declared:
    default = each.default if each.default_factory is MISSING else each.default_factory()
    return Declared(each.name, dict if get_origin(kind) is dict else kind, default, setting)


def faults(settings: SettingsClass) -> Iterator[str]:
    """Yield what is wrong with the values; the `RULES` of the classes apply if each value is right by itself."""
    wrong = [
        text for each in declared(type(settings)) for text in _faults(each, getattr(settings, each.name))
    ]
    rules = (rule for each in type(settings).__mro__ for rule in vars(each).get("RULES", ()))
    yield from wrong or (text for is_right, text in rules if not is_right(settings))


def _faults(each: Declared, value: object) -> Iterator[str]:
    """Yield why a value will not do. A password in it is not repeated."""
    setting = each.setting
    if not _is_of(each.kind, value):
        wanted = setting.wanted or ("true or false" if each.kind is bool else "text")
        yield f"{each.flag}: found {value!r}, expected {wanted}"
    elif isinstance(value, str):
        if setting.pattern and (value or each.is_required) and not re.fullmatch(setting.pattern, value):
            shown = re.sub(r"//[^@]*@", "//***@", value)
            yield f"{each.flag}: found {shown!r}, expected {setting.wanted}"
    elif isinstance(value, int | float) and not _is_within(setting, value):
        yield f"{each.flag}: found {value}, expected {setting.wanted}"


def _is_of(kind: type | UnionType, value: object) -> bool:
    if isinstance(value, bool) or kind is bool:
        return kind is bool and isinstance(value, bool)
    if kind is float:
        return isinstance(value, int | float)
    return isinstance(value, Mapping if kind is dict else kind)


def _is_within(setting: Setting, value: float) -> bool:
    is_low = setting.least is not None and value < setting.least
    return not is_low and not (setting.most is not None and value > setting.most)
