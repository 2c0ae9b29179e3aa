"""All generated pages and pictures by their paths in the repository."""

from collections.abc import Callable
from pathlib import Path

from docs.site import cli, decisions, messages, metrics, overviews, pictures, places, tables, use_case

ROOT = Path(__file__).parents[2]
PAGES: dict[str, Callable[[], str]] = {
    "docs/reference/cli.md": cli.page,
    "docs/reference/tables.md": tables.page,
    "docs/reference/messages.md": messages.page,
    "docs/reference/metrics.md": metrics.page,
    "docs/reference/use-case.md": use_case.page,
    "usecases/schema.json": use_case.schema,
    "docs/walks.md": places.page,
    "docs/decisions/index.md": decisions.page,
    "docs/pictures/programs.svg": overviews.programs,
    "docs/pictures/deploy.svg": overviews.deploy,
    "docs/pictures/release.svg": overviews.release,
    "docs/pictures/floors.svg": pictures.floors,
    "docs/pictures/message.svg": pictures.message,
    "docs/pictures/row.svg": pictures.row,
    "docs/pictures/request.svg": pictures.request,
}


def write(root: Path = ROOT) -> list[str]:
    """Write every page and return the paths of those that changed."""
    changed = []
    for path, page in PAGES.items():
        file, text = root / path, page()
        if not file.exists() or file.read_text() != text:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
            changed.append(path)
    return changed
