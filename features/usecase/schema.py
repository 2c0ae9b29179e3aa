"""Content of a use case file as frozen values. Durations and times are int64 microseconds (`_us`).

Nothing here knows YAML, JSON or arrays. The modules beside this one make these values from a file; `features.events`
and `features.vector` act on them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from features.kernel.plan import Statistic
from features.usecase.conditions import CleaningRule, Condition

LEVELS = ("LOW", "MEDIUM", "HIGH")


class Kind(StrEnum):
    STRING = "string"
    NUMBER = "number"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    DATE = "date"  # a day, text YYYY-MM-DD
    TIME = "time"  # an instant, text in RFC 3339 or a declared format
    CATEGORY = "category"  # a text out of a declared vocabulary


NUMERIC = frozenset({Kind.NUMBER, Kind.INTEGER})


@dataclass(frozen=True)
class Field:
    """One field of an event."""

    name: str
    kind: Kind
    optional: bool = False
    values: tuple[str, ...] = ()  # vocabulary of a category, in file order: the codes are positions
    minimum: float | None = None
    maximum: float | None = None
    description: str = ""  # what people call it, with its unit

    @property
    def words(self) -> str:
        """Expected content of the field, in words."""
        if self.kind is Kind.CATEGORY:
            return "one of " + ", ".join(self.values)
        bounds = [f"at least {self.minimum:.15g}"] if self.minimum is not None else []
        bounds += [f"at most {self.maximum:.15g}"] if self.maximum is not None else []
        return _WORDS[self.kind] + (" of " + " and ".join(bounds) if bounds else "")


_WORDS = {
    Kind.STRING: "a text",
    Kind.NUMBER: "a number",
    Kind.INTEGER: "a whole number",
    Kind.BOOLEAN: "true or false",
    Kind.DATE: "a date (YYYY-MM-DD)",
    Kind.TIME: "a time",
}


@dataclass(frozen=True)
class FileFormat:
    """Format of an event type's files: separators, and words for true, false and missing values."""

    separator: str = ","
    encoding: str = "utf-8"
    decimal: str = "."
    missing_values: tuple[str, ...] = ("",)
    true_values: tuple[str, ...] = ("true", "True", "TRUE")
    false_values: tuple[str, ...] = ("false", "False", "FALSE")
    date_format: tuple[str, ...] = ("%Y-%m-%d",)
    columns: Mapping[str, tuple[str, ...]] | None = None  # field: its column(s), joined by one blank


@dataclass(frozen=True)
class Override:
    """Fields of an event that carry a person's decision. `level` is one of LEVELS.

    A decision whose `until` is not after its event withdraws the one in force. `max_duration_us` is how long after
    its event a decision may last; None: as long as it says. It is no part of the fingerprint.
    """

    level: str
    until: str
    author: str
    reason: str
    max_duration_us: int | None = None


@dataclass(frozen=True, eq=False)
class EventType:
    """The schema of one kind of event and what makes it unique, timed and somebody's."""

    name: str
    scored: bool
    whole: bool  # id is the whole content
    id: tuple[str, ...]
    time: tuple[str, ...]  # first non-empty wins; empty: the publish time
    time_offset_us: int  # the event happens this long after the time it holds (a label that is known later)
    time_format: tuple[str, ...]  # beside RFC 3339
    timezone: str
    entities: Mapping[str, str]  # entity: the field with its id
    fields: Mapping[str, Field]
    file: FileFormat
    override: Override | None
    subject: str  # the field with the subject's id
    max_clock_skew_us: int
    clean: tuple[CleaningRule, ...] = ()  # of a history, in this order; the stream never cleans


@dataclass(frozen=True)
class Aggregate:
    """The events of one lane: their type, their filter, what is added up and what is told apart."""

    name: str
    lane: int
    event_type: str
    where: tuple[Condition, ...]
    value: str | None
    distinct: str | None
    value_column: int = -1
    slot_column: int = -1
    description: str = ""  # its events, in words


@dataclass(frozen=True)
class WatchedFields:
    """The fields that a `changed` compares, with the lane and the value column that hold their digest."""

    event_type: str
    fields: tuple[str, ...]
    lane: int
    value_column: int


@dataclass(frozen=True)
class Window:
    """A window as the author wrote it; length 0 is `ever`."""

    words: str
    length_us: int
    hop_us: int


@dataclass(frozen=True)
class Raw:
    """A number to compute with: a raw column of the entity, or (column -1) a field of the event."""

    column: int
    field: str = ""


@dataclass(frozen=True)
class Copy:
    source: Raw


@dataclass(frozen=True)
class Ratio:
    numerator: Raw
    denominator: Raw


@dataclass(frozen=True)
class Difference:
    value: Raw
    minus: Raw


@dataclass(frozen=True)
class Age:
    """Years from the date in `source` (days since 1970) to the event."""

    source: Raw


@dataclass(frozen=True)
class Equals:
    """1.0 where the category's code is `code`, 0.0 elsewhere, NaN where it is missing."""

    source: Raw
    code: int


Formula = Copy | Ratio | Difference | Age | Equals


@dataclass(frozen=True)
class Feature:
    """One column of the vector. `entity` is empty for values of the event itself."""

    name: str
    entity: str
    formula: Formula
    words: str  # see features.usecase.descriptions
    fields: tuple[str, ...]  # event_type.field, what it is made of
    window: str
    choice: str = ""  # of what is true or not (1 or 0): "`words` is `choice`"
    unit: str = ""  # seconds, years

    @property
    def meaning(self) -> str:
        """Meaning of the feature's number, with its unit."""
        if self.choice:
            return f"{self.words} is {self.choice}"
        return f"{self.words}, in {self.unit}" if self.unit else self.words


@dataclass(frozen=True)
class Source:
    """An event type that sets attributes: field k of `fields` goes to attribute column `columns[k]`."""

    index: int
    event_type: str
    fields: tuple[str, ...]
    columns: tuple[int, ...]


@dataclass(frozen=True)
class EntityFeatures:
    """Features and their inputs that the file declares for one entity."""

    entity: str
    aggregates: tuple[Aggregate, ...]
    outputs: tuple[tuple[int, Statistic, Window], ...]
    sources: tuple[Source, ...]
    attributes: int
    features: tuple[Feature, ...]
    watches: tuple[WatchedFields, ...] = ()  # their lanes follow those of the aggregates


@dataclass(frozen=True)
class Label:
    """The field that says what became of the subject, or of one event; `positive` are its bad outcomes."""

    event_type: str
    field: str
    positive: tuple[str | bool, ...]
    event: str = ""  # the scored event type that is labelled; empty: the subject, or the event's own field
    event_id: tuple[str, ...] = ()  # the fields that name the id of the labelled event
    delay_us: int = (
        0  # how long after the event the label is known; after the label's own event, if it has one
    )
