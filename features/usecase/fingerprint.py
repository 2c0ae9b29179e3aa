"""The fingerprint of a use case: 64 bits of SHA-256 over canonical JSON of what can change a vector.

In it: what events are accepted, what identifies and dates them, lanes, windows, formulas and their order.
Not in it: names of features, descriptions, label, model, policy, file formats, which types are scored.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from features.usecase.conditions import Condition
from features.usecase.schema import Aggregate, EntityFeatures, EventType, Feature, Field, Raw

# what canonical JSON calls the parts of a formula: a fingerprint outlives the names in code and files
CANONICAL = {"numerator": "of", "denominator": "over", "value": "of"}


def fingerprint(
    types: Mapping[str, EventType],
    by_entity: Mapping[str, EntityFeatures],
    table: tuple[Feature, ...],
    lateness_us: int,
    forget_after_us: Mapping[str, int],
) -> int:
    """A uint64; the same for two files whose vectors are the same for all events."""
    content = {
        "events": {name: _event_type(t) for name, t in types.items()},
        "entities": {name: _entity(e, types) for name, e in by_entity.items()},
        "vector": [_feature(f, types) for f in table],
        "lateness_us": lateness_us,
    } | ({"forget_after_us": dict(forget_after_us)} if forget_after_us else {})  # older files keep theirs
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return int(hashlib.sha256(canonical.encode()).hexdigest()[:16], 16)


def _event_type(t: EventType) -> dict[str, Any]:
    return {
        "id": "*" if t.whole else list(t.id),
        "time": list(t.time),
        "time_format": list(t.time_format),
        "timezone": t.timezone,
        "tolerance_us": t.max_clock_skew_us,
        "entities": dict(t.entities),
        "fields": {name: _field(f) for name, f in t.fields.items()},
    } | ({"after_us": t.time_offset_us} if t.time_offset_us else {})  # older files keep their fingerprint


def _field(f: Field) -> list[Any]:
    """Vocabulary order matters only where a code or column is made of it: see `_entity` and `_feature`."""
    return [f.kind.value, f.optional, sorted(f.values), f.minimum, f.maximum]


def _entity(e: EntityFeatures, types: Mapping[str, EventType]) -> dict[str, Any]:
    sources = [
        [
            s.event_type,
            [[f, c, types[s.event_type].fields[f].values] for f, c in zip(s.fields, s.columns, strict=True)],
        ]
        for s in e.sources
    ]
    return {
        "lanes": [_aggregate(a) for a in e.aggregates],
        "outputs": [[lane, s.name, w.length_us, w.hop_us] for lane, s, w in e.outputs],
        "sources": sources,
    }


def _aggregate(a: Aggregate) -> dict[str, Any]:
    tests = sorted((_condition(c) for c in a.where), key=json.dumps)
    return {"of": a.event_type, "where": tests, "value": a.value, "distinct": a.distinct}


def _condition(c: Condition) -> list[Any]:
    return [c.field, c.test, c.operand]


def _feature(f: Feature, types: Mapping[str, EventType]) -> list[Any]:
    parts = {CANONICAL.get(key, key): _raw(value, types) for key, value in vars(f.formula).items()}
    return [f.entity, type(f.formula).__name__, parts]


def _raw(value: Raw | int, types: Mapping[str, EventType]) -> Any:
    if not isinstance(value, Raw):
        return value
    vocabularies = [list(t.fields[value.field].values) for t in types.values() if value.field in t.fields]
    return [value.column, value.field, next(iter(v for v in vocabularies if v), [])]
