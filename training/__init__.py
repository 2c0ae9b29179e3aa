"""Training: from labelled events to a bundle that serving can load."""
