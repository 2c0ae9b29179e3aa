"""Pictures of boxes on a grid with arrows between them."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from docs.site import svg

LINE_HEIGHT = 15
MARGIN = 20


class Node(NamedTuple):
    """A box: its lines of text and its place on the grid; columns and rows may be fractions."""

    text: str
    column: float
    row: float
    kind: str = "box"


class Arrow(NamedTuple):
    """An arrow from one node to another, with words beside its middle."""

    start: str
    end: str
    label: str = ""
    both_ways: bool = False


class Grid(NamedTuple):
    """The distance of columns and rows, and the size of a box, in pixels."""

    column: float = 190
    row: float = 80
    width: float = 150
    height: float = 44


def flow(title: str, nodes: Mapping[str, Node], arrows: Sequence[Arrow], grid: Grid) -> str:
    """Return the picture. Raises KeyError for an arrow to or from a node that is not there."""
    width = MARGIN * 2 + grid.width + grid.column * max(node.column for node in nodes.values())
    height = MARGIN * 2 + grid.height + grid.row * max(node.row for node in nodes.values())
    lines, labels = [], []
    for arrow in arrows:
        line, label = _arrow(arrow, _center(nodes[arrow.start], grid), _center(nodes[arrow.end], grid), grid)
        lines.append(line)
        labels += label
    boxes = [part for node in nodes.values() for part in _box(node, grid)]
    return svg.picture(round(width), round(height), title, [*lines, *labels, *boxes])


def _center(node: Node, grid: Grid) -> tuple[float, float]:
    x = MARGIN + grid.width / 2 + node.column * grid.column
    return x, MARGIN + grid.height / 2 + node.row * grid.row


def _box(node: Node, grid: Grid) -> list[str]:
    x, y = _center(node, grid)
    lines = node.text.split("\n")
    top = y - (len(lines) - 1) * LINE_HEIGHT / 2 + 4
    words = [svg.text(x, top + k * LINE_HEIGHT, line, anchor="middle") for k, line in enumerate(lines)]
    return [svg.box(x - grid.width / 2, y - grid.height / 2, grid.width, grid.height, node.kind), *words]


def _arrow(
    arrow: Arrow, start: tuple[float, float], end: tuple[float, float], grid: Grid
) -> tuple[str, list[str]]:
    """Return the line between the borders of two boxes, and its label on a white ground."""
    (x1, y1), (x2, y2) = _border(start, end, grid), _border(end, start, grid)
    line = svg.line(x1, y1, x2, y2, "arrow both" if arrow.both_ways else "arrow")
    if not arrow.label:
        return line, []
    x, y, width = (x1 + x2) / 2, (y1 + y2) / 2, svg.width_of(arrow.label) * 0.92
    ground = f'<rect x="{x - width / 2:g}" y="{y - 8:g}" width="{width:g}" height="15" fill="#ffffff"/>'
    return line, [ground, svg.text(x, y + 4, arrow.label, "small", "middle")]


def _border(inside: tuple[float, float], towards: tuple[float, float], grid: Grid) -> tuple[float, float]:
    """Return where the line between two centers leaves the first one's box."""
    dx, dy = towards[0] - inside[0], towards[1] - inside[1]
    scale = min(
        grid.width / 2 / abs(dx) if dx else float("inf"), grid.height / 2 / abs(dy) if dy else float("inf")
    )
    return inside[0] + dx * scale, inside[1] + dy * scale
