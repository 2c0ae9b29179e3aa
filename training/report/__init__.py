"""The report of a training run, as a page for a risk committee and as JSON."""

__all__ = ["levels", "page", "run", "scores", "words"]
