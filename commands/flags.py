"""Flags of verbs, made from the declarations of settings."""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import MISSING, dataclass, replace
from typing import Annotated, Any, get_args

import typer

from pipeline.runtime.errors import BadSettings
from pipeline.runtime.settings import Declared, Setting, SettingsClass, declared, faults

Verb = Callable[..., None]


@dataclass(frozen=True)
class Given:
    """Annotates the parameter of a verb that gets the given flags of a settings class, by name.

    A flag that is not given is None there, so that an environment file may set it.
    """

    settings: type[SettingsClass]


def with_settings(verb: Verb) -> Verb:
    """Give a verb a flag for each setting of the settings classes among its parameters.

    A parameter of a settings class gets the settings, one that is annotated with `Given` the given flags. Two classes
    may share a flag.
    """
    parameters = inspect.signature(verb).parameters
    groups = {name: group for name, each in parameters.items() if (group := _group(each.annotation))}
    flags: dict[str, inspect.Parameter] = {}
    for name, each in parameters.items():
        made = _flags(groups[name]) if name in groups else iter([each])
        for one in made:
            flags.setdefault(one.name, one.replace(kind=inspect.Parameter.KEYWORD_ONLY))

    def run(**given: Any) -> None:
        settings = {name: _value(group, given) for name, group in groups.items()}
        verb(**{name: each for name, each in given.items() if name in parameters}, **settings)

    run.__signature__ = inspect.Signature(list(flags.values()))  # type: ignore[attr-defined]
    run.__annotations__ = {}
    run.__name__, run.__doc__ = verb.__name__, verb.__doc__
    return run


def option(setting: Setting, *names: str, shown: str = "") -> Any:
    """Return the option of a setting; `shown` is its default in help."""
    return typer.Option(
        *names,
        help=setting.help,
        envvar=setting.variable or None,
        metavar=setting.metavar or None,
        min=setting.least,
        max=setting.most,
        show_default=setting.usual or shown or True,
    )


def _group(annotation: Any) -> "type[SettingsClass] | Given | None":
    """Return the settings class of a parameter, or what is asked of one; None for a flag of the verb's own."""
    if hasattr(annotation, "__dataclass_fields__"):
        settings: type[SettingsClass] = annotation
        return settings
    return next((each for each in get_args(annotation) if isinstance(each, Given)), None)


def _flags(group: "type[SettingsClass] | Given") -> Iterator[inspect.Parameter]:
    if isinstance(group, Given):
        for each in declared(group.settings):
            yield _parameter(each, _optional(each), each.kind | None, None)
        return
    for each in declared(group):
        names = ((_switch(each) if each.default is True else each.flag),) if each.kind is bool else ()
        default = inspect.Parameter.empty if each.default is MISSING else each.default
        yield _parameter(each, option(each.setting, *names), each.kind, default)


def _switch(each: Declared) -> str:
    """Return the two flags of a setting that can be turned off."""
    return f"{each.flag}/--no-{each.flag[2:]}"


def _optional(each: Declared) -> Any:
    """Return the option of a setting that a file may set; the environment of a shell may not."""
    name = each.flag
    names = (_switch(each) if each.kind is bool else name,)
    shown = str(each.default) if isinstance(each.default, int | str) and each.default else ""
    return option(replace(each.setting, variable=""), *names, shown=shown)


def _parameter(each: Declared, made: Any, kind: Any, default: Any) -> inspect.Parameter:
    kinds = list[str] | None if each.kind is dict else kind
    return inspect.Parameter(
        each.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kinds, made]
    )


def _value(group: "type[SettingsClass] | Given", given: dict[str, Any]) -> Any:
    """Return the settings of a group, or its given flags. Raises BadSettings."""
    names = [each.name for each in declared(group.settings if isinstance(group, Given) else group)]
    values = {name: given[name] for name in names}
    if isinstance(group, Given):
        return values
    settings = group(**values)
    if wrong := list(faults(settings)):
        raise BadSettings("\n".join(wrong))
    return settings
