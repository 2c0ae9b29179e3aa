"""`riskstream drift` on a log in BigQuery: figures against plain numpy, what counts, endings, page and webhook."""

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from export import bundle as bundles
from pipeline.bigquery import queries, tables
from pipeline.bigquery.client import Appender, query_client
from pipeline.bigquery.schemas import ASSESSMENTS
from pipeline.operations import drift_sample
from tests.commands import Ended, Run
from tests.pipeline.market import MARKET, market
from tests.pipeline.models import engine, trained
from tests.training.test_notify import Hook, hook  # noqa: F401 a fixture

pytestmark = pytest.mark.usefixtures("bigquery_server")

PROJECT = "local-project"
NEWEST = datetime(2026, 11, 22, 8, tzinfo=UTC)
HOUR = timedelta(hours=1)
USE_CASE = market()
NAMES = USE_CASE.features
GROWING = {"any_count_ever", "any_since_first_ever", "refused_share"}  # with the age of the record
JUDGED = [name for name in NAMES if name not in GROWING]
UNUSED = NAMES[1]  # no score depends on it: see tests.pipeline.models
N = 3_000
Matrix = NDArray[np.float32]


def vectors(seed: int, n: int = N, **factors: float) -> Matrix:
    """Distributed as in training, but for some columns times a factor."""
    rng = np.random.default_rng(seed)
    found = rng.lognormal(2, 2, (n, len(NAMES))).astype(np.float32)
    found[rng.random(found.shape) < 0.1] = np.nan
    for name, factor in factors.items():
        found[:, NAMES.index(name)] *= np.float32(factor)
    return found


def scores(of: Matrix) -> NDArray[np.float32]:
    return engine(USE_CASE, None).scorer.score(of)  # type: ignore[arg-type]


def rows(of: Matrix, first: int = 0, newest: datetime = NEWEST, **columns: object) -> pa.RecordBatch:
    """One event a vector, spread over the hundred hours before `newest`."""
    n = len(of)
    times = [newest - 100 * HOUR * (1 - (i + 1) / n) for i in range(n)]
    said = {
        "event_id": [f"p{first + i}" for i in range(n)], "event_type": ["payment"] * n, "event_time": times,
        "publish_time": times, "assessed_at": [NEWEST] * n, "use_case": [USE_CASE.name] * n,
        "customer": [f"c{i % 70}" for i in range(n)], "seq": list(range(n)), "entities": [[]] * n,
        "disposition": ["applied"] * n, "score": scores(of).astype(float).tolist(), "level_before": ["LOW"] * n,
        "level": ["HIGH" if i % 10 == 0 else "LOW" for i in range(n)], "transition": [None] * n,
        "features": of.astype(float).tolist(), "model": [trained(USE_CASE).manifest.id] * n,
        "fingerprint": [USE_CASE.fingerprint] * n, "body": ["{}"] * n,
        **dict.fromkeys(("challenger", "challenger_score", "challenger_level", "score_level", "caller"), [None] * n),
    } | {name: value if isinstance(value, list) else [value] * n for name, value in columns.items()}  # fmt: skip
    return pa.RecordBatch.from_pydict(said, schema=ASSESSMENTS.rows)


@dataclass
class World:
    """A log and a bundle, and the command on them."""

    run: Run
    root: str
    dataset: str

    def say(self, *batches: pa.RecordBatch) -> None:
        appender = Appender(PROJECT, self.dataset, {ASSESSMENTS.name: ASSESSMENTS.rows})
        for batch in batches:
            appender.append(ASSESSMENTS.name, batch)
        appender.close()

    def drift(self, *words: object) -> Ended:
        where = ["--project", PROJECT, "--dataset", self.dataset, "--use-case", MARKET, "--bundle", self.root]
        return self.run("drift", *where, *words)

    def facts(self, *words: object, code: int = 0) -> dict:
        ended = self.drift("--json", *words)
        assert ended.code == code, ended
        return json.loads(ended.out)


@pytest.fixture
def world(run: Run, tmp_path: Path, bigquery_environment: Mapping[str, str]) -> World:
    for name, value in bigquery_environment.items():
        run.monkeypatch.setenv(name, value)
    dataset, root = f"d{time.time_ns()}", str(tmp_path / "bundles")
    tables.create(query_client(PROJECT), dataset)
    bundles.save(trained(USE_CASE), root)
    bundles.promote(root, trained(USE_CASE).manifest.id)
    return World(run, root, dataset)


