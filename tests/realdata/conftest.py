"""One table of all comparisons with plain models, when all tests that make them are done."""

from collections.abc import Iterator

import pytest

from tests.realdata import figures


@pytest.fixture(scope="session", autouse=True)
def one_table() -> Iterator[None]:
    yield
    if figures.TABLE:
        print(f"\nriskstream beside plain models, with 95 % intervals\n{figures.table(figures.TABLE)}")
