"""Summary of scored files: counts of customers and rows that add up, and sentences for the terminal."""

from collections.abc import Mapping
from typing import Any

from export.policy import Level, Recommendation
from pipeline.batch import differences
from pipeline.batch.customer_state import profile_types, scored_types
from pipeline.batch.score import Scored


def summary(scored: Scored) -> dict[str, Any]:
    """Count the customers of the files, by level and recommendation.

    `scored` and `not_scored` add up to `customers`; so do `not_scored` and the counts of `levels` (after the last
    event), or of `highest_levels`. The counts of `rows` add up to the rows of the files.
    """
    use_case, profiles = scored.use_case, profile_types(scored.use_case)
    return {
        "use_case": use_case.name,
        "fingerprint": use_case.fingerprint,
        "model": scored.model,
        "customers": len(scored),
        "scored": int(scored.is_scored.sum()),
        "not_scored": int((~scored.is_scored).sum()),
        "scored_event_types": list(scored_types(use_case)),
        "without_profile": int((~scored.has_profile).sum()) if profiles else None,
        "profile_event_types": list(profiles),
        "levels": {level.name: int(scored.on(level).sum()) for level in Level},
        "highest_levels": {level.name: int(scored.ever_on(level).sum()) for level in Level},
        "off_boarding_recommended": int(scored.with_recommendation(Recommendation.OPEN).sum()),
        "off_boarding_held": int(scored.with_recommendation(Recommendation.HELD).sum()),
        "learned_from": learned(scored),
        "rows": scored.rows,
        "differences": differences.differences(scored),
    }


def learned(scored: Scored) -> dict[str, int] | None:
    """Count the scored customers that the model has learned from, by what scores them; None: not known."""
    if scored.learned_from is None:
        return None
    customers, by_stand_in = scored.learned_from & scored.is_scored, scored.by_stand_in & scored.is_scored
    return {
        "customers": int(customers.sum()),
        "scored_by_stand_in": int(by_stand_in.sum()),
        "flattered": int((customers & ~by_stand_in).sum()),
    }


def sentences(facts: Mapping[str, Any]) -> list[str]:
    """Return the summary as sentences."""
    return [
        f"{counted(facts['customers'], 'customer')} in the files: {facts['scored']:,} scored, {not_scored(facts)}",
        *([without_profile(facts)] if facts["without_profile"] else []),
        *learned_sentences(facts),
        f"level after the last event: {_counts(facts['levels'])}",
        f"highest level ever: {_counts(facts['highest_levels'])}",
        f"off-boarding recommended after the last event: {facts['off_boarding_recommended']:,}",
        f"{_rows(facts['rows'])}; {facts['seconds']:.1f} s; model {facts['model']}",
        *differences.sentences(facts["differences"]),
        f"customers: {facts['out']}",
        *([f"page: {facts['report']}"] if facts["report"] else []),
    ]


def not_scored(facts: Mapping[str, Any]) -> str:
    """Say how many customers are not scored, and why."""
    events = " or ".join(facts["scored_event_types"])
    return f"{facts['not_scored']:,} not scored (no usable {events} event)"


def without_profile(facts: Mapping[str, Any]) -> str:
    """Say how many customers have no event that sets attributes."""
    events = " or ".join(facts["profile_event_types"])
    return f"{counted(facts['without_profile'], 'customer')} without a profile (no usable {events} event)"


def counted(n: int, noun: str) -> str:
    """Return a number with its noun, which takes an s in the plural."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def learned_sentences(facts: Mapping[str, Any]) -> list[str]:
    """Say which scores flatter because the model has learned from the customer."""
    learned = facts["learned_from"]
    if learned is None:
        return [
            "The bundle does not keep which customers it has learned from; their scores would be flattering."
        ]
    by_stand_in, flattered = learned["scored_by_stand_in"], learned["flattered"]
    if not learned["customers"]:
        return []
    lines = [f"The model has learned from {learned['customers']:,} of the scored customers."]
    if by_stand_in:
        lines.append(f"{by_stand_in:,} of them are scored by its stand-in, which has not learned from them.")
    if flattered:
        lines.append(
            f"{flattered:,} of them have a flattering score: the model has seen what became of them."
        )
    return lines


def _counts(numbers: Mapping[str, int]) -> str:
    return ", ".join(f"{n:,} {name}" for name, n in numbers.items())


def _rows(rows: Mapping[str, int]) -> str:
    """Count the rows of the files by what became of them."""
    others = {
        "duplicates": "duplicates",
        "too_late": "too late",
        "not_counted": "not counted",
        "refused": "refused",
    }
    parts = [
        f"{rows['applied']:,} counted",
        *(f"{rows[key]:,} {word}" for key, word in others.items() if rows[key]),
    ]
    return f"{counted(sum(rows.values()), 'row')}: {', '.join(parts)}"
