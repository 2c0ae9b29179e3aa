"""Models: candidates, tuning over folds of customers, calibration, comparison and selection."""

__all__ = ["fit", "held_out", "keys", "parallel", "parameters", "selection"]
