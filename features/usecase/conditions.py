"""The tests of a `where`, of features and of rules that clean a history, as frozen values.

`where.py` reads them, `features.events` applies them to events; a change is known to the record alone.
"""

from dataclasses import dataclass

WEEKDAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
CHANGED = "changed"  # the key of a `where` whose events count when they say something new
DERIVED = ("hour", "weekday")  # of the event time, UTC; usable like fields in `where` and `event`


@dataclass(frozen=True)
class Condition:
    """One test of a `where`. A missing value passes none but `present: false`."""

    field: str
    test: str  # in, not, min, above, max, below, multiple_of, present, changed
    operand: tuple[str, ...] | tuple[float, ...] | float | bool  # the fields of changed

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields it looks at."""
        return (
            tuple(map(str, self.operand))
            if isinstance(self.operand, tuple) and self.is_change
            else (self.field,)
        )

    @property
    def is_change(self) -> bool:
        """True for a test that compares an event with the one before it, which only the record knows."""
        return self.test == CHANGED

    @property
    def words(self) -> str:
        if self.is_change:
            return f"{' or '.join(self.fields)} changed"
        if isinstance(self.operand, bool):
            return f"{self.field} is {'there' if self.operand else 'missing'}"
        if isinstance(self.operand, float):
            return f"{self.field} is {_TESTS[self.test]} {self.operand:.15g}"
        shown = [self._shown(each) for each in self.operand]
        return f"{self.field} is {_TESTS[self.test]}{' or '.join(filter(None, (', '.join(shown[:-1]), *shown[-1:])))}"

    def _shown(self, value: str | float) -> str:
        if isinstance(value, str):
            return value
        return WEEKDAYS[int(value)] if self.field == "weekday" else f"{value:.15g}"


_TESTS = {
    "in": "", "not": "not ", "min": "at least", "above": "above", "max": "at most", "below": "below",
    "multiple_of": "a multiple of",
}  # fmt: skip


@dataclass(frozen=True)
class Drop:
    """Rows of a history that pass all tests are left out."""

    where: tuple[Condition, ...]
    reason: str

    @property
    def words(self) -> str:
        return "drop where " + " and ".join(condition.words for condition in self.where)


@dataclass(frozen=True)
class Keep:
    """Keep one of the rows of a history that have the same values in `per`."""

    which: str  # first, latest
    per: tuple[str, ...]  # names of fields; empty: all of them
    reason: str

    @property
    def words(self) -> str:
        return f"keep the {self.which} of the same {', '.join(self.per) or 'content'}"


CleaningRule = Drop | Keep
