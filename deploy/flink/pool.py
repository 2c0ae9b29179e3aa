"""Starts a Python worker for each task of Flink that asks for one (Beam's environment EXTERNAL).

Beam's own `worker_pool_main` listens on all addresses of the machine, names a worker by a number that two task
managers both give, and so may end the wrong one. Here nobody is ended: a worker ends when its task has gone.
"""

import argparse
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
from apache_beam.portability.api import beam_fn_api_pb2 as messages
from apache_beam.portability.api import beam_fn_api_pb2_grpc as services

from deploy.local.services import HOST

WORKER = """
import sys
from apache_beam.runners.worker.sdk_worker import SdkHarness
SdkHarness(sys.argv[1], worker_id=sys.argv[2]).run()
"""


class Pool(services.BeamFnExternalWorkerPoolServicer):
    """Workers as processes of their own; their output goes where the pool's goes."""

    def StartWorker(  # noqa: N802
        self, request: messages.StartWorkerRequest, _context: object
    ) -> messages.StartWorkerResponse:
        command = [sys.executable, "-c", WORKER, request.control_endpoint.url, request.worker_id]
        worker = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        threading.Thread(target=worker.wait, daemon=True).start()
        return messages.StartWorkerResponse()

    def StopWorker(  # noqa: N802
        self, _request: messages.StopWorkerRequest, _context: object
    ) -> messages.StopWorkerResponse:
        return messages.StopWorkerResponse()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m deploy.flink.pool", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    server = grpc.server(ThreadPoolExecutor(4))
    services.add_BeamFnExternalWorkerPoolServicer_to_server(Pool(), server)
    server.add_insecure_port(f"{HOST}:{parser.parse_args().port}")
    server.start()
    while True:
        time.sleep(60)


if __name__ == "__main__":
    main()
