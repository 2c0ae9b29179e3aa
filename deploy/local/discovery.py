"""The local stack of a folder, found by commands whose environment names no servers."""

import os
from collections.abc import Mapping
from pathlib import Path

from deploy.local import state

# Each of these says where to work, or as whom. One is enough: a local stack must never replace a part of a real system.
DECIDING = (
    "GOOGLE_CLOUD_PROJECT",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "REDIS_URL",
    "PUBSUB_EMULATOR_HOST",
    "BIGQUERY_EMULATOR_HOST",
    "BIGQUERY_STORAGE_EMULATOR_HOST",
)


def running_environment(folder: Path) -> Mapping[str, str]:
    """Return the environment of the stack that runs in a folder.

    Empty if the process's environment has one of DECIDING, or if a service of the stack does not run.
    """
    if any(os.environ.get(name) for name in DECIDING) or not (folder / state.FILE).exists():
        return {}
    known = state.read(folder)
    processes = [part.process for part in known.parts.values()]
    is_up = bool(processes) and all(process and process.running() for process in processes)
    return known.environment if is_up else {}
