"""Tests of training: the generated data, the pieces of a training run, the run itself."""
