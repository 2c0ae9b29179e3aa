"""Profiles of customers: the columns of users.csv except the label and the identifiers.

Each trait is a table of (value, weight, weight if suspended): the profile alone is a weak hint, as in real data.
"""

from datetime import date
from typing import Final

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Texts = NDArray[np.str_]
Weights = tuple[tuple[str, float, float], ...]

COUNTRIES: Final[Weights] = (
    ("FR", 88.0, 90.0),
    ("PF", 4.0, 2.0),
    ("RE", 3.0, 3.0),
    ("NC", 1.5, 0.8),
    ("GP", 1.3, 1.4),
    ("MQ", 1.2, 1.2),
    ("GF", 0.6, 1.0),
    ("YT", 0.4, 0.6),
)
# truncated to three characters, as in the real files
PHONE_CODES: Final = {
    "FR": "+33",
    "PF": "+68",
    "RE": "+26",
    "NC": "+68",
    "GP": "+59",
    "MQ": "+59",
    "GF": "+59",
    "YT": "+26",
}
FOREIGN_PHONE_SHARE: Final = (0.04, 0.08)  # active, suspended
FOREIGN_PHONES: Final = ("+44", "+35", "+32", "+21", "+39", "+34", "+49")
FOREIGN_DOCUMENT_SHARE: Final = (0.16, 0.26)
FOREIGN_DOCUMENTS: Final = ("MA", "DZ", "IT", "PT", "TN", "RO", "CI", "CM", "SN", "BE", "ES", "CD")
ENGLISH_SHARE: Final = (0.06, 0.08)

TRAITS: Final[dict[str, Weights]] = {
    "has_biometrics": (("TRUE", 72, 64), ("FALSE", 28, 36)),
    "reason_to_use_app": (
        ("DAILY_PAYMENT_SERVICES", 55, 46),
        ("CRYPTO_SERVICES", 20, 31),
        ("NON_CUSTODIAL_CRYPTO_WALLET", 8, 8),
        ("TRAVEL_ACCOUNT", 7, 4),
        ("INTERNATIONAL_TRANSFERS", 5, 6),
        ("", 5, 5),
    ),
    "occupation": (
        ("UNEMPLOYED", 14, 20),
        ("OTHER_SERVICES", 14, 14),
        ("SERVICE_AND_SALES", 11, 12),
        ("STUDENTS", 9, 12),
        ("RETIRED", 7, 3),
        ("ADMINISTRATION", 7, 4.5),
        ("EDUCATION", 5, 3),
        ("CRAFT_AND_RELATED_TRADES", 5, 6),
        ("HEALTH", 5, 3.5),
        ("MANAGEMENT", 4, 3),
        ("MINING_CONSTRUCTION_AND_TRANSPORT", 4, 6),
        ("FOOD_PREP_AND_CLEANING", 3, 4),
        ("IT_AND_COMMUNICATION", 3, 2),
        ("AGRICULTURE_FISHERY_FORESTRY", 1.5, 1),
        ("PLANT_AND_MACHINE_OPERATION", 1.5, 1.5),
        ("LEGAL_SOCIAL_AND_CULTURAL_ACTIVITIES", 1, 0.5),
        ("SCIENCE_AND_ENGINEERING", 1, 0.5),
        ("", 4, 4),
    ),
    "kyc_state": (("COMPLETED", 92, 83), ("FAILED", 4, 11), ("PENDING", 4, 6)),
    "gender": (("M", 60, 68), ("F", 36, 28), ("", 4, 4)),
    "screening_state": (("COMPLETED", 95, 88), ("TO_SOFT_REVIEW", 5, 12)),
    "is_adverse_media_minor": (("FALSE", 1, 1),),  # the real column is constant
    "is_pep": (("FALSE", 1, 1),),
}
ADULT_AGE_YEARS: Final = 18.0
# gamma (shape, scale in years) above the adult age: active, suspended
AGES_ABOVE_ADULT: Final = ((2.1, 9.5), (1.8, 7.2))
OLDEST_AGE_YEARS: Final = 92.0
YEAR_DAYS: Final = 365.25
CRYPTO_REASONS: Final = ("CRYPTO_SERVICES", "NON_CUSTODIAL_CRYPTO_WALLET")


def draw_profiles(suspended: NDArray[np.bool_], today: date, rng: Generator) -> dict[str, Texts]:
    """One column of texts per trait, in no particular order of columns."""
    country = draw_trait(COUNTRIES, suspended, rng)
    columns = {name: draw_trait(weights, suspended, rng) for name, weights in TRAITS.items()}
    return columns | {
        "country_of_residence": country,
        "phone_number_country_code": _draw_phone(country, suspended, rng),
        "date_of_birth": _draw_birth(suspended, today, rng),
        "document_issuing_country": _draw_document(suspended, rng),
        "locale": draw_locale(country, suspended, rng),
    }


def draw_locale(country: Texts, suspended: NDArray[np.bool_], rng: Generator) -> Texts:
    """French as spoken at home, or English."""
    home = np.where(country == "PF", "fr_PF", "fr_FR")
    return np.where(_mostly(ENGLISH_SHARE, suspended, rng), "en_001", home)


def draw_trait(weights: Weights, suspended: NDArray[np.bool_], rng: Generator) -> Texts:
    """A value of one trait for each customer."""
    values = np.array([value for value, _, _ in weights])
    by_label = np.array([[active, bad] for _, active, bad in weights]).T
    cumulative = np.cumsum(by_label / by_label.sum(axis=1, keepdims=True), axis=1)[:, :-1]
    drawn = rng.random(len(suspended))
    chosen: Texts = values[(drawn[:, None] >= cumulative[suspended.astype(int)]).sum(axis=1)]
    return chosen


def _mostly(shares: tuple[float, float], suspended: NDArray[np.bool_], rng: Generator) -> NDArray[np.bool_]:
    holds: NDArray[np.bool_] = rng.random(len(suspended)) < np.array(shares)[suspended.astype(int)]
    return holds


def _draw_phone(country: Texts, suspended: NDArray[np.bool_], rng: Generator) -> Texts:
    countries, which = np.unique(country, return_inverse=True)
    local = np.array([PHONE_CODES[code] for code in countries])[which]
    foreign = rng.choice(np.array(FOREIGN_PHONES), len(country))
    return np.where(_mostly(FOREIGN_PHONE_SHARE, suspended, rng), foreign, local)


def _draw_document(suspended: NDArray[np.bool_], rng: Generator) -> Texts:
    foreign = rng.choice(np.array(FOREIGN_DOCUMENTS), len(suspended))
    return np.where(_mostly(FOREIGN_DOCUMENT_SHARE, suspended, rng), foreign, "FR")


def _draw_birth(suspended: NDArray[np.bool_], today: date, rng: Generator) -> Texts:
    shape, scale = np.array(AGES_ABOVE_ADULT).T
    label = suspended.astype(int)
    age_years = np.minimum(ADULT_AGE_YEARS + rng.gamma(shape[label], scale[label]), OLDEST_AGE_YEARS)
    # one day older than the youngest allowed, so that nobody's birthday is today
    age_days = np.ceil(age_years * YEAR_DAYS).astype(np.int64) + 1
    births: Texts = (np.datetime64(today, "D") - age_days).astype(str)
    return births
