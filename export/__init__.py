"""What training promises to serving: the policy, the model in ONNX and the bundle that carries both."""
