"""Five generated exports: the shipped use case with usual settings, beside a forest on plain aggregates, same folds."""

from pathlib import Path

import numpy as np
import pytest

from features.replay import replay
from features.usecase import load
from tests.realdata import figures
from tests.realdata.plain import aggregates
from tests.realdata.streaming import ROOT
from training.data.files import batches, read_all
from training.data.labelled_rows import collect
from training.generate import generate
from training.models.parameters import Parameters
from training.models.selection import select_model
from training.statistics.customer_score import customer_scores

pytestmark = [pytest.mark.realdata, pytest.mark.timeout(1_200)]
CUSTOMERS, DAYS, NOW_US = 400, 60, 1_800_000_000_000_000


@pytest.mark.parametrize("seed", range(11, 16))
def test_the_usual_settings_are_no_worse_than_a_plain_forest(seed: int, tmp_path: Path) -> None:
    generate(CUSTOMERS, DAYS, seed, tmp_path)
    use_case = load(ROOT / "usecases" / "offboarding.yaml")
    files = [tmp_path / "users.csv", tmp_path / "transactions.csv"]
    history = collect(use_case, replay(batches(use_case, read_all(use_case, files, NOW_US))))
    parameters = Parameters.of(use_case.model)
    chosen = select_model(history.vectors, history.label, history.customers, parameters, seed)
    rows, names = chosen.rows, np.unique(history.customers)
    fold = np.zeros(len(names), np.int64)
    fold[rows.customer] = rows.fold
    forest, rule = figures.plain(aggregates(tmp_path, names), rows.customer_label, fold, seed)
    ours = customer_scores(rows.customer, chosen.out_of_fold)
    lines = figures.beside(
        f"generated, seed {seed} ({chosen.candidate})", rows.customer_label, [ours], [forest], [rule]
    )
    print(f"\n{figures.table(lines)}")
    for line in lines[3:]:
        for metric, figure in line.figures.items():
            assert figure.interval[1] >= 0, f"{metric}:{line.words} is below 0 beyond chance"
