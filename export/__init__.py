"""The contract between training and serving: the policy, the model in ONNX and the bundle that carries both."""
