"""Tests of the pure part: the kernel against a naive oracle, the record's codec, the use case file."""
