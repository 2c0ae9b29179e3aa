"""Owners: of several workers, one folds the events of a merchant, a device or any entity beside the subject.

Workers that fold into one record at the same time lose races and do their work again. So each such record has an
owner among the workers; the others send it their events through Redis (`exchange`) and go on with its answers.
`membership` says who is there, `asking` is the side that asks, `owner` the side that answers, `messages` is what they
write to each other, and `member` runs all of it in a worker.

The rule: owning is no right. Every write stays a compare-and-set, and whoever gets no answer folds by itself.
"""

__all__ = ["answers", "asking", "exchange", "member", "membership", "owner"]
