"""Pages that need nothing else: one look (base.html.jinja), one way to write numbers. Templates lie by their module."""

from math import isfinite
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from export.reasons import duration
from export.reasons import number as brief


def environment(folder: Path, **filters: Any) -> Environment:
    """Return an environment of the templates in `folder`, which may extend base.html.jinja. Values are escaped."""
    found = Environment(
        loader=FileSystemLoader([folder, Path(__file__).parent]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {"number": number, "percent": percent, "quantity": quantity, **filters}
    return found


def number(found: float | None) -> str:
    """Four significant digits; whole numbers whole; a dash for what cannot be had."""
    if found is None or not isfinite(found):
        return "-"
    return f"{found:,.0f}" if abs(found) >= 1e4 or found == round(found) else f"{found:,.4g}"


def quantity(found: float | None, unit: str = "") -> str:
    """Format a feature's usual value to three digits: seconds as a duration, a share of booleans in percent."""
    if found is None or not isfinite(found):
        return "-"
    if unit == "share":
        return percent(found)
    return duration(found) if unit == "seconds" else brief(found)


def percent(found: float | None) -> str:
    return "-" if found is None or not isfinite(found) else f"{found:.1%}"
