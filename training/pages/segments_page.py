"""Scored customers as a page for people: the segments, whose off-boarding is recommended and why, what sets them apart.

One HTML file that needs nothing else (pages.py). What is scored is a pipeline.batch.score.Scored; its summary, from
pipeline.batch.summary, gives all counts of the page.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from export.distributions.reference import middle
from export.policy import Level, Recommendation
from export.ranking import LATEST
from export.storage import write as write_file
from features.times import rfc3339
from features.usecase import Feature, is_known_later
from training.pages.html import environment, quantity
from training.pages.svg import PLAIN, POSITIVE, figure, style, svg

Scored = Any
Facts = Mapping[str, Any]
SHOWN_FEATURES = 12  # that set the segments apart
SHOWN_HIGH = 200  # customers on HIGH without a recommendation; the file has all
BINS = 50  # of scores from 0 to 1
COLORS = {Level.LOW: PLAIN, Level.MEDIUM: "#d97706", Level.HIGH: POSITIVE}
NO_REASON = "no single feature raises the score"


def write(scored: Scored, facts: Facts, different: Sequence[str], file: Path) -> None:
    """Write the page, whole or not at all."""
    write_file(str(file), page(scored, facts, different).encode())


def page(scored: Scored, facts: Facts, different: Sequence[str] = ()) -> str:
    """The HTML of the page; `facts` are the summary of the same customers, `different` what the files lack."""
    is_open = scored.with_recommendation(Recommendation.OPEN)
    by_score = np.argsort(-np.nan_to_num(scored.customer_score, nan=-1.0), kind="stable")
    listed = by_score[is_open[by_score]].tolist()
    others = by_score[(scored.on(Level.HIGH) & ~is_open)[by_score]].tolist()
    return (
        environment(Path(__file__).parent)
        .get_template("segments_page.html.jinja")
        .render(
            found=scored,
            facts=facts,
            scored_events=" or ".join(facts["scored_event_types"]),
            profile_events=" or ".join(facts["profile_event_types"]),
            rows=facts["rows"],
            latest=LATEST,
            learned=facts["learned_from"],
            of_event=is_known_later(scored.use_case.label, scored.use_case.event_types),
            differs=scored.coverage.differs,
            different=different,
            subject=scored.use_case.subject,
            until=minute(int(scored.scored_us[scored.is_scored].max())) if scored.is_scored.any() else "",
            segments=segments(scored),
            characteristics=characteristics(scored),
            plot=Markup(distribution(scored)),
            listed=[card(scored, row) for row in listed],
            others=[card(scored, row) for row in others[:SHOWN_HIGH]],
            hidden=max(0, len(others) - SHOWN_HIGH),
        )
    )


def segments(scored: Scored) -> list[dict[str, Any]]:
    """Describe the customers on each level after their last event; then those not scored.

    The customers add up to those of the files, the shares to 1.
    """
    groups = [*((level.name, scored.on(level), scored.ever_on(level)) for level in Level)]
    groups.append(("not scored", ~scored.is_scored, ~scored.is_scored))
    return [
        {
            "name": name,
            "customers": int(now.sum()),
            "share": float(now.mean()) if len(scored) else None,
            "ever": int(ever.sum()),
            "recommended": int((scored.with_recommendation(Recommendation.OPEN) & now).sum()),
            "score": known(np.median, scored.customer_score[now]),
            "highest": known(np.median, scored.highest[now]),
            "events": known(np.median, scored.events[now].astype(np.float64)),
        }
        for name, now, ever in groups
    ]


def characteristics(scored: Scored) -> list[dict[str, Any]]:
    """Features that speak most often for a high score: what is usual of them at each level, everywhere, in training."""
    weight: Counter[str] = Counter()
    for of_customer in scored.reasons:
        for reason in of_customer:
            weight[reason.feature] += reason.effect
    names = list(scored.use_case.features)
    rows = []
    for name, _ in weight.most_common(SHOWN_FEATURES):
        k = names.index(name)
        feature, column = scored.use_case.table[k], scored.last_vectors[:, k]
        parts = [column[scored.on(level)] for level in Level]
        rows.append(
            {
                "name": name,
                "meaning": feature.words
                if feature.unit == "seconds"
                else feature.meaning,  # durations have units
                "levels": [usual(feature, part) for part in parts],
                "everyone": usual(feature, column),
                "training": in_training(scored, feature),
            }
        )
    return rows


def usual(feature: Feature, values: NDArray[np.float32]) -> str:
    """The middle of the known values: see export.distributions.reference."""
    return shown(feature, middle(values, bool(feature.choice)))


def in_training(scored: Scored, feature: Feature) -> str:
    """The same over the customers of the training data; a dash if the bundle does not keep it."""
    known = scored.usual.get(feature.name)
    return shown(feature, known.at_last if known else None)


def shown(feature: Feature, value: float | None) -> str:
    """A middle with its unit, a share in percent."""
    return quantity(value, "share" if feature.choice else feature.unit)


def known(figure: Callable[..., Any], values: NDArray[np.floating]) -> float | None:
    there = values[~np.isnan(values)]
    return float(figure(there)) if len(there) else None


def card(scored: Scored, row: int) -> dict[str, Any]:
    """Return the page's facts about one scored customer."""
    since_us = int(scored.status["since_us"][row])
    return {
        "customer": scored.customers[row],
        "level": Level(scored.status["level"][row]).name,
        "is_held": scored.status["recommendation"][row] == Recommendation.HELD,
        "since": minute(since_us) if since_us else "",
        "customer_score": f"{scored.customer_score[row]:.3f}",
        "score": f"{scored.score[row]:.3f}",
        "scored_at": minute(int(scored.scored_us[row])),
        "highest": f"{scored.highest[row]:.3f}",
        "highest_at": minute(int(scored.highest_us[row])),
        "events": int(scored.events[row]),
        "note": note(scored, row),
        "reasons": [str(reason) for reason in scored.reasons[row]] or [NO_REASON],
    }


def note(scored: Scored, row: int) -> str:
    """Return a note on the model that has scored the customer."""
    if scored.by_stand_in[row]:
        return "scored by the stand-in: the model has learned from this customer"
    if scored.learned_from is not None and scored.learned_from[row]:
        return "the model has learned from this customer: its score is flattering"
    return ""


def minute(time_us: int) -> str:
    return rfc3339(time_us)[:16].replace("T", " ")


def distribution(scored: Scored) -> str:
    """The highest scores of the scored customers by level after the last event; each level has its own scale."""
    bins = np.linspace(0, 1, BINS + 1).tolist()
    with style():
        drawn = figure(9, 3.4)
        rows = drawn.subplots(len(Level), 1, sharex=True)
        for axes, level in zip(rows, Level, strict=True):
            axes.hist(scored.highest[scored.on(level)], bins, color=COLORS[level])
            axes.set_ylabel(level.name)
            axes.yaxis.get_major_locator().set_params(integer=True, nbins=3)
            for at in scored.thresholds.values():
                axes.axvline(at, color="#1e293b", linestyle=":", linewidth=0.8)
        for name, at in scored.thresholds.items():
            side = "right" if name == min(scored.thresholds, key=scored.thresholds.__getitem__) else "left"
            place = (at, 1.02)
            words = f" {name.upper()} from {at:.3g} "
            rows[0].annotate(words, place, xycoords=("data", "axes fraction"), ha=side, va="bottom")
        rows[0].set_xlim(0, 1)
        rows[-1].set_xlabel("highest score")
        words = "; ".join(f"{name} from {at:.3g}" for name, at in scored.thresholds.items())
        return svg(drawn, "Customers by highest score and by level after the last event", words)
