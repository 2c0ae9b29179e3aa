"""The rooms of the program and the floors they stand on, read from the imports of the source files.

A part is a sub-room, or a module beside the sub-rooms. A part's floor is one above the highest part of its room that it
imports, so imports point down only.
"""

import ast
from collections import defaultdict
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROOMS = ("serving", "training", "pipeline", "export", "features")


@cache
def imports() -> dict[str, frozenset[str]]:
    """Return the parts that each part imports."""
    below: dict[str, set[str]] = defaultdict(set)
    for room in ROOMS:
        for file in sorted((ROOT / room).rglob("*.py")):
            here = part_of(file.relative_to(ROOT).with_suffix("").parts)
            below[here] |= {part_of(tuple(name.split("."))) for name in _names(file)} - {"", here}
    below.pop("", None)
    return {part: frozenset(parts) for part, parts in sorted(below.items())}


def _names(file: Path) -> list[str]:
    """Return the modules and names that a file imports, as dotted names."""
    names = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names += [each.name for each in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [f"{node.module}.{each.name}" for each in node.names]
    return names


def part_of(names: tuple[str, ...]) -> str:
    """Return the part that a dotted name lies in; empty for a room's own `__init__` and for other packages."""
    if len(names) < 2 or names[0] not in ROOMS or names[1].startswith("__"):
        return ""
    place = ROOT / names[0] / names[1]
    return f"{names[0]}.{names[1]}" if place.is_dir() or place.with_suffix(".py").exists() else ""


def is_room(part: str) -> bool:
    """Return whether a part is a sub-room; otherwise it is a module."""
    return (ROOT / part.replace(".", "/")).is_dir()


def floors(room: str) -> list[list[str]]:
    """Return the parts of a room by floor, the lowest first. Raises ValueError if they import in a circle."""
    inside = {part for part in imports() if part.split(".")[0] == room}
    floor: dict[str, int] = {}
    while waiting := inside - floor.keys():
        ready = [part for part in waiting if (imports()[part] & inside) <= floor.keys()]
        if not ready:
            raise ValueError(f"{room}: {', '.join(sorted(waiting))} import each other in a circle")
        floor |= {
            part: max((floor[low] + 1 for low in imports()[part] & inside), default=0) for part in ready
        }
    return [sorted(part for part in inside if floor[part] == k) for k in range(max(floor.values()) + 1)]
