"""Commands in documents and messages exist: verbs, flags, make targets, files.

Commands in code blocks are parsed by the command line's own parser, everything but run.
"""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer

import riskstream

ROOT = Path(__file__).parent.parent
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/**/*.md"))]
SOURCES = [
    file
    for room in ("commands", "deploy", "export", "features", "pipeline", "serving", "training", "usecases")
    for file in sorted((ROOT / room).rglob("*"))
    if file.suffix in {".py", ".yaml"}
]
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`\n]+)`")
COMMAND = re.compile(
    r"(?:^|[(\s/])(riskstream|make)(?![-.\w/])((?: [^#|)>&`]+)?)"
)  # also in eval "$(...)", before a pipe; not as a part of a path or a name
LINK = re.compile(r"\]\(([^)#]+)\)")
PATH = re.compile(r"^(?:[\w.-]+/)+(?:[\w.-]+)?$")
ENVIRONMENT = {"GOOGLE_CLOUD_PROJECT": "p", "REDIS_URL": "redis://localhost"}


class Told(NamedTuple):
    """A command that a file tells people to type."""

    file: str
    program: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return " ".join((f"{self.file}:", self.program, *self.words))


def commands_in(text: str, file: str) -> Iterator[Told]:
    for line in text.replace("\\\n", " ").splitlines():
        for program, rest in COMMAND.findall(line.rstrip('"')):
            yield Told(file, program, tuple(shlex.split(rest)))


def told_in_blocks() -> list[Told]:
    return [
        told
        for file in DOCUMENTS
        for block in BLOCK.findall(file.read_text())
        for told in commands_in(block, str(file.relative_to(ROOT)))
    ]


def told_in_spans(files: list[Path]) -> list[Told]:
    """Commands between backticks, in prose and in messages."""
    return [
        told
        for file in files
        for span in SPAN.findall(re.sub(r"```.*?```", "", file.read_text(), flags=re.DOTALL))
        if span.startswith(("riskstream ", "make "))
        for told in commands_in(span, str(file.relative_to(ROOT)))
    ]


def examples_in_help() -> list[Told]:
    """The examples of all verbs."""
    return [told for verb in all_commands() for told in commands_in(str(verb.epilog or ""), verb.name)
            if "Exit codes" not in str(verb.epilog)]  # fmt: skip


def all_commands(command: Any = None) -> Iterator[Any]:
    command = command or typer.main.get_command(riskstream.app)
    yield command
    for each in getattr(command, "commands", {}).values():
        yield from all_commands(each)


def parse(words: list[str]) -> None:
    """Parse as the command line would, to the end. Raises what it would end with in code 2."""
    command: Any = typer.main.get_command(riskstream.app)
    context = command.make_context("riskstream", words, resilient_parsing=False)
    while hasattr(command, "commands"):
        rest = [*context._protected_args, *context.args]
        name, command, rest = command.resolve_command(context, rest)
        context = command.make_context(name, rest, parent=context)


def knows(words: tuple[str, ...]) -> bool:
    """Return True if the verb and its flags exist, whatever arguments may be missing."""
    command: Any = typer.main.get_command(riskstream.app)
    path = list(words)
    while path and not path[0].startswith("-") and hasattr(command, "commands"):
        command = command.commands.get(path.pop(0))
    flags = {
        option for each in getattr(command, "params", ()) for option in [*each.opts, *each.secondary_opts]
    } | {"--help"}
    return command is not None and {word for word in path if word.startswith("--")} <= flags


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def ids(told: Told) -> str:
    return str(told)


def of(program: str, found: list[Told]) -> list[Told]:
    return [told for told in found if told.program == program]


@pytest.mark.parametrize("told", of("riskstream", told_in_blocks() + examples_in_help()), ids=ids)
def test_commands_to_type_are_understood(told: Told, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    for word in (
        word.rpartition("=")[2] for word in told.words
    ):  # files that a checkout has, or that an earlier command would have made
        if word.startswith(("build/", "usecases/")) and "." in word:
            (tmp_path / word).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / word).touch()
    parse(list(told.words))


@pytest.mark.parametrize("told", of("riskstream", told_in_spans(DOCUMENTS + SOURCES)), ids=ids)
def test_commands_in_prose_and_messages_exist(told: Told) -> None:
    assert knows(told.words)


@pytest.mark.parametrize("told", of("make", told_in_blocks() + told_in_spans(DOCUMENTS + SOURCES)), ids=ids)
def test_targets_exist(told: Told) -> None:
    assert {word for word in told.words if "=" not in word} <= make_targets()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda file: str(file.relative_to(ROOT)))
def test_files_that_documents_name_exist(document: Path) -> None:
    text = document.read_text()
    links = {document.parent / link for link in LINK.findall(text) if "://" not in link}
    paths = {ROOT / path for path in SPAN.findall(text) if PATH.match(path)}
    made = (ROOT / "build", ROOT / ".venv", ROOT / ".riskstream")
    assert [
        path for path in links | paths if not path.exists() and not any(map(path.is_relative_to, made))
    ] == []


def test_the_makefile_names_what_it_does() -> None:
    documented = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert documented == make_targets()


def test_readme_has_what_a_newcomer_needs() -> None:
    told = {(each.program, *each.words[:1]) for each in told_in_blocks() if each.file == "README.md"}
    assert {("make", "demo"), ("make", "test"), ("riskstream", "publish"), ("riskstream", "alerts"),
            ("riskstream", "run")} <= told  # fmt: skip


def test_the_parser_of_this_test_sees_commands() -> None:
    text = 'eval "$(riskstream up --json)"\nmake lock UPGRADE=--upgrade\nriskstream env | grep X  # why\nremake it\n'
    assert [told[1:] for told in commands_in(text, "f")] == [
        ("riskstream", ("up", "--json")),
        ("make", ("lock", "UPGRADE=--upgrade")),
        ("riskstream", ("env",)),
    ]
    assert not knows(("fly",))
    assert not knows(("up", "--nope"))
    with pytest.raises(Exception, match="No such option"):
        parse(["up", "--nope"])
