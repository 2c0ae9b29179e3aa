"""The stack: up, real clients work, what dies is mended, down leaves nothing; others are left alone."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import redis
import typer
from google.cloud import pubsub_v1

import riskstream
from commands.local import find_stack
from deploy.local import discovery, processes, services, stack, state
from pipeline.bigquery.client import query_client
from tests.commands import Run
from tests.deploy import outages

VARIABLES = [name for service in services.SERVICES for name in service.environment((0,) * service.ports)]


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*VARIABLES, "GOOGLE_CLOUD_PROJECT"]:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("stack")
    yield folder
    stack.down(folder)


@pytest.fixture
def whole(folder: Path, no_environment: None, monkeypatch: pytest.MonkeyPatch) -> stack.Stack:
    """A stack that is up, its environment set: the tests share it, and each leaves it up or mendable."""
    up = stack.up(folder)
    for name, value in up.environment.items():
        monkeypatch.setenv(name, value)
    return up


def states(reports: list[stack.ServiceState] | tuple[stack.ServiceState, ...]) -> dict[str, str]:
    return {report.name: report.state for report in reports}


def test_real_clients_work(whole: stack.Stack) -> None:
    assert redis.Redis.from_url(whole.environment["REDIS_URL"]).ping()
    topic = "projects/local-project/topics/events"
    assert pubsub_v1.PublisherClient().create_topic(name=topic).name == topic
    assert [list(row) for row in query_client("local-project").query_and_wait("SELECT 1 + 1")] == [[2]]


def test_up_twice_keeps_what_runs(whole: stack.Stack) -> None:
    again = stack.up(whole.folder)
    assert states(again.services) == {"redis": "running", "pubsub": "running", "bigquery": "running"}
    assert {report.pid for report in again.services} == {report.pid for report in whole.services}
    assert again.environment == whole.environment


def test_its_own_environment_is_not_an_external_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with stack.running(tmp_path, ["redis"]) as first:
        monkeypatch.setenv("REDIS_URL", first.environment["REDIS_URL"])
        assert states(stack.status(tmp_path))["redis"] == "running"
    with stack.running(tmp_path, ["redis"]) as again:
        assert states(again.services) == {"redis": "started"}
        assert again.environment == first.environment
        assert redis.Redis.from_url(first.environment["REDIS_URL"]).ping()


def test_what_died_is_reported_and_started_again_with_its_data(whole: stack.Stack) -> None:
    client = redis.Redis.from_url(whole.environment["REDIS_URL"])
    client.set("record", "remembered")
    time.sleep(1.2)  # a second is how long Redis may take to store what it acknowledged
    outages.kill(whole.folder, "redis")
    outages.kill(whole.folder, "pubsub")
    assert states(stack.status(whole.folder)) == {"redis": "dead", "pubsub": "dead", "bigquery": "running"}
    mended = stack.up(whole.folder)
    assert states(mended.services) == {"redis": "restarted", "pubsub": "restarted", "bigquery": "running"}
    assert mended.environment == whole.environment
    assert client.get("record") == b"remembered"


def test_a_frozen_service_is_silent_until_it_thaws(whole: stack.Stack) -> None:
    outages.freeze(whole.folder, "redis")
    assert states(stack.status(whole.folder))["redis"] == "silent"
    outages.thaw(whole.folder, "redis")
    assert states(stack.up(whole.folder).services)["redis"] == "running"


def test_down_stops_even_what_is_frozen_and_leaves_nothing(whole: stack.Stack) -> None:
    pids = [report.pid for report in whole.services]
    outages.freeze(whole.folder, "pubsub")
    assert states(stack.down(whole.folder))["pubsub"] == "silent"
    assert not any(pid is not None and psutil.pid_exists(pid) for pid in pids)
    assert set(states(stack.status(whole.folder)).values()) == {"stopped"}
    with pytest.raises(stack.StackError, match="riskstream up"):
        stack.environment(whole.folder)
    assert set(states(stack.down(whole.folder)).values()) == {"stopped"}


def test_redis_url_is_respected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "rediss://memorystore.example:6378/0")
    with stack.running(tmp_path, ["redis", "pubsub"]) as up:
        assert states(up.services) == {"redis": "external", "pubsub": "started"}
        assert up.environment["REDIS_URL"] == "rediss://memorystore.example:6378/0"
        assert stack.environment(tmp_path) == up.environment
        assert set(state.read(tmp_path).parts) == {"pubsub"}


def test_a_service_that_cannot_start_is_reported_with_its_log(tmp_path: Path) -> None:
    (tmp_path / "redis").mkdir()
    (tmp_path / "redis" / "appendonly.aof").write_bytes(b"not an append-only file")
    with pytest.raises(stack.StackError, match=r"(?s)redis ended at once.*Bad file format"):
        stack.up(tmp_path, ["redis", "pubsub"])
    parts = state.read(tmp_path).parts
    assert not any(part.process and part.process.running() for part in parts.values())


def test_ports_taken_meanwhile_are_not_used(tmp_path: Path) -> None:
    with stack.running(tmp_path, ["pubsub"]) as up:
        (port,) = up.services[0].ports
    with socket.create_server(("127.0.0.1", port)), stack.running(tmp_path, ["pubsub"]) as again:
        assert again.services[0].ports != (port,)


def test_down_names_who_still_uses_it(tmp_path: Path, run: Run) -> None:
    up = stack.up(tmp_path, ["redis"])
    url = up.environment["REDIS_URL"]
    ask = (
        f"import redis, sys; r = redis.Redis.from_url({url!r}); print(r.ping(), flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", ask], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as client:
        assert client.stdout and client.stdout.readline() == "True\n"
        ended = run("down", "--folder", tmp_path)
        client.communicate("")
    assert [line.split() for line in ended.out.splitlines()[1:]] == [["redis", "running"]]
    (line,) = ended.err.splitlines()
    assert line.startswith(f"redis still in use by process {client.pid}: -c ")


@pytest.mark.parametrize("variable", discovery.DECIDING)
def test_an_explicit_environment_wins_over_the_stack_of_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    process = processes.start(["sleep", "60"], tmp_path, tmp_path / "log")
    part, variables = state.ServiceProcess((1,), process), {"GOOGLE_CLOUD_PROJECT": "local-project"}
    state.write(tmp_path, state.StackState({"pubsub": part}, variables))
    try:
        assert discovery.running_environment(tmp_path) == variables
        monkeypatch.setenv(variable, "somewhere")
        assert discovery.running_environment(tmp_path) == {}
        monkeypatch.delenv(variable)
    finally:
        process.stop()
    assert discovery.running_environment(tmp_path) == {}, "it has died"
    assert discovery.running_environment(tmp_path / "elsewhere") == {}


def test_commands_find_the_stack_of_their_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    """Only those that would stop without it, and none that says where to work."""
    for name in [*VARIABLES, "GOOGLE_CLOUD_PROJECT"]:
        monkeypatch.setenv(name, "")  # put back after the test
    monkeypatch.chdir(tmp_path)
    command = typer.main.get_command(riskstream.app)
    with stack.running(stack.FOLDER, ["pubsub"]):
        for words in (
            ["topics", "--project=bank"],
            ["topics", "--help"],
            ["usecase", "check", "offboarding"],
            ["jobs", "--region", "europe-west1"],
            ["up"],
        ):
            find_stack(command, words)
            assert not os.environ["GOOGLE_CLOUD_PROJECT"]
        topics = run("topics", "--use-case", "offboarding")
        assert (topics.code, topics.err) == (0, f"riskstream: using the local stack in {stack.FOLDER}\n")
        assert "offboarding-events" in topics.out and os.environ["GOOGLE_CLOUD_PROJECT"] == "local-project"
        monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "")
    assert run("topics").code == 2, "it is no longer up"


def test_a_recycled_process_id_is_never_signalled() -> None:
    sleeper = subprocess.Popen(["sleep", "60"])
    try:
        started = psutil.Process(sleeper.pid).create_time()
        processes.Process(sleeper.pid, started - 60).stop()
        assert sleeper.poll() is None
        processes.Process(sleeper.pid, started).stop()
        assert not psutil.pid_exists(sleeper.pid)
    finally:
        sleeper.poll()


def test_exports_are_quoted_for_a_shell() -> None:
    lines = stack.exports({"REDIS_URL": "redis://:pass word@host/0", "GOOGLE_CLOUD_PROJECT": "p"})
    shell = ["sh", "-c", f"{lines}\nprintf '%s' \"$REDIS_URL\""]
    assert (
        subprocess.run(shell, capture_output=True, text=True, check=True).stdout
        == "redis://:pass word@host/0"
    )
