"""A real bank's accounts, transactions and loans through the whole system, with nothing but a use case file.

What there was before October 1997 is learned from, out of files. Then the job runs and everything is published in
event-time order, the time before included, so that records hold what they would hold; of the scores only those of
later loans count. `make realdata` prints the table.

What it cannot show: with 12 bad loans after the split, intervals are wide; and what became of the loans learned from
was known only years after the split, so nobody could have had this model on that day. The folds over all loans
hold those by which the learner was chosen, which flatters the model there a little.
"""

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from export import bundle as bundles
from export.bundle import Bundle
from export.onnx import Scorer
from features.usecase import UseCase, load
from tests.realdata import bank, figures, streaming
from tests.realdata.figures import Floats, Line
from tests.realdata.history import replayed
from tests.realdata.streaming import ROOT, Streamed
from tests.training.bundles import put_in_use
from training.data.labelled_rows import LabelledRows, collect
from training.models.parameters import Parameters
from training.models.selection import select_model

pytestmark = [pytest.mark.realdata, pytest.mark.timeout(1_200)]
USE_CASE = ROOT / "usecases" / "berka.yaml"
CREATED_AT = datetime(2026, 11, 22, tzinfo=UTC)
SPLIT_DAY = datetime.strptime(bank.SPLIT, "%y%m%d").replace(tzinfo=UTC)
SPLIT_US = int(SPLIT_DAY.timestamp()) * 1_000_000
CHANCE = 0.5  # AUC


@dataclass(frozen=True)
class Run:
    """One run of everything: the model, the stream's assessments, and a replay's of the same loans."""

    use_case: UseCase
    bundle: Bundle
    streamed: Streamed
    history: LabelledRows

    @property
    def is_first(self) -> NDArray[np.bool_]:
        return self.history.times_us < SPLIT_US


@pytest.fixture(scope="module")
def folder() -> Path:
    found = Path(os.environ.get("RISKSTREAM_DATA", ROOT.parent / "shared" / "data")) / "berka"
    if not found.is_dir():
        pytest.skip(
            f"no folder {found}: set RISKSTREAM_DATA to the folder that has berka/ with the bank's files"
        )
    return found


@pytest.fixture(scope="module")
def run(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    work, use_case, files = tmp_path_factory.mktemp("berka"), load(USE_CASE), bank.load(folder)
    root = work / "bundles"
    first = replayed(use_case, bank.before(files, bank.SPLIT, work / "first"))
    put_in_use(use_case, collect(use_case, first), root, CREATED_AT)
    streamed = streaming.stream(USE_CASE, root, bank.parcels(files, work / "parcels"), work)
    history = collect(use_case, replayed(use_case, bank.before(files, bank.LAST, work / "all")))
    return Run(use_case, bundles.load_in_use(str(root), use_case.name), streamed, history)


def test_every_event_is_assessed_and_none_refused(run: Run) -> None:
    assert run.streamed.assessments == run.streamed.published == 30_200 + 4_500 + 354
    assert run.streamed.dead_letters == 0
    assert run.streamed.models == {run.bundle.manifest.id}


def test_vectors_of_the_stream_are_those_of_the_replay_bit_for_bit(run: Run) -> None:
    places = places_of(run)
    assert run.streamed.vectors.shape == (354, len(run.use_case.features))
    np.testing.assert_array_equal(bits(run.streamed.vectors), bits(run.history.vectors[places]))


def test_scores_of_the_stream_are_those_of_the_bundle_bit_for_bit(run: Run) -> None:
    expected = Scorer(run.bundle.model).score(run.history.vectors[places_of(run)])
    np.testing.assert_array_equal(run.streamed.score, expected.astype(np.float64))


def test_training_saw_the_first_part_only(run: Run) -> None:
    learned = run.bundle.manifest.training
    assert (learned["rows"], learned["positive_rows"]) == (145, 18)
    assert learned["to"] < "1997-10-01"


def test_the_scores_are_no_worse_than_those_of_a_random_forest(run: Run, folder: Path) -> None:
    later, folds = compared(run, folder)
    print(f"\n{summary(run)}\n{figures.table([*later, *folds])}\n")
    for lines in (later, folds):
        assert lines[0].figures["AUC"].interval[0] > CHANCE, "better than chance"
        for figure in difference(lines, "plain forest").figures.values():
            assert figure.interval[1] >= 0, "not clearly worse than the forest"


def difference(lines: list[Line], words: str) -> Line:
    return next(line for line in lines if line.words == f"  difference to {words}")


def places_of(run: Run) -> list[int]:
    """Return the places of the stream's loans, by date and id, in the replay's rows: an account has one loan."""
    place = {account: i for i, account in enumerate(run.history.customers.tolist())}
    assert len(place) == len(run.history.customers)
    return [place[account] for account in run.streamed.account]


def bits(vectors: NDArray[np.floating]) -> NDArray[np.uint32]:
    """float32 as its bits; all that is missing is alike."""
    exact = vectors.astype(np.float32)
    assert (exact.astype(np.float64) == vectors)[~np.isnan(vectors)].all()
    return np.where(np.isnan(exact), np.float32(np.nan), exact).view(np.uint32)


def compared(run: Run, folder: Path) -> tuple[list[Line], list[Line]]:
    """Ours and plain models on the later loans, and on all loans in the folds that ours was judged by."""
    rows, label = by_replay(run, folder)
    is_first, history = run.is_first, run.history
    score = np.empty(len(label))
    score[places_of(run)] = run.streamed.score
    later = figures.beside(
        "Berka, streamed, later loans",
        label[~is_first],
        [score[~is_first]],
        figures.forest_after(rows, label, is_first),
    )
    parameters = Parameters.of(run.use_case.model)
    ours, forests, rules = [], [], []
    for seed in figures.SEEDS:
        chosen = select_model(history.vectors, history.label, history.customers, parameters, seed)
        print(f"seed {seed}: {chosen.candidate}")
        forest, rule = figures.plain(rows, label, chosen.rows.fold, seed)
        ours.append(chosen.out_of_fold)
        forests.append(forest)
        rules.append(rule)
    return later, figures.beside("Berka, replayed, 5 folds", label, ours, forests, rules)


def by_replay(run: Run, folder: Path) -> tuple[Floats, NDArray[np.int64]]:
    """The forest's rows and labels in the order of the replay's rows."""
    table = figures.aggregates(folder)
    ordered = table.loc[run.history.customers.astype(int)]
    assert (ordered.label == run.history.label).all()
    return ordered.drop(columns="label").to_numpy(np.float64), run.history.label


def summary(run: Run) -> str:
    streamed, learned = run.streamed, run.bundle.manifest.training
    last = np.datetime64(int(run.history.times_us.max()), "us").astype("M8[D]")
    return (
        f"{streamed.published:,} events streamed in {streamed.seconds:.0f} s: "
        f"{streamed.assessments:,} assessments, {streamed.dead_letters} dead letters\n"
        f"{len(run.use_case.features)} features; the vectors of all {len(streamed.loan)} loans equal the replay's "
        "bit for bit\n"
        f"learned from {learned['rows']} loans ({learned['positive_rows']} bad) of {learned['from']} to "
        f"{learned['to']}; later ones are of {SPLIT_DAY:%Y-%m-%d} to {last}\n"
    )
