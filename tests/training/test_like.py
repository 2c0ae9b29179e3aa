"""Training for files that are to be scored: what says nothing in them is left out, named, and changes no score."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from msgspec import structs

from export.onnx import Scorer
from features.replay import replay
from features.usecase import UseCase, parse
from training.build_bundle import BuiltBundle, build_bundle
from training.champion.champion_model import champion_scores
from training.champion.evidence import gather_evidence
from training.data.files import EventRows, batches, read_all
from training.data.labelled_rows import BadHistory, LabelledRows, Replayed, collect
from training.data.like_files import leave_out_silent
from training.evaluation.evaluate import evaluate
from training.report.page import page
from training.report.run import Run

TEXT = """
use_case: shops
subject: customer
events:
  customer:
    scored: false
    id: ["*"]
    time: published
    entities: {customer: who}
    fields: {who: string, state: [ACTIVE, SUSPENDED], vip: {type: boolean, optional: true}}
  payment:
    scored: true
    id: [id]
    time: [at]
    entities: {customer: who}
    fields: {id: string, who: string, amount: number, shop: {type: string, optional: true}, abroad: boolean, at: time}
features:
  customer:
    aggregates:
      shops: {event: payment, distinct: shop, statistics: [distinct], windows: [24h]}
    attributes:
      vip: {from: customer.vip}
  event: [amount, abroad]
label: {from: customer.state, positive: [SUSPENDED]}
model: {candidates: [CANDIDATE], trees: 20, folds: 2, split: {by: group}}
policy: {medium: {recall: 0.9}, high: {precision: 0.7}}
"""
NOW_US = 2_000_000_000_000_000
WHEN = datetime(2026, 11, 29, tzinfo=UTC)
SHOPS = 4  # of a bad customer's day: the planted signal


def use_case(candidate: str = "hist_gradient_boosting") -> UseCase:
    return parse(
        TEXT.replace("CANDIDATE", candidate).replace(
            "trees: 20, ", "" if "log" in candidate else "trees: 20, "
        )
    )


def files(folder: Path, customers: int, **lacking: object) -> list[str]:
    """A day of each customer: the bad ones go to several shops. `lacking`: fields with one value, None for none."""
    rng, people, payments = np.random.default_rng(7), [], []
    for i in range(customers):
        bad, who = i % 3 == 0, f"c{i}"
        people.append(
            {"who": who, "state": "SUSPENDED" if bad else "ACTIVE", "vip": bool(rng.random() < 0.5)}
        )
        for k in range(SHOPS):
            row = {"id": f"{i}-{k}", "who": who, "amount": round(float(rng.lognormal(3, 1)), 2),
                   "shop": f"s{k if bad else 0}", "abroad": bool(rng.random() < 0.5),
                   "at": f"2026-01-{1 + i % 28:02}T10:{k:02}:00Z"}  # fmt: skip
            payments.append(row)
    paths = []
    for name, rows in (("customer", people), ("payment", payments)):
        kept = [{key: lacking.get(key, value) for key, value in row.items()} for row in rows]
        path = folder / f"{name}{len(lacking)}.jsonl"
        path.write_text(
            "".join(json.dumps({k: v for k, v in row.items() if v is not None}) + "\n" for row in kept)
        )
        paths.append(f"{name}={path}")
    return paths


def replayed(of: UseCase, paths: Sequence[str]) -> Iterator[Replayed]:
    return replay(batches(of, read_all(of, paths, NOW_US)))


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> EventRows:
    return read_all(use_case(), files(tmp_path_factory.mktemp("history"), 150), NOW_US)


@pytest.fixture(scope="module")
def history(rows: EventRows) -> LabelledRows:
    return collect(use_case(), replay(batches(use_case(), rows)))


@pytest.fixture(scope="module")
def lacking(
    history: LabelledRows, tmp_path_factory: pytest.TempPathFactory
) -> tuple[LabelledRows, list[str]]:
    """The history for files without shops and with everybody abroad, and what was told."""
    paths, told = files(tmp_path_factory.mktemp("new"), 60, shop=None, abroad=True), []
    return leave_out_silent(use_case(), history, replayed(use_case(), paths), told.append), told


def trained(rows: LabelledRows, candidate: str = "hist_gradient_boosting") -> BuiltBundle:
    return build_bundle(use_case(candidate), rows, seed=1, created_at=WHEN)


@pytest.fixture(scope="module")
def whole(history: LabelledRows) -> BuiltBundle:
    return trained(history)


@pytest.fixture(scope="module")
def less(lacking: tuple[LabelledRows, list[str]]) -> BuiltBundle:
    return trained(lacking[0])


def auc(made: BuiltBundle) -> float:
    return float(made.bundle.manifest.metrics["customers"]["roc_auc"]["value"])


def test_what_says_nothing_in_the_files_is_left_out_and_told(
    history: LabelledRows, lacking: tuple[LabelledRows, list[str]], whole: BuiltBundle, less: BuiltBundle
) -> None:
    left, told = lacking
    assert left.left_out == ("shops_distinct_24h", "abroad") and history.left_out == ()
    assert told == ["left out of the model (the files lack payment.shop): shops_distinct_24h, abroad"]
    assert auc(whole) > 0.95, "the signal is in the shops"
    assert auc(less) < 0.7, "which the model does without"
    assert less.bundle.manifest.training["left_out"] == ["shops_distinct_24h", "abroad"]
    assert less.bundle.manifest.training["sha256"] == whole.bundle.manifest.training["sha256"]
    bins = (whole.bundle.reference.features, less.bundle.reference.features)
    assert bins[0]["abroad"].edges == bins[1]["abroad"].edges, "what the data are stays as it is"


def test_files_with_all_columns_leave_nothing_out(history: LabelledRows, tmp_path: Path) -> None:
    told: list[str] = []
    rows = leave_out_silent(use_case(), history, replayed(use_case(), files(tmp_path, 60)), told.append)
    assert rows.left_out == () and told == [
        "all features say something in the files of --like: none is left out"
    ]


@pytest.mark.parametrize(
    "candidate", ["logistic_regression", "random_forest", "hist_gradient_boosting", "xgboost"]
)
def test_a_feature_left_out_changes_no_score(candidate: str, lacking: tuple[LabelledRows, list[str]]) -> None:
    rows, _ = lacking
    scorer = Scorer(trained(rows, candidate).bundle.model)
    left_out = [use_case().features.index(name) for name in rows.left_out]
    score = scorer.score(rows.vectors)
    for value in (0.0, 1.0, np.nan, -3e38):
        vectors = rows.vectors.copy()
        vectors[:, left_out] = value
        assert (scorer.score(vectors) == score).all()
    assert len(np.unique(score)) > 5, "the others do"


def test_the_report_names_what_was_left_out(less: BuiltBundle) -> None:
    made = less
    found = evaluate(use_case(), made.held_out, 1)
    run = Run.of(made, use_case(), found)
    text = " ".join(page(run).split())
    assert "The model was trained without 2 of 4 features" in text and "shops_distinct_24h, abroad" in text
    champion = structs.replace(made.bundle, stand_in=None)
    drifted = gather_evidence(use_case(), made, found, 1, champion, made.held_out.score).drifted
    assert set(drifted) == {"vip", "amount"}, "what is not learned from is not compared"


def test_a_champion_is_compared_with_all_of_its_features(
    rows: EventRows, history: LabelledRows, whole: BuiltBundle, less: BuiltBundle
) -> None:
    """The challenger's rows have no shops; the champion has learned from shops, and sees them."""
    champion = structs.replace(whole.bundle, stand_in=None)
    held_out = less.held_out
    assert not held_out.rows.vectors[:, use_case().features.index("shops_distinct_24h")].any()
    scores = champion_scores(champion, use_case(), held_out, rows)
    assert (scores == Scorer(champion.model).score(history.vectors)).all()


