"""Needs and costs of a load: by hand, by how they grow, and as docs/scaling.md has them."""

import json
from dataclasses import replace
from itertools import pairwise
from operator import le
from pathlib import Path

import pytest
from typer.testing import CliRunner

import riskstream
from commands.errors import exit_code
from deploy.capacity import files, page
from deploy.capacity.estimate import GIB, MONTH_S, Estimate, Load, estimate, record_bytes
from deploy.capacity.tables import CUSTOMERS, RATES, rounded
from pipeline.files.source import BadFile

ROUND = files.Measured(
    date="2026-11-25", commit="0", machine="round figures", load="0", worker_cpu_us=20.0, message_bytes=500.0,
    row_bytes=1_000.0, alerts_per_event=0.0, record_bytes={10: 1_000, 40: 2_000, 100: 4_000, 1_000: 8_000},
    redis_cpu_us={1_000: 2.0, 11_000: 4.0}, redis_client_cpu_us={1_000: 3.0, 11_000: 13.0},
    cluster_cpu_us={1_000: 10.0, 11_000: 20.0}, cluster_client_cpu_us={1_000: 23.0, 11_000: 33.0},
)  # fmt: skip
VOLUMES = ("Streaming Engine", "Pub/Sub", "Pub/Sub, kept", "BigQuery, written", "BigQuery, stored")


def of(events_per_s: float, customers: int, peak: float = 3.0) -> Estimate:
    return estimate(Load(events_per_s, customers, peak), ROUND, files.prices())


def test_an_example_by_hand() -> None:
    """10,000 events/s, 6.48 million customers: 4,000 events each in 30 days, 5.6 an hour, 17 at the peak."""
    found = of(10_000, 6_480_000)
    assert found.load.events_a_customer == 4_000
    assert found.redis.record_bytes == 8_000, (
        "as with 1,000 events: 17 an hour are fewer than a ring holds anyhow"
    )
    assert found.redis.data_gib == pytest.approx(6.48e6 * 8_000 * 1.2 / 2**30)  # 57.9
    assert (found.redis.shards, found.redis.gib) == (1, 83), "57.9 at 70 %"
    assert found.redis.keys_per_s == 30_000
    assert found.redis.cpus == pytest.approx(30_000 * 3.4e-6), (
        "2 us, and 2 more for 7,000 of 10,000 bytes more"
    )
    assert found.redis.mb_per_s == pytest.approx(2 * 30_000 * 8_000 / 1e6)
    assert found.workers.vcpus_at_peak == pytest.approx(10_000 * (20 + 7) * 1e-6 * 3 * 3)  # 2.43
    assert (found.workers.at_peak, found.workers.paid) == (3, 2), (
        "2.43 and 0.81 of 1.2 a worker; at least two"
    )
    assert found.pubsub.gib_a_month == pytest.approx(2 * 10_000 * 500 * 730 * 3_600 / 2**30)
    assert found.bigquery.gib_a_month == pytest.approx(10_000 * 1_000 * 730 * 3_600 / 2**30)
    usd = found.usd_a_month
    assert usd["Redis"] == pytest.approx(83 * 0.035 * 730)
    assert usd["Pub/Sub"] == pytest.approx(found.pubsub.gib_a_month / 1_024 * 40)
    assert usd["BigQuery, written"] == pytest.approx(found.bigquery.gib_a_month * 0.025)
    assert usd["Dataflow workers"] == pytest.approx(2 * (2 * 0.069 + 7.5 * 0.003557 + 30 * 0.000054) * 730)
    assert found.total_usd == pytest.approx(sum(usd.values()))


def test_twice_the_events_are_twice_the_volumes_and_their_costs() -> None:
    for rate in RATES:
        once, twice = of(rate, 1_000_000), of(2 * rate, 1_000_000)
        assert {what: twice.usd_a_month[what] / once.usd_a_month[what] for what in VOLUMES} == pytest.approx(
            dict.fromkeys(VOLUMES, 2.0)
        )


def test_what_is_written_is_stored_and_paid_until_it_is_deleted() -> None:
    found = of(1_000, 1_000_000).bigquery
    assert found.stored_gib == pytest.approx(1_000 * 1_000 * 86_400 * 1_830 / GIB)
    assert found.gib_a_month == pytest.approx(1_000 * 1_000 * MONTH_S / GIB)


def needs(found: Estimate) -> tuple[float, ...]:
    """Return everything that a larger load may not need less of."""
    return (
        found.workers.at_peak, found.workers.paid, found.redis.data_gib, found.redis.gib, found.redis.keys_per_s,
        found.redis.cpus, found.redis.shards, found.pubsub.gib_a_month, found.bigquery.stored_gib,
    )  # fmt: skip


