"""The audit trail: every write and every look is in BigQuery, also after an outage or a kill."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from features.times import rfc3339
from pipeline.bigquery import schemas, tables
from pipeline.bigquery.client import query_client
from pipeline.runtime.metrics import AUDIT_MISSING, AUDIT_OLDEST, AUDIT_WAITING, key
from pipeline.runtime.process_metrics import progress
from serving.audit.files import AuditFile, AuditRecord, left_behind
from serving.audit.trail import Trail, TrailFull
from serving.auth.access import Access
from serving.auth.roles import Role
from serving.configuration import Configuration
from tests.commands import Run
from tests.pipeline.market import START_US, market, payment
from tests.pipeline.servers import RedisServer
from tests.serving.conftest import Serving, body_of, process, within
from tests.serving.test_access import AUDIENCE, CALLER, Provider, bearer, provider  # noqa: F401
from tests.serving.test_serve import words

pytestmark = pytest.mark.usefixtures("bigquery_server")
PROJECT = "tests"  # of the service's topic, so of its dataset too
TRACE = "0af7651916cd43dd8448eb211c80319c"  # pragma: allowlist secret
KIND = {"content-type": "application/json"}
PAYMENT = body_of(payment(market(), "p1", START_US, "ann", None, 1.0))


@pytest.fixture
def dataset() -> str:
    """A dataset of the test's own, with the tables."""
    name = f"d{time.time_ns()}"
    tables.create(query_client(PROJECT), name)
    return name


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Sends BigQuery away, and lets it come back."""
    address = os.environ["BIGQUERY_STORAGE_EMULATOR_HOST"]

    def send(is_away: bool) -> None:
        monkeypatch.setenv("BIGQUERY_STORAGE_EMULATOR_HOST", "127.0.0.1:1" if is_away else address)

    return send


def logged(dataset: str, columns: str = "*", view: str = schemas.AUDIT.view) -> list[tuple[Any, ...]]:
    query = f"SELECT {columns} FROM {dataset}.{view} ORDER BY answered_at, id"
    return [tuple(row) for row in query_client(PROJECT).query_and_wait(query)]


def record(number: int) -> AuditRecord:
    return AuditRecord(
        f"r{number}", START_US + number, "market", "look", 200, customer=f"c{number}", caller="anonymous"
    )


def test_every_write_and_every_look_is_in_it_whatever_came_of_it(
    serving: Serving,
    provider: Provider,  # noqa: F811
    dataset: str,
    tmp_path: Path,
) -> None:
    access = Access(provider.issuer, AUDIENCE, {CALLER: Role.SCORER, "ann@bank.example": Role.ANALYST})
    scorer, analyst = (bearer(provider.token(email=name)) for name in access.emails)
    until = rfc3339(time.time_ns() // 1_000 + 86_400_000_000)
    word = {"customer": "ann", "level": "LOW", "author": "bob", "reason": "known", "until": until}
    trace = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
    with serving(access=access, dataset=dataset, no_audit=False, audit_folder=tmp_path / "audit") as served:

        def post(path: str, body: bytes, headers: dict[str, str]) -> int:
            return served.client.post(f"/v1/{path}", content=body, headers=headers | KIND).status_code

        def look(customer: str, headers: dict[str, str]) -> int:
            return served.client.get(f"/v1/customers/{customer}", headers=headers).status_code

        done = [
            post("scores/payment", PAYMENT, scorer), post("events/payment", PAYMENT, scorer | trace),
            look("%20ann%20", analyst), look("ann", scorer), look("nobody", analyst), look("ann", {}),
            post("events/payment", b"{}", scorer), post("events/nothing", b"{}", scorer),
            post("events/override", json.dumps(word).encode(), analyst),
            post("events/override", json.dumps(word | {"customer": "x"}).encode(), analyst),
        ]  # fmt: skip
        assert served.client.get("/v1/model", headers=scorer).status_code == 200
    found = logged(dataset, "action, status, caller, role, customer, event_type, event_id, author, trace_id")
    analyst_name = "ann@bank.example"
    assert [row[:8] for row in found] == [
        ("try", 200, CALLER, "scorer", "ann", "payment", "p1", None),
        ("send", 200, CALLER, "scorer", "ann", "payment", "p1", None),
        ("look", 200, analyst_name, "analyst", "ann", None, None, None),
        ("look", 403, CALLER, "scorer", "ann", None, None, None),
        ("look", 404, analyst_name, "analyst", "nobody", None, None, None),
        ("look", 401, None, None, "ann", None, None, None),
        ("send", 422, CALLER, "scorer", None, "payment", None, None),
        ("send", 404, CALLER, "scorer", None, None, None, None),
        ("override", 200, analyst_name, "analyst", "ann", "override", found[8][6], "bob"),
        ("override", 404, analyst_name, "analyst", "x", "override", found[9][6], "bob"),
    ]
    assert done == [row[1] for row in found]
    assert [row[8] for row in found if row[8]] == [TRACE]
    assert {row[0] for row in logged(dataset, "address")} == {"127.0.0.1"}
    assert list((tmp_path / "audit").rglob("*.jsonl")) == [], "nothing waits after a clean end"


def test_answers_do_not_wait_for_bigquery_and_what_a_killed_service_left_is_sent(
    settings: Configuration, dataset: str, tmp_path: Path, away: Callable[[bool], None]
) -> None:
    folder = tmp_path / "audit"
    flags = ("--dataset", dataset, "--audit-folder", str(folder))
    away(True)
    with process(settings, *flags) as (served, client):
        began_s = time.monotonic()
        assert [client.get(f"/v1/customers/c{i}").status_code for i in range(20)] == [404] * 20
        assert client.post("/v1/events/payment", content=PAYMENT, headers=KIND).status_code == 200
        assert time.monotonic() - began_s < 5
        served.kill()
        served.wait()
        assert served.stderr and "c1" not in served.stderr.read(), "the log names nobody"
    assert logged(dataset) == []
    away(False)
    with closing(Trail(PROJECT, dataset, folder, 1 << 20)):
        within(20, lambda: len(logged(dataset)) == 21)
    assert [row[0] for row in logged(dataset, "customer")] == [*(f"c{i}" for i in range(20)), "ann"]


def test_where_no_record_can_wait_events_go_on_and_nobody_looks(
    serving: Serving, dataset: str, tmp_path: Path, away: Callable[[bool], None]
) -> None:
    """Once BigQuery is back all goes on by itself."""
    word = {
        "customer": "ann",
        "level": "LOW",
        "author": "bob",
        "reason": "r",
        "until": "2100-01-01T00:00:00Z",
    }
    away(True)
    before = progress.counts[key(AUDIT_MISSING)]
    with serving(dataset=dataset, no_audit=False, audit_folder=tmp_path, audit_mib=6_000 / 2**20) as served:

        def status(method: str, path: str, body: bytes | None = None) -> int:
            return served.client.request(method, f"/v1/{path}", content=body, headers=KIND).status_code

        looks = [status("GET", "customers/ann") for _ in range(40)]
        assert looks[0] == 404 and looks[-1] == 503 and looks == sorted(looks)
        answer = served.client.get("/v1/customers/ann")
        assert answer.headers["retry-after"] == "1" and answer.json()["title"] == "The audit trail is full"
        assert status("POST", "scores/payment", PAYMENT) == 503
        assert status("POST", "events/override?create=true", json.dumps(word).encode()) == 503
        assert {status("POST", "events/payment", PAYMENT) for _ in range(40)} == {200}
        assert status("GET", "model") == 200
        assert served.client.get("/health/ready").status_code == 200
        assert served.client.get("/health/parts").json()["audit_trail"].startswith("full: ")
        assert progress.counts[key(AUDIT_MISSING)] > before
        within(20, lambda: progress.gauges[key(AUDIT_WAITING)] > 10)
        away(False)
        within(20, lambda: status("GET", "customers/ann") == 200)
        within(20, lambda: progress.gauges[key(AUDIT_OLDEST)] == 0.0)


def test_strangers_fill_a_quarter_of_the_room(
    tmp_path: Path, dataset: str, away: Callable[[bool], None]
) -> None:
    away(True)
    with closing(Trail(PROJECT, dataset, tmp_path, most_bytes=20_000)) as trail:
        with pytest.raises(TrailFull):
            for number in range(1_000):
                trail.add(record(number), is_stranger=True)
        assert 4_000 < sum(file.stat().st_size for file in tmp_path.rglob("*.jsonl")) <= 5_000
        trail.add(record(0))
        assert not trail.is_full
        away(False)


def test_an_answer_that_cannot_be_recorded_does_not_leave(
    serving: Serving, dataset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full at this very moment: the look has been done, but nobody sees it."""

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with serving(dataset=dataset, no_audit=False, audit_folder=tmp_path) as served:
        assert served.client.post("/v1/events/payment", content=PAYMENT, headers=KIND).status_code == 200
        with monkeypatch.context() as patch:
            patch.setattr(AuditFile, "add", fail)
            answer = served.client.get("/v1/customers/ann")
            assert answer.status_code == 503 and "level" not in answer.text
            assert served.client.post("/v1/events/payment", content=PAYMENT, headers=KIND).status_code == 200
        assert served.client.get("/v1/customers/ann").json()["level"] == "LOW"
    assert [row[0] for row in logged(dataset, "action")] == ["send", "look"]


