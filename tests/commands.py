"""The command line run in the test's own process, which has imported by then what a new one would for seconds."""

import sys
from typing import NamedTuple

import pytest

import riskstream


class Ended(NamedTuple):
    code: int
    out: str
    err: str


class Run:
    """Runs a command in this process, as the console script would."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.monkeypatch, self.capsys = monkeypatch, capsys

    def __call__(self, *words: object) -> Ended:
        self.monkeypatch.setattr(sys, "argv", ["riskstream", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            riskstream.main()
        return Ended(int(ended.value.code or 0), *self.capsys.readouterr())
