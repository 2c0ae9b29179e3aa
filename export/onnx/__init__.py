from export.onnx.calibration import Calibrated, Sigmoid, margin
from export.onnx.conversion import Scorer, convert, parity
from export.onnx.linear import Linear, Scales, standardized

__all__ = [
    "Calibrated",
    "Linear",
    "Scales",
    "Scorer",
    "Sigmoid",
    "convert",
    "margin",
    "parity",
    "standardized",
]
