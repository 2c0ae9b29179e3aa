"""Distributions of features and scores: frozen bins of training, distances from them, and what counts as drift."""

__all__ = ["coverage", "distance", "drift", "independence", "reference"]
