"""`python -m tests.benchmarks.smaller`: what a smaller model costs in precision and gains in size and time.

One history is generated and replayed. Seven tenths of its customers are learned from, the others judge: average
precision with a 95 % interval, every customer weighing the same. Sizes are those of the ONNX files. Times are the best
of several passes by one thread of ONNX Runtime, in batches and one vector at a time. Prints a table in Markdown.
"""

import argparse
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.quantization import QuantType, quantize_dynamic
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType
from sklearn.impute import SimpleImputer
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from export.onnx import Calibrated, Scorer, Sigmoid, convert
from features.replay import replay
from features.usecase import load
from tests.benchmarks import workloads
from tests.benchmarks.report import machine
from training.data.files import batches, read_all
from training.data.labelled_rows import LabelledRows, collect
from training.generate import generate
from training.models.candidates import CANDIDATES
from training.models.fit import LearningRows, fit, learning_rows
from training.statistics.metrics import measure
from training.statistics.weights import weights

NOW_US = workloads.START_US + 3_650 * workloads.DAY_US  # after everything generated
BATCH, PASSES, SINGLE = 1_000, 15, 300
LEARN = 0.7  # of the customers
SEED = 1


class Model(NamedTuple):
    """A model as it would be deployed, and the output that ranks."""

    name: str
    file: bytes
    output: str = "probabilities"


class Figures(NamedTuple):
    """Quality and costs of one model."""

    name: str
    precision: Mapping[str, float]  # value, low, high
    size_bytes: int
    batch_us: float  # a vector, in batches of BATCH
    single_us: float  # a vector alone


def history_of(customers: int, days: int) -> LabelledRows:
    use_case = load(workloads.OFFBOARDING)
    with tempfile.TemporaryDirectory() as folder:
        generate(customers, days, 5, Path(folder))
        files = [Path(folder, "users.csv"), Path(folder, "transactions.csv")]
        return collect(use_case, replay(batches(use_case, read_all(use_case, files, NOW_US))))


def models(rows: LearningRows) -> Iterator[Model]:
    """The variants; distilled ones learn from the scores of the largest."""
    everything = np.ones(len(rows.label), bool)

    def trained(name: str, candidate: str, **values: float) -> Model:
        defaults = CANDIDATES[candidate].defaults | {"balanced": False}
        learner = fit(rows, everything, candidate, defaults | values, SEED)
        return Model(name, convert(Calibrated(learner, Sigmoid()), rows.vectors.shape[1]))

    teacher = trained("boosting, 600 trees of 31 leaves", "xgboost", trees=600, leaves=31)
    yield teacher
    yield trained("boosting, 150 trees of 31 leaves", "xgboost", trees=150, leaves=31)
    for trees in (150, 60, 20):
        rate = 0.05 * 150 / trees  # fewer trees learn faster
        yield trained(
            f"boosting, {trees} trees of 6 leaves", "xgboost", trees=trees, leaves=6, learning_rate=rate
        )
    yield trained("forest, as usual", "random_forest")
    yield trained("logistic regression", "logistic_regression")
    score = Scorer(teacher.file).score(rows.vectors).astype(np.float64)
    yield distilled_trees(rows, score)
    network = distilled_network(rows.vectors, score)
    yield network
    yield quantised(network)


def distilled_trees(rows: LearningRows, score: NDArray[np.float64]) -> Model:
    """Trees that learn the teacher's probability p: each row counts p times as positive and 1 - p as negative."""
    vectors = np.concatenate([rows.vectors, rows.vectors])
    label = np.repeat([1, 0], len(score))
    weight = np.concatenate([score, 1 - score]) * len(rows.customer_label) / len(score)
    values = CANDIDATES["xgboost"].defaults | {"trees": 20, "leaves": 6, "learning_rate": 0.3}
    learner = CANDIDATES["xgboost"].fit(vectors, label, weight, values, SEED)
    return Model("20 trees of 6 leaves, distilled", convert(Calibrated(learner, Sigmoid()), vectors.shape[1]))


