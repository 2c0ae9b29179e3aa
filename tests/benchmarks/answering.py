"""The REST service as a process, with Redis and Pub/Sub of the local stack, and callers who all live in this process.

First as many requests as it answers, then a steady number a second, each timed from when it was due until its answer is
there. No job runs beside it.
"""

import asyncio
import gc
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import numpy as np

from deploy.local import stack
from deploy.local.services import SERVICES
from features.usecase import load
from pipeline.pubsub.topics import Names, create
from tests.benchmarks import workloads
from tests.benchmarks.report import Row
from tests.pipeline.servers import free_port
from tests.pipeline.vital import begun

PROJECT = "bench"
PATH = "/v1/events/transaction"
CALLERS = 64
WARM = 2_000
RATE_PER_S, SETTLE_S, STEADY_S = 300, 3, 30
PROMPT_MS = 100.0
START_S = 60.0

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def answering(events: int) -> list[Row]:
    for service in SERVICES:  # the stack is to be our own
        for name in service.environment([0] * service.ports):
            os.environ.pop(name, None)
    with (
        tempfile.TemporaryDirectory() as root,
        stack.running(Path(root) / "stack", ["redis", "pubsub"]) as found,
    ):
        os.environ.update(found.environment)
        use_case = load(workloads.SIXTEEN)
        create(Names(PROJECT, use_case.name))
        history = workloads.sixteen(
            use_case, workloads.payments(WARM + events + RATE_PER_S * (SETTLE_S + STEADY_S))
        )
        workloads.train(workloads.sixteen(use_case, workloads.payments(60_000)), f"{root}/bundles")
        begun(os.environ["REDIS_URL"], use_case)  # as a job does, and none runs here
        with served(f"{root}/bundles") as port:
            gc.collect()
            gc.freeze()
            return asyncio.run(asked(port, history.bodies, events))


@contextmanager
def served(bundles: str) -> Iterator[int]:
    """`riskstream serve`; its port, once it answers."""
    port = free_port()
    command = [
        sys.executable, "-m", "riskstream", "serve", "--allow-empty-store", "--project", PROJECT, "--bundle", bundles,
        "--use-case", str(workloads.SIXTEEN), "--port", str(port), "--audit-folder", f"{bundles}/audit",
    ]  # fmt: skip
    # Records of the audit trail are written; BigQuery is away, as its server would take a core that Google's does not.
    away = {"BIGQUERY_EMULATOR_HOST": "http://127.0.0.1:1", "BIGQUERY_STORAGE_EMULATOR_HOST": "127.0.0.1:1"}
    with subprocess.Popen(command, env=os.environ | away) as process:
        try:
            yield port
        finally:
            process.send_signal(signal.SIGTERM)


async def asked(port: int, bodies: Sequence[bytes], events: int) -> list[Row]:
    async with callers(port) as idle:
        await at_once(idle, bodies[:WARM])
        began_s = time.perf_counter()
        await at_once(idle, bodies[WARM : WARM + events])
        per_s = events / (time.perf_counter() - began_s)
        after_ms = (await steadily(idle, bodies[WARM + events :]))[RATE_PER_S * SETTLE_S :]
    busy = f"16 features, one process, {CALLERS} callers who ask again at once; callers and Pub/Sub on the same 2 cores"
    steady = f"the same at {RATE_PER_S} requests/s for {STEADY_S} s"
    rows = [Row("answers_per_s", per_s, "requests/s", busy)]
    for name, share in (("p50", 0.5), ("p99", 0.99), ("p999", 0.999)):
        rows.append(Row(f"answer_{name}_ms", float(np.quantile(after_ms, share)), "ms", steady))
    late = float(np.mean(np.array(after_ms) > PROMPT_MS))
    return [*rows, Row("answers_over_100_ms", late, "share", steady)]


@asynccontextmanager
async def callers(port: int) -> AsyncIterator[asyncio.Queue[Connection]]:
    """Connections that nobody uses just now."""
    until_s = time.monotonic() + START_S
    while True:
        try:
            found = [await asyncio.open_connection("127.0.0.1", port) for _ in range(CALLERS)]
            break
        except OSError:
            assert time.monotonic() < until_s, "the service does not start"
            await asyncio.sleep(0.2)
    idle: asyncio.Queue[Connection] = asyncio.Queue()
    for each in found:
        idle.put_nowait(each)
    yield idle
    for _, writer in found:
        writer.close()


async def ask(idle: asyncio.Queue[Connection], body: bytes) -> None:
    reader, writer = await idle.get()
    writer.write(
        b"POST %b HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
        % (PATH.encode(), len(body), body)
    )
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), head
    await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
    idle.put_nowait((reader, writer))


async def at_once(idle: asyncio.Queue[Connection], bodies: Sequence[bytes]) -> None:
    waiting = iter(bodies)

    async def caller() -> None:
        for body in waiting:
            await ask(idle, body)

    await asyncio.gather(*(caller() for _ in range(CALLERS)))


async def steadily(idle: asyncio.Queue[Connection], bodies: Sequence[bytes]) -> list[float]:
    """Milliseconds of each, from when it was due: a caller that had to wait for a connection has waited."""
    began_s = time.perf_counter()

    async def caller(due_s: float, body: bytes) -> float:
        await ask(idle, body)
        return (time.perf_counter() - due_s) * 1e3

    asking = []
    for i, body in enumerate(bodies):
        due_s = began_s + i / RATE_PER_S
        await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
        asking.append(asyncio.create_task(caller(due_s, body)))
    return await asyncio.gather(*asking)
