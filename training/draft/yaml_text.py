"""Values as YAML text in one line, quoted where another reader of YAML could take them for something else."""

import json
import re
from collections.abc import Mapping, Sequence

PLAIN = re.compile(r"[A-Za-z][\w./-]*(?: [\w./-]+)*|\d+[smhd]", re.ASCII)
NO_TEXTS = frozenset({"true", "false", "yes", "no", "on", "off", "y", "n", "null"})

Value = str | bool | float | Sequence["Value"] | Mapping[str, "Value"]


def flow(value: Value) -> str:
    """Return a value in YAML's flow style."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        is_plain = PLAIN.fullmatch(value) and value.lower() not in NO_TEXTS
        return value if is_plain else json.dumps(value, ensure_ascii=False)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{flow(key)}: {flow(each)}" for key, each in value.items()) + "}"
    if isinstance(value, Sequence):
        return "[" + ", ".join(map(flow, value)) + "]"
    return f"{value:g}"


def line(indent: int, key: str, text: str) -> str:
    """Return one line of a mapping."""
    return f"{' ' * indent}{flow(key)}: {text}"
