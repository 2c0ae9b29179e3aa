"""The local stack, with real servers and the real client libraries."""
