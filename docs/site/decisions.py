"""The list of decision records."""

import re
from pathlib import Path

from docs.site.markdown import notice, table

FOLDER = Path(__file__).parents[1] / "decisions"
TITLE = re.compile(r"^# (\d{4}): (.+)$", re.MULTILINE)
INTRODUCTION = """# Decisions

A record states a problem, the choice, what was rejected, and what was measured. Read one when a choice in the code
surprises you; write one when a newcomer would question yours. A record is not rewritten when a later one changes its
subject: the later one says so.

"""


def page() -> str:
    """Return docs/decisions/index.md."""
    rows = []
    for file in sorted(FOLDER.glob("[0-9]*.md")):
        number, title = TITLE.findall(file.read_text())[0]
        rows.append((number, f"[{title}]({file.name})"))
    return notice("the titles of the records") + INTRODUCTION + table(("number", "title"), rows)
