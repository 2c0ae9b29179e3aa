"""A process that opens the market's bundle and assesses: `python -m tests.pipeline.cold_engine ROOT`.

Prints the number of compiled functions in memory before the model is open, then, and after the first events.
"""

import sys
from contextlib import closing

from numba.core.dispatcher import Dispatcher

from pipeline.engine.assess import assess
from pipeline.engine.live_model import LiveModel
from pipeline.stores.store import MemoryStore
from tests.pipeline.market import batched, history, market


def loaded() -> int:
    """Count the compiled functions, of all argument types, that are ready to be called."""
    of_us = [module for name, module in list(sys.modules.items()) if name.startswith(("features", "export"))]
    dispatchers = {
        id(each): each for module in of_us for each in vars(module).values() if isinstance(each, Dispatcher)
    }
    return sum(len(each.overloads) for each in dispatchers.values())


def main(root: str) -> None:
    before = loaded()
    with closing(LiveModel(market(), root, MemoryStore(), "p")) as model:
        opened = loaded()
        assess(model.current(), batched(market(), history(market(), 300, seed=3)))
        print(before, opened, loaded())


if __name__ == "__main__":
    main(*sys.argv[1:])
