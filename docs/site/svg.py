"""Boxes, lines and texts of an SVG file. Units are pixels; a text's width is estimated, since no font is at hand."""

from html import escape

CHARACTER = 6.7  # of 12-pixel text, with room to spare
STYLE = """<style>
text { font: 12px system-ui, sans-serif; fill: #24292f; }
.title { font-weight: 600; }
.small { font-size: 11px; fill: #57606a; }
.mono { font: 11px ui-monospace, monospace; fill: #24292f; }
rect.band { fill: #f6f8fa; stroke: #d0d7de; }
rect.box { fill: #ffffff; stroke: #6e7781; }
rect.system { fill: #e8eaf6; stroke: #3f51b5; }
line { stroke: #6e7781; }
line.life { stroke: #9fa8da; stroke-dasharray: 4 3; }
line.arrow { stroke: #3f51b5; marker-end: url(#head); }
line.both { marker-start: url(#head); }
</style>
<defs><marker id="head" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8"
orient="auto-start-reverse"><path d="M0 0 L8 4 L0 8 z" fill="#3f51b5"/></marker></defs>"""


def picture(width: int, height: int, title: str, parts: list[str]) -> str:
    """Return the whole file on a white ground, readable on dark pages too."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" aria-label="{escape(title)}">\n<title>{escape(title)}</title>\n{STYLE}\n'
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def box(x: float, y: float, width: float, height: float, kind: str = "box") -> str:
    return f'<rect class="{kind}" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="4"/>'


def text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    attributes = f' class="{kind}"' if kind else ""
    return f'<text{attributes} x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(words)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, kind: str = "") -> str:
    attributes = f' class="{kind}"' if kind else ""
    return f'<line{attributes} x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}"/>'


def width_of(words: str) -> float:
    """Return the room that a text takes."""
    return len(words) * CHARACTER
