"""Outages of a local stack's services, for tests: frozen, thawed, killed."""

import os
import signal
from pathlib import Path

from deploy.local import stack, state


def freeze(folder: Path, name: str) -> None:
    """The process stands still: connections stay open, nothing answers."""
    os.kill(pid(folder, name), signal.SIGSTOP)


def thaw(folder: Path, name: str) -> None:
    os.kill(pid(folder, name), signal.SIGCONT)


def kill(folder: Path, name: str) -> None:
    """The process ends without notice. `stack.up(folder)` brings it back, on its ports, with its data."""
    process = state.read(folder).parts[name].process
    assert process is not None
    found = process.running()
    assert found is not None
    found.kill()
    found.wait(10)


def restart(folder: Path, name: str) -> None:
    kill(folder, name)
    stack.up(folder, [name])


def pid(folder: Path, name: str) -> int:
    process = state.read(folder).parts[name].process
    assert process is not None
    return process.pid
