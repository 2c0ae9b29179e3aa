"""The site builds without a warning, and its pages ask nothing of the network."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
REMOTE = re.compile(r"""<(?:script|link|img|iframe)[^>]+(?:src|href)=["']?(?:https?:)?//[^"'\s>]+""")


def build(folder: Path, config: Path = ROOT / "docs/site/mkdocs.yml") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mkdocs", "build", "--config-file", str(config), "--site-dir"]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(
        [*command, str(folder)], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site; strict, so every link, anchor and page of the navigation is there."""
    folder = tmp_path_factory.mktemp("site")
    result = build(folder)
    assert result.returncode == 0, result.stderr
    return folder


def test_every_page_is_built(site: Path) -> None:
    pages = {file.relative_to(ROOT / "docs").with_suffix("") for file in (ROOT / "docs").rglob("*.md")}
    built = {file.relative_to(site).with_suffix("") for file in site.rglob("*.html")}
    assert pages <= built
    assert {Path("CONTRIBUTING"), Path("CHANGELOG")} <= built


def test_pages_take_nothing_from_the_network(site: Path) -> None:
    for file in site.rglob("*.html"):
        assert REMOTE.findall(file.read_text()) == [], file


def test_search_works_from_the_disk(site: Path) -> None:
    """Over file:// a browser fetches nothing and starts no worker: index and worker are scripts."""
    assert (site / "assets/javascripts/iframe-worker.js").exists()
    assert "dead_letters" in (site / "search/search_index.js").read_text()


def test_a_link_to_a_file_that_is_not_there_fails(tmp_path: Path) -> None:
    pages = tmp_path / "docs"
    (pages / "decisions").mkdir(parents=True)
    (pages / "index.md").write_text("# Title\n\n[gone](../deploy/gone.py)\n")
    config = tmp_path / "mkdocs.yml"
    hooks = ROOT / "docs/site/hooks.py"
    config.write_text(f"site_name: t\ndocs_dir: {pages}\nstrict: true\nhooks: [{hooks}]\nnav: [index.md]\n")
    result = build(tmp_path / "site", config)
    assert result.returncode != 0 and "gone.py, which does not exist" in result.stderr + result.stdout
