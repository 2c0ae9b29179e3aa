"""Any bytes give an event or BadEvent, a million times."""

import json
from pathlib import Path

import numpy as np
import pytest

from features.events import BadEvent, decode, to_json
from features.usecase import load

ROOT = Path(__file__).parents[2]
FILES = ("usecases/offboarding.yaml", "tests/pipeline/market.yaml", "tests/benchmarks/sixteen.yaml")
REASONS = ("undecodable", "invalid", "unknown_type", "from_future")
PUBLISHED_US = 1_724_673_600_000_000  # 2024-08-26
TOKENS = (
    b'"', b"{", b"}", b"[", b"]", b",", b":", b"\\", b"\x00", b"\xff", b"\xed\xa0\x80", b"\xf0\x9f\xa6\x8a", b"\\ud800",
    b"null", b"true", b"-0", b"1e400", b"-1e-400", b"9007199254740993", b"NaN", b"Infinity", b'""', b" ",
    b"9" * 400, b"[" * 100, b'"2024-02-30"', b'"0000-00-00T00:00:00Z"', b'"9999-12-31T23:59:59.999999999-23:59"',
    b'"2024-08-26T24:00:00Z"', b'"2016-12-31T23:59:60Z"', b'"N/A"', b'"COMPLETED"', b'"id":', b'"user_id":',
)  # fmt: skip
EXAMPLES = {
    "transaction": {
        "id": "7d11", "user_id": "3f0c", "state": "COMPLETED", "type": "CARDS", "amount": 12.5, "currency": "EUR",
        "direction": "OUT", "completed_at": "2024-08-26 02:11:05.1192 UTC", "created_at": "2024-08-25T14:40:47Z",
        "customer": "c", "time": "2024-08-25T14:40:47Z", "channel": "CARD", "merchant": "m", "reference": "r",
    },
    "payment": {"id": "1", "at": "2024-08-25T14:40:47+02:00", "customer": "c", "amount": 1e3, "state": "DONE"},
    "profile": {"customer": "c", "vip": True, "born": "1980-02-29"},
    "override": {
        "user_id": "u", "customer": "c", "level": "LOW", "author": "a", "reason": "é",
        "expires_at": "2025-01-01T00:00:00Z", "until": "2025-01-01T00:00:00Z",
    },
    "refund": {"id": "1"},
}  # fmt: skip


@pytest.mark.parametrize(
    "inputs",
    [
        pytest.param(20_000, id="short"),
        pytest.param(1_000_000, id="whole", marks=[pytest.mark.chaos, pytest.mark.timeout(1_800)]),
    ],
)
def test_any_bytes_give_an_event_or_a_bad_event(inputs: int) -> None:
    """Examples with pieces cut out, put in, repeated and overwritten, and plain noise; event times likewise."""
    rng = np.random.default_rng(17)
    use_cases = [load(ROOT / file) for file in FILES]
    bodies = [(name, json.dumps(example).encode()) for name, example in EXAMPLES.items()]
    events = 0
    for i in range(inputs):
        use_case = use_cases[i % len(use_cases)]
        event_type, body = bodies[int(rng.integers(len(bodies)))]
        data = rng.bytes(int(rng.integers(60))) if i % 50 == 0 else mutated(rng, body)
        attribute = mutated(rng, b"2024-08-26T00:00:00Z").decode(errors="replace") if i % 3 == 0 else None
        try:
            event = decode(use_case, event_type, data, PUBLISHED_US, attribute)
        except BadEvent as error:
            assert error.reason in REASONS
            error.detail.encode()
        else:
            to_json(event)
            events += 1
    assert inputs / 100 < events < inputs / 2, "the inputs are neither all good nor all bad"


def mutated(rng: np.random.Generator, data: bytes) -> bytes:
    """Apply 0 to 3 changes."""
    for kind, place, span in zip(
        rng.integers(5, size=3).tolist(),
        rng.random(3).tolist(),
        rng.integers(12, size=3).tolist(),
        strict=True,
    ):
        at = int(place * (len(data) + 1))
        token = TOKENS[int(rng.integers(len(TOKENS)))]
        data = {
            0: data,
            1: data[:at] + token + data[at:],
            2: data[:at] + token + data[at + len(token) :],
            3: data[:at] + data[at + span :],
            4: data[: at + span] + data[at:],
        }[kind]
    return data
