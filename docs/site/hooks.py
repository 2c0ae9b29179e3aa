"""Hooks of MkDocs: pages from the top of the repository, the list of decisions, and links into the repository.

Pages are written for readers of the repository, so links are relative to files. On the site, a link to a file that is
no page becomes the file's path as code; a link to a file that does not exist is a warning, which ends a strict build.
"""

import logging
import os
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
TOP_PAGES = ("CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")
SHIM = "iframe-worker.js"
LINK = re.compile(r"(?<!!)\[([^\]]*)\]\(([^)\s#]*)(#[^)\s]*)?\)")
CODE = re.compile(r"(^```.*?^```|`[^`\n]+`(?!\]))", re.MULTILINE | re.DOTALL)

log = logging.getLogger("mkdocs.riskstream")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Fill the section of decisions with the records, in the order of their numbers."""
    for section in config.nav or []:
        if isinstance(section, dict) and "Decisions" in section:
            records = sorted(path.name for path in (DOCS / "decisions").glob("[0-9]*.md"))
            section["Decisions"] = ["decisions/index.md", *(f"decisions/{name}" for name in records)]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that lie at the top of the repository, and the script by which search works from the disk."""
    files.append(File.generated(config, f"assets/javascripts/{SHIM}", abs_src_path=str(DOCS / "site" / SHIM)))
    for name in TOP_PAGES:
        files.append(File.generated(config, name, content=(ROOT / name).read_text()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Return the page with its links into the repository resolved."""
    docs = Path(config.docs_dir)
    folder = docs.parent if page.file.src_uri in TOP_PAGES else docs
    parts = CODE.split(markdown)
    return "".join(
        part if i % 2 else LINK.sub(lambda link: _resolved(link, folder / page.file.src_uri, docs), part)
        for i, part in enumerate(parts)
    )


def _resolved(link: re.Match[str], source: Path, docs: Path) -> str:
    """Return a link to a page of the site, or the path as code where the file is no page."""
    text, target, anchor = link[1], link[2], link[3] or ""
    if not target or "://" in target or target.startswith("mailto:"):
        return link[0]
    path = Path(os.path.normpath(source.parent / target))
    if not path.exists():
        log.warning("%s links to %s, which does not exist", source.relative_to(docs.parent), target)
        return link[0]
    place = _on_site(path, docs)
    if place is None:
        name = str(path.relative_to(docs.parent))
        return f"`{name}`" if text.strip("`").strip("/") == name else f"{text} (`{name}`)"
    here = docs if source.is_relative_to(docs) else docs.parent
    return f"[{text}]({os.path.relpath(place, source.relative_to(here).parent)}{anchor})"


def _on_site(path: Path, docs: Path) -> str | None:
    """Return the page's address within the site, or None for a file that is no page."""
    if path.parent == docs.parent and path.name in TOP_PAGES:
        return path.name
    if path.is_relative_to(docs) and path.suffix == ".md":
        return str(path.relative_to(docs))
    return None
