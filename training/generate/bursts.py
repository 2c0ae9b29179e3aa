"""Plays the bursts: each customer's pattern, if any, between its start and its end."""

from collections.abc import Iterator

from numpy.random import Generator

from training.generate.customers import GeneratedCustomers
from training.generate.transfers import Moves, follow, join, play
from training.generate.typologies import PATTERNS, Chain


def misbehave(people: GeneratedCustomers, rng: Generator) -> Moves:
    """The movements of all bursts of these customers, typologies and look-alikes."""
    return join(
        moves
        for code, pattern in enumerate(PATTERNS)
        for chain in pattern.chains
        for moves in _burst(chain, people[people.pattern == code], rng)
    )


def _burst(chain: Chain, people: GeneratedCustomers, rng: Generator) -> Iterator[Moves]:
    leg, *steps = chain
    moves = play(leg, people.number, people.burst_us, people.burst_end_us, leg.times * people.intensity, rng)
    yield moves
    for step in steps:
        moves = follow(step, moves, rng)
        yield moves
