"""What pipelines run beside riskstream's own verbs. Only the standard library: nothing has been installed there."""
