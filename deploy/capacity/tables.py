"""Estimates for the eye: one as lines, many as the tables of docs/scaling.md, in Markdown.

Money is rounded to three digits here: nothing in it is known better.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

from deploy.capacity.estimate import ASSUMPTIONS, Estimate, Limit, Load, estimate
from deploy.capacity.files import ROWS, SERIES, Measured, Price, Prices

RATES = (100, 1_000, 10_000, 100_000)  # events a second
CUSTOMERS = (100_000, 1_000_000, 10_000_000, 100_000_000)
USUAL = 1_000_000  # customers, where a table has one column for them
EVER = (
    1_000_000,
    2_000_000,
    5_000_000,
    10_000_000,
)  # customers who ever had an event, where USUAL are active
FEWEST_DIGITS = 3
GROWTH = 10
BUSY = (
    "A load above the number of cores means that others used the machine: processor times are then too high rather "
    "than too low."
)
Grid = Sequence[Estimate]  # by rate, then by customers
Rows = list[tuple[str, str, str]]


def grid(measured: Measured, prices: Prices, peak_to_mean: float) -> Grid:
    loads = (Load(rate, customers, peak_to_mean) for rate in RATES for customers in CUSTOMERS)
    return [estimate(load, measured, prices) for load in loads]


def rounded(value: float) -> str:
    """Three digits, no exponent."""
    if value >= 10**FEWEST_DIGITS:
        digits = len(str(int(value))) - FEWEST_DIGITS
        return f"{round(value, -digits):,.0f}"
    return f"{value:.{FEWEST_DIGITS}g}" if value >= 0.001 else "0"


def of_redis(estimate: Estimate) -> str:
    redis = estimate.redis
    return (
        f"one node of {redis.gib:,.0f} GiB"
        if redis.shards == 1
        else f"{redis.shards} shards, {redis.gib:,.0f} GiB"
    )


def lines(estimate: Estimate) -> Rows:
    """Return lines of item, amount, and USD a month."""
    usd, workers, redis = estimate.usd_a_month, estimate.workers, estimate.redis
    amounts = {
        "Dataflow workers": f"{workers.paid} paid, {workers.at_peak} at the peak with {rounded(workers.vcpus_at_peak)} "
        "vCPUs busy",
        "Streaming Engine": f"{rounded(estimate.pubsub.gib_a_month / 2)} GiB a month come in",
        "Redis": f"{of_redis(estimate)}, a replica each: {rounded(redis.data_gib)} GiB of records of "
        f"{redis.record_bytes:,.0f} bytes{of_dormant(estimate)}; at the peak {rounded(redis.keys_per_s)} records/s, "
        f"{rounded(redis.mb_per_s)} MB/s",
        "Pub/Sub": f"{rounded(estimate.pubsub.gib_a_month)} GiB a month published and delivered",
        "Pub/Sub, kept": f"{rounded(estimate.pubsub.kept_gib)} GiB",
        "BigQuery, written": f"{rounded(estimate.bigquery.gib_a_month)} GiB a month",
        "BigQuery, stored": f"{rounded(estimate.bigquery.stored_gib)} GiB once as much is deleted as is written",
    }
    return [(what, amounts[what], rounded(usd[what])) for what in usd] + [
        ("together", "", rounded(estimate.total_usd))
    ]


def of_dormant(estimate: Estimate) -> str:
    dormant = estimate.load.dormant
    return (
        f", of which {rounded(estimate.redis.dormant_gib)} GiB for {dormant:,} dormant customers"
        if dormant
        else ""
    )


def remembering(estimate: Estimate, without: Estimate) -> str:
    """Return the costs of keeping the records of dormant customers; `without` is the same load without them."""
    usd = estimate.total_usd - without.total_usd
    return (
        f"keeping {estimate.load.dormant:,} dormant customers costs {rounded(usd)} USD a month of this; "
        "`forget_after` in the use case limits how long they are kept"
    )


def first(estimate: Estimate) -> str:
    limit = estimate.limits[0]
    if limit.breaks_at < 1:
        return f"too much: {told(limit)}; {limit.remedy}"
    return f"first limit: {told(limit)}, reached at {rounded(limit.breaks_at)} times this load; then {limit.remedy}"


def told(limit: Limit) -> str:
    return f"{limit.what}, {rounded(limit.used)} of {rounded(limit.most)} {limit.unit}"


def page(measured: Measured, prices: Prices, peak_to_mean: float) -> str:
    """All tables of docs/scaling.md."""
    estimates = grid(measured, prices, peak_to_mean)
    return "\n\n".join(sections(estimates, measured, prices))


def sections(estimates: Grid, measured: Measured, prices: Prices) -> Iterator[str]:
    usual = [each for each in estimates if each.load.customers == USUAL]
    yield "### Money a month, USD, at list prices\n\n" + by_both(estimates, lambda e: rounded(e.total_usd))
    yield f"### The same for {USUAL:,} customers, by what it is for\n\n" + markdown(
        ("", *(f"{each.load.events_per_s:,.0f}/s" for each in usual)),
        [(what, *(rounded(each.usd_a_month[what]) for each in usual)) for what in usual[0].usd_a_month],
    )
    yield "### Redis\n\n" + by_both(estimates, of_redis)
    yield f"### Redis for {USUAL:,} active customers, and all who ever were\n\n" + ever(
        measured, prices, estimates[0].load.peak_to_mean
    )
    yield "### Events a customer in 30 days, and bytes of a record\n\n" + by_both(
        estimates, lambda e: f"{rounded(e.load.events_a_customer)}; {e.redis.record_bytes:,.0f}"
    )
    yield "### Workers, operations and volumes\n\n" + markdown(
        ("events/s", "workers paid", "workers at the peak", "vCPUs busy at the peak", "records/s at the peak",
         "Pub/Sub, GiB a month", "BigQuery, GiB a month", "BigQuery, GiB stored"),
        [volumes(each) for each in usual],
    )  # fmt: skip
    yield "### What breaks first\n\n" + markdown(
        (
            "events/s",
            "customers",
            "nearest limit",
            "reached at",
            f"past its limit at {GROWTH} times the load",
            "then",
        ),
        [breaking(each) for each in estimates],
    )
    yield "### What was measured\n\n" + measured_figures(measured)
    yield "### Workers on one subscription\n\n" + markdown(
        ("figure", "value", "setting"),
        [(name, rounded(value), setting) for name, value, setting in measured.told],
    )
    yield "### What was assumed\n\n" + markdown(
        ("assumption", "value", "why"),
        [(name, f"{each.value:,g} {each.unit}".strip(), each.why) for name, each in ASSUMPTIONS.items()],
    )
    yield "### Prices and limits\n\n" + markdown(
        ("name", "USD", "a", "region", "read on", "note"),
        [(linked(name, each), f"{each.value:.6f}".rstrip("0").rstrip("."), each.unit, each.region, each.read, each.note)
         for name, each in prices.prices.items()],
    ) + "\n\n" + markdown(
        ("limit", "value", "note"),
        [(linked(name, each), f"{each.value:,g} {each.unit}", each.note) for name, each in prices.limits.items()],
    )  # fmt: skip


def ever(measured: Measured, prices: Prices, peak_to_mean: float) -> str:
    """A row a rate, a column a number of customers ever seen: the node or nodes, and their price."""

    def cell(rate: float, customers: int) -> str:
        load = Load(rate, USUAL, peak_to_mean, customers - USUAL)
        each = estimate(load, measured, prices)
        return f"{of_redis(each)}; {rounded(each.usd_a_month['Redis'])} USD"

    return markdown(
        ("events/s", *(f"{customers / 1e6:g} million ever" for customers in EVER)),
        [(f"{rate:,.0f}", *(cell(rate, customers) for customers in EVER)) for rate in RATES],
    )


def by_both(estimates: Grid, cell: Callable[[Estimate], str]) -> str:
    """A row a rate, a column a number of customers."""
    rows = groupby(estimates, lambda each: each.load.events_per_s)
    return markdown(
        ("events/s", *(f"{customers / 1e6:g} million" for customers in CUSTOMERS)),
        [(f"{rate:,.0f}", *map(cell, each)) for rate, each in rows],
    )


def volumes(estimate: Estimate) -> tuple[str, ...]:
    workers, redis = estimate.workers, estimate.redis
    return (
        f"{estimate.load.events_per_s:,.0f}", str(workers.paid), str(workers.at_peak), rounded(workers.vcpus_at_peak),
        rounded(redis.keys_per_s), rounded(estimate.pubsub.gib_a_month), rounded(estimate.bigquery.gib_a_month),
        rounded(estimate.bigquery.stored_gib),
    )  # fmt: skip


def breaking(estimate: Estimate) -> tuple[str, ...]:
    nearest = estimate.limits[0]
    past = [limit for limit in estimate.limits if limit.breaks_at < GROWTH]
    return (
        f"{estimate.load.events_per_s:,.0f}", f"{estimate.load.customers:,}", told(nearest),
        f"{rounded(nearest.breaks_at)} x", "; ".join(limit.what for limit in past) or "none",
        "; ".join(dict.fromkeys(limit.remedy for limit in past)) or "nothing to do",
    )  # fmt: skip


def measured_figures(measured: Measured) -> str:
    """All figures that the calculation uses."""
    plain = [(name, f"{getattr(measured, name):,.4g}", f"`{row}`") for name, row in ROWS.items()]
    by = [
        (f"{name} at {at * factor:,}", f"{getattr(measured, name)[at * factor]:,.1f}", f"`{row.format(at)}`")
        for name, (row, places, factor) in SERIES.items()
        for at in places
    ]
    table = markdown(("figure", "value", "row of bench.json"), [*plain, *by])
    where = f"`make bench` on {measured.date[:10]}, {measured.machine}, commit {measured.commit}, load {measured.load}."
    return f"{where} {BUSY}\n\n{table}"


def linked(name: str, price: Price) -> str:
    return f"[{name}]({price.page})"


def markdown(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (titles, ["---"] * len(titles), *rows))
