"""A training run as a page that a risk committee can read (page.py), and the same as JSON (run.py)."""
