"""Histories as rows to learn from: files, cleaning, labels, leakage, and splits by customer and time."""

__all__ = [
    "cleaning",
    "files",
    "labelled_rows",
    "leakage",
    "like_files",
    "replaying",
    "split_keys",
    "splits",
    "usual",
]
