"""Statistics over customers: metrics, intervals, ratios of shares, weights, and scores of customers."""

__all__ = ["customer_score", "interval", "metrics", "ratios", "weights", "wilson"]
