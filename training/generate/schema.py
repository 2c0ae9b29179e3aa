"""The vocabulary of the off-boarding files: columns in file order, states, types and spending categories.

Everything else refers to a state, type or category by its position in these tuples.
"""

from typing import Final
from uuid import NAMESPACE_URL, uuid5

USER_COLUMNS: Final = (
    "user_id",
    "session_id",
    "country_of_residence",
    "has_biometrics",
    "phone_number_country_code",
    "reason_to_use_app",
    "occupation",
    "kyc_state",
    "gender",
    "date_of_birth",
    "document_issuing_country",
    "locale",
    "screening_state",
    "is_adverse_media_minor",
    "is_pep",
    "user_current_state",
)
TRANSACTION_COLUMNS: Final = (
    "id",
    "reference_transaction_id",
    "user_id",
    "state",
    "type",
    "category_id",
    "amount",
    "currency",
    "direction",
    "completed_at",
    "created_at",
)
TYPOLOGY_COLUMNS: Final = ("user_id", "typology", "starts_at", "suspended_at")

STATES: Final = ("PENDING", "COMPLETED", "DECLINED", "FAILED", "REVERSED", "CANCELLED")
STATE: Final = {name: code for code, name in enumerate(STATES)}

TYPES: Final = (
    "CARDS",
    "BANK_TRANSFER",
    "CARD_TOP_UP",
    "PROCESSING_FEE",
    "CRYPTO_ON_RAMP",
    "PAYMENTS",
    "CRYPTO_OFF_RAMP",
    "USER_REWARD",
    "MANUAL",
)
TYPE: Final = {name: code for code, name in enumerate(TYPES)}

DIRECTIONS: Final = ("IN", "OUT")

# (name, weight among card payments); the names exist only here, files carry the identifiers
CATEGORIES: Final = (
    ("groceries", 22),
    ("restaurants", 17),
    ("transport", 12),
    ("shopping", 10),
    ("entertainment", 7),
    ("subscriptions", 6),
    ("fuel", 5),
    ("health", 4),
    ("cash", 4),
    ("travel", 3),
    ("electronics", 2),
    ("home", 2),
    ("gambling", 1.5),
    ("services", 1.5),
    ("education", 1),
    ("insurance", 1),
    ("gifts", 0.7),
    ("other", 0.3),
)
CATEGORY: Final = {name: code for code, (name, _) in enumerate(CATEGORIES)}
# fixed, not drawn from the seed: a use case file may name them
CATEGORY_IDS: Final = tuple(
    str(uuid5(NAMESPACE_URL, f"riskstream/category/{name}")) for name, _ in CATEGORIES
)
NO_CATEGORY: Final = -1
