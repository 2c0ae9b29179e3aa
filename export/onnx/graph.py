"""A calibrated model as one ONNX graph: the learner's margin, then its sigmoid. The twin of export.onnx.calibration.

Trees are converted by skl2onnx and onnxmltools, whose ensemble is taken over as a sum of leaves: as probabilities in
float32 the margin could not be had back near 0 and 1. Missing (NaN) goes where each split sends it.
"""

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.onnx.calibration import Calibrated, Sigmoid, votes_doubt
from export.onnx.linear import FARTHEST, FARTHEST_DEVIATION, Linear

OPSET = {"": 18, "ai.onnx.ml": 3}  # fixed: the same model gives the same bytes
IR_VERSION = 8  # of opset 18
OPSET_OF_XGBOOST = 15  # the newest that onnxmltools writes; its ensemble is the same in ours
INPUT, OUTPUT = "vector", "probabilities"


@dataclass
class Graph:
    """Nodes in the order of computing. Names are counted, so the same model gives the same bytes."""

    nodes: list[Any] = field(default_factory=list)
    constants: list[Any] = field(default_factory=list)

    def add(self, operator: str, *inputs: str, output: str = "", domain: str = "", **attributes: Any) -> str:
        """Appends a node and returns its output's name."""
        from onnx import helper

        name = output or f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], name=name, domain=domain, **attributes))
        return name

    def constant(self, values: Any, dtype: Any = np.float32) -> str:
        from onnx import numpy_helper

        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def serialized(self, n_features: int) -> bytes:
        from onnx import TensorProto, checker, helper

        ends = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, width])
            for name, width in ((INPUT, n_features), (OUTPUT, 2))
        ]
        graph = helper.make_graph(self.nodes, "riskstream", ends[:1], ends[1:], self.constants)
        opsets = [helper.make_opsetid(domain, number) for domain, number in OPSET.items()]
        model = helper.make_model(
            graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="riskstream"
        )
        checker.check_model(model)
        return bytes(model.SerializeToString(deterministic=True))


def graph(calibrated: Calibrated, n_features: int) -> bytes:
    """The serialized graph. Raises KeyError for a learner that MARGIN_NODES does not list."""
    made = Graph()
    margin = MARGIN_NODES[type(calibrated.model).__name__](made, calibrated.model, n_features)
    _probabilities(made, margin, calibrated.calibration)
    return made.serialized(n_features)


def _probabilities(made: Graph, margin: str, sigmoid: Sigmoid) -> None:
    """Both columns from exp: exact near 0, where the Sigmoid operator's approximation ends at 1e-8."""
    slopes = made.constant([[sigmoid.slope, -sigmoid.slope]])
    intercepts = made.constant([sigmoid.intercept, -sigmoid.intercept])
    against = made.add(
        "Exp", made.add("Add", made.add("Mul", margin, slopes), intercepts)
    )  # odds, inverse odds
    made.add("Reciprocal", made.add("Add", against, made.constant([1.0])), output=OUTPUT)


def _boosted(made: Graph, model: Any, n_features: int) -> str:
    return _leaves(made, _ensemble(by_skl2onnx(with_float32_thresholds(model), n_features)))


def _xgboost(made: Graph, model: Any, n_features: int) -> str:
    from onnxmltools import convert_xgboost  # type: ignore[import-untyped,unused-ignore]
    from onnxmltools.convert.common.data_types import (  # type: ignore[import-untyped,unused-ignore]
        FloatTensorType,
    )

    inputs = [(INPUT, FloatTensorType([None, n_features]))]
    converted = convert_xgboost(model, "riskstream", inputs, target_opset=OPSET_OF_XGBOOST)
    return _leaves(made, _ensemble(converted))


def _forest(made: Graph, model: Any, n_features: int) -> str:
    """skl2onnx loses where missing values go and rounds thresholds by a rule of its own: both are the trees'."""
    trees = [estimator.tree_ for estimator in model.estimators_]
    attributes = _ensemble(by_skl2onnx(model, n_features))
    is_split = np.concatenate([tree.children_left >= 0 for tree in trees])
    thresholds = float32_below(np.concatenate([tree.threshold for tree in trees]))
    missing_left = np.concatenate([tree.missing_go_to_left for tree in trees])
    attributes["nodes_values"] = np.where(is_split, thresholds, np.float32(0)).tolist()
    attributes["nodes_missing_value_tracks_true"] = (is_split & (missing_left != 0)).astype(int).tolist()
    share, certain = _leaves(made, attributes), 1 - 2 * votes_doubt(model)
    balance = made.add("Mul", share, made.constant([2 * certain]))
    half = made.add(
        "Atanh", made.add("Sub", balance, made.constant([certain]))
    )  # log odds of p: 2 atanh(2 p - 1)
    return made.add("Mul", half, made.constant([2.0]))


