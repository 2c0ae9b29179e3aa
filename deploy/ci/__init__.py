"""Programs of pipelines beside riskstream's own verbs. Only the standard library: nothing is installed there."""
