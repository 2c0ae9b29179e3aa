"""The pure part of the embedded server: hand-made bytes against protobuf, and the broker against a naive oracle.

The oracle knows every message and reads all of them at every step; it shares no code with the server.
"""

import itertools
from dataclasses import dataclass, field
from typing import Any

import pytest
from google.pubsub_v1 import types
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from deploy.local.pubsub import wire
from deploy.local.pubsub.leases import Lease, Leases, StoredMessage
from deploy.local.pubsub.state import Broker

TOPIC, DEAD_TOPIC = "projects/p/topics/ttt", "projects/p/topics/dead"
SUBSCRIPTION, DEAD_SUBSCRIPTION = "projects/p/subscriptions/sss", "projects/p/subscriptions/dead"
DEADLINE_S = 10
MAX_ATTEMPTS = 2  # fewer than the service allows, so that histories reach it
START_S = 1_700_000_000.0

PubsubMessage: Any = types.PubsubMessage.pb()


@given(st.integers(0, (1 << 63) - 1))
def test_varints_are_protobufs(value: int) -> None:
    expected = types.StreamingPullRequest.pb()(max_outstanding_messages=value).SerializeToString()
    assert b"\x38" + wire.varint(value) == (expected or b"\x38\x00")


messages = st.builds(
    PubsubMessage,
    data=st.binary(max_size=300),
    attributes=st.dictionaries(st.text(max_size=5), st.text(max_size=200), max_size=3),
    ordering_key=st.text(max_size=5),
)


@given(st.lists(st.tuples(messages, st.integers(0, 200)), max_size=4), st.floats(0, 4e9))
def test_responses_are_protobufs(contents: list[tuple[Any, int]], now_s: float) -> None:
    expected = types.PullResponse.pb()()
    deliveries = []
    for number, (message, attempt) in enumerate(contents):
        framed = wire.frame(message.SerializeToString(), number, wire.publish_time_field(now_s))
        deliveries.append((f"{number:016d}", attempt, framed))
        received = expected.received_messages.add(ack_id=f"{number:016d}", delivery_attempt=attempt)
        received.message.CopyFrom(message)
        received.message.message_id = f"{number:016d}"
        received.message.publish_time.seconds = int(now_s)
        received.message.publish_time.nanos = int(now_s % 1 * 1e9)
        assert wire.unframe(framed) == received.message
    assert types.PullResponse.pb().FromString(wire.response(deliveries)) == expected
    assert types.StreamingPullResponse.pb().FromString(wire.response(deliveries)).received_messages == (
        expected.received_messages
    )


def test_leases_expire_in_order_and_forget_what_ended() -> None:
    leases = Leases()
    message = StoredMessage(b"", "", 0.0)
    for number, until_s in enumerate([3.0, 1.0, 2.0, 600.0]):
        leases.grant(str(number), Lease(message), until_s)
    assert leases.next_due_s() == pytest.approx(1.0, abs=0.05)
    leases.end("1")
    leases.move("2", 4.0)
    assert leases.next_due_s() == pytest.approx(3.0, abs=0.05)
    assert leases.due(5.0) == ["0", "2"]
    assert len(leases) == 3


def test_what_came_back_after_its_ack_must_be_acknowledged_again() -> None:
    broker = Broker(first_id=1)
    broker.create_topic(types.Topic.pb()(name=TOPIC))
    broker.create_subscription(
        types.Subscription.pb()(
            name=SUBSCRIPTION, topic=TOPIC, ack_deadline_seconds=DEADLINE_S, enable_message_ordering=True
        )
    )
    batch = [PubsubMessage(data=body, ordering_key="a") for body in (b"1", b"2")]
    broker.publish(TOPIC, broker.prepare(batch, START_S))
    (first, *_), (second, *_) = broker.deliver(SUBSCRIPTION, 2, START_S)
    broker.ack(SUBSCRIPTION, [second])
    broker.extend(SUBSCRIPTION, [(first, 0)], START_S)
    (first, *_), (second, *_) = broker.deliver(SUBSCRIPTION, 2, START_S)
    broker.ack(SUBSCRIPTION, [first])
    assert broker.figures(START_S)[SUBSCRIPTION]["num_undelivered_messages"] == 1
    broker.ack(SUBSCRIPTION, [second])
    assert broker.figures(START_S)[SUBSCRIPTION]["num_undelivered_messages"] == 0


@dataclass(eq=False)
class Known:
    """The oracle's knowledge of one message. `state` is waiting, out, acked (but an earlier one is not) or done."""

    key: str
    state: str = "waiting"
    ack_id: str = ""
    until_s: float = 0.0
    attempt: int = 0


@dataclass
class Oracle:
    """The promises of one subscription, stated over the list of all its messages in publish order."""

    is_ordered: bool
    known: list[Known] = field(default_factory=list)
    dead: list[int] = field(default_factory=list)

    def followers(self, one: Known) -> list[Known]:
        """The message and, if its key counts, the later ones of its key."""
        if not (self.is_ordered and one.key):
            return [one]
        place = next(place for place, other in enumerate(self.known) if other is one)
        return [other for other in self.known[place:] if other.key == one.key]

    def blocked_keys(self) -> set[str]:
        return (
            {one.key for one in self.known if one.state in ("out", "acked")} - {""}
            if self.is_ordered
            else set()
        )

    def deliverable(self) -> int:
        blocked = self.blocked_keys()
        return sum(one.state == "waiting" and one.key not in blocked for one in self.known)

    def finish(self, one: Known) -> None:
        one.state = "acked"
        for other in [other for other in self.known if one in self.followers(other)] + self.followers(one):
            if other.state != "acked" and other.state != "done":
                break
            other.state = "done"

    def hand_back(self, one: Known) -> None:
        if one.attempt >= MAX_ATTEMPTS:
            self.dead.append(self.known.index(one))
            self.finish(one)
            return
        for other in self.followers(one):
            if other.state in ("out", "acked"):
                other.state = "waiting"
                other.attempt -= other is not one


