"""Text in CSV files that a person may open in a spreadsheet: none of it may become a formula.

A spreadsheet runs a cell that begins with one of FORMULA_STARTS (OWASP, "CSV Injection"), and ids and names come from
outside. Such a text gets an apostrophe before it. Numbers and times are no texts: -5 stays -5.
"""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.types as pt

FORMULA_STARTS = (
    "=+-@\t\r\n\uff1d\uff0b\uff0d\uff20"  # the last are full-width forms, which some take as well
)
PATTERN = f"^([{FORMULA_STARTS.replace('-', '')}-])"


def harmless(rows: pa.Table) -> pa.Table:
    """Return the table with an apostrophe before every text that a spreadsheet would run."""
    for i, field in enumerate(rows.schema):
        if pt.is_string(field.type) or pt.is_large_string(field.type):
            texts = pc.replace_substring_regex(rows.column(i), PATTERN, r"'\1")
            rows = rows.set_column(i, field, texts)
    return rows


def write_csv(rows: pa.Table, file: Path) -> None:
    """Write a table as CSV with headings, every text in quotes, none of them a formula."""
    pa.csv.write_csv(harmless(rows), file)
