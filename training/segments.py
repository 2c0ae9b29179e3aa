"""Scored customers as a page for people: the segments, how scores are spread, whom to part with and why.

One HTML file that needs nothing else: styles and plots are in it.
"""

import io
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from jinja2 import Environment
from numpy.typing import NDArray

from export.levels import Level, Recommendation
from features.times import rfc3339
from features.usecase import UseCase

SHOWN_FEATURES = 12  # that tell the segments apart
SHOWN_HIGH = 200  # customers on HIGH without a recommendation; the file has all
BINS = 40
COLORS = {Level.LOW: "#4c9f70", Level.MEDIUM: "#e0a030", Level.HIGH: "#c0392b"}
HIDDEN = {"svg.hashsalt": "riskstream"}  # the same customers give the same bytes


class Scored(Protocol):
    """Where c customers stand: pipeline.scoring.Scored."""

    @property
    def use_case(self) -> UseCase: ...
    @property
    def model(self) -> str: ...
    @property
    def thresholds(self) -> dict[str, float]: ...
    @property
    def customers(self) -> list[str]: ...
    @property
    def events(self) -> NDArray[np.int64]: ...
    @property
    def scored(self) -> NDArray[np.int64]: ...
    @property
    def highest(self) -> NDArray[np.float32]: ...
    @property
    def highest_us(self) -> NDArray[np.int64]: ...
    @property
    def status(self) -> NDArray[np.void]: ...
    @property
    def vectors(self) -> NDArray[np.float32]: ...
    @property
    def typical(self) -> NDArray[np.float32]: ...
    @property
    def reasons(self) -> Sequence[Sequence[Any]]: ...
    @property
    def flat(self) -> tuple[str, ...]: ...


def write(found: Scored, file: Path) -> None:
    """Writes the page, whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    temporary.write_text(page(found), encoding="utf-8")
    temporary.replace(file)


def page(found: Scored) -> str:
    """The HTML of the report."""
    level, recommendation = found.status["level"], found.status["recommendation"]
    by_score = np.argsort(-np.nan_to_num(found.highest, nan=-1.0), kind="stable")
    parted = [row for row in by_score.tolist() if recommendation[row] == Recommendation.OPEN]
    others = [row for row in by_score.tolist() if level[row] == Level.HIGH and row not in set(parted)]
    return PAGE.render(
        found=found,
        fingerprint=found.use_case.fingerprint,
        events=int(found.events.sum()),
        until=rfc3339(int(found.highest_us[found.scored > 0].max())) if found.scored.any() else "none",
        segments=segments(found),
        titles=[each.name.capitalize() for each in Level],
        characteristics=characteristics(found),
        plot=distribution(found),
        parted=[card(found, row) for row in parted],
        others=[card(found, row) for row in others[:SHOWN_HIGH]],
        hidden=max(0, len(others) - SHOWN_HIGH),
    )


def segments(found: Scored) -> list[dict[str, object]]:
    """Size and share of each level, and its customers' medians."""
    rows: list[dict[str, object]] = []
    for level in Level:
        own = found.status["level"] == level
        scores = found.highest[own & (found.scored > 0)]
        rows.append(
            {
                "name": level.name.capitalize(),
                "customers": int(own.sum()),
                "share": float(own.mean()) if len(own) else 0.0,
                "recommended": int((found.status["recommendation"][own] == Recommendation.OPEN).sum()),
                "score": number(float(np.median(scores))) if len(scores) else "none",
                "events": number(float(np.median(found.events[own]))) if own.any() else "none",
            }
        )
    return rows


def characteristics(found: Scored) -> list[dict[str, object]]:
    """Features that speak most often for a high score, and their medians at each level and at everyone's."""
    names = list(found.use_case.features)
    weight: Counter[str] = Counter()
    for own in found.reasons:
        for reason in own:
            weight[reason.feature] += reason.effect
    rows: list[dict[str, object]] = []
    for name, _ in weight.most_common(SHOWN_FEATURES):
        column, feature = found.vectors[:, names.index(name)], found.use_case.table[names.index(name)]
        rows.append(
            {
                "name": name,
                "words": feature.words + (f" in {feature.window}" if feature.window else ""),
                "medians": [known_median(column[found.status["level"] == level]) for level in Level],
                "everyone": known_median(column),
                "training": number(float(found.typical[names.index(name)])),
            }
        )
    return rows


def known_median(values: NDArray[np.float32]) -> str:
    known = values[~np.isnan(values)]
    return number(float(np.median(known))) if len(known) else "unknown"


def number(value: float) -> str:
    if value != value:
        return "unknown"
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.3g}"


def card(found: Scored, row: int) -> dict[str, object]:
    """What is said of one customer."""
    since_us = int(found.status["since_us"][row])
    return {
        "customer": found.customers[row],
        "level": Level(found.status["level"][row]).name,
        "since": rfc3339(since_us) if since_us else "",
        "score": f"{found.highest[row]:.3f}",
        "at": rfc3339(int(found.highest_us[row])) if found.scored[row] else "",
        "events": int(found.events[row]),
        "reasons": [str(reason) for reason in found.reasons[row]] or ["no single feature raises the score"],
    }


