"""Statistics that an aggregate can answer, and the windows over which each has a meaning."""

from features.kernel.plan import EVER, EVER_STATISTICS, Statistic
from features.usecase.schema import Aggregate, Window
from features.usecase.yaml_tree import Node, one_of

STATISTICS = {statistic.name.lower(): statistic for statistic in Statistic}
WINDOWED = frozenset(Statistic) - {Statistic.LAST, Statistic.SINCE_LAST, Statistic.SINCE_FIRST}
NEEDS_VALUE = frozenset(
    {Statistic.SUM, Statistic.MEAN, Statistic.STD, Statistic.MIN, Statistic.MAX, Statistic.LAST}
)


def statistic(node: Node, aggregate: Aggregate) -> Statistic:
    """Read a statistic that the aggregate can answer. Raises BadUseCase."""
    chosen = STATISTICS[one_of(node, STATISTICS)]
    if chosen in NEEDS_VALUE and aggregate.value is None:
        node.blame(f"{node.value} needs the aggregate {aggregate.name} to have a value field")
    if chosen is Statistic.DISTINCT and aggregate.distinct is None:
        node.blame(f"{node.value} needs the aggregate {aggregate.name} to have a distinct field")
    return chosen


def is_meaningful(chosen: Statistic, span: Window) -> bool:
    """Return whether the statistic has a meaning over the window."""
    return chosen in (EVER_STATISTICS if span.length_us == EVER else WINDOWED)


def where_valid(chosen: Statistic) -> str:
    """Over which windows the statistic can be asked, as advice."""
    return "add ever" if chosen in EVER_STATISTICS else "it needs a window with an end, such as 24h"
