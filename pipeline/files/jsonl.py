"""JSON lines: one object a line in UTF-8. What is published is the line as it stands."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import msgspec

from features.usecase import EventType, UseCase
from pipeline.files.source import CHUNK_ROWS, BadFile, BadRow, Rows

UTF8_BOM = b"\xef\xbb\xbf"
LOOKED_AT_LINES = 100  # for one that tells the fields
MAX_LINE_BYTES = 10_000_000  # Pub/Sub's limit for a message


def columns(_use_case: UseCase, path: Path) -> list[str]:
    """Return the fields of the first object; lines before it that are no objects will be bad rows."""
    first, wrong = None, (1, "nothing is in it")
    with path.open("rb") as file:
        for line, text in islice(_lines(file), LOOKED_AT_LINES):
            try:
                return list(msgspec.json.decode(text or b"", type=dict[str, msgspec.Raw]))
            except (ValueError, RecursionError) as error:
                first = first or (line, str(error))
    line, why = first or wrong
    raise BadFile(f"{path}: line {line}: expected one JSON object a line: {why}")


def rows(_use_case: UseCase, _event_type: EventType, path: Path) -> Iterator[Rows]:
    with path.open("rb") as file:
        lines = _lines(file)
        while chunk := list(islice(lines, CHUNK_ROWS)):
            good = [(line, text) for line, text in chunk if text is not None]
            bodies = [text for _, text in good]
            broken = [_too_long(line) for line, text in chunk if text is None]
            yield Rows([line for line, _ in good], bodies, set(), bodies.__getitem__, broken)


def _lines(file: BinaryIO) -> Iterator[tuple[int, bytes | None]]:
    """Yield the lines that are not empty, stripped; None for one that is too long."""
    line = 0
    while text := file.readline(MAX_LINE_BYTES):
        line += 1
        if len(text) == MAX_LINE_BYTES:
            while text and not text.endswith(b"\n"):
                text = file.readline(MAX_LINE_BYTES)
            yield line, None
            continue
        stripped = (text.removeprefix(UTF8_BOM) if line == 1 else text).strip()
        if stripped:
            yield line, stripped


def _too_long(line: int) -> BadRow:
    return BadRow(line, "undecodable", f"a line of more than {MAX_LINE_BYTES:,} bytes, which Pub/Sub refuses")
