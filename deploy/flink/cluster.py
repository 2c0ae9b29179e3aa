"""A Flink cluster on this machine: a job manager, task managers, and a pool that starts Beam's Python workers.

All on free loopback ports, each a process of its own; which they are is in one file, so that another command stops
them. Small on purpose: a task manager here only hands bundles to a Python worker.
"""

import json
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from deploy.flink import files
from deploy.local.processes import Process, last_lines, python_module, start
from deploy.local.services import ANSWER_TIMEOUT_S, HOST

FOLDER = files.FOLDER / "cluster"  # configuration, logs, checkpoints
STATE = "cluster.json"
START_TIMEOUT_S = 120.0  # two virtual machines and Beam's imports, on a busy machine
POLL_S = 0.2
SLOTS = 2  # a task manager; one that is left can take over all tasks
MEMORY = {  # of a task manager; its own scripts would work all of these out
    "framework.heap.size": "128m",
    "framework.off-heap.size": "64m",
    "task.heap.size": "384m",
    "task.off-heap.size": "64m",
    "managed.size": "32m",
    "network.min": "32m",
    "network.max": "32m",
    "jvm-metaspace.size": "256m",
    "jvm-overhead.min": "64m",
    "jvm-overhead.max": "64m",
}
HEAPS = {"job manager": "512m", "task manager": "512m"}
ENTRY_POINTS = {
    "job manager": "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint",
    "task manager": "org.apache.flink.runtime.taskexecutor.TaskManagerRunner",
}
OPENED = ("java.base/java.lang", "java.base/java.net", "java.base/java.nio", "java.base/java.time",
          "java.base/java.util", "java.base/java.util.concurrent", "java.base/sun.net.util")  # fmt: skip
LOGGING = """
rootLogger.level = INFO
rootLogger.appenderRef.console.ref = Console
appender.console.name = Console
appender.console.type = CONSOLE
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{HH:mm:ss,SSS} %-5p %c{1} %m%n
"""


@dataclass(frozen=True)
class Cluster:
    """Processes of a cluster and where it answers."""

    folder: str
    rest_port: int
    pool_port: int
    job_manager: Process
    pool: Process
    task_managers: tuple[Process, ...]

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.rest_port}"

    def beam_flags(self, parallelism: int) -> list[str]:
        """Return the flags after the `--` of `riskstream run`."""
        return [
            "--runner=FlinkRunner",
            f"--flink_master={self.url}",
            "--flink_submit_uber_jar",
            f"--flink_job_server_jar={files.runner()}",
            "--environment_type=EXTERNAL",
            f"--environment_config=localhost:{self.pool_port}",
            f"--parallelism={parallelism}",
        ]

    def asked(self, path: str, method: str = "GET") -> Any:
        """The job manager's answer. Raises OSError."""
        request = urllib.request.Request(f"{self.url}/{path}", method=method)
        with urllib.request.urlopen(request, timeout=ANSWER_TIMEOUT_S) as answer:
            return json.loads(answer.read() or b"{}")

    def kill(self, process: Process) -> None:
        """kill -9: it can finish nothing. Returns when it has ended."""
        running = process.running()
        assert running is not None, f"process {process.pid} has ended before"
        running.kill()
        running.wait()

    def registered(self) -> int:
        """Task managers that the job manager knows; 0 if it does not answer."""
        try:
            return len(self.asked("taskmanagers")["taskmanagers"])
        except OSError:
            return 0


def up(folder: Path = FOLDER, task_managers: int = 2) -> Cluster:
    """Starts a cluster and waits until all of it answers. Raises FlinkMissing, RuntimeError."""
    jars = files.fetch()
    files.runner()
    down(folder)
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    rest, pool, rpc = free_ports(3)
    configure(folder, rest, rpc)
    with ExitStack() as undo:

        def started(name: str, command: list[str]) -> Process:
            process = start(command, folder, log_of(folder, name))
            undo.callback(end, process)
            processes.append(process)
            return process

        processes: list[Process] = []

        cluster = Cluster(
            str(folder), rest, pool,
            started("job-manager", java(jars, folder, "job manager")),
            started("pool", python_module("deploy.flink.pool", "--port", str(pool))),
            tuple(
                started(f"task-manager-{i}", java(jars, folder, "task manager")) for i in range(task_managers)
            ),
        )  # fmt: skip
        wait_for(lambda: cluster.registered() == task_managers and listens(pool), processes, folder)
        (folder / STATE).write_text(json.dumps(asdict(cluster), indent=2))
        undo.pop_all()
    return cluster


