"""docs/scaling.md: what is between the marks is made by the calculation, all else is written by hand."""

from pathlib import Path

from deploy.capacity import files
from deploy.capacity.estimate import ASSUMPTIONS
from deploy.capacity.tables import page

PAGE = Path(__file__).parents[2] / "docs" / "scaling.md"
BEGIN = "<!-- made by `python -m deploy.capacity`; what is changed here by hand is lost -->"
END = "<!-- until here -->"


def renewed(text: str) -> str:
    """The page with the tables as they are now. Raises ValueError when it has no marks."""
    before, tables, rest = text.partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not tables or not ended:
        raise ValueError(f"{PAGE}: found no marks; expected {BEGIN} and {END}")
    made = page(files.measured(), files.prices(), ASSUMPTIONS["peak_to_mean"].value)
    return f"{before}{BEGIN}\n\n{made}\n\n{END}{after}"