def test_more_events_customers_or_peak_never_need_less() -> None:
    for customers in CUSTOMERS:
        for small, large in pairwise(RATES):
            assert all(map(le, needs(of(small, customers)), needs(of(large, customers))))
        assert all(map(le, needs(of(1_000, customers, 1.0)), needs(of(1_000, customers, 10.0))))
    for rate in RATES:
        sizes = [of(rate, customers).redis.data_gib for customers in CUSTOMERS]
        assert sizes == sorted(sizes)


def test_records_grow_with_events_through_what_was_measured() -> None:
    counts = [1, 10, 20, 40, 70, 100, 500, 1_000, 50_000, 100_000, 1_000_000]
    sizes = [record_bytes(n, ROUND) for n in counts]
    assert sizes == sorted(sizes)
    assert {n: round(record_bytes(n, ROUND)) for n in ROUND.record_bytes} == ROUND.record_bytes
    ring = 1_000 / 30  # bytes an event: from 10 to 40
    assert record_bytes(100_000, ROUND) == pytest.approx(8_000 + (100_000 / 720 - 64) * ring)
    assert record_bytes(10**9, ROUND) == pytest.approx(8_000 + (1_024 - 64) * ring), "the ring has an end"


def test_beyond_one_node_there_is_a_cluster_whose_commands_cost_the_workers_too() -> None:
    by_memory, by_cpu = of(100, 400_000_000), of(200_000, 100_000_000)
    assert by_memory.redis.shards * 13 == by_memory.redis.gib >= by_memory.redis.data_gib / 0.7
    assert by_cpu.redis.record_bytes == 8_000, "5,184 events in 30 days"
    assert by_cpu.redis.cpus == pytest.approx(600_000 * 17e-6)
    assert by_cpu.redis.shards >= by_cpu.redis.cpus / 0.5
    assert by_cpu.workers.vcpus_at_peak == pytest.approx(600_000 * (20 + 30 - 3) * 1e-6 * 3)


def test_the_nearest_limit_is_the_first_to_break_when_the_load_grows() -> None:
    small = of(1_000, 1_000_000)
    nearest = small.limits[0]
    assert nearest.breaks_at == min(limit.breaks_at for limit in small.limits) > 1
    again = {limit.what: limit for limit in of(2_000, 2_000_000).limits}
    assert again[nearest.what].breaks_at == pytest.approx(nearest.breaks_at / 2)
    cpu = of(1_000, 1_000)  # few customers: large records, small memory
    assert all(limit.breaks_at > 0 for limit in cpu.limits)


def test_the_kept_figures_are_those_of_a_benchmark() -> None:
    found = files.measured()
    kept = json.loads(files.MEASURED.read_bytes())
    assert kept["command"].startswith("python -m tests.benchmarks")
    assert found.date[:2] == "20" and found.machine
    assert min(found.record_bytes.values()) > 0 < found.worker_cpu_us
    for kept_us in (
        found.redis_cpu_us,
        found.redis_client_cpu_us,
        found.cluster_cpu_us,
        found.cluster_client_cpu_us,
    ):
        assert 0 < kept_us[1_000] < kept_us[10_000], "large records cost more"
    assert found.cluster_cpu_us[1_000] > found.redis_cpu_us[1_000], "a command a record against one for many"


def test_every_price_and_limit_says_where_it_is_from() -> None:
    found = files.prices()
    for name, price in [*found.prices.items(), *found.limits.items()]:
        assert price.page.startswith("https://cloud.google.com/") and price.unit and price.value > 0, name
    assert all(price.region and price.read for price in found.prices.values())


def test_ones_own_prices_replace_those_that_they_name(tmp_path: Path) -> None:
    own = tmp_path / "ours.yaml"
    own.write_text("prices: {pubsub_tib: {value: 20, unit: TiB, page: our contract}}\n")
    load = Load(1_000, 1_000_000)
    list_price, ours = (estimate(load, ROUND, files.prices(file)).usd_a_month for file in (None, own))
    assert ours == {**list_price, "Pub/Sub": pytest.approx(list_price["Pub/Sub"] / 2)}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "prices: {pubsub_tb: {value: 1, unit: a, page: b}}",
            "prices.pubsub_tb is none; expected some of dataflow",
        ),
        ("prices: {pubsub_tib: {value: cheap, unit: a, page: b}}", "Expected `float`, got `str`"),
        ("- 1", "expected a mapping"),
        ("{", "ours.yaml"),
    ],
)
def test_wrong_prices_are_refused(tmp_path: Path, text: str, said: str) -> None:
    own = tmp_path / "ours.yaml"
    own.write_text(text)
    with pytest.raises(BadFile, match=r"ours\.yaml") as error:
        files.prices(own)
    assert said in str(error.value) and exit_code(error.value) == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{}", "found no rows of a benchmark"),
        (
            '{"date": "", "commit": "", "machine": {"cpu": "", "cores": "2", "load": ""}, "rows": []}',
            "workers_1_cpu_us, assess_offboarding",
        ),
        ("[", "bench.json"),
    ],
)
def test_a_benchmark_without_the_figures_is_refused(tmp_path: Path, text: str, said: str) -> None:
    bench = tmp_path / "bench.json"
    bench.write_text(text)
    with pytest.raises(BadFile, match=r"bench\.json") as error:
        files.measured(bench)
    assert said in str(error.value)


