"""A worker as a member: it renews its lease, answers the requests of others, and asks them.

Two threads: one renews the lease once a second and learns who else is there, one answers. A worker that ends in good
order leaves first and answers what it has taken; of one that is killed, the lease ends after LEASE_MS.
"""

import logging
import secrets
import threading
import time

from features.usecase import UseCase
from pipeline.owners.asking import RecordOwners
from pipeline.owners.exchange import RedisExchange
from pipeline.owners.membership import LEASE_MS, Membership
from pipeline.owners.owner import Owner
from pipeline.runtime.errors import StoreUnavailable
from pipeline.runtime.metrics import OWNERS, key
from pipeline.runtime.process_metrics import progress
from pipeline.stores.redis_store import RedisStore
from pipeline.stores.store import RecordStore

RENEW_S = 1.0
TAKE_S = 1.0  # a thread that waits for requests looks that often whether it is to end
# From round to round, for each member: requests that come meanwhile are folded together. With 64 members that is 16 ms,
# in which most of them have sent one; events of a round are in order of time, which is what makes a fold cheap.
LINGER_S = 0.000_25
CLOSE_S = 5.0

logger = logging.getLogger(__name__)


class Member:
    """A worker of a use case whose workers share records beside the subjects'."""

    def __init__(self, records: RecordStore, redis: RedisStore, use_case: UseCase, prefix: str) -> None:
        """`records` is the store that the worker assesses on; lists and leases are in `redis`, which is closed here."""
        self.name = secrets.token_hex(8)
        self._redis = redis
        place = (prefix, use_case.name, use_case.fingerprint)
        self._membership = Membership(redis, *place)
        self._exchange = RedisExchange(redis, *place, self.name)
        self._owner = Owner(use_case, records, prefix)
        self._members: tuple[str, ...] = ()
        self._renewed_s = float("-inf")
        self._ended = threading.Event()
        self._answering = threading.Thread(target=self._answer_all, name="owner", daemon=True)
        self._renewing = threading.Thread(target=self._renew_all, name="owners", daemon=True)
        self.owners = RecordOwners(self.name, self._owner, self._exchange, self.members)

    def members(self) -> tuple[str, ...]:
        """Return the members as they were a moment ago; none while Redis cannot be asked."""
        return self._members

    @property
    def linger_s(self) -> float:
        """Seconds from the beginning of a round of answers to that of the next."""
        return LINGER_S * len(self._members)

    def start(self) -> None:
        """Become a member. From now on other workers wait for answers: load what takes time before."""
        self._answering.start()
        self._renewing.start()

    def close(self) -> None:
        """Leave, answer what was taken, and end."""
        self._ended.set()
        if self._answering.ident is not None:
            self._wake()
            self._renewing.join(CLOSE_S)
            self._answering.join(CLOSE_S)
        self._redis.close()

    def _wake(self) -> None:
        """Wake the thread that waits for requests, with an empty one."""
        try:
            self._exchange.send({self.name: b""})
        except StoreUnavailable as error:
            logger.info("an owner of records ends while Redis is away: %s", error)

    def _renew_all(self) -> None:
        while self._answering.is_alive() and not self._ended.is_set():
            self._renew()
            self._ended.wait(RENEW_S)
        try:
            self._membership.leave(self.name)
            self._exchange.close()
        except StoreUnavailable as error:
            logger.info("cannot leave the owners of records: %s", error)

    def _renew(self) -> None:
        try:
            self._exchange.open()
            self._members = self._membership.renew(self.name)
            self._renewed_s = time.monotonic()
        except StoreUnavailable as error:
            logger.info("cannot renew the lease of an owner of records: %s", error)
            if time.monotonic() - self._renewed_s > LEASE_MS / 1e3:
                self._members = ()
        progress.gauges[key(OWNERS)] = float(len(self._members))

    def _answer_all(self) -> None:
        began_s = float("-inf")
        while not self._ended.is_set():
            try:
                bodies = self._exchange.take(TAKE_S)
                if bodies and (pause_s := began_s + self.linger_s - time.monotonic()) > 0:
                    time.sleep(pause_s)
                    bodies += self._exchange.take(0)
                began_s = time.monotonic()
                self._answer(bodies)
            except StoreUnavailable as error:
                logger.info("cannot answer as an owner of records: %s", error)
                self._ended.wait(RENEW_S)
        self._renewing.join(CLOSE_S)
        try:
            self._answer(self._exchange.take(0))
        except StoreUnavailable as error:
            logger.info("cannot answer the last requests: %s", error)

    def _answer(self, bodies: list[bytes]) -> None:
        if bodies:
            self._exchange.reply(self._owner.answer(bodies))
