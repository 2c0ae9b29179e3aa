"""Learners: candidates, tuning over folds of customers, calibration, comparison and choice."""

__all__ = ["choice", "fit", "held_out", "parallel", "parameters"]
