"""Owners: what they fold is what each worker would have folded, whoever is killed, late or gone."""

import pytest

from features.kernel import Disposition
from pipeline.runtime.process_metrics import progress
from pipeline.stores.store import MemoryStore
from tests.pipeline.crew import members, owned
from tests.pipeline.market import assert_same, assess_in, columns, history, market, switching
from tests.pipeline.models import engine

SIZES = [7, 1, 100, 50, 200, 3]


@pytest.mark.parametrize("name", ["redis_store", "cluster_store"])
@pytest.mark.parametrize(
    "use_case", [market(), market("1m"), switching()], ids=["market", "late", "switching"]
)
def test_owners_fold_what_the_worker_would_have_folded(
    name: str, use_case, request: pytest.FixtureRequest
) -> None:
    """Outcomes, vectors, numbers and records are the same to the bit, with duplicates and late events."""
    store, memory = request.getfixturevalue(name), MemoryStore()
    events = history(use_case, 900, seed=4, merchants=9)
    expected = columns(assess_in(engine(use_case, memory), events, SIZES))
    asked, unanswered = progress.owners_asked, progress.owners_unanswered
    with members(use_case, store, 3) as crew:
        found = columns(assess_in(owned(use_case, store, crew[0]), events, SIZES))
    assert_same(found, expected)
    assert store.read(list(memory.records)) == list(memory.records.values())
    assert progress.owners_asked - asked > 600 and progress.owners_unanswered == unanswered
    assert Disposition.DUPLICATE in found["disposition"]
