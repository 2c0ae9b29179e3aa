"""Use cases that come with riskstream, one YAML file each, found by name wherever the package is installed."""

from pathlib import Path

__all__ = ["DEFAULT", "find", "names"]

DEFAULT = "offboarding"
FOLDER = Path(__file__).parent


def names() -> list[str]:
    """Return the names of the packaged use cases, sorted."""
    return sorted(file.stem for file in FOLDER.glob("*.yaml"))


def find(name_or_path: str | Path) -> Path:
    """Return the file of a use case, which is given by its path or by the name of a packaged one.

    A file of that path wins. Raises FileNotFoundError, which lists the names, if there is neither.
    """
    path = Path(name_or_path)
    if path.is_file():
        return path
    packaged = FOLDER / f"{path}.yaml"
    if path.name != str(path) or not packaged.is_file():
        raise FileNotFoundError(
            f"found no file {str(path)!r}; expected a use case file, or the name of a packaged use case: "
            + ", ".join(names())
        )
    here = Path.cwd()
    return packaged.relative_to(here) if packaged.is_relative_to(here) else packaged
