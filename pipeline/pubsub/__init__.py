"""Pub/Sub: messages, topics and subscriptions, pulling and publishing by its plain calls."""

__all__ = ["client", "leases", "message", "ordered_publisher", "puller", "reading", "topics"]
