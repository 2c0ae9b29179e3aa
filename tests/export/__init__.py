"""Tests of export/: policy against a plain oracle, ONNX parity, bundles on disk."""
