"""The simulated card payments of the field's public benchmark, by its published recipe, and its published method.

"Reproducible Machine Learning for Credit Card Fraud Detection - Practical Handbook" (Le Borgne, Siblini, Lebichot,
Bontempi, 2022), chapter 3: customers pay at terminals nearby; fraud is (1) every amount above 220, (2) all payments
at two new terminals a day for 28 days, (3) a third of the payments of three new customers a day for 14 days, five
times as large. The random numbers are our own, so figures agree with the published ones only within chance.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

CUSTOMERS, TERMINALS, RADIUS = 5_000, 10_000, 5.0
MOST_A_DAY = 4.0  # payments; a customer's mean is even between 0 and this
SECONDS_A_DAY, NOON_S, SPREAD_S = 86_400, 43_200, 20_000
LIMIT, TIMES_AS_LARGE = 220.0, 5
TERMINALS_A_DAY, TERMINAL_DAYS = 2, 28
CUSTOMERS_A_DAY, CUSTOMER_DAYS, SHARE = 3, 14, 1 / 3
COLUMNS = ("TRANSACTION_ID", "TX_DATETIME", "CUSTOMER_ID", "TERMINAL_ID", "TX_AMOUNT", "TX_FRAUD")
WINDOWS = (1, 7, 30)  # days, of features
DELAY = 7  # days until it is known whether a payment was fraudulent
WEEK = 7  # days to learn from, and to judge by


@dataclass
class Payments:
    """n payments in the order of their times."""

    customer: NDArray[np.int64]
    terminal: NDArray[np.int64]
    second: NDArray[np.int64]  # since the first day
    amount: NDArray[np.float64]
    scenario: NDArray[np.int64]  # of fraud; 0: genuine

    @property
    def day(self) -> NDArray[np.int64]:
        return self.second // SECONDS_A_DAY


def payments(days: int, seed: int = 0, customers: int = CUSTOMERS, terminals: int = TERMINALS) -> Payments:
    rng = np.random.default_rng(seed)
    found = _genuine(rng, days, customers, terminals)
    found.scenario[found.amount > LIMIT] = 1
    for day in range(days):
        hit = rng.choice(terminals, TERMINALS_A_DAY, replace=False)
        while_hit = (found.day >= day) & (found.day < day + TERMINAL_DAYS)
        found.scenario[while_hit & np.isin(found.terminal, hit)] = 2
    for day in range(days):
        hit = rng.choice(customers, CUSTOMERS_A_DAY, replace=False)
        while_hit = (found.day >= day) & (found.day < day + CUSTOMER_DAYS)
        rows = np.flatnonzero(while_hit & np.isin(found.customer, hit))
        rows = rng.choice(rows, round(SHARE * len(rows)), replace=False)
        found.amount[rows] *= TIMES_AS_LARGE
        found.scenario[rows] = 3
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


def table(found: Payments, first_day: str) -> pd.DataFrame:
    """Build a table with the columns and types of the benchmark's own files."""
    columns = {
        "TRANSACTION_ID": np.arange(len(found.second)),
        "TX_DATETIME": (np.datetime64(first_day, "s") + found.second).astype("M8[ns]"),
        "CUSTOMER_ID": found.customer,
        "TERMINAL_ID": found.terminal,
        "TX_AMOUNT": found.amount.round(2),
        "TX_TIME_SECONDS": found.second,
        "TX_TIME_DAYS": found.day,
        "TX_FRAUD": (found.scenario > 0).astype(np.int64),
        "TX_FRAUD_SCENARIO": found.scenario,
    }
    return pd.DataFrame(columns)


def features(payments: pd.DataFrame) -> pd.DataFrame:
    """The published features, row by row of `payments`; what happened at a terminal is known after DELAY days."""
    at = payments.TX_DATETIME.dt
    found = {"amount": payments.TX_AMOUNT, "weekend": at.day_of_week >= 5, "night": at.hour <= 6}
    for days in WINDOWS:
        count, total = _rolling(payments, "CUSTOMER_ID", "TX_AMOUNT", days)
        found |= {f"spent_{days}": count, f"mean_{days}": total / count}
        count, frauds = _rolling(payments, "TERMINAL_ID", "TX_FRAUD", DELAY + days)
        unknown, hidden = _rolling(payments, "TERMINAL_ID", "TX_FRAUD", DELAY)
        found |= {f"taken_{days}": count - unknown}
        found |= {f"risk_{days}": (frauds - hidden) / (count - unknown).clip(lower=1)}
    return pd.DataFrame(found).astype(np.float32)


def _rolling(payments: pd.DataFrame, by: str, value: str, days: int) -> tuple[pd.Series, pd.Series]:
    """Count the payments by the same customer or at the same terminal in the last days, and sum a column."""
    ordered = payments.sort_values([by, "TX_DATETIME"], kind="stable")
    window = ordered.groupby(by).rolling(f"{days}D", on="TX_DATETIME")[value]
    both = (pd.Series(each.to_numpy(), ordered.index) for each in (window.count(), window.sum()))
    count, total = (each.sort_index() for each in both)
    return count, total


def weeks(payments: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The published split: a week to learn from, DELAY days, and the last week without cards known as compromised."""
    day, last = payments.TX_TIME_DAYS, payments.TX_TIME_DAYS.max()
    learn = payments[day.between(last - 2 * WEEK - DELAY + 1, last - WEEK - DELAY)]
    known, judge = set(learn[learn.TX_FRAUD == 1].CUSTOMER_ID), []
    for each in range(last - WEEK + 1, last + 1):
        known |= set(payments[(day == each - DELAY - 1) & (payments.TX_FRAUD == 1)].CUSTOMER_ID)
        judge.append(payments[(day == each) & ~payments.CUSTOMER_ID.isin(known)])
    return learn, pd.concat(judge)


def card_precision(judge: pd.DataFrame, score: NDArray[np.float64], k: int) -> float:
    """The published card precision@k: cards found on one day are not looked at again."""
    is_found, shares = set[int](), []
    for _, payments in judge.assign(score=score).groupby("TX_TIME_DAYS"):
        rest = payments[~payments.CUSTOMER_ID.isin(is_found)]
        cards = rest.groupby("CUSTOMER_ID")[["score", "TX_FRAUD"]].max().nlargest(k, "score")
        is_found |= set(cards[cards.TX_FRAUD == 1].index)
        shares.append(cards.TX_FRAUD.sum() / k)
    return float(np.mean(shares))
