"""Detached processes that outlive the command that started them, found again by id and start time.

An id alone may belong to another process by now, so a process that does not match both is never signalled.
"""

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]  # where `python -m deploy.local...` finds the package
STOP_TIMEOUT_S = 15.0  # a clean stop of DuckDB moves its log into its file first
SAME_START_S = (
    2.0  # a start time read later may differ by this much: it is counted from an estimated boot time
)
LOG_LINES = 20


@dataclass(frozen=True)
class Process:
    """A process as recorded at its start; `started` is in seconds since 1970."""

    pid: int
    started: float

    def running(self) -> psutil.Process | None:
        """Return the process, or None if it has ended."""
        try:
            process = psutil.Process(self.pid)
            has_ended = process.status() == psutil.STATUS_ZOMBIE
            is_other = abs(process.create_time() - self.started) > SAME_START_S
            return None if has_ended or is_other else process
        except psutil.NoSuchProcess:
            return None

    def stop(self) -> None:
        """Ask the process to end, wait, and kill it if it does not; a frozen process is woken for that."""
        process = self.running()
        if process is None:
            return
        try:
            process.send_signal(signal.SIGTERM)
            process.send_signal(signal.SIGCONT)
            process.wait(STOP_TIMEOUT_S)
        except psutil.TimeoutExpired:
            process.kill()
            process.wait(STOP_TIMEOUT_S)
        except psutil.NoSuchProcess:
            return


@dataclass(frozen=True)
class Client:
    """A process that is connected to a service."""

    pid: int
    command: str


def start(command: Sequence[str], folder: Path, log: Path) -> Process:
    """Start a process in `folder` that goes on when this one ends; its output is appended to `log`."""
    folder.mkdir(parents=True, exist_ok=True)
    python_path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    with log.open("ab") as output:
        child = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": python_path},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    child.returncode = 0  # nobody waits for it here, and Popen need not warn of that
    return Process(child.pid, psutil.Process(child.pid).create_time())


def clients_of(servers: Iterable[Process]) -> dict[int | None, list[Client]]:
    """Return, by the id of each server, the other processes of this machine that are connected to it.

    Processes of other users are left out where the system hides their connections.
    """
    stack = {each.pid for each in servers}
    connections = [each for each in psutil.net_connections("tcp") if each.pid and each.raddr]
    server_of = {each.laddr: each.pid for each in connections if each.pid in stack}
    clients: dict[int | None, set[int]] = {}
    for each in connections:
        if each.pid not in stack | {os.getpid()} and each.raddr in server_of:
            clients.setdefault(server_of[each.raddr], set()).add(each.pid)
    return {
        server: [Client(pid, command_of(pid)) for pid in sorted(pids)] for server, pids in clients.items()
    }


def command_of(pid: int) -> str:
    """Return the command line of a process, without the interpreter's path; "" if it has ended."""
    try:
        program, *words = psutil.Process(pid).cmdline() or [""]
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return ""
    if words and Path(program).name.startswith("python"):
        program, *words = words
    return shlex.join([Path(program).name, *words])


def python_module(module: str, *arguments: str) -> list[str]:
    """Return the command that runs a module with this Python."""
    return [sys.executable, "-m", module, *arguments]


def last_lines(log: Path) -> str:
    """Return the end of a log, for a message."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-LOG_LINES:]) if log.exists() else ""
