"""Realised figures of decisions: the SQL against a naive oracle, single weeks, and the command on a log in BigQuery."""

import json
import threading
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from statistics import median
from typing import Self

import numpy as np
import pyarrow as pa
import pytest
from prometheus_client.parser import text_string_to_metric_families
from scipy.stats import binomtest

from features.usecase import UseCase, parse
from pipeline.bigquery import tables
from pipeline.bigquery.client import Appender, query_client
from pipeline.bigquery.queries import AssessmentQueries
from pipeline.bigquery.schemas import ASSESSMENTS
from pipeline.operations import realised
from pipeline.operations.realised import RealisedWeek, weeks
from tests.commands import Ended, Run
from tests.pipeline.market import MARKET

pytestmark = pytest.mark.usefixtures("bigquery_server")

PROJECT = "local-project"
START = datetime(2026, 3, 2, tzinfo=UTC)  # a Monday
MONDAY = START.date()
DAY = timedelta(days=1)
CUSTOMERS_LABEL = "label: {from: profile.closed, positive: [true], delay: 1d}\n"
VERDICT = """  verdict:
    id: [payment, told_at]
    time: [told_at]
    entities: {customer: customer}
    fields: {payment: string, told_at: time, customer: string, fraud: ["it's", "no"]}

features:
"""
EVENTS_LABEL = """label: {from: verdict.fraud, positive: ["it's"], event: payment, event_id: payment}\n"""


def of_customers(name: str = "market") -> UseCase:
    fields = "born: date, closed: {type: boolean, optional: true}"
    return parse(named(name).replace("born: date", fields) + CUSTOMERS_LABEL, "market.yaml")


def of_events(name: str) -> UseCase:
    return parse(named(name).replace("features:\n", VERDICT, 1) + EVENTS_LABEL, "market.yaml")


def named(name: str) -> str:
    return MARKET.read_text().replace("use_case: market", f"use_case: {name}")


def payment(customer: str, at: datetime, **columns: object) -> dict:
    return {"customer": customer, "event_type": "payment", "event_time": at, "score": 0.5} | columns


def profile(customer: str, at: datetime, closed: bool | None) -> dict:
    body = {"customer": customer} | ({} if closed is None else {"closed": closed})
    return {"customer": customer, "event_type": "profile", "event_time": at, "body": json.dumps(body)}


def verdict(customer: str, at: datetime, of: str, fraud: str) -> dict:
    body = {"customer": customer, "payment": of, "fraud": f" {fraud} "}
    return {"customer": customer, "event_type": "verdict", "event_time": at, "body": json.dumps(body)}


@pytest.fixture(scope="module")
def dataset(bigquery_server: None) -> str:
    """One for all: each log is of a use case of its own."""
    name = f"r{time.time_ns()}"
    tables.create(query_client(PROJECT), name)
    return name


class Log:
    """The log of one use case."""

    def __init__(self, dataset: str, use_case: UseCase) -> None:
        self.use_case, self.dataset = use_case, dataset

    def write(self, *rows: dict) -> None:
        plain = dict.fromkeys(ASSESSMENTS.rows.names) | {
            "use_case": self.use_case.name, "fingerprint": self.use_case.fingerprint, "entities": [], "features": [],
            "disposition": "applied", "level_before": "LOW", "level": "LOW", "score_level": "LOW", "model": "m",
            "body": "{}",
        }  # fmt: skip
        whole = [
            plain | {"event_id": f"e{k}", "seq": k, "publish_time": row["event_time"],
                     "assessed_at": row["event_time"]} | row
            for k, row in enumerate(rows)
        ]  # fmt: skip
        appender = Appender(PROJECT, self.dataset, {ASSESSMENTS.name: ASSESSMENTS.rows})
        appender.append(ASSESSMENTS.name, pa.RecordBatch.from_pylist(whole, schema=ASSESSMENTS.rows))
        appender.close()

    def weeks(self, since: date = MONDAY) -> list[RealisedWeek]:
        return weeks(AssessmentQueries(self.use_case, PROJECT, self.dataset), since)

    def week(self, decision: str, k: int = 0) -> RealisedWeek:
        monday = (START + 7 * k * DAY).date()
        return next(each for each in self.weeks() if (each.decision, each.week) == (decision, monday))