def distribution(found: Scored) -> str:
    """The highest scores of all customers by level, and the thresholds, as SVG."""
    from matplotlib import rc_context  # takes a second to import
    from matplotlib.figure import Figure

    with rc_context(HIDDEN):
        figure = Figure(figsize=(8, 3), layout="constrained")
        axes = figure.subplots()
        has_score = found.scored > 0
        parts = [found.highest[has_score & (found.status["level"] == level)] for level in Level]
        colors, labels = list(COLORS.values()), [level.name.capitalize() for level in Level]
        bins = np.linspace(0, 1, BINS + 1).tolist()
        for own, color, label in zip(parts, colors, labels, strict=True):
            axes.hist(own, bins, color=color, label=label, alpha=0.7)  # not stacked: the axis is logarithmic
        for name, at in found.thresholds.items():
            axes.axvline(at, color="#333333", linestyle="--", linewidth=1)
            axes.annotate(
                f" {name} {at:.2f}", (at, 0.97), xycoords=("data", "axes fraction"), va="top", fontsize=8
            )
        axes.set(xlabel="highest score", ylabel="customers (log)", yscale="symlog", xlim=(0, 1))
        figure.legend(loc="outside right upper", fontsize=8)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
    svg = text.getvalue()
    return svg[svg.index("<svg") :]


PAGE = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string("""\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{{ found.use_case.name }}: customers by risk</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; margin: 1rem 0; width: 100%; }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid #ddd; vertical-align: top; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
.small { color: #666; font-size: 13px; }
ul { margin: 0; padding-left: 1.1rem; }
svg { width: 100%; height: auto; }
</style>
</head>
<body>
<h1>{{ found.use_case.name }}: customers by risk</h1>
<p>{{ "{:,}".format(found.customers | length) }} customers, {{ "{:,}".format(events) }} events.
To part with are recommended: <strong>{{ parted | length }}</strong>.</p>
<p class="small">Model {{ found.model }}, features {{ fingerprint }}. The last of the highest scores is of {{ until }}.
A customer is on Medium from a score of {{ "%.3f" | format(found.thresholds.medium) }}, on High from
{{ "%.3f" | format(found.thresholds.high) }}; how a level is left and when parting is recommended is the use case's
policy, and a person decides.</p>
{% if found.flat %}
<p><strong>Not as in training:</strong> {{ found.flat | join(", ") }} are the same for everybody here. If these files
lack a column that the model has learned from, scores are less sure than in training.</p>
{% endif %}

<h2>Segments</h2>
<table>
<tr><th>segment</th><th class="n">customers</th><th class="n">share</th><th class="n">to part with</th>
<th class="n">median highest score</th><th class="n">median events</th></tr>
{% for row in segments %}
<tr><td>{{ row.name }}</td><td class="n">{{ "{:,}".format(row.customers) }}</td>
<td class="n">{{ "%.1f" | format(100 * row.share) }} %</td><td class="n">{{ row.recommended }}</td>
<td class="n">{{ row.score }}</td><td class="n">{{ row.events }}</td></tr>
{% endfor %}
</table>

<h3>What tells them apart</h3>
<p class="small">Medians at the customers' highest scores, of the features that raise scores most. Unknown values are
left out.</p>
<table>
<tr><th>feature</th>{% for title in titles %}<th class="n">{{ title }}</th>{% endfor %}
<th class="n">everyone</th><th class="n">in training</th></tr>
{% for row in characteristics %}
<tr><td>{{ row.name }}<br><span class="small">{{ row.words }}</span></td>
{% for value in row.medians %}<td class="n">{{ value }}</td>{% endfor %}
<td class="n">{{ row.everyone }}</td><td class="n">{{ row.training }}</td></tr>
{% endfor %}
</table>

<h2>Scores</h2>
{{ plot | safe }}

{% macro cards(rows) %}
<table>
<tr><th>customer</th><th class="n">highest score</th><th>level, since</th><th class="n">events</th>
<th>what speaks for it</th></tr>
{% for row in rows %}
<tr><td>{{ row.customer }}</td><td class="n">{{ row.score }}<br><span class="small">{{ row.at }}</span></td>
<td>{{ row.level }}<br><span class="small">{{ row.since }}</span></td><td class="n">{{ row.events }}</td>
<td><ul>{% for reason in row.reasons %}<li>{{ reason }}</li>{% endfor %}</ul></td></tr>
{% endfor %}
</table>
{% endmacro %}
<h2>To part with</h2>
{% if parted %}{{ cards(parted) }}{% else %}<p>Nobody.</p>{% endif %}

<h2>High, not recommended</h2>
<p>Too few events, or not high often enough in a row.</p>
{% if others %}{{ cards(others) }}{% else %}<p>Nobody.</p>{% endif %}
{% if hidden %}<p class="small">And {{ hidden }} more; the table that was written has all.</p>{% endif %}

<p class="small">A reason says by how much this model's score falls when that one feature is set to its median in
training. Features that say the same hide each other, and a reason is no proof of a cause.</p>
</body>
</html>
""")
