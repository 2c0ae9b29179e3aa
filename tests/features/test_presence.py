"""Fields of files: how many events have a value, whether values differ, and what features are without them."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from features.events import FieldUse, Presence, fields_of
from features.replay import replay
from features.usecase import UseCase, blanked
from tests.pipeline.market import offboarding
from training.data.files import batches, read_all
from training.generate.dataset import generate

NOW_US = 2_000_000_000_000_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("history")
    generate(25, 20, 3, folder)
    return folder


def without(folder: Path, to: Path, columns: Sequence[str]) -> list[str]:
    """The files of the folder without some columns."""
    to.mkdir(exist_ok=True)
    for name in ("users.csv", "transactions.csv"):
        with (folder / name).open() as lines:
            rows = list(csv.DictReader(lines))
        kept = [column for column in rows[0] if column not in columns]
        with (to / name).open("w", newline="") as lines:
            writer = csv.DictWriter(lines, kept, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(rows)
    return [str(to / "users.csv"), str(to / "transactions.csv")]


def seen(use_case: UseCase, files: Sequence[str]) -> tuple[NDArray[np.float32], dict[str, FieldUse]]:
    rows, presence, found = read_all(use_case, files, NOW_US), Presence(use_case), []
    for batch, vectors, *_ in replay(batches(use_case, rows)):
        presence.add(batch)
        found.append(vectors[batch.scored])
    return np.concatenate(found), presence.fields()


OPTIONAL = ("date_of_birth", "category_id", "reason_to_use_app")


def test_features_without_a_field_are_those_of_files_without_its_column(folder: Path, tmp_path: Path) -> None:
    use_case = offboarding()
    whole, fields = seen(use_case, [str(folder / name) for name in ("users.csv", "transactions.csv")])
    there, lacking = seen(use_case, without(folder, tmp_path, OPTIONAL))
    paths = ["customer.date_of_birth", "transaction.category_id", "customer.reason_to_use_app"]
    assert all(fields[path].known and not lacking[path].known for path in paths)
    np.testing.assert_array_equal(blanked(use_case, whole, paths), there)
    changed = [name for name, a, b in zip(use_case.features, whole.T, there.T, strict=True)
               if not np.array_equal(a, b, equal_nan=True)]  # fmt: skip
    assert {"age_years", "reason_CRYPTO_SERVICES", "spending_distinct_30d"} <= set(changed)
    np.testing.assert_array_equal(blanked(use_case, whole, ()), whole)


def test_counts_are_those_of_the_files(folder: Path) -> None:
    use_case = offboarding()
    files = [str(folder / name) for name in ("users.csv", "transactions.csv")]
    _, fields = seen(use_case, files)
    for name, event_type in (("users.csv", "customer"), ("transactions.csv", "transaction")):
        with (folder / name).open() as lines:
            rows = list(csv.DictReader(lines))
        for path, use in fields.items():
            if path.startswith(f"{event_type}."):
                known = [row[path.partition(".")[2]] for row in rows]
                known = [value for value in known if value not in ("", "N/A")]
                assert (use.events, use.known, use.varies) == (len(rows), len(known), len(set(known)) > 1)
                assert use.most_frequent == pytest.approx(max(map(known.count, set(known))) / len(known))
    assert "customer.gender" not in fields, "no feature is made of it"


def test_a_field_of_the_scored_event_is_that_of_its_type() -> None:
    use_case = offboarding()
    by_name = {feature.name: fields_of(use_case, feature) for feature in use_case.table}
    assert by_name["amount"] == (("transaction.amount",),) and by_name["hour"] == ()
    assert by_name["age_years"] == (("customer.date_of_birth",),) and by_name["activity_count_ever"] == ()
