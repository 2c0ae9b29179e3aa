"""Benchmarks: `make bench`. Never tests with time limits; figures hold for the machine and minute they were made."""
