"""Batch scoring: the stream's scores and levels, a row for every customer, reasons that name what is there."""

import csv
import json
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
from msgspec.structs import replace
from sklearn.linear_model import LogisticRegression

from export.bundle import Bundle, bundle, promote, save
from export.levels import Level, Recommendation
from export.onnx import Scorer, convert
from export.policy import level_after
from export.reference import freeze, reference
from features.record import STATUS, loads
from features.usecase import parse
from pipeline.history import history
from pipeline.reasons import median, number, without_each
from pipeline.scoring import Scored, score
from pipeline.standings import table, write
from pipeline.store import MemoryStore, record_keys
from tests.pipeline.market import MARKET, assess_in, market, offboarding
from tests.pipeline.models import engine, trained
from tests.pipeline.test_backfill import NOW_US, sorted_events, written
from tests.test_cli import Run
from training.generate.dataset import generate

USE_CASE = market()


def scored(folder: Path, n: int = 2_000, seed: int = 11) -> Scored:
    with history(USE_CASE, [written(sorted_events(n, seed), folder)], NOW_US) as found:
        return score(USE_CASE, trained(USE_CASE), found)


def test_scores_and_levels_are_those_of_the_stream(tmp_path: Path) -> None:
    found, store = scored(tmp_path), MemoryStore()
    said = assess_in(engine(USE_CASE, store), sorted_events(2_000, 11), [64] * 40)
    customer = np.concatenate([np.array(each.batch.subject, object) for each in said])
    scores = np.concatenate([each.score for each in said])
    fresh = np.concatenate([each.disposition for each in said]) == 1
    levels = np.concatenate([level_after(each.outcome) for each in said])
    vectors = np.concatenate([each.vectors for each in said])
    assert set(found.customers) == set(customer)
    keys = record_keys("riskstream", USE_CASE.name, USE_CASE.fingerprint, "customer", found.customers)
    for row, (id, blob) in enumerate(zip(found.customers, store.read(keys), strict=True)):
        own = np.flatnonzero((customer == id) & fresh)
        assert found.score[row].tobytes() == scores[own[-1]].tobytes()
        assert found.highest[row].tobytes() == scores[own].max().tobytes()
        assert found.vectors[row].tobytes() == vectors[own[scores[own].argmax()]].tobytes()
        assert found.status["level"][row] == levels[own[-1]]
        assert found.events[row] == found.scored[row] == len(own)
        assert blob is not None
        assert found.status[row].tobytes() == loads(USE_CASE.plans["customer"], blob).status
    assert len(set(found.status["level"].tolist())) > 1 and found.status.dtype == STATUS


def test_reasons_name_features_and_their_effects_are_the_models(tmp_path: Path) -> None:
    found, model = scored(tmp_path), Scorer(trained(USE_CASE).model)
    assert any(found.reasons)
    for row, own in enumerate(found.reasons):
        assert len(own) <= 5 and [r.effect for r in own] == sorted((r.effect for r in own), reverse=True)
        for reason in own:
            k = USE_CASE.features.index(reason.feature)
            np.testing.assert_equal(reason.value, float(found.vectors[row, k]))
            changed = found.vectors[row : row + 1].copy()
            changed[0, k] = found.typical[k]
            assert reason.effect == pytest.approx(
                float(found.highest[row] - model.score(changed)[0]), abs=1e-6
            )
            assert reason.words in str(reason) and number(reason.value) in str(reason)


def test_the_median_of_bins_is_that_of_the_column() -> None:
    rng = np.random.default_rng(5)
    for column in (rng.normal(size=1_000), rng.poisson(2, 999), rng.random(500) < 0.3):
        values = np.asarray(column, np.float32)
        expected = float(np.quantile(values, 0.5, method="inverted_cdf"))
        assert median(freeze(values)) == expected
        assert median(replace(freeze(values), median=None)) == expected, "a bundle from before it was kept"
    mostly_one = np.array([0] * 2 + [1] * 98, np.float32)
    assert median(freeze(mostly_one)) == 1.0, "no edge says so"
    assert np.isnan(median(replace(freeze(mostly_one), median=None))), "nor does anything in such a bundle"
    assert np.isnan(median(freeze(np.array([1, np.nan, np.nan], np.float32))))
    assert [number(v) for v in (12345.6, 0.25, float("nan"))] == ["12,346", "0.25", "unknown"]


def test_a_score_without_changes_stays(tmp_path: Path) -> None:
    found, model = scored(tmp_path, 300), Scorer(trained(USE_CASE).model)
    same = without_each(model, found.vectors[:1], found.vectors[0])
    assert (same == found.highest[0]).all()


def test_a_customer_without_a_scored_event_has_a_row_too(tmp_path: Path) -> None:
    payments = written(sorted_events(200, 12), tmp_path)
    (tmp_path / "profiles.csv").write_text("customer,vip,born\nquiet,true,1980-01-02\nc1,false,1981-01-02\n")
    with history(USE_CASE, [payments, tmp_path / "profiles.csv"], NOW_US) as found:
        rows = table(score(USE_CASE, trained(USE_CASE), found)).to_pylist()
    quiet = next(row for row in rows if row["customer"] == "quiet")
    assert (quiet["events"], quiet["scored_events"], quiet["score"], quiet["highest_score"]) == (
        1,
        0,
        None,
        None,
    )
    assert (quiet["level"], quiet["recommendation"], quiet["since"]) == ("LOW", "NONE", None)
    assert quiet["reasons"] == "no scored event" and quiet["reason_features"] == ""
    assert rows[-1] == quiet, "the last of them"


