"""Held-out scores beside the report, and what MLflow is told of a training, on small trainings with a real learner."""

import io
import subprocess
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import log_loss

from features.usecase import parse
from tests.training.tiny import TEXT, WHEN, rows
from training import registry_facts
from training.build_bundle import build_bundle
from training.data.splits import SplitSettings
from training.evaluation.customers import HeldOutCustomers
from training.evaluation.evaluate import evaluate
from training.evaluation.unit_figures import event_sample, unit_figures
from training.origin import commit, origin
from training.report.scores import FILE, files

TRIED = TEXT.replace(
    "{candidates: [hist_gradient_boosting], trees: 30, folds: 3}",
    "{candidates: [logistic_regression, xgboost], trials: 1, trees: 10, folds: 3}",
)
USE_CASE = parse(TRIED)


@pytest.fixture(scope="module")
def history():
    return rows()[:1_200]


@pytest.fixture(scope="module")
def by_folds(history):
    return build_bundle(USE_CASE, history, seed=4, created_at=WHEN)


def table(made):
    return pq.read_table(io.BytesIO(files(made)[FILE]))


def test_every_training_row_has_its_held_out_score_and_the_figures_follow_from_the_table(by_folds, history):
    found = table(by_folds).to_pydict()
    assert len(found["score"]) == len(history) and all(found["in_report"])
    assert found["customer"] == history.customers.tolist() and found["event_id"] == history.event_ids.tolist()
    fold_of = dict(zip(found["customer"], found["fold"], strict=True))
    assert set(fold_of.values()) == {0, 1, 2}
    assert all(fold_of[c] == f for c, f in zip(found["customer"], found["fold"], strict=True)), (
        "one a customer"
    )
    level = unit_figures(
        "events", event_sample(by_folds.held_out, HeldOutCustomers.of(by_folds.held_out)), {}, None, 1
    )
    ours = log_loss(found["label"], found["score"], sample_weight=found["weight"])
    assert level.log_loss.value == pytest.approx(ours)
    of_customer = dict(zip(found["customer"], found["customer_score"], strict=True))
    customers = HeldOutCustomers.of(by_folds.held_out)
    assert [of_customer[name] for name in np.unique(history.customers)] == customers.score.tolist()
    thresholds = by_folds.held_out.thresholds
    for score, level in zip(found["score"], found["level"], strict=True):
        expected = (
            "HIGH" if score >= thresholds["high"] else "MEDIUM" if score >= thresholds["medium"] else "LOW"
        )
        assert level == expected
    evaluation = evaluate(USE_CASE, by_folds.held_out, 1)
    people = {row["customer"]: row for row in table(by_folds).to_pylist()}.values()
    for each in evaluation.segments:
        assert sum(row["customer_level"] == each.level for row in people) == each.customers
        assert sum(row["customer_highest_level"] == each.level for row in people) == each.ever
    assert sum(row["recommended"] for row in people) == evaluation.recommendations.ever.customers
    assert sum(row["is_open"] for row in people) == evaluation.recommendations.open.customers
    assert files(by_folds) == files(by_folds), "the same bytes"


def test_after_a_cut_in_time_the_rows_of_the_report_and_all_training_rows_are_told_apart(history):
    made = build_bundle(
        parse(TEXT), history, seed=4, created_at=WHEN, split_settings=SplitSettings("both", 0.4)
    )
    found = table(made).to_pandas()
    held_out, learned = found[found.in_report], found[~found.in_report]
    assert held_out.fold.isna().all() and len(held_out) == made.split.held_out.sum()
    assert held_out.score.to_numpy() == pytest.approx(made.held_out.score)
    assert len(learned) == made.split.final.sum() == len(history)
    assert set(learned.fold.tolist()) == {0, 1, 2}
    assert str(found.time.dtype) == "datetime64[us, UTC]"


def test_the_registry_is_told_every_figure_and_every_trial(by_folds):
    evaluation = evaluate(USE_CASE, by_folds.held_out, 1)
    told = registry_facts.figures(evaluation)
    at = evaluation.customers.at["high"]
    high = told["customers"]["at"]["high"]
    assert (high["f2"]["value"], high["accuracy"]["low"]) == (at.f2.value, at.accuracy.low)
    assert high["confusion"]["true_positives"] == at.confusion.true_positives
    assert told["assessments"]["log_loss"]["value"] == evaluation.events.log_loss.value
    assert told["customers"]["ks"]["high"] == evaluation.customers.ks.high
    assert told["recommendations"]["ever"]["customers"] == evaluation.recommendations.ever.customers
    dates = evaluation.calendar.all_dates
    assert told["calendar"]["all_dates"]["model_ahead"]["low"] == dates.model_ahead.low
    trials = registry_facts.trials(by_folds, "average_precision")
    compared = by_folds.selected.compared
    assert [trial.name for trial in trials] == [
        *(f"compared: {each.candidate}" for each in compared),
        "trial 1: logistic_regression",
        "trial 2: xgboost",
    ]
    assert [trial.metrics for trial in trials[:2]] == [{"mean": each.mean} for each in compared]
    assert [trial.tags["outcome"] for trial in trials[:2]] == ["chosen", "not chosen"]
    for told_trial, trial in zip(trials[2:], by_folds.selected.trials, strict=True):
        assert told_trial.by_step == {"average_precision": list(trial.values)} and len(trial.values) == 3
        assert told_trial.metrics == {"mean": trial.mean}
        assert told_trial.parameters.items() >= dict(trial.parameters).items()
        assert told_trial.tags == {"kind": "trial", "outcome": "complete"}


def git(root, *words):
    named = ["-c", "user.name=Ann", "-c", "user.email=ann@example.com"]
    subprocess.run(["git", "-C", str(root), *named, *words], check=True, capture_output=True)


def test_the_commit_is_that_of_the_programs_own_checkout(tmp_path: Path) -> None:
    file, inside = tmp_path / "file", tmp_path / "installed"
    inside.mkdir()
    assert commit(tmp_path) == "", "no checkout"
    git(tmp_path, "init")
    assert commit(tmp_path) == "", "no commit yet"
    file.write_text("one")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "-m", "one")
    head = commit(tmp_path)
    assert len(head) == 40
    assert commit(inside) == "", "a program installed in another project's checkout"
    (tmp_path / "new").touch()
    assert commit(tmp_path) == head, "a file that git does not know is no change"
    file.write_text("two")
    assert commit(tmp_path) == f"{head}-dirty"


def test_the_origin_has_a_user_a_version_and_the_files() -> None:
    found = origin("train", [Path("data/users.csv")])
    assert found.user and found.version and found.command == "riskstream train"
    assert found.places == ("data/users.csv",)
