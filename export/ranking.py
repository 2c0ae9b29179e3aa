"""By what score customers are ranked, in the report of a model as in the list of scored customers (decision 0021)."""

LATEST = 10  # events; the mean of their scores is the customer's
