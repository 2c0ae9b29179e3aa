"""The pictures of the pages, as SVG files: the floors of the rooms, and the three walks."""

from collections.abc import Sequence
from typing import NamedTuple

from docs.site import rooms, svg

BOX_HEIGHT, GAP, MARGIN = 26, 8, 16
ROW_HEIGHT = 44
WIDTH, LEFT = 980, 130.0  # of the picture of floors; where a floor's boxes begin


class Call(NamedTuple):
    """One step of a walk: what the program does, and the system that it talks to meanwhile."""

    step: str
    function: str
    system: str = ""
    label: str = ""
    inward: bool = False  # the arrow points from the system to the program


def floors() -> str:
    """Return docs/pictures/floors.svg: each room with its parts by floor; imports point down only."""
    legend = "Blue: a sub-room. White: a module. Imports point down only."
    parts, y = [svg.text(MARGIN, MARGIN + 4, legend, "small")], 30.0
    for room in rooms.ROOMS:
        drawn, height = _room(room, y)
        parts += [svg.box(MARGIN, y, WIDTH - 2 * MARGIN, height, "band"), *drawn]
        y += height + GAP
    return svg.picture(WIDTH, round(y + GAP), "The rooms and their floors; imports point down", parts)


def _room(room: str, y: float) -> tuple[list[str], float]:
    """Return a room's boxes below its name, and the height that they take; its highest floor comes first."""
    parts, top = [svg.text(MARGIN + 10, y + 20, f"{room}/", "title")], y + 8
    for level, names in reversed(list(enumerate(rooms.floors(room)))):
        parts.append(svg.text(LEFT - 14, top + 17, str(level), "small", "end"))
        left = LEFT
        for name in sorted(names, key=lambda name: (not rooms.is_room(name), name)):
            words = name.partition(".")[2]
            width = svg.width_of(words) + 16
            if left + width > WIDTH - MARGIN - 10:
                left, top = LEFT, top + BOX_HEIGHT + 4
            parts.append(svg.box(left, top, width, BOX_HEIGHT, "system" if rooms.is_room(name) else "box"))
            parts.append(svg.text(left + width / 2, top + 17, words, anchor="middle"))
            left += width + GAP
        top += BOX_HEIGHT + GAP
    return parts, top - y


def sequence(title: str, program: str, systems: Sequence[str], calls: Sequence[Call]) -> str:
    """Return a picture of a walk: the program's steps from top to bottom, and arrows to and from systems."""
    step_width = 20 + max(svg.width_of(text) for call in calls for text in (call.step, call.function))
    lane = 130
    places = {name: MARGIN + step_width + lane * (k + 1) for k, name in enumerate(systems)}
    width = round(max([*places.values(), step_width]) + lane / 2 + MARGIN)
    bottom = 56 + len(calls) * ROW_HEIGHT
    parts = [svg.box(MARGIN, MARGIN, step_width, 26, "system")]
    parts += [svg.text(MARGIN + step_width / 2, MARGIN + 17, program, "title", "middle")]
    for name, x in places.items():
        parts += [
            svg.box(x - 55, MARGIN, 110, 26, "system"),
            svg.text(x, MARGIN + 17, name, "title", "middle"),
        ]
        parts += [svg.line(x, MARGIN + 26, x, bottom, "life")]
    for k, call in enumerate(calls):
        parts += _call(call, 52 + k * ROW_HEIGHT, step_width, places.get(call.system))
    return svg.picture(width, bottom + MARGIN, title, parts)


def _call(call: Call, y: float, width: float, x: float | None) -> list[str]:
    parts = [svg.box(MARGIN, y, width, ROW_HEIGHT - 8)]
    parts += [svg.text(MARGIN + 10, y + 15, call.step), svg.text(MARGIN + 10, y + 29, call.function, "mono")]
    if x is None:
        return parts
    ends = (MARGIN + width, x)
    start, end = reversed(ends) if call.inward else ends
    label = svg.text(MARGIN + width + 8, y + 13, call.label, "small")
    return [*parts, svg.line(start, y + 18, end, y + 18, "arrow"), label]


def message() -> str:
    """Return docs/pictures/message.svg."""
    return sequence("The walk of one message", "job", ("Pub/Sub", "Redis", "BigQuery"), MESSAGE)


def row() -> str:
    """Return docs/pictures/row.svg."""
    return sequence("The walk of one training row", "train", ("files", "bundles", "registry"), ROW)


def request() -> str:
    """Return docs/pictures/request.svg."""
    return sequence(
        "The walk of one request", "REST service", ("caller", "Pub/Sub", "Redis", "audit table"), REQUEST
    )


MESSAGE = (
    Call("1. Pull a batch", "PullMessages", "Pub/Sub", "messages", inward=True),
    Call("2. Decode", "decode"),
    Call("3. Read the records", "read", "Redis", "MGET", inward=True),
    Call("4. Advance them", "advance_subject"),
    Call("5. Read the features", "vectors"),
    Call("6. Score", "Scorer.score"),
    Call("7. Decide", "decide"),
    Call("8. Commit", "commit", "Redis", "compare and set"),
    Call("9. Write rows", "Send", "BigQuery", "assessments, dead letters"),
    Call("10. Publish", "Send", "Pub/Sub", "alerts, dead letters"),
    Call("11. Acknowledge", "Deliveries", "Pub/Sub", "acknowledge"),
)
ROW = (
    Call("1. Read the history", "read", "files", "rows", inward=True),
    Call("2. Clean", "rules of the use case"),
    Call("3. Replay through the kernel", "replay"),
    Call("4. Collect labelled rows", "collect"),
    Call("5. Split by customer and time", "split"),
    Call("6. Choose, fit, calibrate", "choose"),
    Call("7. Choose thresholds", "thresholds"),
    Call("8. Convert to ONNX, check parity", "convert, parity"),
    Call("9. Judge on unseen customers", "measure"),
    Call("10. Save the bundle", "save", "bundles", "ONNX, manifest"),
    Call("11. Write the report, register", "Registry", "registry", "run, metrics"),
    Call("12. Promote, or not", "promote", "bundles", "pointer"),
)
REQUEST = (
    Call("1. Take the request", "middleware, roles", "caller", "POST an event", inward=True),
    Call("2. Decode the event", "decode"),
    Call("3. Publish it first", "Service.publish", "Pub/Sub", "event"),
    Call("4. Assess the batch", "assess", "Redis", "read, compare and set"),
    Call("5. Record the request", "audit trail", "audit table", "record (in the background)"),
    Call("6. Answer", "assessment", "caller", "score, level, reasons"),
)
