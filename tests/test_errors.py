"""One family of errors: the tree that is drawn is the one there is, and every type has an exit code and a status."""

import ast
import builtins
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import grpc
import pytest
from google.api_core import exceptions as google

from commands.errors import EXITS, codes, exit_code
from features import errors
from features.errors import BadInput, Mismatch, Refused, RiskstreamError, Unavailable
from pipeline.runtime.transient import TRANSIENT, is_transient
from serving.http import problems

ROOT = Path(__file__).parent.parent
ROOMS = ("features", "export", "pipeline", "training", "serving", "commands", "deploy")
FAMILY = (Unavailable, Refused, Mismatch, BadInput)
TREE_LINE = re.compile(r"^((?:\|   |    )*)\+-- (\w+)", re.MULTILINE)


@cache
def classes() -> tuple[tuple[str, tuple[str, ...], str], ...]:
    """Name, bases and file of every class of the program that may be an error."""
    files = (file for room in ROOMS for file in sorted((ROOT / room).rglob("*.py")))
    return tuple(
        (
            node.name,
            tuple(ast.unparse(base).rpartition(".")[2] for base in node.bases),
            str(file.relative_to(ROOT)),
        )
        for file in files
        for node in ast.parse(file.read_text()).body
        if isinstance(node, ast.ClassDef)
    )


def is_builtin_error(name: str) -> bool:
    kind = getattr(builtins, name, None)
    return isinstance(kind, type) and issubclass(kind, BaseException)


@cache
def declared() -> dict[str, tuple[str, ...]]:
    """The bases of every error of the program, by its name; fails if two have one name."""
    ours: dict[str, tuple[str, ...]] = {}
    before = -1
    while len(ours) != before:
        before = len(ours)
        for name, bases, file in classes():
            if any(base in ours or is_builtin_error(base) or base.endswith("Error") for base in bases):
                assert ours.get(name, bases) == bases, f"{file}: two errors are called {name}"
                ours[name] = bases
    return ours


def drawn() -> dict[str, str]:
    """The parent of every type in the tree of the docstring."""
    assert errors.__doc__
    path, parents = ["RiskstreamError"], {}
    for indent, name in TREE_LINE.findall(errors.__doc__):
        depth = len(indent) // 4
        path[depth + 1 :] = [name]
        assert name not in parents, f"{name} is drawn twice"
        parents[name] = path[depth]
    return parents


def test_the_tree_that_is_drawn_is_the_one_there_is() -> None:
    ours = declared()
    family = set(ours) & {
        name for name, bases in ours.items() if set(bases) & (set(ours) | {"RiskstreamError"})
    }
    parents = {name: next(base for base in ours[name] if base in ours) for name in family}
    assert drawn() == parents


def test_every_error_of_the_program_is_of_the_family() -> None:
    ours = declared()
    assert [
        name for name, bases in ours.items() if name != "RiskstreamError" and not set(bases) & set(ours)
    ] == []


def test_an_error_has_one_name() -> None:
    ours = set(declared())
    names = [name for name, bases, _ in classes() if ours & set(bases)]
    assert sorted(names) == sorted(set(names))


def descendants(kind: type[Exception]) -> Iterator[type[Exception]]:
    for child in kind.__subclasses__():
        yield child
        yield from descendants(child)


def example(kind: type[Exception]) -> Exception:
    """An error of the type, made without its arguments."""
    return kind.__new__(kind)


def test_every_error_has_an_exit_code() -> None:
    kinds = [kind for kind in descendants(RiskstreamError) if kind.__module__.partition(".")[0] in ROOMS]
    assert {kind.__name__ for kind in FAMILY} < {kind.__name__ for kind in kinds}
    assert [kind for kind in kinds if exit_code(example(kind)) is None] == []


def test_every_exit_code_of_an_error_has_a_meaning() -> None:
    by_code = {each.code: each.meaning for each in EXITS}
    assert len(by_code) == len(EXITS)
    without_error = {0, 1, 10, 11, 12, 13, 130}  # 13: the watchdog's
    assert set(by_code) == set(codes().values()) | without_error


