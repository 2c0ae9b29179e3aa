"""Checks before a start: all at once, in order, with a result for each, whatever is wrong with it."""

import threading

import pytest

from pipeline.runtime.checks import FAILED, OK, Check, CheckResult, demand, run_checks
from pipeline.runtime.errors import CannotStart, SinkRefused


def refusing() -> None:
    raise SinkRefused("found no table x")


def test_every_check_has_a_result_in_the_order_of_the_checks() -> None:
    ended = threading.Event()
    checks = [
        Check("silent", ended.wait),
        Check("tables", refusing),
        Check("bundle", lambda: "m-1"),
        Check("port", lambda: None),
    ]
    silent, *others = run_checks(checks, timeout_s=0.2)
    ended.set()
    assert silent.result == FAILED and silent.detail.startswith("no answer within 0.2 s")
    assert others == [
        CheckResult("tables", FAILED, "found no table x"),
        CheckResult("bundle", OK, "m-1"),
        CheckResult("port", OK, ""),
    ]


def test_two_parts_of_one_name_have_two_results() -> None:
    results = run_checks([Check("topic a", lambda: "a"), Check("topic a", refusing)], timeout_s=5.0)
    assert [each.result for each in results] == [OK, FAILED]


def test_a_start_is_refused_with_a_line_for_each_fault() -> None:
    with pytest.raises(CannotStart, match=r"^tables: found no table x\nRedis: away$"):
        demand(
            [
                CheckResult("tables", FAILED, "found no table x"),
                CheckResult("bundle", OK, ""),
                CheckResult("Redis", FAILED, "away"),
            ]
        )
    demand([CheckResult("bundle", OK, "")])
