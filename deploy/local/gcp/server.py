"""The server: all three services behind one port."""

import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import ThreadingHTTPServer

from deploy.local.gcp.dataflow import Dataflow
from deploy.local.gcp.secrets import Secrets
from deploy.local.gcp.storage import Storage
from deploy.local.gcp.web import handler_of


@dataclass(frozen=True)
class LocalCloud:
    """A running server and the services behind it."""

    port: int
    storage: Storage
    dataflow: Dataflow
    secrets: Secrets

    @property
    def environment(self) -> Mapping[str, str]:
        """Return the variables of clients. Beam recognises a local Dataflow by the word localhost."""
        url = f"http://localhost:{self.port}"
        names = ("STORAGE_EMULATOR_HOST", "DATAFLOW_EMULATOR_HOST", "SECRET_MANAGER_EMULATOR_HOST")
        return dict.fromkeys(names, url)


class ThreadedServer(ThreadingHTTPServer):
    """HTTP server with a thread for each client."""

    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore clients that are killed; anything else is a defect of this server."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


@contextmanager
def serve(port: int = 0) -> Iterator[LocalCloud]:
    """Serve on a free port, or on `port`, for as long as the block lasts."""
    storage, secrets = Storage(), Secrets()
    jobs = Dataflow(storage.read)
    routes = [*storage.routes, *jobs.routes, *secrets.routes]
    with ThreadedServer(("127.0.0.1", port), handler_of(routes)) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield LocalCloud(server.server_address[1], storage, jobs, secrets)
        finally:
            server.shutdown()
            thread.join()
