"""The tutorial's commands work in the order of the page, on fewer customers."""

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/tutorial.md").read_text()
SHELL = re.findall(r"^```sh\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
LINES = re.findall(r"below `(\w+):`\n\n```yaml\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
CUSTOMERS = 40
# The job of the first shell, stopped when the second one ends; its output would keep the pipe of this test open.
BESIDE = """riskstream run --allow-empty-store > job.log 2>&1 &
trap "kill $!" EXIT
sleep 20
"""


def run(script: str, folder: Path) -> str:
    """Run a block as a shell does after `source .venv/bin/activate`, and return what it printed."""
    environment = os.environ | {"PATH": f"{ROOT / '.venv/bin'}:{os.environ['PATH']}"}
    result = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_the_draft_becomes_a_use_case_with_a_feature_of_its_own(tmp_path: Path) -> None:
    install, data, draft, check, *_ = SHELL
    assert "make setup" in install
    run(data.replace("CUSTOMERS = 400", f"CUSTOMERS = {CUSTOMERS}"), tmp_path)
    run(
        draft.partition("\nriskstream usecase check")[0], tmp_path
    )  # the check comes below, with one feature more
    file = tmp_path / "build/tutorial/shop.yaml"
    text = file.read_text()
    assert [section for section, _ in LINES] == ["aggregates", "ratios"]
    for section, lines in LINES:
        assert text.count(f"    {section}:\n") == 1
        text = text.replace(f"    {section}:\n", f"    {section}:\n{lines}")
    file.write_text(text)
    printed = run(check, tmp_path)
    assert "amount_over_usual" in printed and "share_declined" in printed and "declined_count_24h" in printed


@pytest.mark.slow
def test_the_whole_tutorial_ends_with_everything_equal(tmp_path: Path) -> None:
    _, data, draft, check, train, job, stream = SHELL
    job = job.replace("riskstream run --allow-empty-store\n", BESIDE)
    stream = stream.replace("source .venv/bin/activate\n", "").replace(
        "riskstream status", "sleep 20\nriskstream status"
    )
    parts = (
        data.replace("CUSTOMERS = 400", f"CUSTOMERS = {2 * CUSTOMERS}"),
        draft,
        check,
        train,
        job,
        stream,
    )
    printed = run("".join(parts), tmp_path)
    assert "promoted" in printed or "shop-" in printed
    assert "dead letters  none" in printed
