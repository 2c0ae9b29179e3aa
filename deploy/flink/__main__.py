"""`python -m deploy.flink up` and `down`: what `make flink-up` and `make flink-down` do."""

import argparse
import os
import shlex
import sys
from collections.abc import Mapping

from deploy.flink import cluster, files
from deploy.local import stack


def stack_environment() -> Mapping[str, str]:
    """Return the workers' environment for Redis, Pub/Sub and BigQuery; the present one if no stack is up."""
    try:
        return stack.environment()
    except stack.StackError:
        return {}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m deploy.flink", description=cluster.__doc__)
    parser.add_argument("verb", choices=["up", "down"])
    parser.add_argument("--task-managers", type=int, default=2)
    options = parser.parse_args()
    if options.verb == "down":
        print("stopped" if cluster.down() else f"no Flink was up in {cluster.FOLDER}")
        return 0
    os.environ.update(stack_environment())
    try:
        processes = cluster.up(task_managers=options.task_managers)
    except files.FlinkMissing as error:
        print(error, file=sys.stderr)
        return 1
    print(f"Flink is up: {processes.url} (logs in {processes.folder}; `make flink-down` stops it). Now:\n")
    print(f"riskstream run --workers 4 -- {shlex.join(processes.beam_flags(parallelism=2))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