class BrokerAgainstOracle(RuleBasedStateMachine):
    """Any sequence of publishes, pulls, acks, nacks, extensions and pauses."""

    @initialize(is_ordered=st.booleans())
    def start(self, is_ordered: bool) -> None:
        self.now_s = START_S
        self.oracle = Oracle(is_ordered)
        self.broker = Broker(first_id=1)
        for name in (TOPIC, DEAD_TOPIC):
            self.broker.create_topic(types.Topic.pb()(name=name))
        subscription = types.Subscription.pb()(
            name=SUBSCRIPTION,
            topic=TOPIC,
            ack_deadline_seconds=DEADLINE_S,
            enable_message_ordering=is_ordered,
        )
        subscription.dead_letter_policy.dead_letter_topic = DEAD_TOPIC
        subscription.dead_letter_policy.max_delivery_attempts = MAX_ATTEMPTS
        self.broker.create_subscription(subscription)
        dead = types.Subscription.pb()(name=DEAD_SUBSCRIPTION, topic=DEAD_TOPIC, ack_deadline_seconds=600)
        self.broker.create_subscription(dead)

    @rule(keys=st.lists(st.sampled_from(["", "a", "a", "b"]), min_size=1, max_size=5))
    def publish(self, keys: list[str]) -> None:
        numbers = itertools.count(len(self.oracle.known))
        for key, run in itertools.groupby(keys):  # a request has one key
            batch = [PubsubMessage(data=str(next(numbers)).encode(), ordering_key=key) for _ in run]
            self.broker.publish(TOPIC, self.broker.prepare(batch, self.now_s))
        self.oracle.known += [Known(key) for key in keys]

    @rule(limit=st.integers(1, 6))
    def pull(self, limit: int) -> None:
        deliverable, blocked = self.oracle.deliverable(), self.oracle.blocked_keys()
        deliveries = self.broker.deliver(SUBSCRIPTION, limit, self.now_s)
        assert len(deliveries) == min(limit, deliverable)
        for ack_id, attempt, framed in deliveries:
            one = self.oracle.known[int(wire.unframe(framed).data)]
            assert (one.state, one.attempt + 1) == ("waiting", attempt)
            assert one.key not in blocked
            self.check_order(one)
            one.state, one.ack_id, one.attempt = "out", ack_id, attempt
            one.until_s = self.now_s + DEADLINE_S

    def check_order(self, one: Known) -> None:
        if self.oracle.is_ordered and one.key:
            earlier = itertools.takewhile(lambda other: other is not one, self.oracle.known)
            assert all(other.state != "waiting" for other in earlier if other.key == one.key)

    def out(self) -> list[Known]:
        return sorted((one for one in self.oracle.known if one.state == "out"), key=lambda one: one.ack_id)

    @precondition(lambda self: self.out())
    @rule(data=st.data())
    def ack(self, data: st.DataObject) -> None:
        one = data.draw(st.sampled_from(self.out()))
        self.broker.ack(SUBSCRIPTION, [one.ack_id])
        self.oracle.finish(one)

    @precondition(lambda self: self.out())
    @rule(data=st.data())
    def nack(self, data: st.DataObject) -> None:
        one = data.draw(st.sampled_from(self.out()))
        self.broker.extend(SUBSCRIPTION, [(one.ack_id, 0)], self.now_s)
        self.oracle.hand_back(one)

    @precondition(lambda self: self.out())
    @rule(data=st.data(), seconds=st.integers(1, 30))
    def extend(self, data: st.DataObject, seconds: int) -> None:
        one = data.draw(st.sampled_from(self.out()))
        self.broker.extend(SUBSCRIPTION, [(one.ack_id, seconds)], self.now_s)
        one.until_s = self.now_s + seconds

    @rule(seconds=st.integers(1, 15))
    def wait(self, seconds: int) -> None:
        self.now_s += seconds
        self.broker.expire(self.now_s + 0.2)  # more than a tick late, so that rounding plays no part
        for one in sorted(self.out(), key=lambda one: one.until_s):
            if one.state == "out" and one.until_s <= self.now_s:
                self.oracle.hand_back(one)

    @invariant()
    def nothing_is_lost(self) -> None:
        figures = self.broker.figures(self.now_s)[SUBSCRIPTION]
        assert figures["num_undelivered_messages"] == sum(one.state != "done" for one in self.oracle.known)
        assert figures["num_outstanding_messages"] == len(self.out())
        dead = self.broker.figures(self.now_s)[DEAD_SUBSCRIPTION]
        assert dead["num_undelivered_messages"] == len(self.oracle.dead)

    def teardown(self) -> None:
        letters = self.broker.deliver(DEAD_SUBSCRIPTION, 1_000, self.now_s)
        assert [int(wire.unframe(framed).data) for _, _, framed in letters] == self.oracle.dead


TestBrokerAgainstOracle = BrokerAgainstOracle.TestCase
TestBrokerAgainstOracle.settings = settings(
    max_examples=150, stateful_step_count=40, deadline=None, derandomize=True
)
