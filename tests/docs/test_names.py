"""Pages name what is in the code: modules, functions, and what a file of a how-to holds."""

import re
from pathlib import Path

import pytest

from docs.site import flow, places, rooms

ROOT = Path(__file__).parents[2]
PAGES = [
    *sorted(ROOT.glob("docs/**/*.md")),
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
]
DOTTED = re.compile(
    r"`((?:features|export|pipeline|training|serving|deploy|commands|docs|tests)(?:\.\w+)+)(?:\(\))?`"
)
CODE = re.compile(r"`([^`\n]+)`")
NAME = re.compile(r"^_?[A-Za-z]\w+$")
INVENTED = {"RANGE", "C_RANGE", "range", "duration"}  # what the how-to pages add


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_names_is_in_the_code(page: Path) -> None:
    for name in DOTTED.findall(page.read_text()):
        if not name.endswith((".md", ".py", ".yaml", ".json", ".txt")):
            places.file_of(name)


@pytest.mark.parametrize("page", sorted(ROOT.glob("docs/extend/*.md")), ids=lambda page: page.stem)
def test_files_of_a_how_to_hold_what_it_says(page: Path) -> None:
    rows = [line for line in page.read_text().splitlines() if line.startswith("| ") and ".py`" in line]
    assert rows
    for row in rows:
        named = CODE.findall(row)
        files = [ROOT / each for each in named if each.endswith(".py")]
        held = "".join(file.read_text() for file in files)
        words = {each for each in named if NAME.fullmatch(each)} - INVENTED
        assert {word for word in words if word not in held} == set(), row


@pytest.mark.parametrize("walk", [places.MESSAGE, places.ROW, places.REQUEST])
def test_steps_of_a_walk_are_in_the_code(walk: tuple[places.Step, ...]) -> None:
    assert all(places.file_of(step.place)[0].endswith(".py") for step in walk)


def test_a_place_is_followed_through_imports() -> None:
    assert places.file_of("export.policy.decide") == ("export/policy/rules.py", "decide")
    assert places.file_of("features.kernel.ring") == ("features/kernel/ring.py", "")


@pytest.mark.parametrize("place", ["features.kernel.ring.nothing", "nowhere.at.all"])
def test_a_place_that_is_gone_is_an_error(place: str) -> None:
    with pytest.raises(LookupError, match=re.escape(place)):
        places.file_of(place)


@pytest.mark.parametrize("room", rooms.ROOMS)
def test_each_part_of_a_room_stands_above_what_it_imports(room: str) -> None:
    floors = rooms.floors(room)
    below: set[str] = set()
    for floor in floors:
        for part in floor:
            inside = {each for each in rooms.imports()[part] if each.split(".")[0] == room}
            assert inside <= below, part
        below |= set(floor)


def test_an_arrow_needs_both_of_its_boxes() -> None:
    with pytest.raises(KeyError):
        flow.flow("t", {"a": flow.Node("a", 0, 0)}, [flow.Arrow("a", "b")], flow.Grid())