def test_a_record_comes_once_though_it_is_sent_twice(tmp_path: Path, dataset: str) -> None:
    for _ in range(2):
        with closing(Trail(PROJECT, dataset, tmp_path, 1 << 20)) as trail:
            trail.add(record(1))
    assert len(logged(dataset, view="audit")) == 2 and len(logged(dataset)) == 1


def test_two_services_on_one_folder_leave_each_others_files_alone(tmp_path: Path) -> None:
    mine = AuditFile.new(tmp_path)
    mine.add(b'{"id":"a","answered_at":1,"use_case":"u","action":"look","status":200}\n', 1)
    look = "import sys, pathlib, serving.audit.files as s; print(len(list(s.left_behind(pathlib.Path(sys.argv[1])))))"
    other = [sys.executable, "-c", look, str(tmp_path)]
    assert subprocess.check_output(other, text=True) == "0\n", "its process lives"
    mine.close(drop=False)
    assert subprocess.check_output(other, text=True) == "1\n"


def test_the_runbooks_query_finds_events_that_claim_a_caller_and_have_no_record(
    dataset: str, tmp_path: Path
) -> None:
    """So whoever writes the attribute without having asked the service is found."""
    text = (Path(__file__).parents[2] / "docs/runbook.md").read_text()
    query = text.split("```sql\n")[1].split("```")[0].replace("riskstream.", f"{dataset}.")
    with closing(Trail(PROJECT, dataset, tmp_path, 1 << 20)) as trail:
        event = {"customer": "ann", "event_type": "payment", "event_id": "p1"}
        trail.add(AuditRecord("r1", time.time_ns() // 1_000, "market", "send", 200, **event))
    values = {
        "event_type": "'payment'", "event_time": "CURRENT_TIMESTAMP()", "publish_time": "CURRENT_TIMESTAMP()",
        "assessed_at": "CURRENT_TIMESTAMP()", "use_case": "'market'", "customer": "'ann'", "seq": "1",
        "disposition": "'applied'", "level_before": "'LOW'", "level": "'LOW'", "model": "'m'", "fingerprint": "'f'",
        "body": "'{}'",
    }  # fmt: skip
    for event_id, caller in (("p1", "'ann@bank.example'"), ("p2", "'ann@bank.example'"), ("p3", "NULL")):
        query_client(PROJECT).query_and_wait(
            f"INSERT INTO {dataset}.assessments ({', '.join(values)}, event_id, caller) "
            f"VALUES ({', '.join(values.values())}, '{event_id}', {caller})"
        )
    found = [tuple(row) for row in query_client(PROJECT).query_and_wait(query)]
    assert found == [("payment", "p2", "ann", "ann@bank.example")]


def test_the_log_of_the_service_names_neither_callers_nor_customers(
    serving: Serving,
    provider: Provider,  # noqa: F811
    redis_server: RedisServer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Whatever goes wrong for whom."""
    with serving(access=Access(provider.issuer, AUDIENCE, {CALLER: Role.ADMIN})) as served:
        good, other = (bearer(provider.token(email=name)) for name in (CALLER, "eve@bank.example"))
        for headers in (good, other, {}):
            served.client.get("/v1/customers/ann", headers=headers)
            served.client.post("/v1/events/payment", content=b"{}", headers=headers | KIND)
        with redis_server.frozen():
            assert served.client.get("/v1/customers/ann", headers=good).status_code == 503
            assert (
                served.client.post("/v1/events/payment", content=PAYMENT, headers=good | KIND).status_code
                == 503
            )
    assert "answered 503" in caplog.text
    assert not [name for name in ("bank", "ann", "eve", "117") if name in caplog.text.replace("cannot", "")]


@pytest.fixture
def segment(tmp_path: Path) -> Iterator[AuditFile]:
    found = AuditFile.new(tmp_path)
    for number in range(3):
        found.add(
            b'{"id":"%d","answered_at":%d,"use_case":"u","action":"look","status":200}\n'
            % (number, number + 5),
            number + 5,
        )
    yield found


def test_a_line_that_was_never_finished_is_of_a_request_never_answered(
    segment: AuditFile, tmp_path: Path
) -> None:
    os.write(segment.descriptor, b'{"id":"torn","answered_at":')
    segment.close(drop=False)
    (left,) = left_behind(tmp_path)
    assert [each.id for each in left.read()] == ["0", "1", "2"]
    assert (left.records, left.oldest_us) == (3, 5)


def test_a_file_that_is_none_is_set_aside_and_told(
    segment: AuditFile, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    segment.path.write_bytes(b"\0" * 100 + b"\n")
    segment.close(drop=False)
    assert list(left_behind(tmp_path)) == []
    assert [file.suffix for file in tmp_path.iterdir()] == [".unreadable"]
    assert "is no file of audit records" in caplog.text


def test_a_full_disk_leaves_whole_lines(segment: AuditFile, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, line: write(descriptor, line[:10]))
    with pytest.raises(OSError, match="the disk is full"):
        segment.add(b'{"id":"4","answered_at":9,"use_case":"u","action":"look","status":200}\n', 9)
    assert [each.id for each in segment.read()] == ["0", "1", "2"]
    assert segment.path.read_bytes().endswith(b"200}\n")


def test_a_table_that_is_missing_is_told_at_the_start(
    run: Run, settings: Configuration, bigquery_environment: Mapping[str, str]
) -> None:
    for name, value in bigquery_environment.items():
        run.monkeypatch.setenv(name, value)
    ended = run(*words(settings, dataset=f"none{time.time_ns()}"))
    assert ended.code == 8
    assert "audit trail: no table" in ended.err and "run `riskstream tables`" in ended.err


def test_only_where_no_other_machine_can_ask_there_need_be_no_trail(
    run: Run, settings: Configuration
) -> None:
    for others in ({"host": "0.0.0.0"}, {"issuer": "https://sso.bank.example", "audience": "us"}):
        named = {} if "host" in others else {"other-callers": "viewer"}
        ended = run(*words(settings, **others, **named), "--allow-unauthenticated", "--no-audit")
        assert ended.code == 2 and "other machines can ask, so a trail has to be kept" in ended.err
