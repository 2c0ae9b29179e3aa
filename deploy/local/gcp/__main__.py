"""Serve until Ctrl-C and print the environment of clients: `python -m deploy.local.gcp --port 9050 --bucket bank`."""

import argparse
import signal
import sys
from threading import Event

from deploy.local.gcp.server import serve
from deploy.local.stack import exports


def main() -> None:
    """Serve until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m deploy.local.gcp", description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument(
        "--bucket",
        action="append",
        default=[],
        help="make this bucket at the start; may be given several times",
    )
    options, ended = parser.parse_args(), Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    with serve(options.port) as cloud:
        cloud.storage.buckets.update({name: {} for name in options.bucket})
        print(exports(cloud.environment), flush=True)
        print("serving until Ctrl-C", file=sys.stderr)
        ended.wait()


if __name__ == "__main__":
    main()
