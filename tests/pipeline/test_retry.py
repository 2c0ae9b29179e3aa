"""Retrying: goes on until it works, pauses grow to a limit, a wish to stop ends it with the last error."""

import itertools

import pytest

from pipeline.runtime.retry import LONGEST_PAUSE_S, LONGEST_SLEEP_S, pauses_s, retrying


class Flaky:
    """Raises ConnectionError the first `failures` times."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        if self.calls <= self.failures:
            raise ConnectionError(f"attempt {self.calls}")
        return "done"


def test_goes_on_until_it_works():
    slept: list[float] = []
    action = Flaky(failures=12)
    assert retrying(action, ConnectionError, "reach the other side", sleep=slept.append) == "done"
    assert action.calls == 13
    assert max(slept) <= LONGEST_SLEEP_S
    assert 4 < sum(slept) < 12 * LONGEST_PAUSE_S


def test_stopping_raises_the_last_error():
    action = Flaky(failures=1_000)
    with pytest.raises(ConnectionError, match="attempt 3"):
        retrying(action, ConnectionError, "reach", lambda: action.calls >= 3, lambda _: None)


@pytest.mark.parametrize(
    ("stops", "said"), [(False, ["cannot reach", "can reach again"]), (True, ["cannot reach"])]
)
def test_what_is_given_up_is_not_told_to_work_again(
    stops: bool, said: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    """An action may come back with nothing because it was told to stop."""
    action = Flaky(failures=3)
    retrying(action, ConnectionError, "reach", lambda: stops and action.calls > 3, lambda _: None)
    assert [
        record.getMessage()[: len(words)] for record, words in zip(caplog.records, said, strict=True)
    ] == said


def test_other_errors_are_not_retried():
    def action() -> None:
        raise ValueError("wrong")

    with pytest.raises(ValueError, match="wrong"):
        retrying(action, (ConnectionError, TimeoutError), "reach")


def test_pauses_double_to_the_longest():
    pauses = list(itertools.islice(pauses_s(), 20))
    assert pauses[0] <= 0.05
    assert all(LONGEST_PAUSE_S / 2 <= pause <= LONGEST_PAUSE_S for pause in pauses[8:])
