"""What the policy would have done with the customers that judge a model: levels and recommendations, through time."""

from training.decisions import Decisions, Timeline, decisions
from training.train import Judged


def replayed(judged: Judged) -> Decisions:
    """Replay the policy over held-out scores; customers are numbered as in `judged.customer`.

    `last_level`, `highest_level`, `is_open` and `ever(Change.RECOMMENDED)` of what is returned are by customer.
    """
    timeline = Timeline.of(judged.rows, judged.customer)
    return decisions(judged.terms, timeline, judged.score[timeline.order], judged.thresholds)
