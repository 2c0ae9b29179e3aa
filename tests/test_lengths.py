"""Modules fit in a few screens and functions in one: 300 lines and 50."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
ROOMS = ("features", "export", "pipeline", "training", "serving", "commands", "deploy", "usecases", "docs")
MODULE_LINES, FUNCTION_LINES = 300, 50


def files() -> Iterator[Path]:
    return (file for room in ROOMS for file in sorted((ROOT / room).rglob("*.py")))


def test_no_module_has_more_than_300_lines() -> None:
    lines = {str(file.relative_to(ROOT)): len(file.read_text().splitlines()) for file in files()}
    assert {name: n for name, n in lines.items() if n > MODULE_LINES} == {}


def test_no_function_has_more_than_50_lines() -> None:
    functions = (
        (f"{file.relative_to(ROOT)} {node.name}", (node.end_lineno or 0) - node.lineno + 1)
        for file in files()
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    assert {name: n for name, n in functions if n > FUNCTION_LINES} == {}
