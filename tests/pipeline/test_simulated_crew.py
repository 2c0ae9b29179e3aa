"""The simulation of many workers: every run is the same, and what it commits is what a replay of its log gives."""

from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from features.usecase import load
from pipeline.engine.assessments import Assessments
from pipeline.engine.engine import Engine
from pipeline.stores.store import MemoryStore
from tests.benchmarks.simulation.costs import Costs
from tests.benchmarks.simulation.crew import Crew, CrewRun, Setting
from tests.benchmarks.simulation.payments import MERCHANTS_FILE, MerchantPayments, merchant_payments
from tests.benchmarks.simulation.virtual_time import Resource, Simulation
from tests.pipeline.market import Sent
from tests.pipeline.models import engine
from tests.pipeline.rebuild import rebuilt

EVENTS, CUSTOMERS, BATCH = 1_200, 400, 100  # few customers: these are in several hands, too
SETTINGS = {
    "direct": Setting(workers=4, shards=4, batch=BATCH),
    "owners": Setting(workers=4, shards=4, batch=BATCH, has_owners=True),
    "owners by customer": Setting(workers=4, shards=4, batch=BATCH, has_owners=True, by_customer=True),
}


class Outcome(NamedTuple):
    """A run with its assessments in the order in which their batches were finished."""

    engine: Engine
    run: CrewRun
    assessments: list[Assessments]


def outcome(setting: Setting) -> Outcome:
    kept: list[Assessments] = []
    on_nothing = engine(load(MERCHANTS_FILE), MemoryStore())
    run = Crew(on_nothing, setting, {}, Costs()).run(payments(on_nothing), kept)
    return Outcome(on_nothing, run, kept)


def payments(on: Engine) -> MerchantPayments:
    return merchant_payments(on.use_case, EVENTS, customers=CUSTOMERS)


@pytest.fixture(scope="module")
def outcomes() -> dict[str, Outcome]:
    return {name: outcome(setting) for name, setting in SETTINGS.items()}


def joined(assessments: list[Assessments], column: str) -> NDArray:
    return np.concatenate([getattr(each, column) for each in assessments])


@pytest.mark.parametrize("name", SETTINGS)
def test_records_and_vectors_are_those_of_a_replay_in_the_order_of_their_numbers(
    outcomes: dict[str, Outcome], name: str
) -> None:
    on, run, assessments = outcomes[name]
    events = [
        Sent(kind, event, int(at))
        for each in assessments
        for kind, event, at in zip(each.batch.types, each.batch.events, each.batch.published_us, strict=True)
    ]
    merchants = np.concatenate([each.other_seqs["merchant"] for each in assessments])
    seqs = {"customer": joined(assessments, "seq"), "merchant": merchants}
    records, vectors, score, outcomes_ = rebuilt(on, events, seqs)
    assert len(events) == EVENTS
    assert dict(run.records) == records
    np.testing.assert_array_equal(joined(assessments, "vectors"), vectors)
    np.testing.assert_array_equal(joined(assessments, "score"), score)
    np.testing.assert_array_equal(joined(assessments, "outcome"), outcomes_)


def test_workers_that_race_assess_again_and_owners_end_that(outcomes: dict[str, Outcome]) -> None:
    direct, owners, by_customer = (outcomes[name].run for name in SETTINGS)
    assert direct.attempts > 1.2 and direct.messages == 0
    assert owners.attempts < direct.attempts and owners.messages > 0, "only customers are raced for"
    assert by_customer.attempts == 1


def test_a_run_is_the_same_every_time(outcomes: dict[str, Outcome]) -> None:
    again = outcome(SETTINGS["owners"]).run
    assert again.records == outcomes["owners"].run.records
    assert again.done == outcomes["owners"].run.done


def test_agents_run_in_the_order_of_virtual_time_and_share_a_resource() -> None:
    simulation, log = Simulation(), list[tuple[str, float]]()
    server = Resource(simulation)

    def visit(name: str) -> None:
        server.work(10.0)
        log.append((name, simulation.now_us))

    for name, at_us in (("late", 7.0), ("early", 2.0), ("last", 40.0)):
        simulation.add(lambda name=name: visit(name), name, at_us)
    simulation.run()
    assert log == [("early", 12.0), ("late", 22.0), ("last", 50.0)]
    assert server.busy_us == 30.0


def test_an_error_in_an_agent_ends_the_simulation() -> None:
    simulation = Simulation()
    simulation.add(lambda: simulation.wait(), "waits for ever")
    simulation.add(lambda: [][1], "fails", 5.0)
    with pytest.raises(IndexError):
        simulation.run()
