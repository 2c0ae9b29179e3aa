"""The score that customers are ranked by, in a model's report as in the list of scored customers (decision 0021)."""

LATEST = 10  # events; the mean of their scores is the customer's
