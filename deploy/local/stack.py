"""The local stack: Redis, Pub/Sub and BigQuery on free ports of this machine (`riskstream up / down / env`).

`up` is idempotent: a service that runs is kept, one that died is started again on its ports with its data. `down`
stops what `up` started and nothing else. State, logs and data of a stack are in one folder.
"""

import os
import shlex
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from deploy.local import processes, state
from deploy.local.services import DEFAULT_PROJECT, HOST, SERVICES, LocalService
from deploy.local.state import ServiceProcess, StackState
from features.errors import Refused

FOLDER = Path(".riskstream")
START_TIMEOUT_S = 90.0  # importing the emulator takes 3 s, on a busy machine many times that
SILENCE_TIMEOUT_S = 5.0  # how long a service that ran before may take to answer
POLL_S = 0.05
BECAME = {"dead": "restarted", "stopped": "started", "silent": "running"}  # by `up`
ALL = tuple(service.name for service in SERVICES)


class StackError(Refused):
    """The stack cannot be started or used as asked; the message names the service, the reason and what to do."""


@dataclass(frozen=True)
class ServiceState:
    """State of a service: started, restarted, running, external, stopped, dead (its process ended) or silent.

    `clients` are the processes that had connections to it when `down` stopped it.
    """

    name: str
    state: str
    pid: int | None = None
    ports: tuple[int, ...] = ()
    clients: tuple[processes.Client, ...] = ()


@dataclass(frozen=True)
class Stack:
    """A stack that is up."""

    folder: Path
    services: tuple[ServiceState, ...]
    environment: Mapping[str, str]


def up(folder: Path = FOLDER, names: Sequence[str] = ALL) -> Stack:
    """Start the services that do not run, and wait until all answer. Raises StackError with the end of the log."""
    wanted = [service for service in SERVICES if service.name in names]
    with state.locked(folder):
        before = state.read(folder)
        reports = [report(service, before) for service in wanted]
        after = start_missing(folder, wanted, reports, before)
        after = replace(after, environment={**before.environment, **client_variables(wanted, after)})
        state.write(folder, after)
        services = tuple(
            replace(report(service, after), state=BECAME.get(was.state, was.state))
            for service, was in zip(wanted, reports, strict=True)
        )
    return Stack(folder, services, after.environment)


def start_missing(
    folder: Path, services: Sequence[LocalService], reports: Sequence[ServiceState], known: StackState
) -> StackState:
    """Start dead and stopped services, and stop them again unless all services answer in the end."""
    with ExitStack() as undo:
        for service, was in zip(services, reports, strict=True):
            if was.state == "external":
                known = known.without_part(service.name)
            elif was.state in ("dead", "stopped"):
                process, ports = start(folder, service, known)
                undo.callback(process.stop)
                known = known.with_part(service.name, ServiceProcess(ports, process))
            state.write(folder, known)  # what runs is known even if this command ends here
        wait(folder, services, known)
        undo.pop_all()
    return known


def down(folder: Path = FOLDER) -> list[ServiceState]:
    """Stop the processes that `up` started, wait for their end, and report how each was. Data stay."""
    if not (folder / state.FILE).exists():
        return []
    with state.locked(folder):
        known = state.read(folder)
        clients = processes.clients_of(part.process for part in known.parts.values() if part.process)
        reports = [
            replace(each, clients=tuple(clients.get(each.pid, ())))
            for each in (report(service, known) for service in SERVICES if service.name in known.parts)
        ]
        for name, part in known.parts.items():
            if part.process:
                part.process.stop()
            known = known.with_part(name, ServiceProcess(part.ports, process=None))
            state.write(folder, known)
    return reports


def status(folder: Path = FOLDER) -> list[ServiceState]:
    """Return the state of each service, without changing anything."""
    known = state.read(folder)
    return [report(service, known) for service in SERVICES]