def _linear(made: Graph, model: Linear, n_features: int) -> str:
    """Products are summed in float64: large ones may cancel."""
    from onnx import TensorProto

    missing, scales, nought = made.add("IsNaN", INPUT), model.scales, made.constant([0.0])
    spreads = _distance(made, scales.center, scales.inverse_spread, FARTHEST)
    deviations = _distance(made, scales.mean, scales.inverse_deviation, FARTHEST_DEVIATION)
    values = [made.add("Where", missing, nought, each) for each in (made.add("Asinh", spreads), deviations)]
    inputs = made.add("Concat", *values, made.add("Cast", missing, to=TensorProto.FLOAT), axis=1)
    exact = made.add("Cast", inputs, to=TensorProto.DOUBLE)
    weighted = made.add("MatMul", exact, made.constant(model.weights[:, None], np.float64))
    odds = made.add("Add", weighted, made.constant([model.intercept], np.float64))
    return made.add("Cast", odds, to=TensorProto.FLOAT)


def _distance(
    made: Graph, origin: NDArray[np.float32], inverse_unit: NDArray[np.float32], farthest: np.float32
) -> str:
    units = made.add("Mul", made.add("Sub", INPUT, made.constant(origin)), made.constant(inverse_unit))
    return made.add("Clip", units, made.constant(-farthest), made.constant(farthest))


# (graph so far, model, F) -> name of the margin, float32 [n, 1]
MARGIN_NODES: Mapping[str, Callable[[Graph, Any, int], str]] = {
    "HistGradientBoostingClassifier": _boosted,
    "Linear": _linear,
    "RandomForestClassifier": _forest,
    "XGBClassifier": _xgboost,
}


def _ensemble(converted: Any) -> dict[str, Any]:
    """The attributes of the one TreeEnsembleClassifier, whose leaves are all of class 1, as a regressor's."""
    from onnx import helper

    (node,) = (node for node in converted.graph.node if node.op_type == "TreeEnsembleClassifier")
    attributes = {each.name: helper.get_attribute_value(each) for each in node.attribute}
    if any(attributes["class_ids"]):
        raise ValueError("found leaves of more than one class, expected a classifier of two classes")
    left_out = ("classlabels_int64s", "nodes_hitrates", "post_transform")
    kept = {name: value for name, value in attributes.items() if name not in left_out}
    return {name.replace("class_", "target_"): value for name, value in kept.items()} | {"n_targets": 1}


def _leaves(made: Graph, attributes: Mapping[str, Any]) -> str:
    return made.add("TreeEnsembleRegressor", INPUT, domain="ai.onnx.ml", **attributes)


def by_skl2onnx(model: Any, n_features: int) -> Any:
    from skl2onnx import convert_sklearn  # type: ignore[import-untyped,unused-ignore]
    from skl2onnx.common.data_types import FloatTensorType  # type: ignore[import-untyped,unused-ignore]

    return convert_sklearn(
        model,
        "riskstream",
        [(INPUT, FloatTensorType([None, n_features]))],
        options={id(model): {"zipmap": False}},
        target_opset=OPSET,
    )


def with_float32_thresholds(model: Any) -> Any:
    """The same model for float32 vectors: x <= t holds exactly if x <= the largest float32 up to t.

    Histogram gradient boosting splits in float64, ONNX in float32; rounding to nearest could turn a split.
    """
    exact = deepcopy(model)
    for tree in (tree for stage in getattr(exact, "_predictors", ()) for tree in stage):
        tree.nodes["num_threshold"] = float32_below(tree.nodes["num_threshold"])
    return exact


def float32_below(values: NDArray[np.float64]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        nearest = values.astype(np.float32)
    return np.where(nearest > values, np.nextafter(nearest, np.float32(-np.inf)), nearest)