def monday(moment: datetime) -> date:
    return (moment - timedelta(days=moment.weekday())).date()


def decisions_in(row: dict) -> set[str]:
    if row.get("score") is None:
        return set()
    before, after = row.get("level_before", "LOW"), row.get("level", "LOW")
    return {
        name
        for name, is_so in (
            ("RECOMMENDED", row.get("transition") == "RECOMMENDED"),
            ("HIGH", after == "HIGH" and before != "HIGH"),
            ("MEDIUM", after != "LOW" and before == "LOW"),
        )
        if is_so
    }


def oracle(rows: list[dict], delay: timedelta) -> list[RealisedWeek]:
    """Row by row, for a label of customers."""
    said = defaultdict(list)
    for row in rows:
        closed = json.loads(row.get("body", "{}")).get("closed")
        if row["event_type"] == "profile" and closed is not None:
            said[row["customer"]].append((row["event_time"] + delay, closed))
    positive_at = {c: min(t for t, v in told if v) for c, told in said.items() if any(v for _, v in told)}
    first: dict[tuple[str, str, date], datetime] = {}
    for row in sorted(rows, key=lambda row: row["event_time"]):
        for name in decisions_in(row):
            first.setdefault((row["customer"], name, monday(row["event_time"])), row["event_time"])
    found: dict[tuple[str, date], dict[str, list]] = defaultdict(lambda: defaultdict(list))
    for (customer, name, week), decided_at in first.items():
        positive = positive_at.get(customer)
        denials = [t for t, v in said[customer] if not v and t > decided_at]
        if positive is not None:
            kind = "known_before" if positive <= decided_at else "confirmed"
        else:
            kind = "denied" if denials else "unknown"
        told_at = positive or min(denials, default=None)
        found[name, week][kind].append(customer)
        if kind in ("confirmed", "denied"):
            found[name, week]["days"].append((told_at - decided_at) / DAY)
    scored = defaultdict(list)
    for row in rows:
        if row.get("score") is not None:
            scored[row["customer"]].append(row["event_time"])
    for customer, positive in positive_at.items():
        if not scored[customer] or min(scored[customer]) >= positive:
            continue
        for name in realised.DECISIONS:
            earlier = [at for (c, n, _), at in first.items() if (c, n) == (customer, name) and at < positive]
            found[name, monday(positive)]["positives"].append(customer)
            found[name, monday(positive)]["decided_before"] += [customer] if earlier else []
    kinds = ("known_before", "confirmed", "denied", "unknown")
    return [
        RealisedWeek(
            name, week, sum(len(parts[kind]) for kind in kinds), *(len(parts[kind]) for kind in kinds),
            median(parts["days"]) if parts["days"] else None, len(parts["positives"]), len(parts["decided_before"]),
        )
        for (name, week), parts in sorted(found.items(), key=lambda each: (each[0][1], each[0][0]))
    ]  # fmt: skip


def random_log(seed: int) -> list[dict]:
    rng = np.random.default_rng(seed)
    levels, rows = ("LOW", "MEDIUM", "HIGH"), []
    for _ in range(500):
        customer, at = f"c{rng.integers(0, 60)}", START + float(rng.random()) * 50 * DAY
        if rng.random() < 0.25:
            rows.append(profile(customer, at, bool(rng.random() < 0.4) if rng.random() < 0.9 else None))
        else:
            before, after = rng.choice(levels, 2)
            transition = "RECOMMENDED" if after == "HIGH" and rng.random() < 0.5 else None
            score = None if rng.random() < 0.1 else 0.5
            rows.append(
                payment(customer, at, level_before=before, level=after, transition=transition, score=score)
            )
    return rows


def test_weeks_are_those_of_the_naive_count(dataset: str) -> None:
    log, rows = Log(dataset, of_customers("random")), random_log(1)
    log.write(*rows, *rows[:100])  # appended at least once
    found, expected = log.weeks(), oracle(rows, DAY)
    assert len(expected) > 20 and sum(each.known_before for each in expected) > 3
    assert [asdict(each) | {"days": 0} for each in found] == [asdict(each) | {"days": 0} for each in expected]
    assert [each.days or -1 for each in found] == pytest.approx(
        [each.days or -1 for each in expected], abs=1e-4
    )


