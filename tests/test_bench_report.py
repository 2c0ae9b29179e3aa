"""The benchmark's table: medians of several runs, with how far the runs lie apart."""

from tests.benchmarks.report import Row, medians, report, show


def test_several_runs_become_the_median_with_the_setting_of_its_run():
    runs = [
        [Row("fast", value, "events/s", f"run {value:g}"), Row("once", 1.0, "s", "")] for value in (9, 2, 5)
    ]
    fast, once = medians(runs)
    assert fast == Row("fast", 5, "events/s", "run 5", [9, 2, 5])
    assert once.value == 1.0 and len(once.runs) == 3


def test_one_run_stays_as_it_is():
    row = Row("fast", 9.0, "events/s", "")
    assert medians([[row]]) == [row]


def test_the_table_says_of_how_many_runs_a_value_is_the_median(capsys):
    show(report(medians([[Row("fast", value, "events/s", "")] for value in (9_000.0, 2_000.0, 5_000.0)])))
    assert "median of 3: 2,000 to 9,000" in capsys.readouterr().out
