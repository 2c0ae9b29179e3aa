"""The ways customers become a risk, and the honest lives that look alike, as tables.

A pattern is a burst: chains of movements, each chain a leg with the follow-ups that spend what it brought.
Suspended customers follow a typology until they are suspended; a few active ones follow a look-alike.
Shares, rates and amounts are chosen so that a random forest on plain aggregates reaches an AUC near 0.9.
"""

from dataclasses import dataclass
from typing import Final

from training.generate.transfers import FollowUp, Leg

MINUTE_S: Final = 60.0
HOUR_S: Final = 3600.0
REPORTING_LIMITS_EUR: Final = (500, 500, 1000, 1000, 1000, 3000, 10000)  # limits people try to stay below

Chain = tuple[Leg, *tuple[FollowUp, ...]]


@dataclass(frozen=True)
class Pattern:
    """A burst of some days; the share is of the suspended, or of the active for look-alikes."""

    name: str
    share: float
    days: tuple[float, float]
    chains: tuple[Chain, ...] = ()
    other_activity: float = 1.0  # normal life besides the burst


NORMAL: Final = Pattern("normal", 0.0, (0, 1))

TYPOLOGIES: Final = (
    Pattern(
        "mule",
        0.28,
        (2, 12),
        (
            (
                Leg("BANK_TRANSFER", "IN", 7, 220, 0.9),
                FollowUp("BANK_TRANSFER", "OUT", 0.85, (0.8, 1.0), 35 * MINUTE_S, friction=1.5),
            ),
            (Leg("PAYMENTS", "IN", 2, 120, 0.8), FollowUp("CARDS", "OUT", 0.6, (0.7, 1.0), 2 * HOUR_S)),
            (Leg("CARDS", "OUT", 2, 150, 0.7, round_eur=10, friction=2.0, category="cash"),),
        ),
        other_activity=0.6,
    ),
    Pattern(
        "structuring",
        0.15,
        (5, 25),
        (
            (
                Leg(
                    "BANK_TRANSFER", "IN", 5, 900, 0.3, "office", round_eur=10, below_eur=REPORTING_LIMITS_EUR
                ),
                FollowUp("BANK_TRANSFER", "OUT", 0.5, (0.5, 1.0), 20 * HOUR_S),
            ),
            (Leg("CARD_TOP_UP", "IN", 2, 450, 0.3, round_eur=10, below_eur=(150, 500), friction=1.5),),
        ),
        other_activity=0.8,
    ),
    Pattern(
        "card_to_crypto",
        0.24,
        (1, 5),
        (
            # stolen cards fill the account; crypto hides the origin; what comes back looks clean and leaves
            (
                Leg("CARD_TOP_UP", "IN", 10, 110, 0.8, round_eur=10, friction=4.0),
                FollowUp("CRYPTO_ON_RAMP", "OUT", 0.75, (0.85, 1.0), 8 * MINUTE_S, friction=1.5),
                FollowUp("CRYPTO_OFF_RAMP", "IN", 0.6, (0.85, 0.99), 40 * MINUTE_S),
                FollowUp("BANK_TRANSFER", "OUT", 0.7, (0.8, 1.0), 2 * HOUR_S),
            ),
        ),
    ),
    Pattern(
        "account_takeover",
        0.14,
        (1, 2),
        (
            (Leg("CARDS", "OUT", 5, 160, 0.8, "night", friction=3.0, category="electronics"),),
            (Leg("BANK_TRANSFER", "OUT", 3, 450, 0.8, "night", friction=2.0),),
            (Leg("PAYMENTS", "OUT", 2, 150, 0.7, "night", friction=2.0),),
            (Leg("CRYPTO_ON_RAMP", "OUT", 2, 300, 0.8, "night", friction=2.0),),
        ),
    ),
    Pattern(
        "dormant_then_burst",
        0.10,
        (1, 4),
        (
            (
                Leg("BANK_TRANSFER", "IN", 4, 600, 0.9),
                FollowUp("BANK_TRANSFER", "OUT", 0.8, (0.7, 1.0), 3 * HOUR_S, friction=1.5),
            ),
            (Leg("CARDS", "OUT", 5, 60, 1.0, friction=2.0),),
        ),
        other_activity=0.05,
    ),
    Pattern("unremarkable", 0.09, (0, 1)),  # suspended for what these data do not show
)

LOOK_ALIKES: Final = (
    Pattern(
        "crypto_trader",
        0.04,
        (5, 30),
        (
            (
                Leg("CARD_TOP_UP", "IN", 5, 90, 0.8, round_eur=10, friction=1.3),
                FollowUp("CRYPTO_ON_RAMP", "OUT", 0.7, (0.6, 1.0), 1 * HOUR_S, 1.5),
                FollowUp("CRYPTO_OFF_RAMP", "IN", 0.4, (0.5, 1.3), 60 * HOUR_S),
            ),
        ),
    ),
    Pattern(
        "gig_worker",
        0.05,
        (10, 40),
        (
            (
                Leg("BANK_TRANSFER", "IN", 9, 150, 0.9, "office"),
                FollowUp("BANK_TRANSFER", "OUT", 0.7, (0.6, 1.0), 8 * HOUR_S, 1.5),
            ),
        ),
    ),
    Pattern("traveller", 0.04, (4, 15), ((Leg("CARDS", "OUT", 12, 45, 1.0, "night", friction=3.0),),)),
    Pattern(
        "windfall",
        0.04,
        (3, 15),
        (
            (
                Leg("BANK_TRANSFER", "IN", 2, 1800, 0.9, "office", round_eur=50),
                FollowUp("BANK_TRANSFER", "OUT", 0.8, (0.5, 1.0), 20 * HOUR_S, 1.2),
            ),
        ),
    ),
    Pattern(
        "clumsy_payer", 0.04, (3, 20), ((Leg("CARD_TOP_UP", "IN", 6, 60, 0.7, round_eur=10, friction=4.0),),)
    ),
)

PATTERNS: Final = (NORMAL, *TYPOLOGIES, *LOOK_ALIKES)