def test_csv_and_parquet_say_the_same(tmp_path: Path) -> None:
    rows = table(scored(tmp_path, 500))
    for name in ("scores.csv", "scores.parquet"):
        write(rows, tmp_path / name)
    binary = pa.parquet.read_table(tmp_path / "scores.parquet")
    types = pa.csv.ConvertOptions(column_types=binary.schema, strings_can_be_null=False)
    assert pa.csv.read_csv(tmp_path / "scores.csv", convert_options=types).equals(binary)
    assert binary.equals(rows)
    assert [file.name for file in tmp_path.iterdir() if file.name.startswith(".")] == []


def test_the_command_writes_and_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run, root = Run(monkeypatch, capsys), str(tmp_path / "bundles")
    save(trained(USE_CASE), root)
    promote(root, trained(USE_CASE).manifest.id)
    file = written(sorted_events(600, 13), tmp_path)
    with file.open("a") as more:
        more.write('{"id": "no more"}\n')
    out = tmp_path / "out" / "scores.csv"
    ended = run(
        "score",
        "--transactions",
        str(file),
        "--use-case",
        str(MARKET),
        "--bundle",
        root,
        "--out",
        str(out),
        "--json",
    )
    assert ended.code == 1 and f"{file}:" in ended.err, "one row is bad"
    facts = json.loads(ended.out)
    with out.open() as lines:
        rows = list(csv.DictReader(lines))
    assert facts["customers"] == len(rows) == sum(facts["levels"].values())
    assert facts["bad"] == 1 and facts["recommended"] == sum(row["recommendation"] == "OPEN" for row in rows)
    assert {row["level"] for row in rows} <= {level.name for level in Level}
    assert {row["recommendation"] for row in rows} <= {each.name for each in Recommendation}
    known = {name for row in rows for name in row["reason_features"].split()}
    assert known and known <= set(USE_CASE.features)
    assert [float(row["highest_score"]) for row in rows if row["level"] == "HIGH"] == sorted(
        (float(row["highest_score"]) for row in rows if row["level"] == "HIGH"), reverse=True
    )
    monkeypatch.chdir(tmp_path)
    assert run("score", "--out", "scores.csv").code == 2
    assert run("score", str(file), "--out", "scores.txt").code == 2


def test_files_without_label_and_optional_columns_are_scored(tmp_path: Path) -> None:
    """As the unlabelled files of off-boarding are: no date of birth, no state, no category."""
    use_case = offboarding()
    generate(40, 20, 3, tmp_path)
    dropped = {"users.csv": {"date_of_birth", "user_current_state"}, "transactions.csv": {"category_id"}}
    for name, columns in dropped.items():
        with (tmp_path / name).open() as lines:
            rows = list(csv.DictReader(lines))
        kept = [column for column in rows[0] if column not in columns]
        with (tmp_path / name).open("w", newline="") as lines:
            writer = csv.DictWriter(lines, kept, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(rows)
    with history(use_case, [tmp_path / name for name in dropped], time.time_ns() // 1_000) as events:
        found = score(use_case, trained(use_case), events)
        assert events.bad == 0
    assert len(found) == 40 and "age_years" in found.flat


DECIDED = parse(
    """
use_case: decided
subject: customer
events:
  payment:
    scored: true
    id: [id]
    time: [at]
    entities: {customer: who}
    fields: {id: string, who: string, amount: number, known_device: boolean, at: time}
features:
  customer:
    aggregates:
      paid: {of: payment, value: amount, statistics: [count], windows: [24h]}
  event: [amount, known_device]
policy: {medium: {score: 0.4}, high: {score: 0.6}}
"""
)


def decided_by_device() -> Bundle:
    """A model of the one feature that, in training, had its upper value nearly everywhere."""
    rng = np.random.default_rng(1)
    vectors = np.column_stack(
        [rng.integers(1, 4, 2_000), rng.lognormal(2, 1, 2_000), rng.random(2_000) < 0.95]
    )
    vectors = vectors.astype(np.float32)
    model = LogisticRegression(C=10, max_iter=500).fit(vectors, vectors[:, 2] == 0)
    bins = reference(DECIDED.features, vectors, model.predict_proba(vectors)[:, 1])
    onnx, levels = convert(model, vectors.shape[1]), {"medium": 0.4, "high": 0.6}
    when = datetime(2026, 1, 1, tzinfo=UTC)
    return bundle(
        DECIDED, DECIDED.text, onnx, bins, levels, when, seed=1, versions={}, metrics={}, training={}
    )


@pytest.mark.parametrize("others", [0, 1, 30])
def test_reasons_do_not_depend_on_who_else_is_scored(others: int, tmp_path: Path) -> None:
    """Half of the others are as strange as the customer, so the file's own median says nothing."""
    at = "2026-01-02T10:00:00Z"
    rows = [("strange", False)] + [(f"c{i}", i % 2 == 1) for i in range(others)]
    body = [{"id": who, "who": who, "amount": 8.0, "known_device": known, "at": at} for who, known in rows]
    (tmp_path / "payments.jsonl").write_text("".join(json.dumps(row) + "\n" for row in body))
    with history(DECIDED, [tmp_path / "payments.jsonl"], time.time_ns() // 1_000) as events:
        found = score(DECIDED, decided_by_device(), events)
    own = found.customers.index("strange")
    assert found.status["level"][own] == Level.HIGH
    first = found.reasons[own][0]
    assert (first.feature, first.value, first.median) == ("known_device", 0, 1)
    assert first.effect > 0.9
