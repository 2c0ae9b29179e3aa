"""Counts that only go down: riddling docstrings, names that say nothing, `Any` and what mypy is told to ignore.

`tests/ratchet.json` holds the number that each room may have. `python -m tests.test_ratchet` writes what there is now.
"""

import ast
import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
RATCHET = Path(__file__).with_name("ratchet.json")
ROOMS = ("features", "export", "pipeline", "training", "serving", "commands", "deploy", "tests")
# A first line that begins so leans on a name beside it, instead of saying what there is or what is done.
FRAGMENT = re.compile(
    r"(What|By|Of|Whether|Who|Whose|Which|How|Where|When|Why|As|From|To|With|Without|If|All that|Everything|Told"
    r"|Said)\b"
)
EMPTY_NAMES = {"found", "said", "told", "own", "tell", "whole", "of"}
Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def files(room: str) -> Iterator[Path]:
    return (file for file in sorted((ROOT / room).rglob("*.py")) if "java" not in file.parts)


def fragments(tree: ast.Module) -> int:
    """Docstrings whose first line does not stand alone."""
    texts = (ast.get_docstring(node) or "" for node in ast.walk(tree) if isinstance(node, Documented))
    return sum(bool(FRAGMENT.match(text)) for text in texts)


def empty_names(tree: ast.Module) -> int:
    """Places that bind a name that says nothing of its value."""
    nodes = list(ast.walk(tree))
    bound = [node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
    bound += [node.arg for node in nodes if isinstance(node, ast.arg)]
    bound += [node.name for node in nodes if isinstance(node, ast.FunctionDef)]
    return sum(name in EMPTY_NAMES for name in bound)


def any_types(tree: ast.Module) -> int:
    return sum(isinstance(node, ast.Name) and node.id == "Any" for node in ast.walk(tree))


def counts() -> dict[str, dict[str, int]]:
    """Count what there is now, by kind and room."""
    trees = {room: [ast.parse(file.read_text()) for file in files(room)] for room in ROOMS}
    kinds = {"fragments": fragments, "empty names": empty_names, "Any": any_types}
    by_kind = {kind: {room: sum(map(count, trees[room])) for room in ROOMS} for kind, count in kinds.items()}
    return by_kind | {"modules that mypy ignores": {"all": len(ignored())}}


def ignored() -> list[str]:
    overrides = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]["overrides"]
    return [name for each in overrides if each.get("ignore_errors") for name in each["module"]]


def test_no_count_goes_up() -> None:
    allowed, now = json.loads(RATCHET.read_text()), counts()
    more = {
        f"{kind}, {room}": f"{n}, allowed {allowed[kind][room]}"
        for kind, by_room in now.items()
        for room, n in by_room.items()
        if n > allowed[kind][room]
    }
    assert more == {}


def test_a_class_name_has_one_meaning() -> None:
    places: dict[str, list[str]] = {}
    for room in ROOMS[:-1]:
        for file in files(room):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.ClassDef):
                    places.setdefault(node.name, []).append(str(file.relative_to(ROOT)))
    assert {name: where for name, where in places.items() if len(where) > 1} == {}


def test_what_mypy_ignores_is_there() -> None:
    assert [name for name in ignored() if not (ROOT / f"{name.replace('.', '/')}.py").is_file()] == []


if __name__ == "__main__":
    RATCHET.write_text(json.dumps(counts(), indent=2) + "\n")
