"""Tests, one folder a room. Real parts, fixed seeds and dates, no mocks of our own code."""
