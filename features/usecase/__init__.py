"""A use case: one YAML file, parsed into frozen values. `load` reads one as a `UseCase`."""

from features.usecase.absent_fields import blanked
from features.usecase.conditions import CHANGED, DERIVED, CleaningRule, Condition, Drop, Keep
from features.usecase.faults import BadUseCase, Fault, in_order, need
from features.usecase.file import Look, UseCase, feature_rows, load, look, parse
from features.usecase.forgetting import duration_words, kept
from features.usecase.label import is_known_later
from features.usecase.lookback import Lookback, lookbacks
from features.usecase.protected_fields import Grouping, PersonField
from features.usecase.schema import (
    LEVELS,
    NUMERIC,
    Age,
    Aggregate,
    Copy,
    Difference,
    Equals,
    EventType,
    Feature,
    Field,
    FileFormat,
    Kind,
    Label,
    Override,
    Ratio,
    Raw,
)
from features.usecase.yaml_tree import Node, section

__all__ = [
    "CHANGED",
    "DERIVED",
    "LEVELS",
    "NUMERIC",
    "Age",
    "Aggregate",
    "BadUseCase",
    "CleaningRule",
    "Condition",
    "Copy",
    "Difference",
    "Drop",
    "Equals",
    "EventType",
    "Fault",
    "Feature",
    "Field",
    "FileFormat",
    "Grouping",
    "Keep",
    "Kind",
    "Label",
    "Look",
    "Lookback",
    "Node",
    "Override",
    "PersonField",
    "Ratio",
    "Raw",
    "UseCase",
    "blanked",
    "declaration",
    "duration_words",
    "expiry",
    "feature_rows",
    "file_keys",
    "hints",
    "in_order",
    "is_known_later",
    "kept",
    "load",
    "look",
    "lookbacks",
    "need",
    "parse",
    "renamed_keys",
    "section",
]
