"""Run the service: check everything first, then serve until SIGTERM or Ctrl-C."""

import logging
import resource
import signal
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from tempfile import TemporaryFile

import uvicorn

from pipeline.bigquery import schemas, tables
from pipeline.bigquery.client import query_client
from pipeline.engine import preflight
from pipeline.operations.gauges import redis_memory
from pipeline.pubsub.topics import topic_path
from pipeline.runtime import tracing
from pipeline.runtime.checks import Check, demand, run_checks
from pipeline.runtime.metrics import OF_SERVICE
from pipeline.runtime.process_tuning import tune_process
from pipeline.runtime.prometheus import Endpoint
from pipeline.runtime.transient import TRANSIENT
from serving.api import app
from serving.auth.tokens import Authenticator
from serving.configuration import Configuration
from serving.http.connections import Connection, Crowd
from serving.service import Service

CHECK_S = 6.0  # for all checks together; each answers within milliseconds when all is well
END_S = 20  # for what is in flight when the process is to end; Kubernetes gives it 35
KEEP_ALIVE_S = 620  # longer than Google's load balancers, 600 s: who closes first may lose a request
CONNECTIONS = 2  # for each request in flight: as many wait as are answered
OTHER_FILES = 200  # open ones beside connections of callers: Redis, Pub/Sub, libraries
AWAY: tuple[type[Exception], ...] = (*TRANSIENT, OSError)
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)

logger = logging.getLogger(__name__)


def run(settings: Configuration) -> None:
    """Serve until a stop signal. Raises CannotStart within seconds, with a line for each fault."""
    gate = Authenticator(settings.access) if settings.access else None
    demand(run_checks(checks(settings, gate), CHECK_S))
    tracing.start()
    service = Service(settings)
    service.warm()
    if gate:
        gate.start()
    with ending_quietly(), serving_metrics(settings, service):
        tune_process()
        logger.warning("answering at http://%s:%d/docs", settings.host, settings.port)
        server(app(service, gate, settings.max_in_flight), settings).run()


def checks(settings: Configuration, gate: Authenticator | None) -> list[Check]:
    """Return the checks before the service answers."""
    needed_files = CONNECTIONS * settings.max_in_flight + OTHER_FILES
    needed = [
        preflight.bundle(settings.use_case, settings.bundle),
        preflight.redis(settings, settings.use_case, settings.allow_empty_store),
        preflight.topic(topic_path(settings.project, settings.events_topic)),
        Check(f"port {settings.port}", lambda: check_port(settings.host, settings.port)),
        Check("open files", lambda: allow_files(needed_files)),
        *preflight.metrics(settings.metrics_host, settings.metrics_port),
    ]
    if gate:
        needed.append(Check("issuer", gate.check))
    if not settings.no_audit:
        needed.append(Check("audit trail", lambda: check_trail(settings)))
    return needed


def check_trail(settings: Configuration) -> None:
    """Check that the audit table exists. BigQuery may be away: records wait for it.

    Raises TableMismatch, GoogleAPIError, and OSError if the folder cannot be written to.
    """
    settings.audit_folder.mkdir(parents=True, exist_ok=True)
    with TemporaryFile(dir=settings.audit_folder):
        pass
    try:
        tables.check(query_client(settings.project), settings.dataset, [schemas.AUDIT], retry=None)
    except AWAY as error:
        logger.warning("BigQuery cannot be reached; audit records wait for it: %s", error)


def check_port(host: str, port: int) -> None:
    """Check that the port is free. Raises OSError."""
    with socket.create_server((host, port)):
        pass


def allow_files(needed: int) -> None:
    """Raise this process's limit of open files if it is lower than needed. Raises OSError."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise OSError(f"found a limit of {hard}, expected {needed}: raise it, or lower --max-in-flight")
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


@contextmanager
def serving_metrics(settings: Configuration, service: Service) -> Iterator[None]:
    """Serve metrics for Prometheus, if a port is set for them."""
    if not settings.metrics_port:
        yield
        return
    with closing(
        Endpoint(
            settings.metrics_host, settings.metrics_port, OF_SERVICE, [partial(redis_memory, service.store)]
        )
    ):
        yield


@contextmanager
def ending_quietly() -> Iterator[None]:
    """Ignore the signals that end uvicorn, which it sends again at its end: a stop is no failure."""
    before = {number: signal.signal(number, lambda *_: None) for number in STOP_SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def server(application: object, settings: Configuration) -> uvicorn.Server:
    """Return the server. It answers requests in flight before it ends, and logs none: paths may name customers."""
    crowd = Crowd(CONNECTIONS * settings.max_in_flight)
    return uvicorn.Server(uvicorn.Config(
        application, host=settings.host, port=settings.port, root_path=settings.root_path,  # type: ignore[arg-type]
        http=partial(Connection, crowd=crowd), ws="none",  # type: ignore[arg-type]
        access_log=False, log_config=None, server_header=False, proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_S, timeout_graceful_shutdown=END_S, lifespan="on",
    ))  # fmt: skip
