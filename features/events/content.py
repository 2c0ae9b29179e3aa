"""Content: values as they come, in JSON or in a cell, to the values that an event keeps; one rule for every source.

Blanks around a text are removed; a number without a fraction is a whole number (5.0 is 5); a count of an epoch is kept
as the text of its digits.
"""

from typing import Any

import msgspec
from msgspec.structs import force_setattr

from features.events.structs import MAX_COUNT, TEXTS, BadEvent, Codec, Event, shown
from features.times import COUNT, Clock
from features.usecase import Field, Kind


def tidy(known: Codec, event: Event) -> None:
    """Strip the texts and write counts of an epoch as texts. Raises BadEvent for a text of blanks."""
    values = [getattr(event, attribute) for _, attribute in known.texts]
    if not known.clock.epoch and [value and value.strip() for value in values] == values:
        return
    for (name, attribute), value in zip(known.texts, values, strict=True):
        if value is not None:
            _replace(known, event, name, attribute, _plain(value, known.event_type.fields[name], known.clock))


def _replace(known: Codec, event: Event, name: str, attribute: str, text: str) -> None:
    f = known.event_type.fields[name]
    if not text and not f.optional:
        raise BadEvent(
            "invalid", f"{name}: {shown(getattr(event, attribute))} holds only blanks, expected {f.words}"
        )
    force_setattr(event, attribute, text)


def _plain(value: Any, f: Field, own_clock: Clock) -> Any:
    """Return a value as it is kept: a text stripped, a count as its digits, 5 for the whole number 5.0."""
    if f.kind not in TEXTS:
        return int(value) if f.kind is Kind.INTEGER and _is_whole(value) else value
    text = value.strip() if isinstance(value, str) else value
    if f.kind is not Kind.TIME or not own_clock.epoch:
        return text
    if isinstance(text, str):
        count = COUNT.fullmatch(text)
        return text if count is None else count[1]
    is_count = _is_whole(text) or (isinstance(text, int) and not isinstance(text, bool))
    return str(int(text)) if is_count and abs(text) <= MAX_COUNT else text


def _is_whole(value: object) -> bool:
    return isinstance(value, float) and value.is_integer()


def converted(known: Codec, content: dict[str, Any]) -> Event:
    """Return the event with these values of declared fields. Raises BadEvent with field, value and expectation."""
    fields = known.event_type.fields
    content = {name: _plain(value, fields[name], known.clock) for name, value in content.items()}
    try:
        return msgspec.convert(content, known.struct)
    except (ValueError, RecursionError) as error:
        raise _wrong_field(known, content, error) from None


def content_of(known: Codec, body: bytes) -> dict[str, Any]:
    """Return the declared fields of a body that the typed decoder refuses. Raises BadEvent if it is no JSON object."""
    try:
        body.decode()
        content = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except RecursionError:
        raise BadEvent("undecodable", "the JSON is nested too deeply") from None
    except msgspec.ValidationError:
        raise BadEvent("undecodable", f"one JSON object is expected, not {shown(body.decode())}") from None
    except ValueError as error:
        raise BadEvent("undecodable", f"not JSON in UTF-8: {error}") from None
    return {
        name: _untyped(f, bytes(content[name]))
        for name, f in known.event_type.fields.items()
        if name in content
    }


def _untyped(f: Field, raw: bytes) -> Any:
    try:
        return msgspec.json.decode(raw)
    except (ValueError, RecursionError) as error:  # a number that float64 does not hold
        raise BadEvent("invalid", f"{f.name}: {shown(raw.decode())} is not {f.words} ({error})") from None


def _wrong_field(known: Codec, content: dict[str, Any], error: Exception) -> BadEvent:
    for name, f in known.event_type.fields.items():
        if name not in content:
            if not f.optional:
                return BadEvent("invalid", f"{name}: missing, expected {f.words}")
            continue
        try:
            msgspec.convert(content[name], known.types[name])
        except (ValueError, RecursionError) as reason:
            return BadEvent("invalid", f"{name}: {shown(content[name])} is not {f.words} ({reason})")
    return BadEvent("invalid", str(error))
