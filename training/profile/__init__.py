"""What a history looks like before anything is learned from it: facts (`profile`) and a page of them (`page`).

The good rows are described as they are, before cleaning; what the use case's `clean` rules would leave out is counted.
Facts are exact and of all rows, unless their name says that they are of a sample.
"""

from training.profile.facts import Profile
from training.profile.measure import profile

__all__ = ["Profile", "profile"]
