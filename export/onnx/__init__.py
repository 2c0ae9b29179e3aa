"""A model in ONNX: conversion, the gate on parity with what was trained, and scoring."""

from export.onnx.calibration import Calibrated, Sigmoid, margin
from export.onnx.conversion import Scorer, convert, parity
from export.onnx.linear import Linear, Scales, standardized

__all__ = [
    "Calibrated",
    "Linear",
    "Scales",
    "Scorer",
    "Sigmoid",
    "calibration",
    "convert",
    "graph",
    "linear",
    "margin",
    "parity",
    "parity_vectors",
    "standardized",
]
