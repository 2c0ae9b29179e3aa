"""Errors of Redis and of its client as StoreUnavailable, with advice."""

from collections.abc import Iterator
from contextlib import contextmanager

from redis.exceptions import RedisClusterException, RedisError

from pipeline.runtime.errors import StoreUnavailable

# What the server or redis-py says -> what to do about it; the first match counts.
ADVICE = (
    ("WRONGPASS", "Check the user and the password in the URL."),
    ("invalid username-password", "Check the user and the password in the URL."),
    ("NOAUTH", "Put the password into the URL: redis://:PASSWORD@HOST:PORT."),
    ("Authentication required", "Put the password into the URL: redis://:PASSWORD@HOST:PORT."),
    ("without any password configured", "The server has no password: take it out of the URL."),
    ("permissions to access", "Let the user reach the keys under the prefix: ~riskstream:*."),
    ("can't access at least one", "Let the user reach the keys under the prefix: ~riskstream:*."),
    *(
        (sign, "The user may not do that: docs/redis.md lists what each command of riskstream needs.")
        for sign in ("NOPERM", "permissions to run", "can't run this command", "ACL failure in script")
    ),
    ("CERTIFICATE_VERIFY_FAILED", "Name the file with the server's certificate authority."),
    ("a certificate is given", "Write rediss:// to use TLS, or leave the file out."),
    (
        "alert certificate required",
        "The server wants this client's certificate: give --redis-cert-file, --redis-key-file.",
    ),
    (
        "in violation of protocol",
        "It ends TLS: if it wants this client's certificate, give --redis-cert-file, --redis-key-file.",
    ),
    (
        "alert unknown ca",
        "The server does not trust this client's certificate: have it signed by its authority.",
    ),
    (
        "replicas have confirmed",
        "Look at the replicas, or demand fewer (--redis-replicas); the batch is done again.",
    ),
    ("slots are moving", "Wait until they have moved."),
    ("Cluster mode is not enabled", "It is a single node: leave out cluster mode."),
    ("MOVED", "It is a node of a cluster: use cluster mode."),
    ("OOM", "Its memory is full: give it more, or let the use case forget the silent (forget_after)."),
    ("READONLY", "It is a replica: point the URL at the primary."),
    ("LOADING", "It is still loading its data: wait."),
    ("same slot", "It is a node of a cluster: use cluster mode."),
    ("must specify one of the following schemes", "Write redis://HOST:PORT, or rediss:// for TLS."),
    ("Port could not be cast", "Write redis://HOST:PORT, or rediss:// for TLS."),
    (
        "another server answers than before",
        "Nothing is to be done: it goes on once the records are compared.",
    ),
    ("Timeout", "It is frozen, overloaded or cut off: look at the server and the network."),
)
OTHERWISE = "Is it running, can it be reached from here, and is it the right one?"


@contextmanager
def explained(address: str) -> Iterator[None]:
    """Turn what redis-py raises into StoreUnavailable."""
    try:
        yield
    except (RedisError, RedisClusterException, OSError) as error:
        message = str(error) or type(error).__name__
        advice = next((advice for sign, advice in ADVICE if sign in message), OTHERWISE)
        raise StoreUnavailable(f"Redis at {address}: {message.rstrip('.')}. {advice}") from error
