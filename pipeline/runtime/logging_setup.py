"""The form of the log: text, or JSON lines with the names that Cloud Logging knows.

The rule for all who log: no bodies, no values of fields, no ids of customers.
"""

import logging
import os
import sys
from datetime import UTC, datetime
from typing import Any

import msgspec

from pipeline.runtime.printable import printable, printable_lines

FORM, LEVEL = "RISKSTREAM_LOG", "RISKSTREAM_LOG_LEVEL"  # worker processes read them again
TEXT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
TALKING = ("pipeline.job.run",)  # who starts a job sees that it has started
TOLD = ("event_id", "event_type", "message_id", "reason", "trace_id")  # beside the text, where they are known


def configure() -> None:
    """Log to stderr in the form that the environment asks for."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if os.environ.get(FORM) == "json" else PlainLines(TEXT))
    logging.basicConfig(level=os.environ.get(LEVEL, "WARNING"), handlers=[handler])
    for name in TALKING:
        logging.getLogger(name).setLevel("INFO")


class PlainLines(logging.Formatter):
    """One line a message, and a traceback below it; neither holds control characters."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        record.message = printable(record.message)
        return super().formatMessage(record)

    def format(self, record: logging.LogRecord) -> str:
        return printable_lines(super().format(record))


class JsonLines(logging.Formatter):
    """One object a line."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {
            "severity": record.levelname,
            "time": at.replace("+00:00", "Z"),
            "logger": record.name,
            "message": record.getMessage(),
            **{name: vars(record)[name] for name in TOLD if vars(record).get(name)},
        }
        project = os.environ.get("GOOGLE_CLOUD_PROJECT")
        if project and "trace_id" in line:
            line["logging.googleapis.com/trace"] = f"projects/{project}/traces/{line['trace_id']}"
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return printable(msgspec.json.encode(line).decode())