@pytest.mark.parametrize(
    ("name", "module", "code"),
    [
        ("BadEvent", "features.events", 2),
        ("BadFile", "pipeline.files", 2),
        ("UnknownVersion", "export.registry.versions", 2),
        ("GateFailed", "export.registry.promotion", 2),
        ("UnknownBundle", "export.bundle", 2),
        ("BadSettings", "pipeline.runtime.errors", 2),
        ("WrongHistory", "pipeline.batch.backfill_basis", 2),
        ("NoLabel", "pipeline.operations.realised", 2),
        ("BadUseCase", "features.usecase", 3),
        ("BundleMismatch", "export.manifest", 4),
        ("ParityError", "export.onnx.conversion", 4),
        ("BadRecord", "features.record", 4),
        ("StoreUnavailable", "pipeline.runtime.errors", 5),
        ("StoreDamaged", "pipeline.stores.store", 5),
        ("SinkUnavailable", "pipeline.runtime.errors", 5),
        ("PubSubUnavailable", "pipeline.runtime.errors", 5),
        ("RegistryUnavailable", "export.registry.tracking", 5),
        ("StorageUnavailable", "export.storage", 5),
        ("NoSuchJob", "pipeline.dataflow.jobs", 6),
        ("TableMismatch", "pipeline.runtime.errors", 6),
        ("SinkRefused", "pipeline.runtime.errors", 6),
        ("PubSubRefused", "pipeline.runtime.errors", 6),
        ("StackError", "deploy.local.stack", 6),
        ("BadHistory", "training.data.labelled_rows", 7),
        ("TooFewEvents", "pipeline.operations.logged_drift", 7),
        ("CannotStart", "pipeline.runtime.errors", 8),
        ("FolderInUse", "pipeline.runtime.folder_lock", 8),
        ("RepairRefused", "pipeline.reconciliation.repair_run", 8),
    ],
)
def test_the_exit_code_of_an_error(name: str, module: str, code: int) -> None:
    __import__(module)
    assert exit_code(example(getattr(sys.modules[module], name))) == code


def test_errors_of_libraries_have_exit_codes_and_defects_have_none() -> None:
    assert exit_code(google.ServiceUnavailable("away")) == 5
    assert exit_code(google.RetryError("gave up", None)) == 5
    assert exit_code(google.NotFound("no such topic")) == 6
    assert exit_code(ModuleNotFoundError("psutil")) == 9
    assert exit_code(KeyError("a defect")) is None


def test_exit_codes_import_neither_beam_nor_redis() -> None:
    look = (
        "import sys; from commands.errors import codes; codes(); "
        "sys.exit(any(name in sys.modules for name in ('apache_beam', 'redis', 'numba', 'onnxruntime')))"
    )
    assert subprocess.run([sys.executable, "-c", look], cwd=ROOT, check=False).returncode == 0


def test_every_error_that_the_service_can_meet_has_a_status() -> None:
    kinds = [kind for kind in descendants(RiskstreamError) if kind.__module__.partition(".")[0] in ROOMS]
    assert [kind for kind in kinds if not set(kind.__mro__) & set(problems.FAILURES)] == []


def test_no_status_is_of_an_error_that_nothing_raises() -> None:
    sources = [
        file.read_text()
        for room in ("serving", "pipeline", "features")
        for file in (ROOT / room).rglob("*.py")
    ]
    special = {kind.__name__ for kind in problems.FAILURES if kind.__module__.partition(".")[0] in ROOMS} - {
        kind.__name__ for kind in FAMILY
    }
    assert {
        name for name in special if not any(re.search(rf"\b{name}[(\n]", text) for text in sources)
    } == set()


def test_the_family_decides_the_status_of_an_error() -> None:
    statuses = {kind: problems.FAILURES[kind][0] for kind in FAMILY}
    assert statuses == {Unavailable: 503, Refused: 503, Mismatch: 500, BadInput: 422}


class Answer(grpc.RpcError, grpc.Call):
    """The end of a gRPC call, with a status."""

    def __init__(self, status: grpc.StatusCode) -> None:
        self.status = status

    def code(self) -> grpc.StatusCode:
        return self.status

    def details(self) -> str:
        return ""

    def initial_metadata(self) -> tuple[()]:
        return ()

    trailing_metadata = initial_metadata

    def is_active(self) -> bool:
        return False

    def time_remaining(self) -> None:
        return None

    def cancel(self) -> bool:
        return False

    def add_callback(self, callback: object) -> bool:
        return False


WAITED_OUT = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
}


@pytest.mark.parametrize("status", list(grpc.StatusCode), ids=lambda status: status.name)
def test_waiting_helps_against_some_answers(status: grpc.StatusCode) -> None:
    assert is_transient(Answer(status)) is (status in WAITED_OUT)
    assert is_transient(google.from_grpc_status(status, "")) is (status in WAITED_OUT)


def test_waiting_helps_against_what_is_unavailable_and_nothing_else_of_the_family() -> None:
    assert is_transient(Unavailable()) and Unavailable in TRANSIENT
    assert not any(is_transient(kind()) for kind in FAMILY[1:])
