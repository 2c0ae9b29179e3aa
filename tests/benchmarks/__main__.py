"""`python -m tests.benchmarks`: measure part after part, each run in a separate process, and show a table.

Writes build/bench.json; with --only build/bench.partial.json. For before and after, run it twice with --compare.
"""

import argparse
from pathlib import Path

from tests.benchmarks import report
from tests.benchmarks.parts import PARTS, end_properly, measure
from tests.benchmarks.report import Row

FILE = Path("build/bench.json")
PARTIAL_FILE = Path("build/bench.partial.json")


def main() -> None:
    end_properly()
    options = parser().parse_args()
    before = report.read(options.compare) if options.compare else None
    rows: list[Row] = []
    for part in options.only or PARTS:
        print(f"== {part}", flush=True)
        rows += measure(part, options.events, options.runs)
    found = report.report(rows)
    file = options.out or (PARTIAL_FILE if options.only else FILE)
    report.write(found, file)
    report.show(found, before, stages=options.profile)
    print(f"written to {file}")


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=PARTS, help="these parts")
    parser.add_argument(
        "--events", type=int, help="how many events each part takes, instead of its own number"
    )
    parser.add_argument("--runs", type=int, help="how often each part is run; the table shows medians")
    parser.add_argument("--profile", action="store_true", help="also show how long each stage took, an event")
    parser.add_argument(
        "--compare", type=Path, metavar="FILE", help="show what changed since this bench.json"
    )
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="where to write, instead of build/bench.json"
    )
    return parser


if __name__ == "__main__":
    main()
