"""Batch scoring: the stream's scores and levels, a row for every customer, reasons that name what is there."""

import csv
import json
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
from sklearn.linear_model import LogisticRegression

from export.bundle import Bundle, bundle, promote, save
from export.distributions.reference import reference
from export.learned import encode, hashes, is_set_apart
from export.onnx import Scorer, convert
from export.policy import Level, level_after
from export.ranking import LATEST
from export.reasons import number
from features.record import STATUS, loads
from features.usecase import parse
from pipeline.batch.customer_state import shifted
from pipeline.batch.customer_table import table, write
from pipeline.batch.score import Scored, score
from pipeline.batch.summary import learned_sentences, sentences, summary
from pipeline.files.history import history
from pipeline.stores.store import MemoryStore, record_keys
from tests.commands import Ended, Run
from tests.pipeline.market import MARKET, assess_in, market
from tests.pipeline.models import engine, trained
from tests.pipeline.test_backfill import NOW_US, sorted_events, written
from training.statistics.customer_score import customer_scores

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
        assert found.last_vectors[row].tobytes() == vectors[own[-1]].tobytes()
        rank = customer_scores(np.zeros(len(own), np.intp), scores[own].astype(np.float64))
        assert found.customer_score[row] == pytest.approx(float(rank[0])), "as in the model's report"
        assert found.vectors[row].tobytes() == vectors[own[scores[own].argmax()]].tobytes()
        assert found.status["level"][row] == levels[own[-1]]
        assert found.events[row] == found.scored[row] == len(own)
        assert blob is not None
        assert found.status[row].tobytes() == loads(USE_CASE.plans["customer"], blob).status
    assert len(set(found.status["level"].tolist())) > 1 and found.status.dtype == STATUS


def test_the_latest_scores_are_kept_over_batches() -> None:
    rng, latest = np.random.default_rng(8), np.full((5, LATEST), np.nan, np.float32)
    own: list[list[float]] = [[] for _ in range(5)]
    for n in (0, 3, 40, 7, 1, 200):
        customer, score = rng.integers(0, 4, n), rng.random(n).astype(np.float32)
        latest = shifted(latest, customer, score)
        for who, value in zip(customer.tolist(), score.tolist(), strict=True):
            own[who].append(value)
        for who, values in enumerate(own):
            expected = [np.nan] * LATEST + values
            np.testing.assert_equal(latest[who], np.array(expected[-LATEST:], np.float32))


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
    state = (quiet["level"], quiet["highest_level"], quiet["off_boarding"], quiet["since"])
    assert state == (None, None, "NOT_SCORED", None), "nobody has looked at the customer, so it is not LOW"
    assert quiet["reasons"] == "not scored: no usable event that is scored" and quiet["reason_features"] == ""
    assert rows[-1] == quiet, "the last of them"


def messy(folder: Path) -> list[Path]:
    """Customers c* pay (and pay twice), some have a profile, `quiet` only a profile; two rows are refused."""
    (folder / "profiles.csv").write_text(
        "customer,vip,born\nquiet,true,1980-01-02\nc1,false,1981-01-02\nc2,maybe,?\n"
    )
    payments = written(sorted_events(400, 12), folder)
    with payments.open("a") as lines:
        lines.write('{"id": "no more"}\n')
    return [payments, folder / "profiles.csv"]


def test_counts_of_a_messy_history_add_up_to_its_files(tmp_path: Path) -> None:
    files = messy(tmp_path)
    with history(USE_CASE, files, NOW_US) as events:
        found = score(USE_CASE, trained(USE_CASE), events)
    facts = summary(found)
    rows_in_files = len(files[0].read_text().splitlines()) + 3
    assert sum(facts["rows"].values()) == rows_in_files
    assert facts["rows"]["refused"] == 2 and facts["rows"]["duplicates"] > 0
    assert facts["rows"]["applied"] == found.events.sum()
    assert facts["scored"] + facts["not_scored"] == facts["customers"] == len(table(found))
    profiles = {row["customer"]: row["has_profile"] for row in table(found).to_pylist()}
    assert {name for name, has_profile in profiles.items() if has_profile} == {"quiet", "c1"}
    assert facts["not_scored"] == 1 and facts["without_profile"] == facts["customers"] - 2
    for levels in (facts["levels"], facts["highest_levels"]):
        assert sum(levels.values()) == facts["scored"]
    told = sentences(facts | {"seconds": 1.0, "out": "scores.csv", "report": None})
    assert told[0].endswith("1 not scored (no usable payment event)")
    assert told[1] == f"{facts['customers'] - 2} customers without a profile (no usable profile event)"


def test_csv_and_parquet_say_the_same(tmp_path: Path) -> None:
    rows = table(scored(tmp_path, 500))
    for name in ("scores.csv", "scores.parquet"):
        write(rows, tmp_path / name)
    binary = pa.parquet.read_table(tmp_path / "scores.parquet")
    types = pa.csv.ConvertOptions(column_types=binary.schema, strings_can_be_null=False)
    assert pa.csv.read_csv(tmp_path / "scores.csv", convert_options=types).equals(binary)
    assert binary.equals(rows)
    assert [file.name for file in tmp_path.iterdir() if file.name.startswith(".")] == []


