"""Tasks beside each other: results in order, one thread each, and errors come through."""

import os
import threading

import pytest
from threadpoolctl import threadpool_info

from training.models.parallel import run_in_parallel


@pytest.mark.skipif(os.cpu_count() == 1, reason="one core runs one task at a time")
def test_results_are_in_the_order_of_the_tasks_and_come_while_others_run():
    second = threading.Event()
    first = run_in_parallel([lambda: second.wait(20), lambda: second.set() or "second"])
    assert list(first) == [True, "second"], "on two cores or more the second ran while the first waited"


def test_a_task_has_one_thread_and_the_rest_is_as_before():
    import sklearn.ensemble  # noqa: F401  # brings OpenMP

    before = [each["num_threads"] for each in threadpool_info()]
    (inside,) = run_in_parallel([lambda: {each["num_threads"] for each in threadpool_info()}])
    assert inside == {1}
    assert [each["num_threads"] for each in threadpool_info()] == before


def test_no_tasks_and_failing_ones():
    assert list(run_in_parallel([])) == []
    with pytest.raises(ZeroDivisionError):
        list(run_in_parallel([lambda: 1 / 0]))
