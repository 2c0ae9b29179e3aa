"""Hints at what an author meant: words of other systems, misspellings, durations in other forms."""

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches

# what people write: what it is called here, wherever that is one of the choices
SYNONYMS: Mapping[str, tuple[str, ...]] = {
    word: meant
    for words, meant in {
        # kinds of fields
        "float double decimal numeric real float32 float64 amount money": ("number",),
        "int int32 int64 long bigint smallint whole": ("integer",),
        "str text varchar char uuid object": ("string",),
        "bool flag": ("boolean",),
        "datetime timestamp instant timestamptz ts": ("time",),
        "day": ("date",),
        # statistics
        "avg average": ("mean",),
        "nunique unique n_unique count_distinct distinct_count countdistinct cardinality": ("distinct",),
        "stddev stdev std_dev sd standard_deviation var variance": ("std",),
        "cnt n num size number": ("count", "number"),
        "total": ("sum",),
        "maximum highest": ("max",),
        "minimum lowest": ("min",),
        "latest newest most_recent current": ("last", "latest"),
        "recency time_since_last seconds_since_last": ("since_last",),
        "tenure time_since_first seconds_since_first": ("since_first",),
        # tests of a `where`
        "gt greater more over": ("above", "over"),
        "gte ge at_least from": ("min", "from"),
        "lt less under": ("below",),
        "lte le at_most to": ("max",),
        "eq equals is any_of one_of values": ("in", "values"),
        "ne neq not_in none_of": ("not",),
        "exists not_null notnull isnull is_null": ("present",),
        # words instead of a field, a window or a flag
        "none null no now never publish_time published_at publication ingestion": ("published", "*", "false"),
        "all any row everything whole": ("*", "ever"),
        "lifetime forever unbounded total_history inf infinity alltime all_time": ("ever",),
        "yes on 1": ("true",),
        "off 0": ("false",),
        # keys
        "name": ("use_case",),
        "stats statistic aggregations functions": ("statistics",),
        "window": ("windows",),
        "filter condition conditions": ("where",),
        "field column": ("value", "from", "event"),
        "event_type source": ("event", "from"),
        "key keys primary_key event_id": ("id",),
        "timestamp_field event_time": ("time",),
        "entity": ("entities",),
        "schema columns properties": ("fields",),
        "enum vocabulary categories": ("values",),
        "nullable": ("optional",),
        "delimiter sep": ("separator",),
        "na na_values null_values nulls": ("missing_values",),
        "tz time_zone": ("timezone",),
        "target": ("label",),
        "sensitive_fields sensitive_attributes": ("sensitive",),
        "protected_fields protected_attributes protected_classes": ("protected",),
        "grace grace_period watermark_delay": ("allowed_lateness",),
        "clock_skew skew": ("max_clock_skew",),
        "ttl retention": ("forget_after",),
        "hysteresis": ("exit_ratio",),
        # hyper-parameters and splits of other libraries
        "n_estimators num_trees num_boost_round": ("trees",),
        "max_leaf_nodes num_leaves max_leaves": ("leaves",),
        "min_samples_leaf min_data_in_leaf": ("rows_per_leaf",),
        "min_child_weight": ("child_weight",),
        "eta": ("learning_rate",),
        "reg_lambda l2_regularization": ("l2",),
        "max_features colsample colsample_bynode": ("columns",),
        "class_weight": ("balanced",),
        "n_trials": ("trials",),
        "cv n_splits": ("folds",),
        "scoring": ("metric",),
        "test_size": ("test",),
        "strategy method": ("by",),
    }.items()
    for word in words.split()
}
WEEK_DAYS, MONTH_DAYS, YEAR_DAYS = 7, 30, 365
UNITS: Mapping[str, tuple[int, str]] = {
    word: unit
    for words, unit in {
        "s sec secs second seconds": (1, "s"),
        "m min mins minute minutes": (1, "m"),
        "h hr hrs hour hours": (1, "h"),
        "d day days": (1, "d"),
        "w wk week weeks": (WEEK_DAYS, "d"),
        "mo mon month months": (MONTH_DAYS, "d"),
        "y yr year years": (YEAR_DAYS, "d"),
    }.items()
    for word in words.split()
}


def nearest(word: str, options: Iterable[str]) -> str:
    """The option that was meant by a synonym, another case or a misspelling; empty if none is near."""
    options = tuple(options)
    plain = re.sub(r"[\s-]+", "_", word.strip().lower())
    by_case = {option.lower(): option for option in options}
    if plain in by_case:
        return by_case[plain]
    known = [meant for meant in SYNONYMS.get(plain, ()) if meant in options]
    near = known or get_close_matches(word, options, 1) or get_close_matches(plain, by_case, 1)
    meant = by_case.get(near[0], near[0]) if near else ""
    return '"*"' if meant == "*" else meant  # without quotes YAML takes it for an alias


def duration(word: str) -> str:
    """A duration as it is written here: 1w and P7D are 7d, 24 hours is 24h; empty if it is none."""
    found = re.fullmatch(r"(?:pt?)?\s*(\d+)\s*([a-z]+)", word.strip().lower())
    if not found or found[2] not in UNITS:
        return ""
    times, unit = UNITS[found[2]]
    return f"{int(found[1]) * times}{unit}" if int(found[1]) else ""