@pytest.fixture
def scoring(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Ended]:
    """`riskstream score` of 600 events, each of three customers, and a row that is bad."""
    run, root = Run(monkeypatch, capsys), str(tmp_path / "bundles")
    save(trained(USE_CASE), root)
    promote(root, trained(USE_CASE).manifest.id)
    file = written(sorted_events(600, 13), tmp_path)
    own = file.read_text()
    for crowd in ("d", "e"):
        own += re.sub(r'"(c|p)(\d+)"', rf'"\1{crowd}\2"', file.read_text())
    file.write_text(own + '{"id": "no more"}\n')
    given = ("--transactions", str(file), "--use-case", str(MARKET), "--bundle", root)
    return lambda *words: run("score", *given, *words)


def test_the_command_writes_and_tells(tmp_path: Path, scoring: Callable[..., Ended]) -> None:
    payments, out = sorted_events(600, 13) * 3, tmp_path / "out" / "scores.csv"
    ended = scoring("--out", str(out), "--json")
    assert ended.code == 1 and f"payments.jsonl:{len(payments) + 1}:" in ended.err, "one row is bad"
    facts = json.loads(ended.out)
    with out.open() as lines:
        rows = list(csv.DictReader(lines))
    assert facts["customers"] == len(rows) == sum(facts["levels"].values()) == facts["scored"]
    recommended = [row for row in rows if row["off_boarding"] == "RECOMMENDED"]
    assert facts["rows"]["refused"] == 1 and facts["off_boarding_recommended"] == len(recommended) > 0
    assert [each["customer"] for each in facts["off_boarding"]] == [row["customer"] for row in recommended]
    for each, row in zip(facts["off_boarding"], recommended, strict=True):
        assert " | ".join(each["reasons"]) == row["reasons"]
        assert " ".join(each["reason_features"]) == row["reason_features"]
        assert (np.float32(each["highest_score"]), each["level"]) == (
            np.float32(row["highest_score"]),
            "HIGH",
        )
    assert {row["level"] for row in rows} <= {level.name for level in Level}
    assert {row["off_boarding"] for row in rows} <= {"NONE", "RECOMMENDED", "HELD"}
    known = {name for row in rows for name in row["reason_features"].split()}
    assert known and known <= set(USE_CASE.features)
    ranked = [float(row["customer_score"]) for row in rows if row["level"] == "HIGH"]
    assert ranked == sorted(ranked, reverse=True)


def test_the_off_boarding_list_is_printed_first_and_says_how_many_more_there_are(
    tmp_path: Path, scoring: Callable[..., Ended]
) -> None:
    out, page = tmp_path / "scores.csv", tmp_path / "scores.html"
    lines = scoring("--out", str(out), "--report", str(page)).out.splitlines()
    with out.open() as file:
        rows = [row for row in csv.DictReader(file) if row["off_boarding"] == "RECOMMENDED"]
    assert len(rows) > 20, "the test needs more than are shown"
    assert lines[0] == "off-boarding recommended, the highest customer's score first:"
    scores = ["customer_score", "last_score", "highest_score"]
    titles = ["customer", *scores, "level", "since", "learned_from", "first", "reasons"]
    assert lines[1].split() == titles
    for line, row in zip(lines[2:22], rows[:20], strict=True):
        customer, rank, last, score, level, since, learned, told = line.split(maxsplit=7)
        assert rank == f"{float(row['customer_score']):.3f}"
        assert learned == row["learned_from"] == "NOT_KNOWN"
        assert (customer, score, level) == (row["customer"], f"{float(row['highest_score']):.3f}", "HIGH")
        assert last == f"{float(row['score']):.3f}"
        assert row["since"].replace(" ", "T").startswith(since.removesuffix("Z"))
        first, second = row["reasons"].split(" | ")[:2]
        assert told == "; ".join(each.partition("; ")[0] for each in (first, second))
    assert lines[22:24] == [f"and {len(rows) - 20} more in {out}", ""]
    assert f"off-boarding recommended after the last event: {len(rows)}" in lines[24:]
    assert lines[-2:] == [f"customers: {out}", f"page: {page}"]


def test_wrong_files_to_score_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run(monkeypatch, capsys)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "payments.jsonl").write_text("")
    assert run("score", "--out", "scores.csv").code == 2
    assert run("score", "payments.jsonl", "--out", "scores.txt").code == 2


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
      paid: {event: payment, value: amount, statistics: [count], windows: [24h]}
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


def payments_of(rows: list[tuple[str, bool, str]], folder: Path) -> Path:
    """Events of DECIDED: who, with a known device or not, and when."""
    body = [
        {"id": str(i), "who": who, "amount": 8.0 + i, "known_device": known, "at": at}
        for i, (who, known, at) in enumerate(rows)
    ]
    (folder / "payments.jsonl").write_text("".join(json.dumps(row) + "\n" for row in body))
    return folder / "payments.jsonl"


