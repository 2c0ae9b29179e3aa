"""Pages that need nothing else: one look (base.html.jinja), one way to write numbers. Templates lie by their module."""

from math import isfinite
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from export.reasons import duration
from export.reasons import number as brief


def environment(folder: Path, **filters: Any) -> Environment:
    """Return an environment of the templates in `folder`, which may extend base.html.jinja. Values are escaped."""
    templates = Environment(
        loader=FileSystemLoader([folder, Path(__file__).parent]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {"number": number, "percent": percent, "quantity": quantity, **filters}
    return templates


def number(value: float | None) -> str:
    """Four significant digits; whole numbers whole; a dash for what cannot be had."""
    if value is None or not isfinite(value):
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1e4 or value == round(value) else f"{value:,.4g}"


def quantity(value: float | None, unit: str = "") -> str:
    """Format a feature's usual value to three digits: seconds as a duration, a share of booleans in percent."""
    if value is None or not isfinite(value):
        return "-"
    if unit == "share":
        return percent(value)
    return duration(value) if unit == "seconds" else brief(value)


def percent(value: float | None) -> str:
    return "-" if value is None or not isfinite(value) else f"{value:.1%}"