def test_held_out_figures_without_a_field_are_kept(whole: BuiltBundle) -> None:
    """The signal is gone without shops and unchanged without profiles. Amounts are in every file."""
    found = whole.bundle.manifest.metrics["lacking"]
    values = {name: each["roc_auc"]["value"] for name, each in found["without"].items()}
    assert set(values) == {"payment.shop", "customer.vip", "customer"}
    assert (found["about"], found["n"]) == ("customers", 150) and found["with_all"]["roc_auc"]["value"] > 0.95
    change = {name: each["change"] for name, each in found["without"].items()}
    assert change["payment.shop"]["high"] < 0, "more than chance"
    assert all(change[name]["low"] <= 0 <= change[name]["high"] for name in ("customer", "customer.vip"))
    assert values["payment.shop"] < 0.7 and values["customer.vip"] > 0.95 and values["customer"] > 0.95


def test_files_without_a_scored_event_are_refused(history: LabelledRows) -> None:
    with pytest.raises(BadHistory, match="found no scored event in the files of --like"):
        leave_out_silent(use_case(), history, iter(()), print)


def test_rows_taken_from_a_history_leave_out_the_same(lacking: tuple[LabelledRows, list[str]]) -> None:
    assert lacking[0][:5].left_out == lacking[0].left_out and lacking[0][:5].fields == lacking[0].fields
    assert replace(lacking[0], left_out=()).left_out == ()
