"""The profile of a history, before anything is learned from it: facts (measure.py) and a page of them (page.py).

The good rows are described as they are, before cleaning; what the use case's `clean` rules would leave out is counted.
Facts are of all rows, except rank correlations, which say how many rows they are of. What is shown by label counts
customers, or takes into account that events of one customer are alike (decision 0027).
"""

from training.profile.facts import Profile

__all__ = ["Profile", "findings", "measure", "page"]
