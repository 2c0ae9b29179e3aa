"""A profile as one HTML file that needs nothing else: plots are SVG, and its own policy lets nothing be loaded.

The browsable table of each event type is skrub's TableReport of a sample, in a frame of its own.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd  # type: ignore[import-untyped,unused-ignore]
from markupsafe import Markup
from numpy.typing import NDArray

from features.usecase import Kind
from training.pages.html import environment, number
from training.profile import plots
from training.profile.associations import RARE, sampled
from training.profile.columns import MOST_VALUES
from training.profile.facts import EventTypeFacts, FieldDrift, FieldFacts, Profile
from training.profile.findings import DRIFTED, DRIFTING, expectation, findings
from training.profile.frames import Frame
from training.profile.labels import Outcome

BROWSED_ROWS = 20_000  # in skrub's table; it takes seconds, all rows of a large file would take minutes
SHOWN_PAIRS = 15
OPEN_FIELDS = 20  # whose rates are unfolded; of more, only those with a value that stands out
EPOCH = date(1970, 1, 1)
OUTCOMES = ("unknown", "negative", "positive")  # by outcome + 1
Progress = Callable[[str], None]


def page(
    facts: Profile,
    frames: Sequence[Frame],
    outcomes: Mapping[str, Outcome],
    progress: Progress = lambda _: None,
) -> str:
    """The HTML. `frames` and `outcomes` are what `profile` returns beside the facts."""
    parts = []
    for each, frame in zip(facts.event_types, frames, strict=True):
        progress(f"{each.name}: drawing")
        parts.append(_section(each, frame, outcomes[each.name], progress))
    template = environment(Path(__file__).parent, value=value).get_template("page.html.jinja")
    return template.render(
        facts=facts,
        findings=findings(facts),
        parts=parts,
        drifted=DRIFTED,
        drifting=DRIFTING,
        open_fields=OPEN_FIELDS,
        rare=RARE,
        counted="customers" if facts.labels and facts.labels.by_customer else "events",
    )


def value(shown: float | None, kind: str) -> str:
    """Days since 1970 as dates."""
    if shown is None or kind != Kind.DATE:
        return number(shown)
    return (EPOCH + timedelta(days=round(shown))).isoformat()


def _section(each: EventTypeFacts, frame: Frame, outcome: Outcome, progress: Progress) -> dict[str, Any]:
    """Return the template's values of one event type."""
    sample = sampled(len(frame), BROWSED_ROWS)
    progress(f"{each.name}: a table of {len(sample):,} rows to browse")
    moving = [d for d in each.drift if any(d.psi)]
    return {
        "facts": each,
        "figures": [(c, Markup(_figure(c, frame, outcome))) for c in each.columns if _is_drawn(c)],
        "periods": Markup(plots.periods(each)) if each.periods else "",
        "drift": Markup(plots.drift(each, moving)) if moving else "",
        "drifts": sorted((_worst(d, each) for d in moving), key=lambda worst: -worst.psi),
        "correlations": Markup(plots.correlations(each.correlations)) if len(each.correlations) > 1 else "",
        "pairs": each.correlations[:SHOWN_PAIRS],
        "associations": [a for a in each.associations if a.strength > a.chance][:SHOWN_PAIRS],
        "sample": len(sample),
        "browse": _browsable(each.name, frame, outcome, sample),
    }


def _is_drawn(column: FieldFacts) -> bool:
    """Identifiers have nothing to show."""
    return column.numbers is not None or (column.span is None and 0 < column.distinct <= MOST_VALUES)


def _figure(column: FieldFacts, frame: Frame, outcome: Outcome) -> str:
    if column.numbers is None:
        return plots.bars(column, len(frame))
    return plots.histogram(column, frame.numbers[column.field], outcome)


class Worst(NamedTuple):
    """A field's largest index with what is to be expected, when, and in how many periods it is above that."""

    field: str
    psi: float
    expected: float
    period: str
    above: int
    periods: int


def _worst(drift: FieldDrift, facts: EventTypeFacts) -> Worst:
    expected = expectation(drift)
    measured = [
        (p, e, w.start) for p, e, w in zip(drift.psi, expected, facts.periods, strict=True) if p is not None
    ]
    psi, by_chance, period = max(measured, key=lambda each: each[0] - each[1])
    return Worst(
        drift.field, psi, by_chance, period, sum(p > max(DRIFTING, e) for p, e, _ in measured), len(measured)
    )


def _browsable(name: str, frame: Frame, outcome: Outcome, sample: NDArray[np.intp]) -> str:
    """skrub's report of a sample as an HTML document."""
    from skrub import TableReport  # type: ignore[import-untyped,unused-ignore]

    report = TableReport(_table(frame, outcome, sample), title=f"{name}, {len(sample):,} rows", verbose=0)
    return str(report.html())


def _table(frame: Frame, outcome: Outcome, sample: NDArray[np.intp]) -> pd.DataFrame:
    """Values as a person reads them."""
    series = {}
    for f in frame.event_type.fields.values():
        if f.name in frame.texts:
            words = np.array([*frame.texts[f.name].words, None], object)
            series[f.name] = pd.Series(words[frame.texts[f.name].codes[sample]])
        else:
            series[f.name] = _series(frame.numbers[f.name][sample], f.kind)
    if (outcome >= 0).any():
        series["(label)"] = pd.Series(np.array(OUTCOMES)[outcome[sample] + 1])
    return pd.DataFrame(series)


def _series(values: NDArray[np.float64], kind: Kind) -> pd.Series:
    units = {Kind.DATE: "D", Kind.TIME: "us"}
    if kind not in units:
        return pd.Series(values)
    return pd.to_datetime(pd.Series(values), unit=units[kind])
