"""The simulated card payments of the field's public benchmark, by its published recipe.

"Reproducible Machine Learning for Credit Card Fraud Detection - Practical Handbook" (Le Borgne, Siblini, Lebichot,
Bontempi, 2022), chapter 3: customers pay at terminals nearby; fraud is (1) every amount above 220, (2) all payments
at two new terminals a day for 28 days, (3) a third of the payments of three new customers a day for 14 days, five
times as large. The random numbers are our own, so figures agree with the published ones only within chance.
"""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

CUSTOMERS, TERMINALS, RADIUS = 5_000, 10_000, 5.0
MOST_A_DAY = 4.0  # payments; a customer's mean is even between 0 and this
SECONDS_A_DAY, NOON_S, SPREAD_S = 86_400, 43_200, 20_000
LIMIT, TIMES_AS_LARGE = 220.0, 5
TERMINALS_A_DAY, TERMINAL_DAYS = 2, 28
CUSTOMERS_A_DAY, CUSTOMER_DAYS, SHARE = 3, 14, 1 / 3
COLUMNS = ("TRANSACTION_ID", "TX_DATETIME", "CUSTOMER_ID", "TERMINAL_ID", "TX_AMOUNT", "TX_FRAUD")


@dataclass
class Payments:
    """n payments in the order of their times."""

    customer: NDArray[np.int64]
    terminal: NDArray[np.int64]
    second: NDArray[np.int64]  # since the first day
    amount: NDArray[np.float64]
    fraud: NDArray[np.int64]

    @property
    def day(self) -> NDArray[np.int64]:
        return self.second // SECONDS_A_DAY


def payments(days: int, seed: int = 0, customers: int = CUSTOMERS, terminals: int = TERMINALS) -> Payments:
    rng = np.random.default_rng(seed)
    found = _genuine(rng, days, customers, terminals)
    found.fraud[found.amount > LIMIT] = 1
    for day in range(days):
        hit = rng.choice(terminals, TERMINALS_A_DAY, replace=False)
        while_hit = (found.day >= day) & (found.day < day + TERMINAL_DAYS)
        found.fraud[while_hit & np.isin(found.terminal, hit)] = 1
    for day in range(days):
        hit = rng.choice(customers, CUSTOMERS_A_DAY, replace=False)
        while_hit = (found.day >= day) & (found.day < day + CUSTOMER_DAYS)
        rows = np.flatnonzero(while_hit & np.isin(found.customer, hit))
        rows = rng.choice(rows, round(SHARE * len(rows)), replace=False)
        found.amount[rows] *= TIMES_AS_LARGE
        found.fraud[rows] = 1
    return found


def _genuine(rng: np.random.Generator, days: int, customers: int, terminals: int) -> Payments:
    places, shops = rng.uniform(0, 100, (customers, 2)), rng.uniform(0, 100, (terminals, 2))
    mean, often = rng.uniform(5, 100, customers), rng.uniform(0, MOST_A_DAY, customers)
    near = [np.flatnonzero(np.hypot(*(shops - place).T) < RADIUS) for place in places]
    often[[len(each) == 0 for each in near]] = 0
    counts = rng.poisson(often[:, None], (customers, days))
    customer = np.repeat(np.arange(customers), counts.sum(axis=1))
    day = np.concatenate([np.repeat(np.arange(days), counts[c]) for c in range(customers)])
    of_day = rng.normal(NOON_S, SPREAD_S, len(day)).astype(np.int64)
    kept = (of_day > 0) & (of_day < SECONDS_A_DAY)
    customer, second = customer[kept], (day * SECONDS_A_DAY + of_day)[kept]
    amount = rng.normal(mean[customer], mean[customer] / 2)
    amount = np.where(amount < 0, rng.uniform(0, 2 * mean[customer]), amount).round(2)
    terminal = np.array([near[c][k] for c, k in zip(customer, _places(rng, customer, near), strict=True)])
    order = np.argsort(second, kind="stable")
    parts = (column[order] for column in (customer, terminal, second, amount))
    return Payments(*parts, np.zeros(len(order), np.int64))


def _places(
    rng: np.random.Generator, customer: NDArray[np.int64], near: list[NDArray[np.intp]]
) -> NDArray[np.int64]:
    sizes = np.array([max(len(each), 1) for each in near])
    return rng.integers(0, sizes[customer])


def write(found: Payments, first_day: str, file: Path) -> None:
    """A CSV file with the columns of the benchmark's own."""
    times = (np.datetime64(first_day, "s") + found.second).astype(str).tolist()
    columns = (found.customer, found.terminal, found.amount.round(2), found.fraud)
    rows = zip(range(len(times)), times, *(column.tolist() for column in columns), strict=True)
    with file.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(COLUMNS)
        writer.writerows((i, at.replace("T", " "), *rest) for i, at, *rest in rows)
