"""The recorded state of a local stack: `stack.json` in its folder, written atomically.

The file stays when the stack is taken down, so that the next one has the same ports and the environment of a
shell stays right.
"""

import fcntl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from deploy.local.processes import Process

FILE = "stack.json"


@dataclass(frozen=True)
class ServiceProcess:
    """One service: its ports, and its process unless it was taken down."""

    ports: tuple[int, ...]
    process: Process | None


@dataclass(frozen=True)
class StackState:
    """The services by name, and the environment with which clients find them."""

    parts: Mapping[str, ServiceProcess] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)

    def with_part(self, name: str, part: ServiceProcess) -> "StackState":
        """Return a copy in which a service is this part."""
        return replace(self, parts={**self.parts, name: part})

    def without_part(self, name: str) -> "StackState":
        """Return a copy without a service."""
        return replace(self, parts={other: part for other, part in self.parts.items() if other != name})


def read(folder: Path) -> StackState:
    """Read the state of a folder; empty if no stack was ever up there."""
    file = folder / FILE
    return msgspec.json.decode(file.read_bytes(), type=StackState) if file.exists() else StackState()


def write(folder: Path, state: StackState) -> None:
    """Write the state atomically: a temporary file, then a rename."""
    temporary = folder / f"{FILE}.new"
    temporary.write_bytes(msgspec.json.format(msgspec.json.encode(state)))
    temporary.replace(folder / FILE)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Let one command at a time work on a stack. Makes the folder, which keeps itself out of git."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ".gitignore").write_text("*\n")
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