def test_a_decision_is_confirmed_denied_unknown_or_told_nothing_new(dataset: str) -> None:
    """And what was said before a decision denies nothing."""
    log = Log(dataset, of_customers("plain"))
    names = ("confirmed", "denied", "unknown", "known", "said before")
    log.write(
        *(payment(name, START + DAY, transition="RECOMMENDED", level="HIGH") for name in names),
        profile("confirmed", START + 3 * DAY, True), profile("confirmed", START + 4 * DAY, False),
        profile("denied", START + 6 * DAY, False), profile("known", START - 5 * DAY, True),
        profile("said before", START - DAY, False), profile("unknown", START + 2 * DAY, None),
        payment("never decided", START + DAY), profile("never decided", START + 2 * DAY, True),
        profile("never scored", START + 2 * DAY, True),
    )  # fmt: skip
    found = log.week("RECOMMENDED")
    assert (found.decided, found.known_before, found.confirmed, found.denied, found.unknown) == (
        5,
        1,
        1,
        1,
        2,
    )
    assert found.days == pytest.approx((3 + 6) / 2), "with the label's delay of a day"
    assert (found.positives, found.decided_before) == (2, 1)
    assert log.week("MEDIUM") == RealisedWeek(**asdict(found) | {"decision": "MEDIUM"})
    assert log.weeks(since=date(2026, 3, 9)) == []


def test_a_humans_level_is_no_decision_of_the_model(dataset: str) -> None:
    log = Log(dataset, of_customers("human"))
    log.write(payment("c", START, event_type="override", score=None, level="HIGH", transition="OVERRIDDEN"))
    assert log.weeks() == []


def test_a_label_of_events_judges_each_event(dataset: str) -> None:
    log = Log(dataset, of_events("of_events"))
    said = {"p1": "HIGH", "p2": "HIGH", "p3": "HIGH", "p4": "MEDIUM", "p5": "LOW"}
    log.write(
        *(payment("c", START + k * DAY, event_id=id, score_level=level) for k, (id, level) in enumerate(said.items())),
        *(verdict("c", START + (7 + k) * DAY, id, fraud)
          for k, (id, fraud) in enumerate({"p1": "it's", "p2": "no", "p4": "it's", "p5": "it's"}.items())),
        verdict("another", START + 9 * DAY, "p3", "it's"),
    )  # fmt: skip
    high, medium = log.week("HIGH"), log.week("MEDIUM")
    assert (high.decided, high.confirmed, high.denied, high.unknown) == (3, 1, 1, 1)
    assert (high.positives, high.decided_before, high.days) == (3, 1, 7.0)
    assert (medium.decided, medium.confirmed, medium.decided_before) == (4, 2, 2)


def test_a_use_case_without_a_label_says_so() -> None:
    with pytest.raises(realised.NoLabel, match="label is missing"):
        realised.query(parse(MARKET.read_text(), "market.yaml"), "p.d")


@pytest.fixture(scope="module")
def log(dataset: str) -> Log:
    """Recommendations of which some turned out."""
    made, weeks_of = Log(dataset, of_customers()), [START + 7 * k * DAY for k in range(3)]
    made.write(
        *(payment(f"{k}-{n}", week + n * DAY / 10, transition="RECOMMENDED", level="HIGH")
          for k, week in enumerate(weeks_of) for n in range(10)),
        *(profile(f"{k}-{n}", weeks_of[2] + 3 * DAY, n < 6) for k in range(2) for n in range(9)),
        payment("missed", START), profile("missed", weeks_of[2], True),
    )  # fmt: skip
    return made


class World:
    """The command on a log."""

    def __init__(self, run: Run, log: Log, folder: Path) -> None:
        self.run, self.log, self.file = run, log, folder / "market.yaml"
        self.file.write_text(log.use_case.text)

    def __call__(self, *words: object) -> Ended:
        where = ("--project", PROJECT, "--dataset", self.log.dataset, "--use-case", self.file)
        return self.run("realised", *where, "--since", "2026-03-04", *words)


