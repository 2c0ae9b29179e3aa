"""The command: what it shows, what it refuses, and that nothing is left behind, however it ends."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from redis import Redis

from pipeline.certification.job_process import ROOT, wait_for
from pipeline.certification.resources import left_behind
from pipeline.certification.run_names import run_in
from pipeline.pubsub.topics import publisher_client
from pipeline.stores.redis_store import RedisStore
from tests.commands import Run

CERTIFIED, NOT_CERTIFIED, WRONG_FLAG, CANNOT_START, INTERRUPTED = 0, 1, 2, 8, 130
SHORT = ("--events", 400, "--kills", 0, "--outage-s", 0.3, "--workers", 1, "--minutes", 5)


@pytest.fixture
def run(stack_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    return Run(monkeypatch, capsys)


@pytest.fixture
def redis(stack_folder: Path) -> Iterator[Redis]:
    with closing(Redis.from_url(os.environ["REDIS_URL"])) as client:
        yield client


def left(prefix: str = "riskstream_certify") -> list[str]:
    with closing(RedisStore(os.environ["REDIS_URL"])) as store:
        return list(left_behind(os.environ["GOOGLE_CLOUD_PROJECT"], prefix, store))


def test_a_dry_run_shows_the_plan_and_creates_nothing(run: Run) -> None:
    ended = run("certify", "--dry-run", "--json", "--kills", 1)
    shown = json.loads(ended.out)
    assert ended.code == CERTIFIED and run_in(shown["run"])
    faults = [line.strip().partition(":")[0] for line in shown["plan"] if line.startswith("  ")]
    assert [each for each in faults if each in ("kill", "redis-cut", "pubsub-cut", "bigquery-cut")] == [
        "kill", "redis-cut", "pubsub-cut", "bigquery-cut",
    ]  # fmt: skip
    assert shown["servers"]["redis"]["maxmemory_policy"] == "noeviction"
    assert left() == []


def test_a_prefix_in_use_is_refused(run: Run, redis: Redis) -> None:
    redis.set("mine:record", "of somebody")
    ended = run("certify", *SHORT, "--prefix", "mine")
    assert ended.code == CANNOT_START and "1 keys under mine: (such as mine:record)" in ended.err
    assert redis.get("mine:record") == b"of somebody" and left("mine") == []


@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        (
            ("--events", 100_000, "--memory-mb", 10),
            CANNOT_START,
            "--memory-mb: found 10, expected at least 99",
        ),
        (("--failover-command", "true"), WRONG_FLAG, "expected --allow-failover too"),
        (("--events", 1), WRONG_FLAG, "Invalid value for '--events'"),
    ],
)
def test_bounds_are_kept(run: Run, flags: tuple[object, ...], code: int, message: str) -> None:
    ended = run("certify", *flags)
    assert ended.code == code and message in ended.err
    assert left() == []


def started(*flags: object) -> subprocess.Popen[str]:
    """A run as a process of its own, once it has topics."""
    words = [sys.executable, "-m", "riskstream", "certify", *map(str, flags)]
    process = subprocess.Popen(words, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: bool(topics_of_runs()) or process.poll() is not None, "the run creates its topics")
    return process


def topics_of_runs() -> list[str]:
    with publisher_client() as client:
        topics = client.list_topics(project=f"projects/{os.environ['GOOGLE_CLOUD_PROJECT']}")
        return [topic.name for topic in topics if run_in(topic.name)]


@pytest.mark.chaos
@pytest.mark.timeout(900)
def test_an_interrupted_run_removes_everything(stack_folder: Path) -> None:
    process = started(*SHORT)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate()
    assert process.returncode == INTERRUPTED, err
    assert left() == []


def test_what_a_killed_run_left_is_removed_by_clean_up(run: Run, redis: Redis) -> None:
    redis.set("riskstream_certify_results", "of somebody")
    with publisher_client() as client:
        client.create_topic(name=f"projects/{os.environ['GOOGLE_CLOUD_PROJECT']}/topics/certify_of_somebody")
    process = started(*SHORT)
    process.kill()
    process.communicate()
    (name,) = left()
    assert f"{name} goes on" in run("certify", "--clean-up").out and left() == [name]
    (alive,) = redis.keys(f"*{name}:alive")
    redis.delete(alive)  # as it expires within a minute
    removed = run("certify", "--clean-up", "--json")
    assert any(f"topic {name}-events" == each for each in json.loads(removed.out)["removed"])
    assert left() == [] and redis.get("riskstream_certify_results") == b"of somebody"
    with publisher_client() as client:
        client.delete_topic(topic=f"projects/{os.environ['GOOGLE_CLOUD_PROJECT']}/topics/certify_of_somebody")
    assert run("certify", "--clean-up").out == "nothing was left\n"


@pytest.mark.chaos
@pytest.mark.timeout(900)
def test_a_run_with_kills_and_outages_is_certified(run: Run, tmp_path: Path) -> None:
    ended = run(
        "certify",
        "--events",
        8_000,
        "--kills",
        3,
        "--outage-s",
        5,
        "--minutes",
        12,
        "--report",
        tmp_path,
        "--json",
    )
    certificate = json.loads(ended.out)
    assert ended.code == CERTIFIED, [check for check in certificate["checks"] if not check["holds"]]
    assert certificate == json.loads((tmp_path / "certificate.json").read_text())
    assert len(certificate["faults"]) == 7 and all(each["recovered_s"] > 0 for each in certificate["faults"])
    assert "# certified: riskstream_certify_" in (tmp_path / "certificate.md").read_text()
    assert (tmp_path / "job.log").exists() and left() == []


@pytest.mark.chaos
@pytest.mark.timeout(900)
def test_a_redis_that_loses_a_record_on_the_way_is_not_certified(
    run: Run, redis: Redis, tmp_path: Path
) -> None:
    process = started(*SHORT, "--outage-s", 3, "--minutes", 3, "--report", tmp_path)
    wait_for(lambda: bool(redis.keys("riskstream_certify:*:payee:payee-0")), "there are records")
    time.sleep(1)
    redis.delete(*redis.keys("riskstream_certify:*:payee:payee-0"))
    _, err = process.communicate()
    assert process.returncode == NOT_CERTIFIED, err
    checks = json.loads((tmp_path / "certificate.json").read_text())["checks"]
    wrong = {check["name"] for check in checks if not check["holds"]}
    assert "records of payee equal a replay, byte by byte" in wrong, wrong
    assert left() == []