def oracle(bins: dict, values: NDArray[np.floating]) -> float:
    """PSI over the bins that a bundle shows and what lies outside them, straight from its definition."""
    present = values[~np.isnan(values)]
    borders = pairwise([-np.inf, np.nextafter(bins["low"], -np.inf), *bins["edges"], bins["high"], np.inf])
    counts = [((low < present) & (present <= high)).sum() for low, high in borders]
    now = [n / len(values) for n in (*counts, len(values) - len(present))]
    pairs = np.maximum([(0, *bins["shares"], 0, bins["missing"]), now], 1e-4).T
    return sum((b - a) * np.log(b / a) for a, b in pairs)


def test_events_as_in_training_are_steady_each_counted_once(world: World) -> None:
    of = vectors(1)
    said = rows(of)
    again = {"event_time": said["event_time"][:300].to_pylist(), "disposition": "duplicate"}
    late = rows(of[:300], features=[[]] * 300, assessed_at=NEWEST - HOUR, **again)
    world.say(said, late, said.slice(0, 1_000), rows(of[:50], first=N, score=None, features=[[]] * 50))
    found = world.facts()
    assert (found["verdict"], found["drifted_features"]) == ("steady", [])
    assert (found["events"], found["looked_at"], found["customers"]) == (N, N, 70)
    reference = msgspec.to_builtins(trained(USE_CASE).reference)
    expected = {name: oracle(reference["features"][name], of[:, k]) for k, name in enumerate(NAMES)}
    assert {each["name"]: each["csi"] for each in found["features"]} == pytest.approx(expected, rel=1e-9)
    assert found["score"]["psi"] == pytest.approx(oracle(reference["score"], scores(of)), rel=1e-9)
    csis = [each["csi"] for each in found["features"] if each["verdict"] != "not judged"]
    assert csis == sorted(csis, reverse=True)
    for each in found["features"]:
        assert each["missing_now"] == pytest.approx(np.isnan(of[:, NAMES.index(each["name"])]).mean())
        shares = (*each["now"], each["missing_now"], each["below_now"], each["above_now"])
        assert sum(shares) == pytest.approx(1)
    assert found["levels"]["HIGH"] == {"before": 0, "now": N // 10}
    assert found["models"] == {trained(USE_CASE).manifest.id: N}


def test_the_two_legs_of_a_transfer_are_two_events(world: World) -> None:
    """They share id and number."""
    of = vectors(1)
    world.say(rows(of), rows(of, customer="payee"))
    found = world.facts()
    assert found["events"] == found["looked_at"] == 2 * N
    assert found["levels"]["HIGH"]["now"] == 2 * N // 10


def test_one_feature_that_drifts_is_named_first_and_alone_is_no_alarm(world: World) -> None:
    world.say(rows(vectors(2, **{UNUSED: 30.0})))
    ended = world.drift()
    assert ended.code == 0
    assert f"1 of {len(JUDGED)} features have drifted: {UNUSED}" in ended.out.splitlines()[0]
    lines = [line.split() for line in ended.out.splitlines()]
    at = next(i for i, line in enumerate(lines) if line[:1] == ["column"])
    assert [line[0] for line in lines[at + 1 : at + 3]] == ["score", UNUSED]
    assert "drifted" in lines[at + 2]
    meaning = next(each.meaning for each in USE_CASE.table if each.name == UNUSED)
    assert meaning in ended.out


def test_many_features_that_drift_end_in_a_code_of_their_own_and_are_told(world: World, hook: Hook) -> None:  # noqa: F811
    shifted = NAMES[:: max(1, len(NAMES) // 6)]
    world.say(rows(vectors(3, **dict.fromkeys(shifted, 40.0))))
    found = world.facts("--notify", hook.url, code=12)
    assert found["verdict"] == "drifted"
    judged = set(shifted) - GROWING
    assert set(found["drifted_features"]) == judged
    assert {each["name"] for each in found["features"][: len(judged)]} == judged
    assert [each["words"] for each in hook.received] == [found["words"]]
    assert found["words"].startswith("drifted: the score is drifted (PSI ")


def test_nobody_is_told_that_all_is_steady(world: World, hook: Hook) -> None:  # noqa: F811
    world.say(rows(vectors(4)))
    world.facts("--notify", hook.url)
    assert hook.received == []


def test_only_the_period_counts_and_levels_are_told_beside_the_time_before(world: World) -> None:
    before = NEWEST - 200 * HOUR
    world.say(
        rows(vectors(5, **dict.fromkeys(NAMES, 40.0)), first=10_000, newest=before, level="MEDIUM"),
        rows(vectors(6)),
    )
    week = world.facts()
    assert (week["events"], week["verdict"]) == (N, "steady")
    assert week["until"] == "2026-11-22T08:00:00.000001Z"
    assert week["levels"]["MEDIUM"] == {"before": N, "now": 0}
    past = world.facts("--since", "2026-11-01", "--until", before.strftime("%Y-%m-%dT%H:%M:%SZ"), code=12)
    assert past["events"] == N - 1, "the end is not in the period"
    assert world.facts("--days", "30", code=12)["events"] == 2 * N


def test_scores_are_those_of_the_model_and_vectors_of_the_same_features(world: World) -> None:
    world.say(
        rows(vectors(7), model="market-before", score=0.99),
        rows(vectors(8), first=20_000, fingerprint="0123456789abcdef"),  # pragma: allowlist secret
        rows(vectors(9, n=400), first=30_000),
    )
    found = world.facts()
    assert (found["events"], found["other_features"], found["score"]) == (N + 400, N, None)
    assert list(found["models"].items()) == [("market-before", N), (trained(USE_CASE).manifest.id, 400)]
    assert "nothing can be said of the score" in found["words"]


def test_of_too_many_events_some_are_looked_at(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drift_sample, "MOST_VECTORS", 1_000)
    world.say(rows(vectors(10)))
    found = world.facts()
    assert found["events"] == N
    assert 800 < found["looked_at"] < 1_200
    assert found == world.facts(), "the same ones each time"
    assert f"looked at {found['looked_at']:,} of their vectors" in world.drift().out


def test_few_events_say_nothing(world: World) -> None:
    assert_ended(world.drift(), 7, "found no scored event of market")
    world.say(rows(vectors(11, n=499, **dict.fromkeys(NAMES, 40.0))))
    assert_ended(world.drift(), 7, "found 499 vectors", "--days")


def test_what_is_missing_or_does_not_fit_is_told(world: World) -> None:
    assert_ended(world.drift("--since", "2026-11-01", "--days", "3"), 2, "--since")
    assert_ended(world.drift("--since", "2026-11-02", "--until", "2026-11-01"), 2, "--since")
    assert_ended(world.drift("--notify", "hooks"), 2, "--notify")
    assert_ended(world.drift("--dataset", "nowhere"), 6, "nowhere")
    assert_ended(world.drift("--bundle", world.root + "/none"), 4, "found no market.current")
    manifest = msgspec.structs.replace(trained(USE_CASE).manifest, id="another", fingerprint="0" * 16)
    bundles.save(msgspec.structs.replace(trained(USE_CASE), manifest=manifest), world.root)
    world.say(rows(vectors(12)))
    assert_ended(world.drift("--bundle", f"{world.root}/another"), 4, "trained for use case")


def test_a_bigquery_that_is_away_ends_in_5(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "ASK_AGAIN", queries.ASK_AGAIN.with_timeout(0.5))
    monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", "http://127.0.0.1:1")
    assert world.drift().code == 5


def test_the_page_shows_the_worst_first_and_needs_nothing_else(world: World, tmp_path: Path) -> None:
    world.say(rows(vectors(13, **{UNUSED: 30.0})))
    page = tmp_path / "drift.html"
    ended = world.drift("--out", page)
    text = page.read_text()
    assert ended.code == 0 and str(page) in ended.err
    assert ended.out.splitlines()[0] in text
    at = [text.index(f'<span class="small">{name}</span>') for name in NAMES]
    assert min(at) == at[NAMES.index(UNUSED)]
    assert "in training, " in text and "missing: " in text
    assert "<script" not in text and not re.findall(r'(?:src|href)="(?!#)', text)


def series(found: dict, by: str) -> dict[str, dict]:
    return {each["since"][:10]: each for each in found["series"] if each["by"] == by}


def test_days_weeks_and_months_stand_beside_training_each_on_its_own(world: World, tmp_path: Path) -> None:
    """A shift on one day, a thin day, an empty one; what the period cuts is not judged."""
    days = {name: datetime.fromisoformat(f"2026-10-{name}T00:00:00Z") for name in ("19", "20", "21", "26")}
    factors = {"20": dict.fromkeys(NAMES, 40.0)}
    world.say(*(
        rows(vectors(int(name), n=200 if name == "21" else 700, **factors.get(name, {})), first=1_000 * k,
             event_time=[day + timedelta(minutes=i) for i in range(200 if name == "21" else 700)])
        for k, (name, day) in enumerate(days.items())
    ))  # fmt: skip
    page = tmp_path / "drift.html"
    words = ("--since", "2026-10-19", "--until", "2026-10-27", "--series", "40", "--out", page)
    found = world.facts(*words, code=12)
    by_day, by_week, by_month = (series(found, by) for by in ("day", "week", "month"))
    assert "drifted" not in (by_day["2026-10-19"]["verdict"], by_day["2026-10-26"]["verdict"])
    assert by_day["2026-10-20"]["verdict"] == "drifted" and by_day["2026-10-20"]["score"]["psi"] > 0.2
    assert set(by_day["2026-10-20"]["drifted_features"]) == set(JUDGED)
    assert (by_day["2026-10-21"]["looked_at"], by_day["2026-10-21"]["verdict"]) == (200, None)
    assert by_day["2026-10-21"]["reason"] == "thin: fewer than 500 events"
    assert by_day["2026-10-23"]["looked_at"] == 0
    assert by_week["2026-10-19"]["looked_at"] == 1_600 and by_week["2026-10-19"]["verdict"] == "drifted"
    assert by_week["2026-10-26"]["reason"] == "not a whole week", "the period ends on a Tuesday"
    assert by_month["2026-10-01"]["reason"] == "not a whole month"
    text = page.read_text()
    assert "By week" in text and "thin: fewer than 500 events" in text and "PSI of the score" in text


def test_less_than_a_day_is_not_compared(world: World) -> None:
    """A night's hours are unlike a day's."""
    night = [NEWEST - timedelta(seconds=10 * i) for i in range(N)]
    world.say(rows(vectors(14, **dict.fromkeys(NAMES, 40.0)), event_time=night))
    assert_ended(world.drift(), 7, "has 8.3 hours, expected a whole day")


def test_windows_that_a_new_store_has_not_filled_are_not_judged(world: World) -> None:
    """The log of a job begun with nothing: each customer's first event has the number 1."""
    young = {name: 40.0 for name in NAMES if name.startswith("paid_") and name.endswith("7d")}
    numbers = [1 + i // 70 for i in range(N)]
    world.say(rows(vectors(15, **young), seq=numbers))
    found = world.facts("--days", "3")
    filling = {each["name"]: each["reason"] for each in found["features"] if each["verdict"] == "not judged"}
    assert set(filling) == GROWING | set(young)
    assert "the store began empty, so its window is filled from 2026-11-25" in filling["paid_sum_7d"]
    assert (
        found["score"]["verdict"] == "not judged"
        and "features whose windows are not filled" in found["words"]
    )
    assert found["began"]["cold"] is True


def test_windows_of_a_store_that_was_filled_before_are_judged(world: World) -> None:
    """Its customers' first events in the log have later numbers; most of them."""
    young = {name: 40.0 for name in NAMES if name.startswith("paid_") and name.endswith("7d")}
    numbers = [(1 if i % 70 < 10 else 900) + i // 70 for i in range(N)]
    world.say(rows(vectors(15, **young), seq=numbers))
    found = world.facts("--days", "3", code=12)
    assert set(found["drifted_features"]) == set(young) and found["score"]["verdict"] == "drifted"
    assert found["began"]["cold"] is False


def assert_ended(ended: Ended, code: int, *said: str) -> None:
    assert ended.code == code, ended
    assert all(words in ended.err for words in said), ended.err
    assert ended.out == ""
