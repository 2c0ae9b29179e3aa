"""Verdicts that come a week late, out of the benchmark's file through its use case: known when they came, no earlier.

Against what a person with the whole file and a calendar would count.
"""

import csv

import numpy as np
import pytest

from features.replay import replay
from features.usecase import load
from tests.realdata.cards import COLUMNS
from training.data.files import batches, read_all
from training.data.labelled_rows import collect
from training.data.splits import SplitSettings, split_rows

USE_CASE = load("usecases/card_fraud.yaml")
FIRST = np.datetime64("2018-06-01", "s")
HOUR, DAY = 3_600, 86_400  # seconds
DELAY = 7 * DAY
WINDOWS = {"1d": (DAY, HOUR), "7d": (7 * DAY, 6 * HOUR), "30d": (30 * DAY, DAY)}  # length and hop


@pytest.fixture(scope="module")
def payments():
    """(second, customer, terminal, amount, fraud) of 600 payments at five terminals in 70 days, in order."""
    rng = np.random.default_rng(11)
    seconds = np.sort(rng.choice(70 * DAY, 600, replace=False)).tolist()
    return [(s, int(rng.integers(40)), int(rng.integers(5)), 9.5, int(rng.random() < 0.3)) for s in seconds]


@pytest.fixture(scope="module")
def history(payments, tmp_path_factory):
    file = tmp_path_factory.mktemp("cards") / "cards.csv"
    with file.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(COLUMNS)
        for i, (second, *rest) in enumerate(payments):
            writer.writerow([i, str(FIRST + second).replace("T", " "), *rest])
    now_us = int(np.datetime64("2026-01-01", "us").astype(np.int64))
    rows = read_all(USE_CASE, [f"payment={file}", f"verdict={file}"], now_us)
    assert len(rows) == 2 * len(payments) and not rows.bad
    return collect(USE_CASE, replay(batches(USE_CASE, rows)))


def seconds_of(times_us):
    return (times_us - int(FIRST.astype("datetime64[us]").astype(np.int64))) // 1_000_000


def known_at(payments, now, terminal, window):
    """The verdicts on payments at a terminal that had come by then and lie in the window, as 0 and 1."""
    length, hop = WINDOWS[window]
    came = [(second + DELAY, fraud) for second, _, where, _, fraud in payments if where == terminal]
    return [fraud for at, fraud in came if at <= now and at // hop > now // hop - length // hop]


@pytest.mark.parametrize("window", WINDOWS)
def test_a_terminal_is_as_risky_as_was_known_when_the_payment_was_made(payments, history, window):
    names = [f"{name}_{window}" for name in ("judged_count", "fraud_count", "risk")]
    found = history.vectors[:, [USE_CASE.features.index(name) for name in names]]
    assert len(history) == len(payments)
    seen = 0
    for (now, _, terminal, _, _), (held_out, fraud, risk) in zip(payments, found.tolist(), strict=True):
        known = known_at(payments, now, terminal, window)
        assert (held_out, fraud) == (len(known), sum(known))
        assert risk == pytest.approx(np.mean(known), abs=1e-6) if known else np.isnan(risk)
        seen += len(known)
    assert seen > 100, "there was something to count"


def test_a_label_is_known_when_its_verdict_came(payments, history):
    assert history.label.tolist() == [fraud for *_, fraud in payments]
    assert seconds_of(history.known_us).tolist() == [second + DELAY for second, *_ in payments]


def test_nothing_is_learned_whose_verdict_had_not_come_when_the_first_payment_is_judged(payments, history):
    found = split_rows(history, SplitSettings.of(USE_CASE, USE_CASE.model["split"]))
    days = np.array([second // DAY for second, *_ in payments])
    assert np.flatnonzero(found.learn).tolist() == np.flatnonzero((days >= 49) & (days < 56)).tolist()
    known = {customer: [] for _, customer, *_ in payments}
    for second, customer, _, _, fraud in payments:
        if fraud and second // DAY >= 49:
            known[customer].append(second + DELAY)
    expected = [
        day >= 63 and not any(came < day * DAY for came in known[customer])
        for day, (_, customer, *_) in zip(days, payments, strict=True)
    ]
    assert found.held_out.tolist() == expected and 0 < sum(expected) < (days >= 63).sum()