def distilled_network(vectors: NDArray[np.float32], score: NDArray[np.float64]) -> Model:
    """A network of two hidden layers that learns the teacher's log odds."""
    odds = np.log(np.clip(score, 1e-6, 1 - 1e-6) / (1 - np.clip(score, 1e-6, 1 - 1e-6)))
    network = MLPRegressor(hidden_layer_sizes=(128, 64), early_stopping=True, max_iter=60, random_state=SEED)
    filled = SimpleImputer(strategy="median", keep_empty_features=True)
    learner = make_pipeline(filled, StandardScaler(), network).fit(vectors, odds.astype(np.float32))
    graph = convert_sklearn(learner, initial_types=[("vector", FloatTensorType([None, vectors.shape[1]]))])
    return Model("network 128, 64, distilled", graph.SerializeToString(), graph.graph.output[0].name)


def quantised(model: Model) -> Model:
    """The network with weights of eight bits; trees have no such form in ONNX Runtime."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "float32.onnx"), Path(folder, "int8.onnx")
        source.write_bytes(model.file)
        quantize_dynamic(source, target, weight_type=QuantType.QInt8)
        return Model(f"{model.name}, int8", target.read_bytes(), model.output)


def figures(model: Model, held_out: LabelledRows, customer: NDArray[np.intp]) -> Figures:
    onnx.checker.check_model(onnx.load_from_string(model.file))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.file, options, providers=["CPUExecutionProvider"])

    def score(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
        (outputs,) = session.run([model.output], {"vector": vectors})
        return np.asarray(outputs, np.float64)[:, -1]

    scores = np.concatenate([score(held_out.vectors[i : i + 8_192]) for i in range(0, len(held_out), 8_192)])
    metrics = measure(held_out.label, scores, weights(customer, by_event=False), customer, SEED)
    batch = np.ascontiguousarray(held_out.vectors[:BATCH])
    batch_us = min(spent_us(lambda: score(batch)) for _ in range(PASSES)) / len(batch)
    single_us = np.median([spent_us(lambda i=i: score(batch[i : i + 1])) for i in range(SINGLE)])
    return Figures(model.name, metrics["average_precision"], len(model.file), batch_us, float(single_us))


def spent_us(work: Callable[[], object]) -> float:
    began_ns = time.perf_counter_ns()
    work()
    return (time.perf_counter_ns() - began_ns) / 1e3


def table(rows: list[Figures]) -> str:
    titles = ("model", "average precision [95 %]", "bytes", "µs a vector, in batches of 1,000", "µs, alone")
    head = f"| {' | '.join(titles)} |\n|---|---|---|---|---|\n"
    return head + "".join(
        f"| {each.name} | {each.precision['value']:.3f} [{each.precision['low']:.3f}, {each.precision['high']:.3f}] "
        f"| {each.size_bytes:,} | {each.batch_us:.2f} | {each.single_us:.0f} |\n"
        for each in rows
    )


def main() -> None:
    warnings.filterwarnings("ignore", category=UserWarning)
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.smaller", description=__doc__)
    parser.add_argument("--customers", type=int, default=4_000)
    parser.add_argument("--days", type=int, default=60)
    options = parser.parse_args()
    history = history_of(options.customers, options.days)
    names, customer = np.unique(history.customers, return_inverse=True)
    learns = np.random.default_rng(SEED).permutation(len(names)) < LEARN * len(names)
    learned, held_out = history[learns[customer]], history[~learns[customer]]
    rows = learning_rows(learned.vectors, learned.label, learned.customers, 3, 1_000, SEED)
    _, judges = np.unique(held_out.customers, return_inverse=True)
    compared = [figures(model, held_out, judges) for model in models(rows)]
    facts, positive = machine(), len(set(held_out.customers[held_out.label == 1].tolist()))
    print(table(compared))
    print(
        f"{datetime.now(UTC):%Y-%m-%d}, {facts['cpu']}, {facts['cores']} cores, load {facts['load']}, "
        f"ONNX Runtime {onnxruntime.__version__}: {len(learned):,} rows of {int(learns.sum()):,} generated customers "
        f"learned from, {len(held_out):,} rows of {int((~learns).sum()):,} customers judge, {positive} of them positive"
    )


if __name__ == "__main__":
    main()
