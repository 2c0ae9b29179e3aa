"""The embedded Pub/Sub server as a separate process: it prints its address once ready and stops on SIGTERM or SIGINT.

Everything is in memory and ends with the process.
"""

import argparse
import os
import signal
import sys
from pathlib import Path

from pipeline.runtime.process_tuning import tune_process

from .server import serve

# With the default of 5 ms a call that wakes up waits that long for one that is busy with a large batch.
SWITCH_INTERVAL_S = 0.001


def main(arguments: list[str] | None = None) -> int:
    """Serve until a stop signal; return the exit code."""
    options = _parser().parse_args(arguments)
    stop_signals = {signal.SIGTERM, signal.SIGINT}
    # Blocked before any thread exists, so that all inherit it and only sigwait below ever sees them.
    signal.pthread_sigmask(signal.SIG_BLOCK, stop_signals)
    tune_process(SWITCH_INTERVAL_S)
    with serve(options.host, options.port) as server:
        if options.port_file:
            _write(options.port_file, str(server.port))
        print(server.address, flush=True)
        signal.sigwait(stop_signals)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m deploy.local.pubsub", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="interface to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=0, help="port to listen on (default: a free one)")
    parser.add_argument("--port-file", type=Path, help="file to write the port to once ready")
    return parser


def _write(path: Path, text: str) -> None:
    """Write a file atomically, so that a reader never sees half a number."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    temporary.write_text(text)
    temporary.replace(path)


if __name__ == "__main__":
    sys.exit(main())