def down(folder: Path = FOLDER) -> bool:
    """Stops the cluster that was started in the folder and waits for its end. False: there was none."""
    file = folder / STATE
    if not file.exists():
        return False
    known = json.loads(file.read_text())
    for process in (*known["task_managers"], known["job_manager"], known["pool"]):
        end(Process(**process))
    file.unlink()
    return True


@contextmanager
def running(folder: Path = FOLDER, task_managers: int = 2) -> Iterator[Cluster]:
    """A cluster for as long as the block lasts."""
    try:
        yield up(folder, task_managers)
    finally:
        down(folder)


def end(process: Process) -> None:
    """The process, and the workers that a pool has started."""
    running = process.running()
    workers = running.children(recursive=True) if running else []
    process.stop()
    for worker in workers:
        try:
            worker.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(workers)


def configure(folder: Path, rest: int, rpc: int) -> None:
    """Writes what all of Flink's processes read."""
    settings = {
        "jobmanager.rpc.address": HOST,
        "jobmanager.rpc.port": rpc,
        "jobmanager.bind-host": HOST,
        "rest.address": HOST,
        "rest.bind-address": HOST,
        "rest.bind-port": rest,
        "rest.port": rest,
        "taskmanager.host": HOST,
        "taskmanager.bind-host": HOST,
        "taskmanager.numberOfTaskSlots": SLOTS,
        "taskmanager.load-balance.mode": "SLOTS",  # tasks go to all task managers
        "taskmanager.cpu.cores": 1,
        **{f"taskmanager.memory.{part}": size for part, size in MEMORY.items()},
        "heartbeat.interval": "1 s",
        "heartbeat.timeout": "10 s",  # a killed task manager is mostly noticed at once
        "restart-strategy.type": "fixed-delay",
        "restart-strategy.fixed-delay.attempts": 1_000_000,
        "restart-strategy.fixed-delay.delay": "1 s",
        "execution.checkpointing.dir": (folder / "checkpoints").as_uri(),
        "io.tmp.dirs": str(folder / "tmp"),
    }
    (folder / "tmp").mkdir(exist_ok=True)
    lines = [f"{name}: {value}" for name, value in settings.items()]
    (folder / "config.yaml").write_text("\n".join(lines) + "\n")
    (folder / "log4j.properties").write_text(LOGGING)


def java(jars: Path, folder: Path, what: str) -> list[str]:
    return [
        files.need("java"), f"-Xmx{HEAPS[what]}", *(f"--add-opens={name}=ALL-UNNAMED" for name in OPENED),
        f"-Dlog4j.configurationFile={folder / 'log4j.properties'}",
        "-cp", ":".join(str(jar) for jar in sorted(jars.glob("*.jar")) if "flink-python" not in jar.name),
        ENTRY_POINTS[what], "--configDir", str(folder),
    ]  # fmt: skip


def free_ports(count: int) -> list[int]:
    with ExitStack() as held:  # all are held until the last is chosen: they differ
        sockets = [held.enter_context(socket.create_server((HOST, 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in sockets]


def listens(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), ANSWER_TIMEOUT_S).close()
    except OSError:
        return False
    return True


def wait_for(condition: Callable[[], bool], processes: Sequence[Process], folder: Path) -> None:
    """Raises RuntimeError when it takes too long, or one of the processes ends."""
    until_s = time.monotonic() + START_TIMEOUT_S
    while not condition():
        if time.monotonic() > until_s or not all(process.running() for process in processes):
            logs = "\n".join(f"{log}:\n{last_lines(log)}" for log in sorted(folder.glob("*.log")))
            raise RuntimeError(f"Flink is not up within {START_TIMEOUT_S:g} s. {logs}")
        time.sleep(POLL_S)


def log_of(folder: Path, name: str) -> Path:
    log = folder / f"{name}.log"
    log.unlink(missing_ok=True)
    return log