def test_the_highest_level_is_kept_when_the_level_falls(tmp_path: Path) -> None:
    """Once with a strange device, a month later with a known one: it was HIGH, and is LOW after the last event."""
    days = ["2026-01-02T10:00:00Z", "2026-02-02T10:00:00Z", "2026-02-03T10:00:00Z"]
    file = payments_of([("c", day > days[0], day) for day in days] + [("d", False, days[0])], tmp_path)
    with history(DECIDED, [file], time.time_ns() // 1_000) as events:
        found = score(DECIDED, decided_by_device(), events)
    calm, strange = sorted(table(found).to_pylist(), key=lambda row: str(row["customer"]))
    assert (calm["level"], calm["highest_level"]) == ("LOW", "HIGH") and calm["score"] < calm["highest_score"]
    assert (strange["level"], strange["highest_level"]) == ("HIGH", "HIGH")
    facts = summary(found)
    assert facts["levels"] == {"LOW": 1, "MEDIUM": 0, "HIGH": 1}
    assert facts["highest_levels"] == {"LOW": 0, "MEDIUM": 0, "HIGH": 2}


def with_stand_in() -> Bundle:
    """The model by device, a stand-in that only looks at amounts, and ten customers that the model has learned from."""
    rng = np.random.default_rng(2)
    vectors = rng.lognormal(2, 1, (2_000, 3)).astype(np.float32)
    stand_in = convert(LogisticRegression(max_iter=500).fit(vectors, vectors[:, 1] > 8), 3)
    known, when = encode([f"c{i}" for i in range(10)]), datetime(2026, 1, 2, tzinfo=UTC)
    made = decided_by_device()
    return bundle(
        DECIDED, DECIDED.text, made.model, made.reference, {"medium": 0.4, "high": 0.6}, when, stand_in, known,
        seed=1, versions={}, metrics={}, training={"set_apart": 0.5},
    )  # fmt: skip


def test_customers_that_the_model_has_learned_from_are_marked_and_scored_by_the_stand_in(
    tmp_path: Path,
) -> None:
    rows = [(f"c{i}", i % 2 == 1, "2026-01-02T10:00:00Z") for i in range(20)]
    with history(DECIDED, [payments_of(rows, tmp_path)], time.time_ns() // 1_000) as events:
        found = score(DECIDED, with_stand_in(), events)
    known = np.array([int(name[1:]) < 10 for name in found.customers])
    apart = known & is_set_apart(hashes(found.customers), 0.5)
    assert 0 < apart.sum() < known.sum() == 10, "the test needs both kinds"
    by_stand_in = Scorer(with_stand_in().stand_in or b"").score(found.vectors)
    by_model = Scorer(with_stand_in().model).score(found.vectors)
    assert (found.highest == np.where(apart, by_stand_in, by_model)).all()
    told = {row["customer"]: (row["learned_from"], row["scored_by"]) for row in table(found).to_pylist()}
    expected = zip(known, apart, strict=True)
    assert [told[name] for name in found.customers] == [
        ("YES" if learned else "NO", "STAND_IN" if theirs else "MODEL") for learned, theirs in expected
    ]
    amounts = [[reason.feature for reason in found.reasons[row]] for row in np.flatnonzero(apart)]
    assert all(names[:1] in ([], ["amount"]) for names in amounts), "reasons are of the model that scored"
    facts, n = summary(found)["learned_from"], int(apart.sum())
    assert facts == {"customers": 10, "scored_by_stand_in": n, "flattered": 10 - n}
    assert f"{10 - n} of them have a flattering score" in " ".join(learned_sentences({"learned_from": facts}))


def test_an_older_bundle_does_not_know_whom_it_has_learned_from(tmp_path: Path) -> None:
    found = scored(tmp_path, 200)
    assert set(table(found)["learned_from"].to_pylist()) == {"NOT_KNOWN"}
    assert summary(found)["learned_from"] is None and not found.by_stand_in.any()


@pytest.mark.parametrize("others", [0, 1, 30])
def test_reasons_do_not_depend_on_who_else_is_scored(others: int, tmp_path: Path) -> None:
    """Half of the others are as strange as the customer, so the file's own median says nothing."""
    at = "2026-01-02T10:00:00Z"
    rows = [("strange", False, at)] + [(f"c{i}", i % 2 == 1, at) for i in range(others)]
    with history(DECIDED, [payments_of(rows, tmp_path)], time.time_ns() // 1_000) as events:
        found = score(DECIDED, decided_by_device(), events)
    own = found.customers.index("strange")
    assert found.status["level"][own] == Level.HIGH
    first = found.reasons[own][0]
    assert (first.feature, first.value, first.median) == ("known_device", 0, 1)
    assert first.effect > 0.9