def run(*words: str) -> str:
    ended = CliRunner().invoke(riskstream.app, ["capacity", *words])
    assert ended.exit_code == 0, ended.output
    return ended.stdout


def test_the_command_says_what_the_calculation_says() -> None:
    words = ("--events-per-second", "1000", "--customers", "1e6", "--peak", "5")
    found = json.loads(run(*words, "--json"))
    expected = estimate(Load(1_000, 1_000_000, 5), files.measured(), files.prices())
    assert found["usd_a_month"] == pytest.approx(dict(expected.usd_a_month))
    assert found["total_usd"] == pytest.approx(expected.total_usd)
    assert (
        found["redis"]["shards"] == expected.redis.shards and found["assumptions"]["runner_overhead"]["why"]
    )
    assert found["limits"][0]["what"] == expected.limits[0].what
    shown = run(*words)
    assert "together" in shown and f"first limit: {expected.limits[0].what}" in shown
    assert files.measured().date[:10] in shown


def test_the_command_takes_another_benchmark(tmp_path: Path) -> None:
    bench = json.loads(files.MEASURED.read_bytes())
    bench["rows"] = [[n, 2 * v if n.endswith("row_bytes") else v, *rest] for n, v, *rest in bench["rows"]]
    (tmp_path / "bench.json").write_text(json.dumps(bench))
    words = ("--events-per-second", "1000", "--customers", "1e6", "--json")
    kept, other = json.loads(run(*words)), json.loads(run(*words, "--bench", str(tmp_path / "bench.json")))
    assert other["bigquery"]["gib_a_month"] == pytest.approx(2 * kept["bigquery"]["gib_a_month"])


def test_a_dormant_customers_record_costs_memory_and_nothing_else() -> None:
    """1.1 million active and 3.3 million dormant customers at 10 events in 30 days: 1,000 bytes each."""
    load = Load(4.2, 1_100_000)
    active, all_kept = (
        estimate(each, ROUND, files.prices()) for each in (load, replace(load, dormant=3_300_000))
    )
    assert active.redis.dormant_gib == 0
    assert all_kept.redis.dormant_gib == pytest.approx(3.3e6 * 1_000 * 1.2 / GIB)
    assert all_kept.redis.data_gib == pytest.approx(4 * active.redis.data_gib)
    assert all_kept.usd_a_month["Redis"] > active.usd_a_month["Redis"]
    assert {**all_kept.usd_a_month, "Redis": 0} == {**active.usd_a_month, "Redis": 0}
    assert replace(all_kept.redis, data_gib=0, dormant_gib=0, gib=0) == replace(
        active.redis, data_gib=0, dormant_gib=0, gib=0
    )


def test_the_command_tells_what_never_forgetting_costs() -> None:
    words = ("--events-per-second", "1000", "--customers", "1e6")
    shown, found = run(*words, "--ever", "3e6"), json.loads(run(*words, "--ever", "3e6", "--json"))
    load = Load(1_000, 1_000_000)
    active, kept = (
        estimate(each, files.measured(), files.prices()) for each in (load, replace(load, dormant=2_000_000))
    )
    assert found["load"]["dormant"] == 2_000_000
    assert found["redis"]["dormant_gib"] == pytest.approx(kept.redis.dormant_gib)
    cost = rounded(kept.total_usd - active.total_usd)
    assert f"keeping 2,000,000 dormant customers costs {cost} USD a month of this; `forget_after`" in shown
    assert "dormant" not in run(*words)
    ended = CliRunner().invoke(riskstream.app, ["capacity", *words, "--ever", "9e5"])
    assert ended.exit_code == 2 and "at least --customers" in ended.output


def test_the_tables_of_the_page_are_up_to_date() -> None:
    text = page.PAGE.read_text(encoding="utf-8")
    assert page.renewed(text) == text, "run python -m deploy.capacity"
    with pytest.raises(ValueError, match="found no marks"):
        page.renewed("# Scaling\n")


def test_peak_is_an_option_and_the_mean_is_not_touched_by_it() -> None:
    calm, busy = of(1_000, 1_000_000, 1.0), of(1_000, 1_000_000, 10.0)
    assert {w: calm.usd_a_month[w] for w in VOLUMES} == {w: busy.usd_a_month[w] for w in VOLUMES}
    assert busy.redis.keys_per_s == 10 * calm.redis.keys_per_s
    assert replace(busy.load, peak_to_mean=1.0) == calm.load