@pytest.fixture
def world(run: Run, log: Log, tmp_path: Path, bigquery_environment: Mapping[str, str]) -> World:
    for name, value in bigquery_environment.items():
        run.monkeypatch.setenv(name, value)
    return World(run, log, tmp_path)


def test_shares_have_intervals_and_what_is_open_has_bounds(world: World, tmp_path: Path) -> None:
    page = tmp_path / "realised.html"
    ended = world("--json", "--out", page)
    found = json.loads(ended.out)
    recommended = found["total"][0]
    counts = [
        recommended[name]
        for name in ("decided", "confirmed", "denied", "unknown", "positives", "decided_before")
    ]
    assert counts == [30, 12, 6, 12, 13, 12] and found["since"] == "2026-03-02"
    expected, precision = binomtest(12, 18).proportion_ci(method="wilson"), recommended["precision"]
    assert precision["estimate"] == pytest.approx(12 / 18)
    assert (precision["low"], precision["high"]) == pytest.approx(expected, abs=1e-4)
    assert recommended["recall"]["estimate"] == pytest.approx(12 / 13)
    assert found["words"] == (
        "30 times in the 3 weeks from 2026-03-02 a customer was recommended for off-boarding: 12 are confirmed, "
        "6 denied, 12 unknown as yet. Of the 18 whose outcome is known, 67% [44%, 84%] are confirmed (precision). "
        "Once all are known it will lie between 40% and 80%. Of the 13 that became known to be positive, 12 had been "
        "decided about before: 92% [67%, 99%] (recall)."
    )
    text = page.read_text()
    assert found["words"] in text and "<script" not in text and "2026-03-09" in text
    assert [week["unknown"] for week in found["weeks"] if week["decision"] == "RECOMMENDED"] == [1, 1, 10]


def test_weeks_of_which_nothing_is_known_say_so(world: World) -> None:
    ended = world("--since", "2026-06-01")
    assert ended.code == 0 and "No customer was recommended for off-boarding since 2026-06-01." in ended.out
    assert "Nothing that was scored became known to be positive." in ended.out


def test_the_view_holds_the_same_weeks_and_is_replaced_with_the_use_case(world: World) -> None:
    words = (
        "tables",
        "--project",
        PROJECT,
        "--dataset",
        world.log.dataset,
        "--realised-view",
        world.file,
        "--json",
    )
    assert json.loads(world.run(*words).out)[-1] == {
        "action": "created", "kind": "view", "name": f"{world.log.dataset}.realised_market",
    }  # fmt: skip
    rows = query_client(PROJECT).query_and_wait(
        f"SELECT * FROM {world.log.dataset}.realised_market ORDER BY week, decision"
    )
    assert [RealisedWeek(**row) for row in rows] == world.log.weeks()
    assert json.loads(world.run(*words).out)[-1]["action"] == "kept"
    world.file.write_text(world.file.read_text().replace("delay: 1d", "delay: 2d"))
    assert json.loads(world.run(*words).out)[-1]["action"] == "replaced"
    world.file.write_text(MARKET.read_text())
    assert world.run(*words).code == 2


def test_figures_are_pushed_as_metrics(world: World) -> None:
    with Gateway() as gateway:
        assert world("--push", gateway.url).code == 0
    ((path, text),) = gateway.received
    assert path == "/metrics/job/riskstream-realised/use_case/market"
    found = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text) for sample in family.samples
    }  # fmt: skip
    assert found["riskstream_realised_decisions", "unknown"] == 12
    assert found["riskstream_realised_precision", "estimate"] == pytest.approx(12 / 18)
    assert found["riskstream_realised_precision", "high"] < 0.85
    ended = world("--push", gateway.url)
    assert ended.code == 5 and "took no metrics" in ended.err, "it is gone"


class Gateway(HTTPServer):
    """A server that takes metrics as a Pushgateway does."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Taking)
        self.received: list[tuple[str, str]] = []
        self.thread = threading.Thread(target=self.serve_forever)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.thread.join()
        self.server_close()


class Taking(BaseHTTPRequestHandler):
    server: Gateway

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.received.append((self.path, body.decode()))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        return None
