"""Records forgotten and begun anew, in the log: it reconciles across lives, whether or not Redis had dropped them."""

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from features.usecase import UseCase, parse
from features.usecase.yaml_values import FrozenDict
from pipeline.bigquery.log_end import LogEnd
from pipeline.reconciliation.damage import ImpliedRecord, RecordState, judge
from pipeline.stores.recent_writes import Latest
from tests.pipeline.market import MARKET, START_US, Sent, history, market
from tests.pipeline.test_reconcile import (
    DAY_US,
    MERCHANTS,
    PROJECT,
    RECORDS,
    Told,
    assessed_from,
    found_in,
    logged,
    wrong,
)

pytestmark = pytest.mark.usefixtures("bigquery_server")

EARLY = 402  # two rounds of batches
LATE_US = START_US + 400 * DAY_US


def forgetful() -> UseCase:
    text = MARKET.read_text().replace("allowed_lateness: 24h", "allowed_lateness: 1m\nforget_after: 200d")
    return parse(text, "forgetful.yaml")


def two_lives(use_case: UseCase) -> list[Sent]:
    """A silence of 400 days in the middle; at the end some events of before it come again."""
    early = history(use_case, EARLY, seed=3)
    late = history(use_case, 300, seed=5, start_us=LATE_US, prefix="q")
    known = {each.event.customer for each in late}
    return early + late + [each for each in early[10:40] if each.event.customer in known]


@pytest.mark.parametrize("emptied_at", [None, EARLY], ids=["kept", "dropped"])
def test_a_log_of_two_lives_reconciles(emptied_at: int | None, tmp_path: Path) -> None:
    use_case = forgetful()
    told = assessed_from(use_case, str(tmp_path), two_lives(use_case), emptied_at=emptied_at)
    log = told.assessments.select(("customer", "seq", "entities")).to_pylist()
    first = [row["seq"] for row in log if row["customer"] == "c1"]
    assert START_US - DAY_US < first[0] < LATE_US < max(first)
    merchant = [other["seq"] for row in log for other in row["entities"] if other["id"] == "m1"]
    assert min(merchant) < LATE_US < max(merchant)
    assert told.dead_letters["reason"].to_pylist().count("too_late") >= 20, "those that came again"
    found = found_in(told, now_us=START_US + 300 * DAY_US)
    assert wrong(found) == {} and found.holds
    gone = found.records - len(told.records)
    assert (gone > 0) == (emptied_at is not None), "customers who did not come back"
    soon = wrong(found_in(told, now_us=START_US + 220 * DAY_US))
    assert soon == ({RECORDS: gone} if gone else {}), "a record may be missing only after it could expire"


def test_a_log_that_an_older_program_began_reconciles(tmp_path: Path) -> None:
    """It numbered merchants from 1, and the records that it left go on so."""
    use_case = market("1m")
    plans = {entity: replace(plan, forget_us=0) for entity, plan in use_case.plans.items()}
    older = replace(use_case, plans=FrozenDict(plans))
    told = assessed_from(older, str(tmp_path), history(use_case, 300, seed=8))
    seqs = [other["seq"] for row in told.assessments["entities"].to_pylist() for other in row]
    assert min(seqs) == 1
    found = found_in(replace(told, use_case=use_case))
    assert wrong(found) == {} and found.holds


def test_merchants_expire_and_customers_do_not(tmp_path: Path) -> None:
    use_case = market("1m")
    told = assessed_from(use_case, str(tmp_path), history(use_case, 200, seed=9))
    emptied: Told = replace(told, records={})
    merchants = sum(b":merchant:" in key for key in told.records)
    customers = len(told.records) - merchants
    month_later = wrong(found_in(emptied, now_us=START_US + 33 * DAY_US))
    assert month_later == {RECORDS: customers}
    at_once = wrong(found_in(emptied))
    assert at_once == {RECORDS: customers, MERCHANTS: merchants} and np.all(merchants > 0)


def test_a_repair_misses_what_only_a_backfill_knew_even_if_it_may_have_expired(tmp_path: Path) -> None:
    """The log does not hold when the backfill wrote the record; to rebuild it in vain does no harm."""
    told = assessed_from(market("1m"), str(tmp_path), history(market("1m"), 30, seed=9))
    blob = next(blob for key, blob in told.records.items() if b":merchant:" in key)
    plan = told.use_case.plans["merchant"]
    later_us = START_US + 40 * DAY_US
    assert judge(plan, None, ImpliedRecord(blob), later_us, expiry_us=33 * DAY_US) is RecordState.MISSING
    written = ImpliedRecord(blob, written_us=START_US)
    assert judge(plan, None, written, later_us, expiry_us=33 * DAY_US) is RecordState.FORGOTTEN
    assert judge(plan, None, written, later_us, expiry_us=0) is RecordState.MISSING


@pytest.mark.parametrize(("use_case", "expires"), [(forgetful(), True), (market("1m"), False)])
def test_a_job_that_starts_misses_no_customer_whose_record_may_have_expired(
    use_case: UseCase, expires: bool, tmp_path: Path
) -> None:
    told = assessed_from(use_case, str(tmp_path), history(use_case, 200, seed=9))
    tail, began = LogEnd(PROJECT, logged(told), use_case), datetime.fromtimestamp(START_US / 1e6, UTC)
    known = tail.numbers(began + timedelta(days=230))
    assert known.keys() == set(told.assessments["customer"].to_pylist())
    assert tail.numbers(began + timedelta(days=232)) == ({} if expires else known)


def test_a_quiet_job_does_not_miss_records_that_may_have_expired(monkeypatch: pytest.MonkeyPatch) -> None:
    """None expires within 31 days after it was written."""
    latest, now_s = Latest(market(), "riskstream"), time.monotonic()
    latest.note([b"a", b"b"], [b"first", b"second"], [True, False])
    monkeypatch.setattr(time, "monotonic", lambda: now_s + 30 * 86_400)
    latest.note([b"c"], [b"third"], [True])
    assert latest.records() == {b"a": b"first", b"c": b"third"}
    assert latest.sample(10).keys() == {b"a", b"c"}
    monkeypatch.setattr(time, "monotonic", lambda: now_s + 32 * 86_400)
    assert latest.records() == latest.sample(10) == {b"c": b"third"}
    monkeypatch.setattr(time, "monotonic", lambda: now_s + 70 * 86_400)
    assert latest.records() == latest.sample(10) == {}
