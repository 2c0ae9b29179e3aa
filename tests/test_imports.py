"""Imports point down only, between rooms and between the floors of a room; others import what a room's face exports.

features/ and the policy are pure, and a worker needs no training or local packages.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
BELOW = {  # what a room may import, beside itself
    "usecases": set(),
    "features": set(),
    "export": {"features"},
    "pipeline": {"export", "features", "usecases"},
    "training": {"pipeline.files", "export", "features"},  # rows of files are read in one way
    "serving": {  # the job's engine and what it needs, not its graph: the service does without Beam
        "pipeline.engine",
        "pipeline.outputs",
        "pipeline.operations.gauges",
        "pipeline.owners",
        "pipeline.runtime",
        "pipeline.stores",
        "pipeline.bigquery",
        "pipeline.pubsub",
        "export",
        "features",
    },
    "deploy": {"pipeline", "training", "export", "features", "usecases"},
    "commands": {"deploy", "serving", "training", "pipeline", "export", "features", "usecases"},
    "riskstream": {"commands"},
    # docs.site writes the pages that come from code
    "docs": {"riskstream", "commands", "deploy", "serving", "training", "pipeline", "export", "features"},
}
ROOMS = set(BELOW) | {"tests"}
PURE_PACKAGES = {"msgspec", "numba", "numpy", "xxhash", "yaml"}
FLOORS = {  # of a room's parts, top floor first; parts of one floor do not import each other
    "features": (
        ("replay",),
        ("advance", "vector", "record"),
        ("events",),
        ("usecase",),
        ("kernel",),
        ("times", "errors"),
    ),
    "export": (
        ("registry",),
        ("reasons",),
        ("onnx",),
        ("learned", "bundle"),
        ("pointers",),
        ("manifest",),
        ("distributions", "policy", "storage", "ranking"),
    ),
    "pipeline": (
        ("dataflow", "certification"),
        ("job", "reconciliation"),
        ("batch", "operations"),
        ("outputs",),
        ("files", "engine"),
        ("owners",),
        ("stores", "bigquery", "pubsub"),
        ("runtime",),
    ),
    "training": (
        ("retrain", "train"),
        ("steps",),
        ("registry_facts", "report"),
        ("champion", "profile"),
        ("build_bundle",),
        ("manifest_facts",),
        ("evaluation",),
        ("policy", "pages", "generate", "draft"),
        ("models",),
        ("data",),
        ("statistics", "progress", "origin"),
        ("arrays",),
    ),
    "serving": (
        ("server",),
        ("api",),
        ("http", "service"),
        ("configuration", "customer"),
        ("responses", "auth"),
        ("audit", "batching", "overrides", "settings"),
    ),
}
PURE_MODULES = tuple(
    f"export/policy/{name}.py" for name in ("__init__", "keys", "rules", "settings", "tables")
)
WORKER_PACKAGES = PURE_PACKAGES | {
    "apache_beam", "google", "grpc", "onnxruntime", "opentelemetry", "prometheus_client", "pyarrow", "redis", "rich",
    "typer",
}  # fmt: skip
SERVING_PACKAGES = PURE_PACKAGES | {
    "fastapi",
    "fastapi_offline",
    "httptools",
    "jwt",
    "opentelemetry",
    "pyarrow",
    "pydantic",
    "starlette",
    "uvicorn",
}
# The standard library's ways to the clock, to chance, to the machine and to the network.
IMPURE = {
    "asyncio", "concurrent", "getpass", "glob", "http", "io", "locale", "logging", "mmap", "multiprocessing", "os",
    "platform", "queue", "random", "secrets", "selectors", "shutil", "signal", "socket", "sqlite3", "ssl", "subprocess",
    "sys", "tempfile", "threading", "time", "urllib", "uuid", "warnings",
}  # fmt: skip
IMPURE_CALLS = {"open", "print", "input", "now", "today", "utcnow", "default_rng", "read_text", "read_bytes"}
MAY_READ = {
    "features/usecase/file.py": {"pathlib", "read_text"},  # `load` reads the file it is given
    "features/kernel/jit.py": {"pathlib", "read_bytes"},  # its own source names the cache
}


class Import(NamedTuple):
    file: str
    line: int
    module: str
    at_start: bool  # not inside a function: happens whenever the module is imported

    def __str__(self) -> str:
        return f"{self.file}:{self.line} imports {self.module}"


def files_of(room: str) -> list[Path]:
    return sorted((ROOT / room).rglob("*.py")) if (ROOT / room).is_dir() else [ROOT / f"{room}.py"]


@cache
def tree_of(file: Path) -> ast.Module:
    return ast.parse(file.read_text())


def imports_of(room: str) -> Iterator[Import]:
    return (found for file in files_of(room) for found in imports_in(file))


def imports_in(file: Path) -> Iterator[Import]:
    tree = tree_of(file)
    inside = {node for f in ast.walk(tree) if is_run_later(f) for node in ast.walk(f)}
    for node in ast.walk(tree):
        for module in modules(node):
            yield Import(str(file.relative_to(ROOT)), node.lineno, module, node not in inside)  # type: ignore[attr-defined]


def is_run_later(node: ast.AST) -> bool:
    """A function, or what only a type checker reads."""
    if isinstance(node, ast.If):
        return ast.unparse(node.test) == "TYPE_CHECKING"
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)


def modules(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [name.name for name in node.names]
    if isinstance(node, ast.ImportFrom) and not node.level:
        return [f"{node.module}.{name.name}" for name in node.names]
    return []


def is_below(module: str, allowed: set[str]) -> bool:
    return any(f"{module}.".startswith(f"{name}.") for name in allowed)


def is_ours(module: str) -> bool:
    return module.partition(".")[0] in ROOMS


@pytest.mark.parametrize("room", [room for room in BELOW if room == "riskstream" or (ROOT / room).is_dir()])
def test_imports_point_down_only(room: str) -> None:
    allowed = BELOW[room] | {room}
    found = list(imports_of(room))
    assert found
    assert [str(each) for each in found if is_ours(each.module) and not is_below(each.module, allowed)] == []


def part_of(module: str) -> str:
    """The part of a room that a module is in: a sub-room, or a module that stands alone."""
    return ".".join(module.split(".")[:2])


@pytest.mark.parametrize("room", FLOORS)
def test_imports_point_down_between_the_floors_of_a_room(room: str) -> None:
    floor_of = {f"{room}.{part}": floor for floor, parts in enumerate(FLOORS[room]) for part in parts}
    upwards = []
    for each in imports_of(room):
        here, there = part_of(module_of(each.file)), part_of(each.module)
        is_other = there.startswith(f"{room}.") and here not in (there, f"{room}.__main__")
        if is_other and floor_of[here] >= floor_of[there]:
            upwards.append(str(each))
    assert upwards == []


def module_of(file: str) -> str:
    return file.removesuffix(".py").replace("/", ".").removesuffix(".__init__")


def sub_rooms() -> list[str]:
    return [
        f"{room}.{part.name}"
        for room in FLOORS
        for part in sorted((ROOT / room).iterdir())
        if (part / "__init__.py").exists()
    ]


def exported(sub_room: str) -> set[str]:
    """The `__all__` of a sub-room: names and modules that others may import."""
    for node in tree_of(ROOT / sub_room.replace(".", "/") / "__init__.py").body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return set(ast.literal_eval(node.value))
    return set()


def test_others_import_what_a_room_exports() -> None:
    faces = {sub_room: exported(sub_room) for sub_room in sub_rooms()}
    assert [sub_room for sub_room, names in faces.items() if not names] == []
    wrong = []
    for room in BELOW:
        for each in imports_of(room):
            there = part_of(each.module)
            if there in faces and part_of(module_of(each.file)) != there:
                name = each.module.removeprefix(there).removeprefix(".").partition(".")[0]
                if name and name not in faces[there]:
                    wrong.append(str(each))
    assert wrong == []


@pytest.mark.parametrize("sub_room", sub_rooms())
def test_a_room_has_what_it_exports(sub_room: str) -> None:
    face = import_module(sub_room)
    for name in exported(sub_room):
        assert hasattr(face, name) or find_spec(f"{sub_room}.{name}"), name


def test_every_python_file_is_in_a_room() -> None:
    assert {file.name for file in ROOT.glob("*.py")} == {"setup.py", "riskstream.py"}
    assert {file.parent.name for file in ROOT.glob("*/__init__.py")} <= ROOMS


def pure_files() -> list[Path]:
    return files_of("features") + [ROOT / name for name in PURE_MODULES]


def test_features_and_policy_import_nothing_with_io() -> None:
    found = [each for file in pure_files() for each in imports_in(file) if not is_ours(each.module)]
    impure = [each for each in found if each.module.partition(".")[0] in IMPURE | {"pathlib"}]
    assert [str(e) for e in impure if e.module.partition(".")[0] not in MAY_READ.get(e.file, ())] == []


def test_features_and_policy_ask_neither_clock_nor_chance_nor_files() -> None:
    wrong = []
    for file in pure_files():
        name = str(file.relative_to(ROOT))
        for node in ast.walk(tree_of(file)):
            called = called_name(node)
            if called in IMPURE_CALLS - MAY_READ.get(name, set()):
                wrong.append(f"{name}:{node.lineno} calls {called}")  # type: ignore[attr-defined]
    assert wrong == []


def called_name(node: ast.AST) -> str | None:
    if not isinstance(node, ast.Call):
        return None
    function = node.func
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else None


@pytest.mark.parametrize(
    ("room", "packages"),
    [
        ("features", PURE_PACKAGES),
        ("export", WORKER_PACKAGES),
        ("pipeline", WORKER_PACKAGES),
        ("serving", SERVING_PACKAGES),
        ("commands", {"typer"}),
        ("riskstream", {"typer"}),
    ],
)
def test_a_worker_has_what_it_imports(room: str, packages: set[str]) -> None:
    """Training and local packages may be imported, if at all, inside the function that needs them."""
    known = packages | ROOMS | sys.stdlib_module_names
    starts = [each for each in imports_of(room) if each.at_start]
    assert [str(each) for each in starts if each.module.partition(".")[0] not in known] == []


def test_the_service_starts_without_beam() -> None:
    """It takes seconds and 100 MB that a pod has no use for."""
    look = "import sys, serving.server; sys.exit('apache_beam' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", look], cwd=ROOT, check=False).returncode == 0


def test_the_test_sees_what_it_should(tmp_path: Path) -> None:
    tree = ast.parse(
        "import os.path\nfrom pipeline import store\ndef f():\n    from serving.api import run\n"
    )
    assert [module for node in ast.walk(tree) for module in modules(node)] == [
        "os.path", "pipeline.store", "serving.api.run",
    ]  # fmt: skip
    assert is_below("pipeline.stores", BELOW["serving"])
    assert not is_below("pipeline.storeroom", BELOW["serving"])
    assert not is_below("pipeline.job.run", BELOW["serving"])
    assert is_below("pipeline.stores.store.RecordStore", BELOW["serving"])
    assert not is_below("export.bundle", BELOW["features"] | {"features"})