def environment(folder: Path = FOLDER) -> Mapping[str, str]:
    """Return the variables that clients of the stack need. Raises StackError if it is not up."""
    known = state.read(folder)
    if not known.environment or all(part.process is None for part in known.parts.values()):
        raise StackError(f"no stack is up in {folder}: run `riskstream up`")
    return known.environment


def exports(environment: Mapping[str, str]) -> str:
    """Return the environment as lines for a shell to evaluate."""
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in environment.items())


@contextmanager
def running(folder: Path = FOLDER, names: Sequence[str] = ALL) -> Iterator[Stack]:
    """Keep a stack up for as long as the block lasts."""
    try:
        yield up(folder, names)
    finally:
        down(folder)


def start(
    folder: Path, service: LocalService, known: StackState
) -> tuple[processes.Process, tuple[int, ...]]:
    """Start the process of a service, without waiting for its answer."""
    ports = usable_ports(service, known)
    home = folder.resolve() / service.name
    log = log_file(folder, service)
    log.unlink(missing_ok=True)
    return processes.start(service.command(ports, home), home, log), ports


def usable_ports(service: LocalService, known: StackState) -> tuple[int, ...]:
    """Return the ports that the service had if they are still free, else other free ports."""
    part = known.parts.get(service.name)
    if part and all(map(is_free, part.ports)):
        return part.ports
    with ExitStack() as held:  # all are held until the last is chosen: they differ
        sockets = [held.enter_context(socket.create_server((HOST, 0))) for _ in range(service.ports)]
        return tuple(each.getsockname()[1] for each in sockets)


def is_free(port: int) -> bool:
    try:
        socket.create_server((HOST, port)).close()
    except OSError:
        return False
    return True


def wait(folder: Path, services: Sequence[LocalService], known: StackState) -> None:
    """Wait until all services answer. Raises StackError if one ends or stays silent."""
    for service in services:
        part = known.parts.get(service.name)
        if part is None:  # external
            continue
        assert part.process is not None
        started_before_s = time.time() - part.process.started
        deadline = time.monotonic() + max(SILENCE_TIMEOUT_S, START_TIMEOUT_S - started_before_s)
        while not service.answers(part.ports):
            log = log_file(folder, service)
            if part.process.running() is None:
                raise StackError(
                    f"{service.name} ended at once. Its log, {log}:\n{processes.last_lines(log)}"
                )
            if time.monotonic() > deadline:
                raise StackError(
                    f"{service.name} (process {part.process.pid}) runs but does not answer; `riskstream "
                    f"down` stops it. Its log, {log}:\n{processes.last_lines(log)}"
                )
            time.sleep(POLL_S)


def report(service: LocalService, known: StackState) -> ServiceState:
    """Compare a service with its recorded state."""
    part = known.parts.get(service.name)
    process = part.process.running() if part and part.process else None
    if part and process:
        answers = "running" if service.answers(part.ports) else "silent"
        return ServiceState(service.name, answers, process.pid, part.ports)
    if is_external(service, known):
        return ServiceState(service.name, "external")
    return ServiceState(service.name, "dead" if part and part.process else "stopped")


def is_external(service: LocalService, known: StackState) -> bool:
    """Return whether the environment names a server that does not belong to this stack, now or the last time."""
    part = known.parts.get(service.name)
    variables = service.environment(part.ports) if part else {}
    return os.environ.get(service.variable) not in (None, "", variables.get(service.variable))


def client_variables(services: Sequence[LocalService], known: StackState) -> dict[str, str]:
    """Return the variables with which clients find these services: the stack's, or for external ones those set."""
    variables = {"GOOGLE_CLOUD_PROJECT": os.environ.get("GOOGLE_CLOUD_PROJECT") or DEFAULT_PROJECT}
    for service in services:
        part = known.parts.get(service.name)
        needed = service.environment(part.ports if part else (0,) * service.ports)
        variables |= needed if part else {name: os.environ[name] for name in needed if name in os.environ}
    return variables


def log_file(folder: Path, service: LocalService) -> Path:
    return folder / f"{service.name}.log"
