"""Each command of riskstream with the rights that docs/redis.md gives it and no others; and how a job begins.

One job runs for all of it, as a user of its own on a Redis with access control lists.
"""

import json
import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import Result
from google.cloud import bigquery
from typer.testing import CliRunner

import riskstream
from pipeline.job.job import Job
from pipeline.job.preflight import check, note_start
from pipeline.runtime.errors import CannotStart, StoreUnavailable
from pipeline.stores.integrity import Integrity
from pipeline.stores.redis_store import RedisStore
from pipeline.stores.store import StoreDamaged
from tests.pipeline.broker import Broker
from tests.pipeline.market import MARKET, history, market
from tests.pipeline.servers import RedisServer
from tests.pipeline.small_records import record
from tests.pipeline.test_run import broker, cloud, job, left, published, running, until  # noqa: F401
from tests.pipeline.vital import begun

PAGE = Path(__file__).parents[2] / "docs" / "redis.md"
ROW = re.compile(r"^\| (`[^|]+`) \| ([A-Z ]+) \|$", re.M)
USE_CASE = market()


def rights() -> dict[str, list[str]]:
    """The page's table: a command of riskstream, and what it needs of Redis."""
    return {
        name: needs.split()
        for names, needs in ROW.findall(PAGE.read_text())
        for name in re.findall("`([^`]+)`", names)
    }


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


def as_user(server: RedisServer, command: str, *without: str) -> str:
    """The URL of a user who may do what the page says of the command, but for some of it."""
    allowed = [f"+{each.lower()}" for each in rights()[command] if each not in without]
    user = re.sub(r"\W", "", command)
    server.client.execute_command("ACL", "SETUSER", user, "reset", "on", ">secret", "~riskstream:*", *allowed)
    return f"redis://{user}:secret@127.0.0.1:{server.port}"  # pragma: allowlist secret


def said(command: str, job: Job, url: str, *words: str) -> Result:  # noqa: F811
    options = ["--use-case", str(MARKET), "--redis-url", url, "--json"]
    if command in ("status", "reconcile", "repair"):
        options += ["--project", job.project, "--dataset", job.dataset]
    if command not in ("status", "delete-records"):
        options += ["--bundle", job.bundle]
    return CliRunner().invoke(riskstream.app, [command, *words, *options])


def test_every_command_needs_what_the_page_says(
    server: RedisServer, cloud: bigquery.Client, broker: Broker, job: Job, tmp_path: Path  # noqa: F811
) -> None:  # fmt: skip
    own = replace(job, redis_url=as_user(server, "run"))
    published(broker, history(USE_CASE, 300, seed=8))
    with running(own) as codes:
        until(lambda: left(broker) == 0, "the job has all of it")
    assert codes == [0]
    for command in ("status", "reconcile", "repair"):
        answer = said(command, job, as_user(server, command))
        assert answer.exit_code == 0, f"{command}: {answer.output}{answer.exception}"
    parts = json.loads(said("status", job, as_user(server, "status")).stdout)
    assert not [name for name in ("store", "customers", "filled") if "unknown" in parts[name]], parts
    file = tmp_path / "payments.jsonl"
    file.write_text('{"id":"x1","at":"2023-01-01T00:00:00Z","customer":"new","amount":5.0,"state":"DONE"}\n')
    fresh = ("--prefix", "riskstream:fresh")
    filled = said("backfill", job, as_user(server, "backfill"), str(file), *fresh)
    assert filled.exit_code == 0, f"{filled.output}{filled.exception}"
    dropped = said("delete-records", job, as_user(server, "delete-records"), USE_CASE.fingerprint, *fresh)
    assert dropped.exit_code == 0, f"{dropped.output}{dropped.exception}"
    it_begins_only_on_what_it_left(server, replace(job, redis_url=server.url))


def it_begins_only_on_what_it_left(server: RedisServer, job: Job) -> None:  # noqa: F811
    """A supervisor starts the same job again, with --allow-empty-store, on a store that has changed meanwhile."""
    check(job)
    integrity = Integrity(RedisStore(server.url), job.prefix, USE_CASE.name, USE_CASE.fingerprint)
    note_start(job)
    whole = integrity.state()
    assert whole and whole.status == "whole"
    stranger = integrity.confirm(integrity.look().text or b"", frozenset({"another server"}))
    assert stranger, "now nobody has confirmed the server that answers"
    note_start(job)
    confirmed = integrity.state()
    assert confirmed and confirmed.histories == whole.histories, "the log's latest rows are there"
    integrity.confirm(integrity.look().text or b"", frozenset({"another server"}))
    records = server.client.keys(f"riskstream:{USE_CASE.name}:{USE_CASE.fingerprint}:customer:*")
    server.client.delete(records[0])
    with pytest.raises(StoreDamaged, match=r"1 of the .* customers of the log's latest rows"):
        note_start(job)
    with pytest.raises(CannotStart, match="riskstream repair"):
        check(job)
    server.client.flushall()
    with pytest.raises(CannotStart, match=r"assessments of these features .*riskstream repair.*--dataset"):
        check(job)


@pytest.mark.parametrize("missing", ["MEMORY", "SCAN", "INFO"])
def test_a_missing_right_is_named_with_what_to_do(
    server: RedisServer, job: Job, missing: str  # noqa: F811
) -> None:  # fmt: skip
    begun(server.url, USE_CASE)
    server.client.set(f"riskstream:{USE_CASE.name}:{USE_CASE.fingerprint}:customer:a", bytes(64))
    answer = said("status", job, as_user(server, "status", missing))
    assert "docs/redis.md" in answer.stdout, answer.stdout


@pytest.mark.parametrize("missing", ["MGET", "SET", "EVAL", "INFO"])
def test_a_job_names_a_missing_right_too(server: RedisServer, missing: str) -> None:
    store, key = RedisStore(as_user(server, "run", missing)), f"riskstream:{missing}".encode()
    with closing(store), pytest.raises(StoreUnavailable, match=r"docs/redis\.md"):
        store.check()
        store.commit([key], [0], [record(1)])
        store.read([key])


def test_a_key_out_of_reach_is_named_too(server: RedisServer) -> None:
    with (
        closing(RedisStore(as_user(server, "run"))) as store,
        pytest.raises(StoreUnavailable, match="prefix"),
    ):
        store.read([b"other:key"])
