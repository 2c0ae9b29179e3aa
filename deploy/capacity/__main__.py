"""`python -m deploy.capacity [build/bench.json]`: keeps the figures of a benchmark, and writes docs/scaling.md anew."""

import sys
from pathlib import Path

from deploy.capacity import files
from deploy.capacity.page import PAGE, renewed

if __name__ == "__main__":
    for bench in sys.argv[1:]:
        files.MEASURED.write_bytes(files.kept(Path(bench)))
    PAGE.write_text(renewed(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
