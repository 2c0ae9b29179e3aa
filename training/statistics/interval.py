"""A figure with its 95 % interval over customers."""

from msgspec import Struct


class Interval(Struct, frozen=True):
    """Value of a figure with the ends of its 95 % interval; NaN where it cannot be had."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:z.3f} [{self.low:z.3f}, {self.high:z.3f}]"
