"""The command line as a person meets it: help with examples, one line for an error, and the promised exit codes."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

import riskstream
from commands.errors import EXITS
from commands.renamed import FLAGS
from commands.verbs import GROUPS
from pipeline.bigquery.settings import BigQuerySettings
from pipeline.runtime.settings import declared
from pipeline.stores.settings import RedisSettings, RedisWriterSettings
from tests.commands import Run

ROOT = Path(__file__).parent.parent
OFFBOARDING = str(ROOT / "usecases/offboarding.yaml")
HEAVY = {
    "numpy",
    "numba",
    "apache_beam",
    "pyarrow",
    "redis",
    "google.protobuf",
    "grpc",
    "rich",
    "yaml",
    "sklearn",
}


def verbs(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, each in getattr(command, "commands", {}).items():
        yield (*path, name), each
        yield from verbs(each, (*path, name))


VERBS = dict(verbs(typer.main.get_command(riskstream.app)))


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_help_says_what_a_verb_does_and_shows_it(run: Run, verb: tuple[str, ...]) -> None:
    ended = run(*verb, "--help")
    assert ended.code == 0
    assert re.search(r"^  [A-Z].*", ended.out, re.MULTILINE), "a sentence"
    examples = ended.out.partition("Examples:\n")[2].splitlines()
    assert examples
    assert all("riskstream " + verb[0] in line or line.startswith(" " * 8) for line in examples)


@pytest.mark.parametrize(
    "verb",
    [verb for verb in VERBS if verb not in {("run",), ("serve",), ("usecase",), ("bundle",)}],
    ids=" ".join,
)
def test_what_prints_something_prints_json_too(verb: tuple[str, ...]) -> None:
    assert any("--json" in option.opts for option in VERBS[verb].params)


def test_help_shows_every_exit_code(run: Run) -> None:
    shown = " ".join(run("--help").out.split())
    assert all(f"{each.code} {each.meaning}" in shown for each in EXITS)


@pytest.mark.parametrize("verb", [(), *VERBS], ids=" ".join)
def test_help_fits_80_columns(run: Run, verb: tuple[str, ...]) -> None:
    run.monkeypatch.setenv("COLUMNS", "80")
    lines = run(*verb, "--help").out.splitlines()
    assert [line for line in lines if len(line) > 80] == []
    assert [line for line in lines if line.endswith("...") and "Usage" not in line] == [], "words are cut"


def test_every_verb_is_in_one_group() -> None:
    grouped = [name for names in GROUPS.values() for name in names]
    assert sorted(grouped) == sorted(verb[0] for verb in VERBS if len(verb) == 1)


def test_help_shows_verbs_in_the_order_of_work(run: Run) -> None:
    shown = run("--help").out
    titles = [shown.index(f"\n{title}:\n") for title in GROUPS]
    assert titles == sorted(titles)
    assert "Show the whole system on this machine" in shown


def test_the_version_is_that_of_the_package(run: Run) -> None:
    from importlib.metadata import version

    assert run("--version").out == f"riskstream {version('riskstream')}\n"


def test_shells_complete_verbs() -> None:
    environment = {
        **os.environ,
        "_RISKSTREAM_COMPLETE": "complete_bash",
        "COMP_WORDS": "riskstream rec",
        "COMP_CWORD": "1",
    }
    script = (
        "import sys; sys.argv = ['riskstream']; import riskstream; riskstream.app(prog_name='riskstream')"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, env=environment
    )
    assert ended.stdout.split() == ["reconcile"], ended.stderr


SHARED = {  # a verb with the first flag opens this service: it has all the flags that say how
    "--redis-url": RedisSettings,
    "--dataset": BigQuerySettings,
}


@pytest.mark.parametrize("sign", SHARED)
def test_verbs_that_open_the_same_service_have_the_same_flags(sign: str) -> None:
    expected = {each.flag for each in declared(SHARED[sign])}
    verbs_of_it = [verb for verb, each in VERBS.items() if sign in options_of(each)]
    assert {"run", "status", "reconcile", "launch"} <= {verb[0] for verb in verbs_of_it}
    assert {verb: missing for verb in verbs_of_it if (missing := expected - options_of(VERBS[verb]))} == {}


def test_a_setting_that_is_on_can_be_turned_off(run: Run) -> None:
    assert "--no-owners" in run("run", "--help").out


def test_verbs_that_assess_have_the_flags_of_writers() -> None:
    expected = {each.flag for each in declared(RedisWriterSettings)}
    for verb in ("run", "serve", "backfill", "launch", "update"):
        assert expected <= options_of(VERBS[verb,])


@pytest.mark.parametrize(
    "verb", [verb for verb in VERBS if verb[0] not in ("launch", "update")], ids=" ".join
)
def test_a_variable_belongs_to_one_flag(verb: tuple[str, ...]) -> None:
    """A flag has the same variable and the same help in all verbs, but where a launch is stricter."""
    for each in VERBS[verb].params:
        for other in (
            two for name in VERBS if name[0] not in ("launch", "update") for two in VERBS[name].params
        ):
            if each.opts == other.opts and each.opts[0] in COMMON:
                assert (each.envvar, each.help) == (other.envvar, other.help), other


COMMON = ("--project", "--dataset", "--bundle", "--use-case", "--prefix", "--redis-url", "--redis-secret")


def options_of(command: typer.core.TyperCommand) -> set[str]:
    return {name for each in command.params for name in (*each.opts, *each.secondary_opts)}


def test_no_verb_at_all_is_wrong_usage_and_shows_help(run: Run) -> None:
    ended = run()
    assert ended.code == 2
    assert f"{next(iter(GROUPS))}:" in ended.out + ended.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["up", "--nope"], "--nope"),
        (["fly"], "fly"),
        (["generate", "--out", "x", "--customers", "0"], "--customers"),
        (["generate", "--out", "x", "--dirt", "mud=0.1"], "duplicate_rows"),
        (["generate", "--out", "x", "--dirt", "late_rows=2"], "from 0 to 1"),
        (["topics"], "GOOGLE_CLOUD_PROJECT"),
        (["run", "--project", "p"], "REDIS_URL"),
        (["publish", "nowhere.csv", "--project", "p"], "nowhere.csv"),
        (["train", "nowhere.csv"], "found no file 'nowhere.csv'"),
        (
            ["models", "--use-case", "nowhere.yaml"],
            "found no file 'nowhere.yaml'; expected a use case",
        ),
        (["models", "--use-case", "ofboarding"], "Invalid value for '--use-case'"),
        (["profile", "nowhere.csv"], "bq://PROJECT.DATASET.TABLE"),
        (["train", "bq://bank.users"], "bq://bank.users: expected bq://PROJECT.DATASET.TABLE"),
        (["publish", OFFBOARDING, "--project", "p", "--rate", "1", "--speed", "1"], "not both"),
        (["publish", OFFBOARDING, "--project", "p", "--use-case", OFFBOARDING], ".csv"),
    ],
    ids=lambda value: " ".join(value[:3]) if isinstance(value, list) else value,
)
def test_wrong_usage_ends_in_2_and_names_the_flag(run: Run, words: list[str], said: str) -> None:
    ended = run(*words)
    assert ended.code == 2
    assert said in ended.err
    assert ended.out == ""


@pytest.mark.parametrize(("verb", "former"), FLAGS, ids=" ".join)
def test_a_former_flag_is_refused_with_the_new_one_named(run: Run, verb: str, former: str) -> None:
    now = FLAGS[verb, former]
    ended = run(verb, former)
    assert ended.code == 2
    assert f"{former} is now {now}." in " ".join(ended.err.split())
    assert former not in options_of(VERBS[verb,])
    if now.startswith("`riskstream "):
        assert (now.strip("`").removeprefix("riskstream "),) in VERBS
    else:
        assert now in options_of(VERBS[verb,])


def test_a_use_case_is_shown_as_a_table(run: Run) -> None:
    ended = run("usecase", "check", OFFBOARDING)
    assert ended.code == 0
    first, *rows, _, summary = ended.out.splitlines()
    assert first.split() == ["feature", "entity", "window", "fields", "meaning"]
    assert summary.startswith(f"offboarding: {len(rows)} features, fingerprint ")
    assert summary.endswith("; records kept: customer for ever")


def test_a_use_case_is_shown_as_json(run: Run) -> None:
    from features.usecase import load

    use_case = load(OFFBOARDING)
    found = json.loads(run("usecase", "check", OFFBOARDING, "--json").out)
    assert found["fingerprint"] == use_case.fingerprint
    assert [row["feature"] for row in found["features"]] == list(use_case.features)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("subject: customer", "subject: client"), "client"),
        (("{state: COMPLETED, direction: IN}", "{state: COMPLETE, direction: IN}"), "'COMPLETE'"),
        (("policy:\n", "policy:\n  flal: 1\n"), "flal"),
    ],
    ids=["subject", "value", "policy"],
)
def test_a_wrong_use_case_ends_in_3_with_one_line(
    run: Run, tmp_path: Path, change: tuple[str, str], said: str
) -> None:
    text = Path(OFFBOARDING).read_text()
    assert change[0] in text
    file = tmp_path / "wrong.yaml"
    file.write_text(text.replace(*change))
    ended = run("usecase", "check", str(file))
    assert ended.code == 3
    assert ended.err.startswith(f"riskstream: {file}")
    assert said in ended.err
    assert ended.err.count("\n") == 1


MANY = (
    ("subject: customer", "subject: client"),
    ("{state: COMPLETED, direction: IN}", "{state: COMPLETE, direction: IN}"),
    ("policy:\n", "policy:\n  flal: 1\n"),
    ("  trials: 0\n", "  trials: none\n"),
)


def test_all_that_is_wrong_with_a_use_case_is_told_at_once_by_line(run: Run, tmp_path: Path) -> None:
    text = Path(OFFBOARDING).read_text()
    for old, new in MANY:
        assert text.count(old) >= 1
        text = text.replace(old, new, 1)
    file = tmp_path / "wrong.yaml"
    file.write_text(text)
    places = [text[: text.index(new)].count("\n") + 1 + new.startswith("policy") for _, new in MANY]
    ended = run("usecase", "check", str(file))
    assert ended.code == 3
    assert [line.split(": ")[1] for line in ended.err.splitlines()] == [f"{file}:{n}" for n in sorted(places)]
    ended = run("usecase", "check", str(file), "--json")
    assert (ended.code, ended.err) == (3, "")
    faults = json.loads(ended.out)["faults"]
    assert [fault["line"] for fault in faults] == sorted(places)
    (value,) = [fault for fault in faults if fault["found"] == "'COMPLETE'"]
    assert value["hint"] == "COMPLETED" and value["expected"].startswith("one of PENDING, COMPLETED")
    assert value["path"].startswith("features.customer.aggregates.")


@pytest.mark.parametrize(
    "verb", [("train", OFFBOARDING), ("topics", "--project", "p")], ids=lambda verb: verb[0]
)
def test_other_verbs_tell_all_faults_too(run: Run, tmp_path: Path, verb: tuple[str, ...]) -> None:
    file = tmp_path / "wrong.yaml"
    text = Path(OFFBOARDING).read_text().replace("subject: customer", "subject: client")
    file.write_text(text.replace("lateness:", "latenes:"))
    ended = run(*verb, "--use-case", str(file))
    assert ended.code == 3
    assert len(ended.err.splitlines()) == 2


def test_thresholds_in_the_wrong_order_are_refused_by_check(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "inverted.yaml"
    head = Path(OFFBOARDING).read_text().partition("\npolicy:")[0]
    file.write_text(head + "\npolicy: {high: 0.3, medium: 0.9}\n")
    ended = run("usecase", "check", str(file))
    assert ended.code == 3
    assert "high at score 0.3 lies below medium at score 0.9" in ended.err


def test_a_cost_that_is_no_feature_is_refused_by_check(run: Run, tmp_path: Path) -> None:
    head = Path(OFFBOARDING).read_text().partition("\npolicy:")[0]
    for name, code in (("money_out_sum_30d", 0), ("money_out_sum_31d", 3)):
        file = tmp_path / f"{name}.yaml"
        file.write_text(f"{head}\npolicy: {{high: {{expected_cost: {{miss: {name}, false_alarm: 25}}}}}}\n")
        ended = run("usecase", "check", str(file))
        assert ended.code == code, ended.err
    assert "miss: 'money_out_sum_31d' is not one of" in ended.err and "money_out_sum_30d" in ended.err


def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from features.usecase import BadUseCase

    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("use_case: wrong\n")
    monkeypatch.setattr(sys, "argv", ["riskstream", "--debug", "usecase", "check", str(wrong)])
    with pytest.raises(BadUseCase):
        riskstream.main()


def test_a_stack_that_is_not_up_ends_in_6(run: Run, tmp_path: Path) -> None:
    ended = run("env", "--folder", str(tmp_path))
    assert ended.code == 6
    assert "riskstream up" in ended.err


def test_a_job_that_cannot_start_says_why_at_once(run: Run, tmp_path: Path) -> None:
    run.monkeypatch.setenv("PUBSUB_EMULATOR_HOST", "127.0.0.1:1")
    run.monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", "http://127.0.0.1:1")
    words = ["--bundle", str(tmp_path), "--use-case", OFFBOARDING, "--state", str(tmp_path)]
    ended = run("run", "--project", "p", "--redis-url", "redis://127.0.0.1:1", *words)
    assert ended.code == 8
    reasons = ended.err.splitlines()
    assert all(line.startswith("riskstream: ") for line in reasons)
    assert {"bundle", "Redis", "subscription", "tables"} <= {line.split(":")[1].strip() for line in reasons}


def test_a_worker_without_extras_says_what_to_install() -> None:
    script = "import sys; sys.modules['psutil'] = None; import riskstream; riskstream.main()"
    ended = python(script, "env")
    assert ended.returncode == 9
    assert "riskstream[local,serving,training]" in ended.stderr


def test_generated_files_are_the_same_for_the_same_seed(run: Run, tmp_path: Path) -> None:
    flags = ["--customers", "20", "--days", "20", "--seed", "3", "--json"]
    first = json.loads(run("generate", "--out", str(tmp_path / "a"), *flags).out)
    second = json.loads(run("generate", "--out", str(tmp_path / "b"), *flags).out)
    assert first["customers"] == 20
    for one, other in zip(first["files"], second["files"], strict=True):
        assert Path(one).read_bytes() == Path(other).read_bytes()


def test_help_imports_nothing_heavy() -> None:
    script = "import sys, riskstream; print([name for name in sys.argv[1:] if name in sys.modules])"
    assert python(script, *sorted(HEAVY)).stdout == "[]\n"


def python(script: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", script, *words], capture_output=True, text=True, cwd=ROOT)
