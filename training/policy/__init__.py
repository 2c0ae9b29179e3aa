"""The policy in training: thresholds for what a use case asks, and the policy replayed over the scores of a history."""

__all__ = ["replay", "thresholds"]
