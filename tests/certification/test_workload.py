"""The stream of a certification is the same each time and has what it says."""

import json
from collections import Counter
from datetime import UTC, datetime
from itertools import pairwise

from pipeline.certification import model
from pipeline.certification.run_names import run_in, run_name
from pipeline.certification.workload import FUTURE_S, MOVED_BY, NUMBER, REASON, SKEWS_S, workload

START_US = 1_767_225_600_000_000  # 2026-01-01


def test_the_stream_has_duplicates_late_events_skewed_clocks_and_no_events() -> None:
    stream = workload(2_000, 3, START_US, 60.0)
    again = workload(2_000, 3, START_US, 60.0)
    assert stream == again and stream != workload(2_000, 4, START_US, 60.0)
    ids = [each.attributes["event_id"] for each in stream.messages if REASON not in each.attributes]
    assert len(stream.messages) == 2_000 and set(ids) == set(stream.transfers)
    assert len(ids) - len(set(ids)) == 200
    assert Counter(stream.refusals.values()) == {"undecodable": 10, "invalid": 10, "from_future": 10}
    assert {each.attributes[NUMBER] for each in stream.messages if REASON in each.attributes} == set(
        stream.refusals
    )
    first = list(dict.fromkeys(ids))
    late = sum(int(a[1:]) > int(b[1:]) for a, b in pairwise(first))
    assert late > 50, "some arrive later than their neighbours"
    assert MOVED_BY < 0.5 and max(SKEWS_S) < 300 < FUTURE_S


def test_money_stays_within_a_group_and_no_ring_overflows() -> None:
    stream = workload(20_000, 1, START_US, 60.0)
    payee_of = {payer: payee for payee, payers in stream.groups.items() for payer in payers}
    assert all(payee_of[each.payer] == each.payee for each in stream.transfers.values())
    assert max(Counter(each.payee for each in stream.transfers.values()).values()) < 1_024
    amounts = [json.loads(each.data)["amount"] for each in stream.messages if REASON not in each.attributes]
    assert all(round(100 * amount) / 100 == amount for amount in amounts)


def test_the_model_is_what_its_builder_makes() -> None:
    assert model.FILE.read_bytes() == model.build()


def test_names_of_runs_are_found_in_whatever_bears_them() -> None:
    name = run_name(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "0123abcd")
    assert name == "riskstream_certify_20260102t030405z_0123abcd"
    assert run_in(f"projects/p/topics/{name}-events") == run_in(f"prefix:{name}:alive") == name
    assert run_in("riskstream_certify_results") is None
