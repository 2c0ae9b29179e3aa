"""The whole system on a real bank's data, which are not part of the repository."""
